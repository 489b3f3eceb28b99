/* SPDX-License-Identifier: Apache-2.0 */
/*
 * maildrop.c - the TRANSACTION and UPDATE states: INBOX as it was at the login.
 * Other sessions may change the mailbox meanwhile: messages are known by UID,
 * so nothing wrong is ever sent or removed; one that is gone is an error.
 */
#include "pop3.h"

#include <posthouse/mail.h>

#include "multiline.h"

enum { WRITE_MAX = 65536 };

static void
do_capa(struct pop3 *p, const struct pop3_call *call)
{
	(void)call;
	pop3_capa(p);
	(void)ph_stream_puts(p->stream, ".\r\n");
}

static size_t
left(const struct pop3 *p, uint64_t *size_out)
{
	size_t count = 0;

	*size_out = 0;
	for (size_t i = 0; i < p->drop.count; i++) {
		if (p->drop.deleted[i])
			continue;
		count++;
		*size_out += p->drop.metas[i].size;
	}
	return count;
}

static void
do_stat(struct pop3 *p, const struct pop3_call *call)
{
	uint64_t size;
	size_t count = left(p, &size);

	(void)call;
	(void)ph_stream_printf(p->stream, "+OK %zu %llu\r\n", count,
	    (unsigned long long)size);
}

static void
write_size(struct pop3 *p, size_t i, const char *prefix)
{
	(void)ph_stream_printf(p->stream, "%s%zu %llu\r\n", prefix, i + 1,
	    (unsigned long long)p->drop.metas[i].size);
}

/* RFC 1939 s7: 1 to 70 octets, never used again for another message. */
static void
write_uid(struct pop3 *p, size_t i, const char *prefix)
{
	(void)ph_stream_printf(p->stream, "%s%zu %lu.%lu\r\n", prefix, i + 1,
	    (unsigned long)p->drop.uid_validity,
	    (unsigned long)p->drop.metas[i].uid);
}

static void
listing(struct pop3 *p, const struct pop3_call *call,
    void (*write_line)(struct pop3 *, size_t, const char *))
{
	if (call->has_message) {
		write_line(p, call->message, "+OK ");
		return;
	}
	pop3_ok(p, "listing follows");
	for (size_t i = 0; i < p->drop.count; i++)
		if (!p->drop.deleted[i])
			write_line(p, i, "");
	(void)ph_stream_puts(p->stream, ".\r\n");
}

static void
do_list(struct pop3 *p, const struct pop3_call *call)
{
	listing(p, call, write_size);
}

static void
do_uidl(struct pop3 *p, const struct pop3_call *call)
{
	listing(p, call, write_uid);
}

static int
write_pieces(struct pop3 *p, struct ph_slice s)
{
	int status = PH_OK;

	while (s.n > 0 && status == PH_OK) {
		const size_t n = s.n < WRITE_MAX ? s.n : WRITE_MAX;

		status = ph_stream_write(p->stream, s.p, n);
		s.p += n;
		s.n -= n;
	}
	return status;
}

static void
write_content(struct pop3 *p, struct ph_slice content)
{
	struct multiline walk = { .rest = content };
	struct ph_slice run;
	bool stuff;
	int status = PH_OK;

	while (status == PH_OK && multiline_next(&walk, &run, &stuff)) {
		if (stuff)
			status = ph_stream_write(p->stream, ".", 1);
		if (status == PH_OK)
			status = write_pieces(p, run);
	}
	if (content.n > 0 && content.p[content.n - 1] != '\n')
		(void)ph_stream_puts(p->stream, "\r\n");
	(void)ph_stream_puts(p->stream, ".\r\n");
	if (status != PH_OK)
		pop3_end(p, ph_status_name(status));
}

static bool
get_content(struct pop3 *p, size_t i, struct ph_arena *arena,
    struct ph_slice *octets_out)
{
	struct ph_content content;
	int status = ph_message_content(p->drop.mailbox, p->drop.metas[i].uid,
	    arena, &content);

	if (status == PH_OK)
		*octets_out = content.octets;
	else if (status == PH_NOT_FOUND)
		pop3_err(p, "the message is gone");
	else
		pop3_err(p, "[SYS/TEMP] the message can't be read now");
	return status == PH_OK;
}

static void
do_retr(struct pop3 *p, const struct pop3_call *call)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice octets;

	if (get_content(p, call->message, arena, &octets)) {
		p->drop.retrieved++;
		(void)ph_stream_printf(p->stream, "+OK %zu octets\r\n",
		    octets.n);
		write_content(p, octets);
	}
	ph_arena_free(arena);
}

