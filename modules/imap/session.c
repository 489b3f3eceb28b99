/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the driver after login: read a command, find its row, parse,
 * act. There is one place where tagged replies leave and one where the session
 * ends.
 */
#include "imap.h"

#include <stdio.h>

#include "view.h"

const char *
imap_reason(int status)
{
	switch (status) {
	case PH_EOF:
		return "disconnected";
	case PH_CANCELED:
		return "shutdown";
	default:
		return ph_status_name(status);
	}
}

void
imap_end(struct imap *imap, const char *reason)
{
	if (imap->ended)
		return;
	imap->ended = true;
	imap->reason = reason;
}

void
imap_write(struct imap *imap, const void *p, size_t n)
{
	int rc;

	if (imap->ended)
		return;
	rc = ph_stream_write(imap->stream, p, n);
	if (rc != PH_OK)
		imap_end(imap, imap_reason(rc));
}

void
imap_puts(struct imap *imap, const char *s)
{
	imap_write(imap, s, strlen(s));
}

void
imap_buf(struct imap *imap, const struct ph_buf *buf)
{
	for (size_t at = 0; at < buf->n && !imap->ended; at += CHUNK)
		imap_write(imap, buf->p + at,
		    buf->n - at < CHUNK ? buf->n - at : CHUNK);
}

void
imap_printf(struct imap *imap, const char *fmt, ...)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	va_list args;

	va_start(args, fmt);
	imap_puts(imap, ph_arena_vprintf(arena, fmt, args));
	va_end(args);
	ph_arena_free(arena);
}

void
imap_done(struct imap *imap, const struct command *command, const char *fmt,
    ...)
{
	va_list args;
	const char *text;

	if (imap->ended)
		return;
	if (imap->view != NULL && !view_pull(imap))
		return;
	view_report(imap, !command->row->no_expunge);
	va_start(args, fmt);
	text = ph_arena_vprintf(command->arena, fmt, args);
	va_end(args);
	imap_printf(imap, PH_SLICE_FMT " %s\r\n", PH_SLICE_ARG(command->tag),
	    text);
}

void
imap_failed(struct imap *imap, const struct command *command, int status,
    const char *missing)
{
	const char *id = ph_session_id(imap->session);

	switch (status) {
	case PH_NOT_FOUND:
		imap_done(imap, command, "NO %s", missing);
		break;
	case PH_EXISTS:
		imap_done(imap, command, "NO [ALREADYEXISTS] It is there "
		                         "already");
		break;
	case PH_INVALID:
		imap_done(imap, command, "NO [CANNOT] Not a name we can keep");
		break;
	case PH_DENIED:
		imap_done(imap, command, "NO [CANNOT] That can't be done with "
		                         "this mailbox");
		break;
	case PH_FULL:
		imap_done(imap, command, "NO [OVERQUOTA] No room (%s)", id);
		break;
	case PH_TOO_BIG:
		imap_done(imap, command, "NO [LIMIT] Too big");
		break;
	case PH_BUSY:
		imap_done(imap, command, "NO [INUSE] In use, try again");
		break;
	case PH_CANCELED:
		imap_end(imap, imap_reason(status));
		break;
	default:
		ph_log(PH_WARN, "imap_failed",
		    ph_f_str("command", command->row->name),
		    ph_f_str("status", ph_status_name(status)));
		imap_done(imap, command, "NO [%s] Failed, try again later (%s)",
		    status == PH_DEFECT ? "CORRUPTION" : "UNAVAILABLE", id);
	}
}

bool
imap_fill(struct imap *imap, unsigned timeout_ms)
{
	int rc;

	if (imap->ended)
		return false;
	rc = ph_stream_fill(imap->stream, timeout_ms);
	if (rc == PH_OK)
		return true;
	if (rc == PH_TIMEOUT)
		imap_puts(imap, "* BYE Autologout, idle for too long\r\n");
	imap_end(imap, imap_reason(rc));
	return false;
}

/* A reply to a line that is no command; too many of them end the session. */
static void
bad_command(struct imap *imap, struct ph_slice tag, const char *text)
{
	imap_printf(imap, PH_SLICE_FMT " BAD %s\r\n",
	    PH_SLICE_ARG(tag.n > 0 ? tag : PH_LIT("*")), text);
	if (++imap->bad < imap->conf->bad_commands)
		return;
	imap_puts(imap, "* BYE Too many bad commands\r\n");
	imap_end(imap, "bad_commands");
}

static struct ph_slice
tag_of(struct ph_slice text)
{
	struct lex lex = { .text = text };
	struct ph_slice tag = { NULL, 0 };

	lex_tag(&lex, &tag);
	return tag;
}

/* False: the collector waits for the literal's owner. */
static bool
on_literal(struct imap *imap)
{
	struct collect *c = &imap->collect;

	if (imap_is_append_message(collect_text(c)))
		return false;
	if (collect_accept(c, COMMAND_MAX)) {
		if (c->literal_is_sync)
			imap_puts(imap, "+ OK\r\n");
		return true;
	}
	if (c->literal_is_sync) {
		bad_command(imap, tag_of(collect_text(c)),
		    "Literal is too big");
		collect_reset(c);
		return true;
	}
	imap_puts(imap, "* BYE Literal is too big\r\n");
	imap_end(imap, "too_big");
	return true;
}

