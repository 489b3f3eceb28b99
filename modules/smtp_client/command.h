/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - MAIL and RCPT lines with the parameters that the peer offered.
 * Pure.
 */
#ifndef SMTP_CLIENT_COMMAND_H
#define SMTP_CLIENT_COMMAND_H

#include <posthouse/arena.h>

#include "offer.h"

/* What the envelope says, and what the content needs. */
struct smtp_envelope {
	struct ph_slice sender;   /* no brackets; empty: null */
	struct ph_slice ret, envid; /* absent: not given */
	uint64_t size_bytes;
	bool has_eight_bit;   /* anywhere in the content */
	bool is_binary;       /* RFC 3030: came with BODY=BINARYMIME */
	/* Of a message that came with SMTPUTF8: in its header section, or in that
	 * of a part or a message within. */
	bool has_utf8_header;
	bool has_global_part; /* message/global and its like, as it is */
};

bool is_ascii(struct ph_slice s);
/* Whether the whole message can only go with SMTPUTF8 (RFC 6531 s3.2). */
bool envelope_needs_utf8(const struct smtp_envelope *envelope);
/* "MAIL FROM:<...> ...\r\n" with_utf8: the transaction uses SMTPUTF8. */
struct ph_slice command_mail(struct ph_arena *arena,
    const struct smtp_envelope *envelope, const struct smtp_offer *offer,
    bool with_utf8);
/* Whether a sender's wish for notices goes to the peer with RCPT. */
bool command_passes_notify(struct ph_slice notify,
    const struct smtp_offer *offer);
struct ph_slice command_rcpt(struct ph_arena *arena, struct ph_slice recipient,
    struct ph_slice notify, struct ph_slice orcpt,
    const struct smtp_offer *offer, bool with_utf8);

#endif
