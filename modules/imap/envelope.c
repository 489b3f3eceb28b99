/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.c - strings, dates and ENVELOPE. Header text goes out as it is:
 * unfolded, encoded words kept, for clients decode them.
 */
#include "wire.h"

#include <posthouse/mail.h>

#include <stdlib.h>

enum {
	QUOTED_MAX = 4096,
	ADDRESSES_MAX = 1000, /* of one field */
};

static bool
is_quotable(struct ph_slice s)
{
	if (s.n > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

void
wire_nstring(struct ph_buf *buf, struct ph_slice s)
{
	if (s.p == NULL) {
		ph_buf_str(buf, "NIL");
		return;
	}
	if (!is_quotable(s)) {
		ph_buf_printf(buf, "{%zu}\r\n", s.n);
		for (size_t i = 0; i < s.n; i++)
			ph_buf_char(buf, s.p[i] != '\0' ? s.p[i] : ' ');
		return;
	}
	ph_buf_char(buf, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			ph_buf_char(buf, '\\');
		ph_buf_char(buf, s.p[i]);
	}
	ph_buf_char(buf, '"');
}

/* ph_date_format gives "Mon, 23 Nov 2026 08:47:00 +0000". */
void
wire_date_time(struct ph_buf *buf, int64_t time)
{
	char text[PH_DATE_MAX];

	ph_date_format(time, text);
	ph_buf_printf(buf, "\"%.2s-%.3s-%.4s %.14s\"", text + 5, text + 8,
	    text + 12, text + 17);
}

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" */
static void
put_address(struct ph_buf *buf, const struct ph_mailbox_addr *address)
{
	const struct ph_slice *parts[] = { &address->display, &address->route,
		&address->local, &address->domain };

	for (size_t i = 0; i < 4; i++) {
		ph_buf_char(buf, i == 0 ? '(' : ' ');
		wire_nstring(buf, *parts[i]);
	}
	ph_buf_char(buf, ')');
}

static void
put_addresses(struct ph_arena *arena, struct ph_slice value,
    struct ph_buf *buf)
{
	const struct ph_mailbox_addr *list = NULL;
	size_t count = value.p == NULL ? 0 :
	    ph_address_list(arena, value, ADDRESSES_MAX, &list);

	if (count == 0) {
		ph_buf_str(buf, "NIL");
		return;
	}
	ph_buf_char(buf, '(');
	for (size_t i = 0; i < count; i++)
		put_address(buf, &list[i]);
	ph_buf_char(buf, ')');
}

enum { DATE, SUBJECT, FROM, SENDER, REPLY_TO, TO, CC, BCC, IN_REPLY_TO,
	MESSAGE_ID, FIELDS };
static const char *const field_names[FIELDS] = { "Date", "Subject", "From",
	"Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID" };

static void
find_fields(struct ph_arena *arena, struct ph_slice header,
    struct ph_slice value[FIELDS])
{
	struct ph_header_field field;

	memset(value, 0, FIELDS * sizeof(*value));
	while (ph_header_next(&header, &field)) {
		for (size_t i = 0; i < FIELDS; i++)
			if (value[i].p == NULL && ph_slice_eq_nocase(field.name,
			        ph_slice_str(field_names[i])))
				value[i] = ph_header_unfold(arena, field.value);
	}
}

/* RFC 3501 s7.4.2: an absent or empty Sender or Reply-To is the From. */
void
wire_envelope(struct ph_arena *arena, struct ph_slice header,
    struct ph_buf *buf)
{
	struct ph_slice value[FIELDS];

	find_fields(arena, header, value);
	if (value[SENDER].n == 0)
		value[SENDER] = value[FROM];
	if (value[REPLY_TO].n == 0)
		value[REPLY_TO] = value[FROM];
	ph_buf_char(buf, '(');
	for (size_t i = 0; i < FIELDS; i++) {
		if (i > 0)
			ph_buf_char(buf, ' ');
		if (i >= FROM && i <= BCC)
			put_addresses(arena, value[i], buf);
		else
			wire_nstring(buf, value[i]);
	}
	ph_buf_char(buf, ')');
}