bool
imap_read_command(struct imap *imap)
{
	while (!imap->ended) {
		struct ph_slice in = ph_stream_buffered(imap->stream);
		enum collect_result result;
		size_t taken;

		if (in.n == 0) {
			imap_fill(imap, imap->conf->autologout_ms);
			continue;
		}
		result = collect_feed(&imap->collect, in, &taken);
		ph_stream_consume(imap->stream, taken);
		if (result == COLLECT_DONE)
			return true;
		if (result == COLLECT_LITERAL && !on_literal(imap))
			return true;
		if (result == COLLECT_TOO_BIG) {
			imap_puts(imap, "* BYE Command is too long\r\n");
			imap_end(imap, "too_big");
		}
	}
	return false;
}

/* command = tag SP name ...; "UID" and the next word are one name. */
static bool
take_name(struct command *command, struct ph_slice *name_out)
{
	struct lex *lex = &command->lex;
	struct ph_slice name, after;

	if (!lex_tag(lex, &command->tag) || !lex_space(lex) ||
	    !lex_atom(lex, &name))
		return false;
	if (ph_slice_eq_nocase(name, PH_LIT("UID"))) {
		if (!lex_space(lex) || !lex_atom(lex, &after))
			return false;
		name = ph_slice_str(ph_arena_printf(command->arena,
		    "UID " PH_SLICE_FMT, PH_SLICE_ARG(after)));
	}
	*name_out = name;
	return true;
}

static void
run_command(struct imap *imap, struct command *command)
{
	unsigned state = imap->view != NULL ? IN_SELECTED : IN_AUTH;
	struct ph_slice name;

	if (memchr(command->lex.text.p, '\0', command->lex.text.n) != NULL) {
		bad_command(imap, PH_LIT("*"), "NUL in a command");
		return;
	}
	if (!take_name(command, &name)) {
		bad_command(imap, command->tag, "Not a command");
		return;
	}
	command->row = command_find(name);
	if (command->row == NULL) {
		bad_command(imap, command->tag, "Unknown command");
		return;
	}
	if ((command->row->states & state) == 0) {
		bad_command(imap, command->tag, "Select a mailbox first");
		return;
	}
	if ((command->row->parse != NULL && !command->row->parse(command)) ||
	    !lex_end(&command->lex)) {
		bad_command(imap, command->tag, "Wrong arguments");
		return;
	}
	imap->bad = 0;
	command->row->act(imap, command);
}

/* The message of an APPEND that was refused and is on its way anyhow. */
static void
skip_literal(struct imap *imap, uint64_t left)
{
	while (left > 0 && !imap->ended) {
		struct ph_slice in = ph_stream_buffered(imap->stream);
		size_t n = in.n < left ? in.n : (size_t)left;

		if (n == 0 && !imap_fill(imap, imap->conf->autologout_ms))
			return;
		ph_stream_consume(imap->stream, n);
		left -= n;
	}
	if (imap_read_command(imap))
		collect_reset(&imap->collect);
}

static void
next_command(struct imap *imap)
{
	struct command command = { 0 };
	struct collect *c = &imap->collect;

	command.arena = ph_arena_create(imap->arena);
	command.has_literal = c->announced;
	command.literal_is_sync = c->literal_is_sync;
	command.literal_size = c->literal_size;
	command.lex = (struct lex){
		.text = ph_arena_slice(command.arena, collect_text(c)),
		.arena = command.arena,
	};
	collect_reset(c);
	run_command(imap, &command);
	if (command.has_literal && !command.literal_is_sync)
		skip_literal(imap, command.literal_size);
	ph_arena_free(command.arena);
}

static bool
tag_is_sound(struct ph_slice tag)
{
	struct lex lex = { .text = tag };
	struct ph_slice taken;

	return lex_tag(&lex, &taken) && taken.n == tag.n;
}

/* state is the tag of the LOGIN or AUTHENTICATE that is answered here. */
void
imap_user_session(struct ph_session *session, const void *conf,
    struct ph_slice state)
{
	struct imap imap = {
		.session = session,
		.stream = ph_session_stream(session),
		.conf = conf,
		.arena = ph_session_arena(session),
	};

	if (!tag_is_sound(state))
		return;
	collect_init(&imap.collect, COMMAND_MAX);
	imap_printf(&imap, PH_SLICE_FMT " OK [CAPABILITY " IMAP_CAPABILITIES
	                                "] Logged in\r\n", PH_SLICE_ARG(state));
	while (!imap.ended && imap_read_command(&imap))
		next_command(&imap);
	view_close(&imap);
	collect_fini(&imap.collect);
	ph_stream_flush(imap.stream);
	ph_log(PH_INFO, "session_end", ph_f_str("end", imap.reason),
	    ph_f_str("user", ph_session_user(session)),
	    ph_f_int("in", (int64_t)ph_stream_octets_in(imap.stream)),
	    ph_f_int("out", (int64_t)ph_stream_octets_out(imap.stream)));
}
