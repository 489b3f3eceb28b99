/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - commands that change messages: STORE, COPY, MOVE (RFC 6851),
 * EXPUNGE, and their UID forms (RFC 4315).
 */
#include "imap.h"

#include "view.h"

#define READ_ONLY "NO [READ-ONLY] The mailbox is open for reading only"
#define NO_MESSAGE "BAD No message has that number"

static bool
take_set(struct command *command)
{
	struct ph_slice text;

	return lex_space(&command->lex) &&
	    lex_set_text(&command->lex, &text) &&
	    seqset_parse(command->arena, text, &command->set);
}

/* --- STORE --- */

/* store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP
 *                   (flag-list / (flag *(SP flag))) */
bool
imap_parse_store(struct command *command)
{
	static const struct {
		const char *name;
		enum ph_flag_op op;
		bool silent;
	} forms[] = {
		{ "FLAGS", PH_FLAGS_SET, false },
		{ "FLAGS.SILENT", PH_FLAGS_SET, true },
		{ "+FLAGS", PH_FLAGS_ADD, false },
		{ "+FLAGS.SILENT", PH_FLAGS_ADD, true },
		{ "-FLAGS", PH_FLAGS_REMOVE, false },
		{ "-FLAGS.SILENT", PH_FLAGS_REMOVE, true },
	};
	struct lex *lex = &command->lex;

	if (!take_set(command) || !lex_space(lex))
		return false;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!lex_word(lex, forms[i].name))
			continue;
		command->op = forms[i].op;
		command->silent = forms[i].silent;
		return lex_space(lex) &&
		    lex_flags(lex, true, &command->flags);
	}
	return false;
}

/* The bits of the keywords; false: there is no room for one more. */
static bool
keyword_bits(struct imap *imap, const struct command *command,
    uint64_t *bits_out)
{
	bool create = command->op != PH_FLAGS_REMOVE;
	uint64_t bits = 0;

	for (size_t i = 0; i < command->flags.keyword_count; i++) {
		int bit = ph_mailbox_keyword(imap->view->mailbox,
		    command->flags.keywords[i], create);

		if (bit < 0 && create)
			return false;
		if (bit >= 0)
			bits |= (uint64_t)1 << bit;
	}
	*bits_out = bits;
	return true;
}

static uint64_t
applied(uint64_t old, enum ph_flag_op op, uint64_t change)
{
	switch (op) {
	case PH_FLAGS_ADD:
		return old | change;
	case PH_FLAGS_REMOVE:
		return old & ~change;
	default:
		return change;
	}
}

/* What the client expects after .SILENT is not told; what another session did
 * meanwhile is (RFC 3501 s6.4.6). */
static void
mark_stored(struct imap *imap, const struct command *command,
    const struct view_picks *picks, const struct view_message *before,
    uint64_t keywords)
{
	struct view *view = imap->view;

	for (size_t i = 0; i < picks->count; i++) {
		const struct view_message *now =
		    &view->message[picks->index[i]];
		uint64_t flags = applied(before[i].meta.flags, command->op,
		    command->flags.flags);
		uint64_t kept = applied(before[i].meta.keywords, command->op,
		    keywords);
		bool expected = ((now->meta.flags | PH_RECENT) ==
		                    (flags | PH_RECENT)) &&
		    now->meta.keywords == kept;

		view_mark(view, picks->index[i],
		    !command->silent || !expected || before[i].dirty);
	}
}

void
imap_do_store(struct imap *imap, struct command *command)
{
	struct view_message *before;
	struct view_picks picks;
	uint64_t keywords;
	int rc;

	if (imap->view->read_only) {
		imap_done(imap, command, READ_ONLY);
		return;
	}
	if (!view_pick(imap, command, &picks)) {
		imap_done(imap, command, NO_MESSAGE);
		return;
	}
	if (!keyword_bits(imap, command, &keywords)) {
		imap_done(imap, command, "NO [LIMIT] Too many keywords");
		return;
	}
	if (picks.count == 0) {
		imap_done(imap, command, "OK No messages");
		return;
	}
	before = ph_arena_array(command->arena, picks.count, sizeof(*before));
	for (size_t i = 0; i < picks.count; i++)
		before[i] = imap->view->message[picks.index[i]];
	rc = ph_mailbox_store_flags(imap->view->mailbox, picks.uid, picks.count,
	    command->op, command->flags.flags, keywords, UINT64_MAX,
	    command->arena, NULL, NULL);
	if (rc != PH_OK) {
		imap_failed(imap, command, rc, "[EXPUNGEISSUED] Gone");
		return;
	}
	if (!view_pull(imap))
		return;
	mark_stored(imap, command, &picks, before, keywords);
	imap_done(imap, command, "OK Done");
}