static void
do_top(struct pop3 *p, const struct pop3_call *call)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice octets;

	if (get_content(p, call->message, arena, &octets)) {
		octets.n = multiline_top(octets, ph_header_size(octets),
		    call->count);
		pop3_ok(p, "top of the message follows");
		write_content(p, octets);
	}
	ph_arena_free(arena);
}

static void
do_dele(struct pop3 *p, const struct pop3_call *call)
{
	p->drop.deleted[call->message] = true;
	pop3_ok(p, "marked to be deleted");
}

static void
do_rset(struct pop3 *p, const struct pop3_call *call)
{
	(void)call;
	memset(p->drop.deleted, 0, p->drop.count * sizeof(*p->drop.deleted));
	pop3_ok(p, "no message is marked any more");
}

static void
do_noop(struct pop3 *p, const struct pop3_call *call)
{
	(void)call;
	pop3_ok(p, "done");
}

/* RFC 1939 s6, the UPDATE state: +OK promises that they are gone. */
static void
do_quit(struct pop3 *p, const struct pop3_call *call)
{
	struct pop3_maildrop *drop = &p->drop;
	uint32_t *uids = ph_arena_array(ph_session_arena(p->session),
	    drop->count + 1, sizeof(*uids));
	size_t count = 0;
	int status = PH_OK;

	(void)call;
	for (size_t i = 0; i < drop->count; i++)
		if (drop->deleted[i])
			uids[count++] = drop->metas[i].uid;
	if (count > 0)
		status = ph_mailbox_remove(drop->mailbox, uids, count);
	if (status == PH_OK) {
		drop->removed = count;
		pop3_ok(p, "good bye");
	} else {
		pop3_err(p, "[SYS/TEMP] some messages could not be deleted");
	}
	pop3_end(p, "quit");
}

static const struct pop3_command maildrop_commands[] = {
	{ "STAT", POP3_NONE, do_stat },
	{ "LIST", POP3_ANY_MESSAGE, do_list },
	{ "UIDL", POP3_ANY_MESSAGE, do_uidl },
	{ "RETR", POP3_MESSAGE, do_retr },
	{ "TOP", POP3_MESSAGE_COUNT, do_top },
	{ "DELE", POP3_MESSAGE, do_dele },
	{ "RSET", POP3_NONE, do_rset },
	{ "NOOP", POP3_NONE, do_noop },
	{ "CAPA", POP3_NONE, do_capa },
	{ "QUIT", POP3_NONE, do_quit },
	{ .verb = NULL },
};

static bool
open_maildrop(struct pop3 *p)
{
	struct ph_arena *arena = ph_session_arena(p->session);
	struct pop3_maildrop *drop = &p->drop;
	struct ph_mailbox_status facts;
	int status = ph_mailbox_open(p->session, PH_LIT("INBOX"), false,
	    &drop->mailbox);

	if (status != PH_OK) {
		ph_log(PH_WARN, "maildrop_not_opened",
		    ph_f_str("reason", ph_status_name(status)),
		    ph_f_str("user", ph_session_user(p->session)));
		pop3_err(p, "[SYS/TEMP] the mailbox can't be opened now");
		return false;
	}
	ph_mailbox_status(drop->mailbox, &facts);
	drop->uid_validity = facts.uid_validity;
	drop->count = ph_mailbox_messages(drop->mailbox, arena, &drop->metas);
	drop->deleted = ph_arena_array(arena, drop->count + 1,
	    sizeof(*drop->deleted));
	return true;
}

void
pop3_user_session(struct ph_session *session, const void *conf,
    struct ph_slice state)
{
	struct pop3 p = {
		.session = session,
		.stream = ph_session_stream(session),
		.conf = conf,
		.commands = maildrop_commands,
		.state = POP3_TRANSACTION,
		.end = "mailbox",
	};

	(void)state; /* nothing of the first half matters any more */
	if (open_maildrop(&p)) {
		pop3_ok(&p, "welcome");
		pop3_converse(&p, POP3_LINE_MAX);
		ph_mailbox_close(p.drop.mailbox);
	}
	ph_log(PH_INFO, "session_end", ph_f_str("end", p.end),
	    ph_f_str("user", ph_session_user(session)),
	    ph_f_int("messages", (int64_t)p.drop.count),
	    ph_f_int("retrieved", p.drop.retrieved),
	    ph_f_int("removed", (int64_t)p.drop.removed),
	    ph_f_int("in", (int64_t)ph_stream_octets_in(p.stream)),
	    ph_f_int("out", (int64_t)ph_stream_octets_out(p.stream)));
}
