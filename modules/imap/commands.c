/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.c - the commands after login as data: which may come when, who
 * reads their arguments, who acts.
 */
#include "imap.h"

static const struct command_row rows[] = {
	{ "CAPABILITY", IN_ANY, NULL, imap_do_capability, 0, 0 },
	{ "NOOP", IN_ANY, NULL, imap_do_noop, 0, 0 },
	{ "LOGOUT", IN_ANY, NULL, imap_do_logout, 0, 0 },
	{ "ID", IN_ANY, imap_id_parse, imap_do_id, 0, 0 },
	{ "NAMESPACE", IN_ANY, NULL, imap_do_namespace, 0, 0 },
	{ "ENABLE", IN_ANY, imap_parse_enable, imap_do_enable, 0, 0 },
	{ "IDLE", IN_ANY, NULL, imap_do_idle, 0, 0 },
	{ "SELECT", IN_ANY, imap_parse_mailbox, imap_do_select, 0, 0 },
	{ "EXAMINE", IN_ANY, imap_parse_mailbox, imap_do_select, 0, 0 },
	{ "CREATE", IN_ANY, imap_parse_mailbox, imap_do_create, 0, 0 },
	{ "DELETE", IN_ANY, imap_parse_mailbox, imap_do_delete, 0, 0 },
	{ "RENAME", IN_ANY, imap_parse_rename, imap_do_rename, 0, 0 },
	{ "SUBSCRIBE", IN_ANY, imap_parse_mailbox, imap_do_subscribe, 0, 0 },
	{ "UNSUBSCRIBE", IN_ANY, imap_parse_mailbox, imap_do_subscribe, 0, 0 },
	{ "LIST", IN_ANY, imap_parse_list, imap_do_list, 0, 0 },
	{ "LSUB", IN_ANY, imap_parse_list, imap_do_list, 0, 0 },
	{ "STATUS", IN_ANY, imap_parse_status, imap_do_status, 0, 0 },
	{ "APPEND", IN_ANY, imap_parse_append, imap_do_append, 0, 0 },
	{ "CHECK", IN_SELECTED, NULL, imap_do_noop, 0, 0 },
	{ "CLOSE", IN_SELECTED, NULL, imap_do_close, 0, 0 },
	{ "UNSELECT", IN_SELECTED, NULL, imap_do_unselect, 0, 0 },
	{ "EXPUNGE", IN_SELECTED, NULL, imap_do_expunge, 0, 0 },
	{ "SEARCH", IN_SELECTED, imap_parse_search, imap_do_search, 0, 1 },
	{ "FETCH", IN_SELECTED, imap_parse_fetch, imap_do_fetch, 0, 1 },
	{ "STORE", IN_SELECTED, imap_parse_store, imap_do_store, 0, 1 },
	{ "COPY", IN_SELECTED, imap_parse_copy, imap_do_copy, 0, 0 },
	{ "MOVE", IN_SELECTED, imap_parse_copy, imap_do_move, 0, 0 },
	{ "UID SEARCH", IN_SELECTED, imap_parse_search, imap_do_search, 1, 0 },
	{ "UID FETCH", IN_SELECTED, imap_parse_fetch, imap_do_fetch, 1, 0 },
	{ "UID STORE", IN_SELECTED, imap_parse_store, imap_do_store, 1, 0 },
	{ "UID COPY", IN_SELECTED, imap_parse_copy, imap_do_copy, 1, 0 },
	{ "UID MOVE", IN_SELECTED, imap_parse_copy, imap_do_move, 1, 0 },
	{ "UID EXPUNGE", IN_SELECTED, imap_parse_uid_expunge,
	    imap_do_expunge, 1, 0 },
};

const struct command_row *
command_find(struct ph_slice name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(rows[i].name)))
			return &rows[i];
	return NULL;
}
