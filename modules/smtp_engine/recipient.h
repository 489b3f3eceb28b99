/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient.h - may this client send to this recipient? Pure: the table
 * against open relays stands on this function.
 */
#ifndef SMTP_ENGINE_RECIPIENT_H
#define SMTP_ENGINE_RECIPIENT_H

#include <posthouse/listener.h>
#include <posthouse/mail.h>

#include "reply.h"

struct smtp_rcpt_facts {
	const struct ph_path *path;
	enum ph_recipient found;
	bool is_own_literal; /* user@[an address of this server] */
	bool may_relay;      /* by login or by network */
};

/* NULL: take it. */
const struct smtp_reply *smtp_rcpt_decide(const struct smtp_rcpt_facts *facts);
/* Whether a literal names this server: the address the client came to,
 * loopback, or 0.0.0.0 and ::. */
bool smtp_literal_is_own(struct ph_slice domain, const struct ph_addr *local);

#endif
