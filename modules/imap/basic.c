/* SPDX-License-Identifier: Apache-2.0 */
/*
 * basic.c - commands that need no mailbox: CAPABILITY, NOOP, LOGOUT, ID
 * (RFC 2971), NAMESPACE (RFC 2342), ENABLE (RFC 5161), IDLE (RFC 2177).
 */
#include "imap.h"

#include "view.h"

enum {
	ID_PAIRS_MAX = 30,       /* RFC 2971 s3.3 */
	IDLE_REFRESH_MS = 60000, /* look for changes by other programs */
	IDLE_ALIVE_ROUNDS = 2,   /* of these, then a sign of life */
};

void
imap_do_capability(struct imap *imap, struct command *command)
{
	imap_puts(imap, "* CAPABILITY " IMAP_CAPABILITIES "\r\n");
	imap_done(imap, command, "OK Done");
}

/* NOOP and CHECK: what other programs did to the files is seen here. */
void
imap_do_noop(struct imap *imap, struct command *command)
{
	if (imap->view != NULL)
		ph_mailbox_refresh(imap->view->mailbox);
	imap_done(imap, command, "OK Done");
}

void
imap_do_logout(struct imap *imap, struct command *command)
{
	view_close(imap);
	imap_puts(imap, "* BYE Logging out\r\n");
	imap_done(imap, command, "OK Done");
	imap_end(imap, "logout");
}

/* id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil */
bool
imap_id_parse(struct command *command)
{
	struct lex *lex = &command->lex;
	struct ph_slice ignored;

	if (!lex_space(lex))
		return false;
	if (lex_nil(lex))
		return true;
	if (!lex_char(lex, '('))
		return false;
	if (lex_char(lex, ')'))
		return true;
	for (int i = 0; i < ID_PAIRS_MAX; i++) {
		if (!lex_string(lex, &ignored) || !lex_space(lex) ||
		    (!lex_string(lex, &ignored) && !lex_nil(lex)))
			return false;
		if (!lex_space(lex))
			break;
	}
	return lex_char(lex, ')');
}

void
imap_do_id(struct imap *imap, struct command *command)
{
	imap_puts(imap, "* ID (\"name\" \"posthouse\")\r\n");
	imap_done(imap, command, "OK Done");
}

void
imap_do_namespace(struct imap *imap, struct command *command)
{
	imap_puts(imap, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
	imap_done(imap, command, "OK Done");
}

/* enable = "ENABLE" 1*(SP capability) */
bool
imap_parse_enable(struct command *command)
{
	struct ph_slice ignored;
	int n = 0;

	while (lex_space(&command->lex) && lex_atom(&command->lex, &ignored))
		n++;
	return n > 0;
}

/* None of our capabilities has to be enabled. */
void
imap_do_enable(struct imap *imap, struct command *command)
{
	imap_puts(imap, "* ENABLED\r\n");
	imap_done(imap, command, "OK Done");
}

/* --- IDLE --- */

/* Telling may suspend, and what changes then would be missed by the wait that
 * follows: so till nothing is new. False: the session has ended. */
static bool
tell_all(struct imap *imap)
{
	uint64_t told;

	if (imap->view == NULL)
		return true;
	do {
		if (!view_pull(imap))
			return false;
		told = imap->view->modseq;
		view_report(imap, true);
		if (imap->ended || !view_pull(imap))
			return false;
	} while (imap->view->modseq != told);
	return true;
}

/* Wait till the client speaks; tell what changes till then. */
static void
idle_wait(struct imap *imap, struct ph_event *event)
{
	uint64_t until = ph_now_ms() + imap->conf->autologout_ms;
	unsigned rounds = 0;

	while (!imap->ended && ph_stream_buffered(imap->stream).n == 0) {
		int rc;

		if (!tell_all(imap))
			return;
		rc = ph_stream_wait(imap->stream, event, IDLE_REFRESH_MS);
		if (rc == PH_OK)
			continue;
		if (rc != PH_TIMEOUT) {
			imap_end(imap, imap_reason(rc));
			return;
		}
		if (ph_now_ms() >= until) {
			imap_puts(imap, "* BYE Autologout, idle for too "
			                "long\r\n");
			imap_end(imap, "timeout");
			return;
		}
		if (imap->view != NULL)
			ph_mailbox_refresh(imap->view->mailbox);
		if (++rounds % IDLE_ALIVE_ROUNDS == 0)
			imap_puts(imap, "* OK Still here\r\n");
	}
}

void
imap_do_idle(struct imap *imap, struct command *command)
{
	struct ph_event never = { NULL };
	struct ph_slice line;
	bool done;

	imap_puts(imap, "+ idling\r\n");
	idle_wait(imap, imap->view != NULL ?
	        ph_mailbox_event(imap->view->mailbox) : &never);
	if (imap->ended || !imap_read_command(imap))
		return;
	line = ph_slice_trim(collect_text(&imap->collect));
	done = ph_slice_eq_nocase(line, PH_LIT("DONE"));
	collect_reset(&imap->collect);
	imap_done(imap, command, done ? "OK Done" : "BAD Expected DONE");
}
