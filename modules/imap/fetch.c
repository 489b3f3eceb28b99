/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c - FETCH, RFC 3501 s6.4.5 and s7.4.2.
 *
 * What one message needs is loaded before its response begins, so a response
 * that was begun is finished. Bodies go from the mapped content to the stream
 * in pieces; the stream's back-pressure is the pace.
 */
#include "fetch.h"

#include <posthouse/mail.h>

#include "message.h"
#include "view.h"
#include "wire.h"

enum {
	SEEN_BATCH = 32,              /* marked \Seen in one transaction */
	TOUCH_PIECE = 256 * 1024,
	STRUCTURE_MAX = 16 << 20,     /* one ENVELOPE or BODYSTRUCTURE */
};

/* The answer to one message while it is written. */
struct answer {
	struct imap *imap;
	const struct fetch_items *items;
	struct message message;
	const struct view_message *seen; /* its numbers */
	struct ph_buf out; /* written out before a body is streamed */
	const char *gap;
};

static void
flush(struct answer *answer)
{
	imap_buf(answer->imap, &answer->out);
	ph_buf_init(&answer->out, answer->message.arena, STRUCTURE_MAX);
}

static void
write_content(struct imap *imap, struct ph_slice piece)
{
	for (size_t at = 0; at < piece.n && !imap->ended; at += CHUNK) {
		size_t left = piece.n - at;

		if (at % TOUCH_PIECE == 0)
			message_touch((struct ph_slice){ piece.p + at,
			    left < TOUCH_PIECE ? left : TOUCH_PIECE });
		imap_write(imap, piece.p + at, left < CHUNK ? left : CHUNK);
	}
}

static struct ph_slice
cut(const struct fetch_item *item, struct ph_slice piece)
{
	if (!item->partial || piece.p == NULL)
		return piece;
	if (item->origin >= piece.n)
		return PH_LIT("");
	piece.p += item->origin;
	piece.n -= item->origin;
	if (piece.n > item->length)
		piece.n = item->length;
	return piece;
}

static void
put_section(struct answer *answer, const struct fetch_item *item)
{
	struct message *message = &answer->message;
	struct ph_slice piece;

	if (fetch_in_summary(&item->section))
		piece = section_fields(message->arena, &item->section,
		    message->summary.header);
	else
		piece = section_find(message->arena, &item->section,
		    message->tree, message->content.octets);
	piece = cut(item, piece);
	if (piece.p == NULL) {
		ph_buf_str(&answer->out, "NIL");
		return;
	}
	ph_buf_printf(&answer->out, "{%zu}\r\n", piece.n);
	flush(answer);
	write_content(answer->imap, piece);
}

static void
put_item(struct answer *answer, const struct fetch_item *item)
{
	const struct ph_message_meta *meta = &answer->seen->meta;
	struct message *message = &answer->message;
	struct ph_buf *out = &answer->out;

	ph_buf_str(out, answer->gap);
	ph_buf_slice(out, item->label);
	ph_buf_char(out, ' ');
	answer->gap = " ";
	switch (item->kind) {
	case FETCH_FLAGS:
		view_format_flags(answer->imap, answer->seen, out);
		break;
	case FETCH_UID:
		ph_buf_printf(out, "%u", meta->uid);
		break;
	case FETCH_INTERNALDATE:
		wire_date_time(out, meta->internal_date);
		break;
	case FETCH_SIZE:
		ph_buf_printf(out, "%llu", (unsigned long long)meta->size);
		break;
	case FETCH_ENVELOPE:
		wire_envelope(message->arena, message->summary.header, out);
		break;
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		wire_body(message->arena, message->tree,
		    message->content.octets, item->kind == FETCH_BODYSTRUCTURE,
		    out);
		break;
	case FETCH_SECTION:
		put_section(answer, item);
		break;
	}
}

