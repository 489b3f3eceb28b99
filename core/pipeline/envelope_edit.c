/* SPDX-License-Identifier: Apache-2.0 */
/* envelope_edit.c - see envelope_edit.h. */
#include "pipeline/envelope_edit.h"

#include <posthouse/mail.h>

#include "base/record.h"
#include "role/messages.h"

enum { ADDRESS_MAX = 320, NOTIFY_MAX = 64, ORCPT_MAX = 500 };

/* As a command would carry it, so that nothing else gets into one. */
static bool
is_address(struct ph_arena *arena, struct ph_slice address)
{
	struct ph_slice text, rest;
	struct ph_path path;

	if (address.n == 0 || address.n > ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < address.n; i++)
		if ((unsigned char)address.p[i] < 0x20 ||
		    address.p[i] == 0x7f)
			return false;
	text = ph_slice_str(ph_arena_printf(arena, "<" PH_SLICE_FMT ">",
	    PH_SLICE_ARG(ph_path_format(arena, address))));
	return ph_path_parse(arena, text, &path, &rest, NULL) == PH_OK &&
	    rest.n == 0 && ph_slice_eq_nocase(path.address, address);
}

/* RFC 3461 s4.1 */
static bool
is_notify(struct ph_slice notify)
{
	unsigned words = 0;

	if (notify.n > NOTIFY_MAX)
		return false;
	if (ph_slice_eq(notify, PH_LIT("NEVER")))
		return true;
	while (notify.p != NULL) {
		struct ph_slice word = ph_slice_cut(&notify, ',');

		if (++words > 3 || (!ph_slice_eq(word, PH_LIT("SUCCESS")) &&
		        !ph_slice_eq(word, PH_LIT("FAILURE")) &&
		        !ph_slice_eq(word, PH_LIT("DELAY"))))
			return false;
	}
	return true;
}

/* "rfc822;a@b", in xtext: RFC 3461 s4.2 */
static bool
is_orcpt(struct ph_slice orcpt)
{
	const char *type_end = memchr(orcpt.p, ';', orcpt.n);

	for (size_t i = 0; i < orcpt.n; i++)
		if (orcpt.p[i] <= ' ' || orcpt.p[i] >= 0x7f)
			return false;
	return orcpt.n <= ORCPT_MAX && type_end != NULL &&
	    type_end != orcpt.p && type_end + 1 < orcpt.p + orcpt.n;
}

static bool
is_sound(struct ph_arena *arena, const struct envelope_edit *edit)
{
	if (edit->op < ENVELOPE_ADD || edit->op > ENVELOPE_SENDER ||
	    edit->address.p == NULL)
		return false;
	return (is_address(arena, edit->address) ||
	        (edit->op == ENVELOPE_SENDER && edit->address.n == 0)) &&
	    (edit->notify.p == NULL || is_notify(edit->notify)) &&
	    (edit->orcpt.p == NULL || is_orcpt(edit->orcpt));
}

int
envelope_edit_put(struct ph_buf *buf, const struct envelope_edit *edit)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	bool good = is_sound(arena, edit);
	size_t mark;

	ph_arena_free(arena);
	if (!good)
		return PH_INVALID;
	mark = record_begin(buf, F_ENVELOPE);
	record_put_u64(buf, F_OP, edit->op);
	record_put(buf, F_ADDRESS, edit->address);
	if (edit->notify.p != NULL)
		record_put(buf, F_DSN_NOTIFY, edit->notify);
	if (edit->orcpt.p != NULL)
		record_put(buf, F_ORCPT, edit->orcpt);
	record_put(buf, F_MODULE, edit->module);
	record_end(buf, mark);
	return PH_OK;
}

int
envelope_edit_take(struct ph_arena *arena, struct ph_slice record,
    struct envelope_edit *edit_out)
{
	struct envelope_edit edit = {
		.op = (enum envelope_op)record_get_u64(record, F_OP, 0),
		.address = record_get(record, F_ADDRESS),
		.notify = record_get(record, F_DSN_NOTIFY),
		.orcpt = record_get(record, F_ORCPT),
		.module = record_get(record, F_MODULE) };

	if (!record_is_sound(record) || !is_sound(arena, &edit))
		return PH_INVALID;
	*edit_out = edit;
	return PH_OK;
}

bool
envelope_edit_is_any(struct ph_slice changes)
{
	return record_get(changes, F_ENVELOPE).p != NULL;
}

void
body_scan_next(struct body_scan *scan, struct ph_slice octets)
{
	for (size_t i = 0; i < octets.n; i++) {
		const char c = octets.p[i];

		scan->is_bad |= c == '\0' || scan->after_cr != (c == '\n');
		scan->after_cr = c == '\r';
	}
}

bool
body_scan_end(const struct body_scan *scan)
{
	return !scan->is_bad && !scan->after_cr;
}
