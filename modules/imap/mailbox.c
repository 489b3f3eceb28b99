/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox.c - commands on mailboxes as wholes: SELECT and its opposites,
 * CREATE, DELETE, RENAME, SUBSCRIBE, STATUS (RFC 3501 s6.3, UNSELECT RFC 3691).
 */
#include "imap.h"

#include "mutf7.h"
#include "names.h"
#include "view.h"

#define NO_SUCH "[NONEXISTENT] No such mailbox"

bool
imap_parse_mailbox(struct command *command)
{
	return lex_space(&command->lex) &&
	    lex_mailbox(&command->lex, &command->mailbox);
}

/* --- SELECT, EXAMINE --- */

static void
tell_first_unseen(struct imap *imap)
{
	const struct view *view = imap->view;

	for (size_t i = 0; i < view->count; i++) {
		if ((view->message[i].meta.flags & PH_SEEN) != 0)
			continue;
		imap_printf(imap, "* OK [UNSEEN %zu] First unseen\r\n", i + 1);
		return;
	}
}

void
imap_do_select(struct imap *imap, struct command *command)
{
	bool read_only = ph_slice_eq(ph_slice_str(command->row->name),
	    PH_LIT("EXAMINE"));
	struct ph_mailbox_status status;
	struct view *view;
	int rc;

	/* RFC 3501 s6.3.1: also a failed SELECT ends the selection */
	view_close(imap);
	rc = view_open(imap, command->mailbox, read_only);
	if (rc != PH_OK) {
		imap_failed(imap, command, rc, NO_SUCH);
		return;
	}
	view = imap->view;
	view_tell_flags(imap, true);
	imap_printf(imap, "* %zu EXISTS\r\n* %u RECENT\r\n", view->count,
	    view->recent);
	view->told = view->count;
	view->recent_told = view->recent;
	tell_first_unseen(imap);
	ph_mailbox_status(view->mailbox, &status);
	imap_printf(imap, "* OK [UIDVALIDITY %u] UIDs valid\r\n"
	                  "* OK [UIDNEXT %u] Next UID\r\n",
	    status.uid_validity, status.uid_next);
	imap_done(imap, command, read_only ? "OK [READ-ONLY] Selected" :
	                                     "OK [READ-WRITE] Selected");
}

void
imap_do_close(struct imap *imap, struct command *command)
{
	int rc = PH_OK;

	if (!imap->view->read_only)
		rc = ph_mailbox_expunge(imap->view->mailbox, NULL, 0);
	view_close(imap);
	if (rc != PH_OK)
		imap_failed(imap, command, rc, NO_SUCH);
	else
		imap_done(imap, command, "OK Closed");
}

void
imap_do_unselect(struct imap *imap, struct command *command)
{
	view_close(imap);
	imap_done(imap, command, "OK Closed");
}

/* --- names --- */

static void
answer(struct imap *imap, const struct command *command, int rc)
{
	if (rc != PH_OK)
		imap_failed(imap, command, rc, NO_SUCH);
	else
		imap_done(imap, command, "OK Done");
}

/* "a/" tells that children will follow (RFC 3501 s6.3.3): "a" is made. */
void
imap_do_create(struct imap *imap, struct command *command)
{
	struct ph_slice name = command->mailbox;

	if (name.n > 1 && name.p[name.n - 1] == '/')
		name.n--;
	answer(imap, command, ph_mailbox_create(imap->session, name));
}

void
imap_do_delete(struct imap *imap, struct command *command)
{
	if (imap->view != NULL &&
	    ph_slice_eq(imap->view->name, command->mailbox))
		view_close(imap);
	answer(imap, command,
	    ph_mailbox_delete(imap->session, command->mailbox));
}

bool
imap_parse_rename(struct command *command)
{
	return imap_parse_mailbox(command) && lex_space(&command->lex) &&
	    lex_mailbox(&command->lex, &command->other);
}

void
imap_do_rename(struct imap *imap, struct command *command)
{
	answer(imap, command, ph_mailbox_rename(imap->session,
	    command->mailbox, command->other));
}

void
imap_do_subscribe(struct imap *imap, struct command *command)
{
	bool on = command->row->name[0] == 'S';

	answer(imap, command, ph_mailbox_subscribe(imap->session,
	    command->mailbox, on));
}

/* --- STATUS --- */

static const struct {
	const char *name;
	size_t offset;
} status_items[] = {
	{ "MESSAGES", offsetof(struct ph_mailbox_status, messages) },
	{ "RECENT", offsetof(struct ph_mailbox_status, recent) },
	{ "UIDNEXT", offsetof(struct ph_mailbox_status, uid_next) },
	{ "UIDVALIDITY", offsetof(struct ph_mailbox_status, uid_validity) },
	{ "UNSEEN", offsetof(struct ph_mailbox_status, unseen) },
};
enum { STATUS_ITEMS = sizeof(status_items) / sizeof(status_items[0]) };

static bool
take_status_item(struct command *command)
{
	for (unsigned i = 0; i < STATUS_ITEMS; i++) {
		if (lex_word(&command->lex, status_items[i].name)) {
			command->items |= 1u << i;
			return true;
		}
	}
	return false;
}

/* status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")" */
bool
imap_parse_status(struct command *command)
{
	struct lex *lex = &command->lex;

	if (!imap_parse_mailbox(command) || !lex_space(lex) ||
	    !lex_char(lex, '('))
		return false;
	do {
		if (!take_status_item(command))
			return false;
	} while (lex_space(lex));
	return lex_char(lex, ')');
}

void
imap_do_status(struct imap *imap, struct command *command)
{
	struct ph_mailbox_status status = { 0 };
	const char *gap = "";
	struct ph_buf buf;
	int rc = ph_mailbox_status_of(imap->session, command->mailbox,
	    &status);

	if (rc != PH_OK) {
		imap_failed(imap, command, rc, NO_SUCH);
		return;
	}
	ph_buf_init(&buf, command->arena, COMMAND_MAX);
	ph_buf_str(&buf, "* STATUS ");
	name_format(command->arena, command->mailbox, &buf);
	ph_buf_str(&buf, " (");
	for (unsigned i = 0; i < STATUS_ITEMS; i++) {
		uint32_t value;

		if ((command->items >> i & 1) == 0)
			continue;
		memcpy(&value, (const char *)&status + status_items[i].offset,
		    sizeof(value));
		ph_buf_printf(&buf, "%s%s %u", gap, status_items[i].name,
		    value);
		gap = " ";
	}
	ph_buf_str(&buf, ")\r\n");
	imap_buf(imap, &buf);
	imap_done(imap, command, "OK Done");
}