static int
load(struct answer *answer)
{
	const struct fetch_items *items = answer->items;
	struct message *message = &answer->message;
	int rc = PH_OK;

	if (items->needs_content)
		rc = message_load_content(message);
	if (rc == PH_OK && items->needs_summary)
		rc = message_load_summary(message);
	if (rc == PH_OK && items->needs_tree)
		rc = message_load_tree(message);
	/* envelopes of messages inside are not in the index */
	if (rc == PH_OK && items->needs_tree && !message->has_content &&
	    wire_has_message(message->tree)) {
		rc = message_load_content(message);
		if (rc == PH_OK &&
		    message->tree->end != message->content.octets.n) {
			message->tree = NULL;
			rc = message_load_tree(message);
		}
	}
	return rc;
}

static bool
wants_flags(const struct fetch_items *items)
{
	for (size_t i = 0; i < items->count; i++)
		if (items->item[i].kind == FETCH_FLAGS)
			return true;
	return false;
}

/* One untagged FETCH; a status when the message can't be had. */
static int
fetch_message(struct imap *imap, const struct fetch_items *items, size_t index)
{
	static const struct fetch_item flags = { .kind = FETCH_FLAGS,
		.label = { "FLAGS", 5 } };
	struct view_message seen = imap->view->message[index];
	struct answer answer = { .imap = imap, .items = items, .seen = &seen,
		.gap = "" };
	struct ph_arena *arena = ph_arena_create(imap->view->arena);
	int rc;

	answer.message = (struct message){ .mailbox = imap->view->mailbox,
		.arena = arena, .uid = seen.meta.uid };
	rc = load(&answer);
	if (rc == PH_OK) {
		ph_buf_init(&answer.out, arena, STRUCTURE_MAX);
		ph_buf_printf(&answer.out, "* %zu FETCH (", index + 1);
		if (wants_flags(items))
			view_mark(imap->view, index, false);
		else if (seen.dirty && items->marks_seen) {
			view_mark(imap->view, index, false);
			put_item(&answer, &flags);
		}
		for (size_t i = 0; i < items->count && !imap->ended; i++)
			put_item(&answer, &items->item[i]);
		ph_buf_str(&answer.out, ")\r\n");
		if (answer.out.full)
			imap_end(imap, "too_big");
		imap_buf(imap, &answer.out);
	}
	ph_arena_free(arena);
	return rc;
}

/* RFC 3501 s6.4.5: BODY[...] sets \Seen. Not being able to is no failure of
 * the FETCH. */
static void
mark_seen(struct imap *imap, const struct view_picks *picks, size_t from,
    struct ph_arena *arena)
{
	uint32_t uids[SEEN_BATCH];
	size_t n = 0;

	for (size_t i = from; i < picks->count && i < from + SEEN_BATCH; i++)
		if ((imap->view->message[picks->index[i]].meta.flags &
		        PH_SEEN) == 0)
			uids[n++] = picks->uid[i];
	if (n > 0)
		ph_mailbox_store_flags(imap->view->mailbox, uids, n,
		    PH_FLAGS_ADD, PH_SEEN, 0, UINT64_MAX, arena, NULL, NULL);
}

void
imap_do_fetch(struct imap *imap, struct command *command)
{
	const struct fetch_items *items = command->fetch;
	bool marks = items->marks_seen && !imap->view->read_only;
	struct view_picks picks;
	int missing = PH_OK;

	if (!view_pick(imap, command, &picks)) {
		imap_done(imap, command, "BAD No message has that number");
		return;
	}
	if (wants_flags(items))
		view_tell_flags(imap, false);
	for (size_t i = 0; i < picks.count && !imap->ended; i++) {
		int rc;

		if (marks && i % SEEN_BATCH == 0) {
			mark_seen(imap, &picks, i, command->arena);
			if (!view_pull(imap))
				return;
		}
		rc = fetch_message(imap, items, picks.index[i]);
		if (rc == PH_CANCELED)
			imap_end(imap, imap_reason(rc));
		else if (rc != PH_OK)
			missing = rc;
	}
	if (missing != PH_OK)
		imap_failed(imap, command, missing,
		    "[EXPUNGEISSUED] Some of the messages are gone");
	else
		imap_done(imap, command, "OK Done");
}
