/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - APPEND, RFC 3501 s6.3.11 with RFC 4315 and RFC 7888. The message
 * goes from the stream to the store as it comes; nothing of it is kept here.
 */
#include "imap.h"

bool
imap_is_append_message(struct ph_slice text)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct lex lex = { .text = text, .arena = arena };
	struct ph_slice ignored;
	bool is_message = lex_tag(&lex, &ignored) && lex_space(&lex) &&
	    lex_word(&lex, "APPEND") && lex_space(&lex) &&
	    lex_astring(&lex, &ignored) && lex_space(&lex);

	ph_arena_free(arena);
	return is_message;
}

/* append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal */
bool
imap_parse_append(struct command *command)
{
	struct lex *lex = &command->lex;
	uint64_t size;

	command->date = INT64_MIN;
	if (!command->has_literal || !lex_space(lex) ||
	    !lex_mailbox(lex, &command->mailbox) || !lex_space(lex))
		return false;
	if (lex_flags(lex, false, &command->flags) && !lex_space(lex))
		return false;
	if (lex_date_time(lex, &command->date) && !lex_space(lex))
		return false;
	if (!lex_char(lex, '{') || !lex_number(lex, UINT64_MAX, &size))
		return false;
	lex_char(lex, '+');
	return lex_char(lex, '}');
}

/* The octets of the message; the status of the first write that failed. */
static int
copy_message(struct imap *imap, struct ph_append *append, uint64_t left)
{
	int failure = PH_OK;

	while (left > 0) {
		struct ph_slice in = ph_stream_buffered(imap->stream);
		size_t n = in.n < left ? in.n : (size_t)left;

		if (n == 0) {
			if (!imap_fill(imap, imap->conf->autologout_ms))
				return PH_EOF;
			continue;
		}
		if (failure == PH_OK)
			failure = ph_append_write(append, in.p, n);
		ph_stream_consume(imap->stream, n);
		left -= n;
	}
	return failure;
}

/* Only one message a command: behind it the line ends. */
static bool
line_ends(struct imap *imap)
{
	bool empty;

	if (!imap_read_command(imap))
		return false;
	empty = collect_text(&imap->collect).n == 0 &&
	    !imap->collect.announced;
	if (imap->collect.announced)
		imap_end(imap, "protocol");
	collect_reset(&imap->collect);
	return empty;
}

static void
take_message(struct imap *imap, struct command *command,
    struct ph_append *append)
{
	struct ph_uid_map map = { 0 };
	int rc;

	command->has_literal = false;
	if (command->literal_is_sync)
		imap_puts(imap, "+ OK\r\n");
	rc = copy_message(imap, append, command->literal_size);
	if (rc == PH_OK && !line_ends(imap)) {
		ph_append_abort(append);
		imap_done(imap, command, "BAD Wrong arguments");
		return;
	}
	if (rc != PH_OK) {
		ph_append_abort(append);
		if (!imap->ended && line_ends(imap))
			imap_failed(imap, command, rc, "Gone");
		return;
	}
	rc = ph_append_commit(append, command->arena, &map);
	if (rc != PH_OK)
		imap_failed(imap, command, rc, "[TRYCREATE] No such mailbox");
	else if (map.count > 0)
		imap_done(imap, command, "OK [APPENDUID %u %u] Done",
		    map.uid_validity, map.to[0]);
	else
		imap_done(imap, command, "OK Done");
}

void
imap_do_append(struct imap *imap, struct command *command)
{
	uint64_t limit = ph_mail_size_limit(imap->session);
	struct ph_append *append;
	int rc;

	if (limit > imap->conf->append_limit_bytes)
		limit = imap->conf->append_limit_bytes;
	if (command->literal_size == 0) {
		imap_done(imap, command, "NO A message can't be empty");
		return;
	}
	if (command->literal_size > limit) {
		imap_done(imap, command, "NO [TOOBIG] Message is too big");
		return;
	}
	rc = ph_append_begin(imap->session, command->mailbox,
	    command->flags.flags, command->flags.keywords,
	    command->flags.keyword_count,
	    command->date != INT64_MIN ? command->date : ph_wall_time(),
	    &append);
	if (rc != PH_OK)
		imap_failed(imap, command, rc, "[TRYCREATE] No such mailbox");
	else
		take_message(imap, command, append);
}
