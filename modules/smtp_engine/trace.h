/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - the Received field (RFC 5321 s4.4). Pure.
 */
#ifndef SMTP_ENGINE_TRACE_H
#define SMTP_ENGINE_TRACE_H

#include <posthouse/arena.h>
#include <posthouse/addr.h>

struct smtp_trace {
	struct ph_slice helo;
	const struct ph_addr *client;
	const char *hostname;
	const char *id;
	const char *tls;         /* NULL in the clear */
	/* common names in the client's certificate, without quotes; or NULL */
	const char *certificate_subject, *certificate_issuer;
	struct ph_slice rcpt;    /* in SMTP syntax; absent: not told */
	int64_t wall_time;
	bool extended, authenticated, smtputf8, is_verified;
	bool hide_client;        /* of a client that logged in */
};

/* "ESMTPSA" and its kin: RFC 3848, RFC 6531 s4.3. */
const char *smtp_protocol_name(const struct smtp_trace *trace);
/* The whole field, folded, with its line end. */
void smtp_trace_format(const struct smtp_trace *trace, struct ph_buf *out);

#endif