/* --- COPY, MOVE --- */

bool
imap_parse_copy(struct command *command)
{
	return take_set(command) && lex_space(&command->lex) &&
	    lex_mailbox(&command->lex, &command->mailbox);
}

/* "[COPYUID validity from to] ", or nothing when there is nothing to tell. */
static const char *
copyuid(struct command *command, const struct ph_uid_map *map)
{
	struct ph_buf buf;

	if (map->count == 0 || map->from == NULL)
		return "";
	ph_buf_init(&buf, command->arena, 8 << 20);
	ph_buf_printf(&buf, "[COPYUID %u ", map->uid_validity);
	seqset_format(&buf, map->from, map->count);
	ph_buf_char(&buf, ' ');
	seqset_format(&buf, map->to, map->count);
	ph_buf_str(&buf, "] ");
	ph_buf_char(&buf, '\0');
	return buf.full ? "" : buf.p;
}

/* The messages of the set, copied; false: the command was answered. */
static bool
copy_picks(struct imap *imap, struct command *command,
    struct view_picks *picks, struct ph_uid_map *map)
{
	int rc;

	if (!view_pick(imap, command, picks)) {
		imap_done(imap, command, NO_MESSAGE);
		return false;
	}
	if (picks->count == 0) {
		imap_done(imap, command, "OK No messages");
		return false;
	}
	rc = ph_mailbox_copy(imap->view->mailbox, picks->uid, picks->count,
	    command->mailbox, command->arena, map);
	if (rc != PH_OK)
		imap_failed(imap, command, rc, "[TRYCREATE] No such mailbox");
	return rc == PH_OK;
}

void
imap_do_copy(struct imap *imap, struct command *command)
{
	struct ph_uid_map map = { 0 };
	struct view_picks picks;

	if (copy_picks(imap, command, &picks, &map))
		imap_done(imap, command, "OK %sDone", copyuid(command, &map));
}

/* RFC 6851 s4.3: COPYUID before the EXPUNGEs, untagged. A crash between copy
 * and removal leaves both, never none. */
void
imap_do_move(struct imap *imap, struct command *command)
{
	struct ph_uid_map map = { 0 };
	struct view_picks picks;
	int rc;

	if (imap->view->read_only) {
		imap_done(imap, command, READ_ONLY);
		return;
	}
	if (!copy_picks(imap, command, &picks, &map))
		return;
	imap_puts(imap, "* OK ");
	imap_puts(imap, copyuid(command, &map));
	imap_puts(imap, "Moved\r\n");
	rc = ph_mailbox_remove(imap->view->mailbox, picks.uid, picks.count);
	if (rc != PH_OK)
		imap_failed(imap, command, rc, "[EXPUNGEISSUED] Gone");
	else
		imap_done(imap, command, "OK Done");
}

/* --- EXPUNGE --- */

bool
imap_parse_uid_expunge(struct command *command)
{
	return take_set(command);
}

void
imap_do_expunge(struct imap *imap, struct command *command)
{
	struct view_picks picks = { 0 };
	int rc = PH_OK;

	if (imap->view->read_only) {
		imap_done(imap, command, READ_ONLY);
		return;
	}
	if (!command->row->uid) {
		rc = ph_mailbox_expunge(imap->view->mailbox, NULL, 0);
	} else {
		view_pick(imap, command, &picks);
		if (picks.count > 0)
			rc = ph_mailbox_expunge(imap->view->mailbox, picks.uid,
			    picks.count);
	}
	if (rc != PH_OK)
		imap_failed(imap, command, rc, "Gone");
	else
		imap_done(imap, command, "OK Done");
}
