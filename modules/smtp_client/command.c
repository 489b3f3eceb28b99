/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - the envelope's lines.
 *
 * A parameter is only written when the peer offered its extension and its value
 * is an esmtp-value; DSN parameters that are not are left out, since losing a
 * wish is better than losing the message.
 */
#include "command.h"

#include <posthouse/mail.h>

enum { LINE_LIMIT = 4096 };

bool
is_ascii(struct ph_slice s)
{
	unsigned char seen = 0;

	/* no way out in between: so eight and more octets go at once */
	for (size_t i = 0; i < s.n; i++)
		seen |= (unsigned char)s.p[i];
	return seen < 0x80;
}

bool
envelope_needs_utf8(const struct smtp_envelope *envelope)
{
	return !is_ascii(envelope->sender) || envelope->has_utf8_header ||
	    envelope->has_global_part;
}

/* esmtp-value = 1*(%d33-60 / %d62-126), RFC 5321 s4.1.2; UTF-8 with RFC 6531.
 * "=" is passed in xtext by senders who do not know better. */
static bool
is_value(struct ph_slice s, bool with_utf8)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 33 || c == 127 || (c >= 0x80 && !with_utf8))
			return false;
	}
	return s.n > 0;
}

bool
command_passes_notify(struct ph_slice notify, const struct smtp_offer *offer)
{
	return offer->dsn && is_value(notify, false);
}

/* RFC 6533 s3: a peer without SMTPUTF8 is given the form in ASCII. */
static struct ph_slice
orcpt_for(struct ph_arena *arena, struct ph_slice orcpt, bool with_utf8)
{
	struct ph_slice rest = orcpt, type;

	if (with_utf8 || is_ascii(orcpt))
		return orcpt;
	type = ph_slice_cut(&rest, ';');
	rest = rest.p != NULL ? ph_unitext_encode(arena,
	    ph_unitext_decode(arena, rest), false) : rest;
	if (rest.p == NULL || !ph_slice_eq_nocase(type, PH_LIT("utf-8")))
		return (struct ph_slice){ NULL, 0 };
	return ph_slice_str(ph_arena_printf(arena, "utf-8;" PH_SLICE_FMT,
	    PH_SLICE_ARG(rest)));
}

static void
put_parameter(struct ph_buf *buf, const char *name, struct ph_slice value,
    bool with_utf8)
{
	if (!is_value(value, with_utf8))
		return;
	ph_buf_char(buf, ' ');
	ph_buf_str(buf, name);
	ph_buf_char(buf, '=');
	ph_buf_slice(buf, value);
}

struct ph_slice
command_mail(struct ph_arena *arena, const struct smtp_envelope *envelope,
    const struct smtp_offer *offer, bool with_utf8)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, LINE_LIMIT);
	ph_buf_str(&buf, "MAIL FROM:<");
	if (envelope->sender.n > 0)
		ph_buf_slice(&buf, ph_path_format(arena, envelope->sender));
	ph_buf_char(&buf, '>');
	if (offer->size)
		ph_buf_printf(&buf, " SIZE=%llu",
		    (unsigned long long)envelope->size_bytes);
	if (envelope->is_binary)
		ph_buf_str(&buf, " BODY=BINARYMIME");
	else if (offer->eight_bit && envelope->has_eight_bit)
		ph_buf_str(&buf, " BODY=8BITMIME");
	if (with_utf8)
		ph_buf_str(&buf, " SMTPUTF8");
	if (offer->dsn) {
		put_parameter(&buf, "RET", envelope->ret, false);
		put_parameter(&buf, "ENVID", envelope->envid, false);
	}
	ph_buf_str(&buf, "\r\n");
	return ph_buf_content(&buf);
}

struct ph_slice
command_rcpt(struct ph_arena *arena, struct ph_slice recipient,
    struct ph_slice notify, struct ph_slice orcpt,
    const struct smtp_offer *offer, bool with_utf8)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, LINE_LIMIT);
	ph_buf_str(&buf, "RCPT TO:<");
	ph_buf_slice(&buf, ph_path_format(arena, recipient));
	ph_buf_char(&buf, '>');
	if (offer->dsn) {
		put_parameter(&buf, "NOTIFY", notify, false);
		put_parameter(&buf, "ORCPT",
		    orcpt_for(arena, orcpt, with_utf8), with_utf8);
	}
	ph_buf_str(&buf, "\r\n");
	return ph_buf_content(&buf);
}
