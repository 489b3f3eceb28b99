/* SPDX-License-Identifier: Apache-2.0 */
/* offer.h - the extensions a server offers in its reply to EHLO. Pure. */
#ifndef SMTP_CLIENT_OFFER_H
#define SMTP_CLIENT_OFFER_H

#include <posthouse/base.h>

struct smtp_offer {
	bool pipelining, starttls, size, eight_bit, smtputf8, dsn, chunking;
	bool binary;
	bool auth_plain, auth_login;
	uint64_t size_limit_bytes; /* 0: none told */
};

/* ehlo-line = ehlo-keyword *( SP ehlo-param ); unknown ones are passed over. */
void offer_line(struct smtp_offer *offer, struct ph_slice line);

#endif
