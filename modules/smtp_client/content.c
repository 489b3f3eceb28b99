/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - the content on its way: as it is by BDAT (RFC 3030), with dots
 * doubled by DATA (RFC 5321 s4.5.2), or written in ASCII first for a host that
 * takes no more (RFC 6152).
 *
 * Only lines in ASCII come out of a plan, so DATA is good enough for them.
 */
#include "session.h"

#include <posthouse/mime.h>
#include <stdio.h>

#include "recode.h"
#include "stuff.h"

enum { PIECE = 16 << 10 };

const char *const eight_bit_names[] = { "encode", "bounce", "send", NULL };

/* --- what is in UTF-8 --- */

/* RFC 6532 s3.7, RFC 6533 s4: what is in such a part is not looked at, for it can
 * be encoded as a whole. */
static bool
has_global_part(const struct ph_mime_part *part, struct ph_slice content)
{
	struct ph_slice body = { content.p + part->body_at,
		(size_t)(part->end - part->body_at) };

	if (recode_is_global(part) && !is_ascii(body))
		return true;
	for (size_t i = 0; i < part->child_count; i++)
		if (has_global_part(&part->children[i], content))
			return true;
	return false;
}

/* RFC 6531 s3.2: "at any level within its MIME structure". */
static void
search_parts(void *arg)
{
	struct delivery *delivery = arg;
	struct ph_arena *arena = ph_arena_create(NULL);
	const struct ph_mime_part *root = ph_mime_parse(arena,
	    delivery->content);

	delivery->envelope.has_utf8_header = !ph_mime_header_is_ascii(root,
	    delivery->content);
	delivery->envelope.has_global_part = has_global_part(root,
	    delivery->content);
	ph_arena_free(arena);
}

void
session_find_utf8(struct session *session)
{
	struct delivery *delivery = session->delivery;

	if (delivery->knows_parts)
		return;
	ph_work(search_parts, delivery); /* it may be large */
	delivery->knows_parts = true;
}

/* --- which form --- */

/* As far as octets go. */
static bool
is_taken_as_it_is(const struct session *session)
{
	const struct delivery *delivery = session->delivery;

	if (delivery->envelope.is_binary)
		return session->offer.chunking && session->offer.binary;
	return !delivery->envelope.has_eight_bit ||
	    session->offer.eight_bit ||
	    delivery->conf->eight_bit == EIGHT_BIT_SEND;
}

/* RFC 6533 s4.5: the host takes 8 bits, but it does not know what UTF-8 is. */
static bool
is_too_new(const struct session *session)
{
	const struct delivery *delivery = session->delivery;

	return delivery->envelope.has_global_part &&
	    !session->offer.smtputf8 &&
	    delivery->conf->eight_bit != EIGHT_BIT_SEND;
}

static void
make_plan(void *arg)
{
	struct delivery *delivery = arg;
	struct recoding *recoding = &delivery->recoding;

	recoding->is_made = true;
	recoding->plan = recode_make(delivery->arena, delivery->content,
	    delivery->envelope.is_binary, &recoding->why);
}

bool
session_choose_form(struct session *session, const char **why_out)
{
	struct delivery *delivery = session->delivery;

	session->is_recoded = false;
	if (is_taken_as_it_is(session)) {
		if (!is_too_new(session))
			return true;
	} else if (delivery->conf->eight_bit == EIGHT_BIT_BOUNCE) {
		*why_out = "";
		return false;
	}
	if (!delivery->recoding.is_made)
		ph_work(make_plan, delivery); /* it may be large */
	*why_out = delivery->recoding.why;
	session->is_recoded = delivery->recoding.plan != NULL;
	return session->is_recoded;
}

struct smtp_envelope
session_envelope(const struct session *session)
{
	struct smtp_envelope envelope = session->delivery->envelope;

	if (!session->is_recoded)
		return envelope;
	envelope.is_binary = envelope.has_eight_bit = false;
	envelope.size_bytes = session->delivery->recoding.plan->size_bytes;
	return envelope;
}

bool
session_uses_chunks(const struct session *session)
{
	return session->offer.chunking && !session->is_recoded;
}

/* --- sending --- */

/*
 * Before the last octets leave: a reply that is there is no verdict on the whole.
 * A refusal may come early; anything else is a reply to something else.
 */
static bool
may_end(struct session *session)
{
	struct ph_slice early;

	if (ph_stream_look(session->stream) != PH_OK)
		return true;
	early = ph_stream_buffered(session->stream);
	session->is_lost = true; /* behind that reply */
	return early.p[0] == '4' || early.p[0] == '5';
}

/* The content as it is, in one chunk; and a line end at its end, as DATA would
 * give it. */
static bool
send_chunk(struct session *session)
{
	struct ph_slice content = session->delivery->content;
	bool is_open = !session->delivery->envelope.is_binary &&
	    (content.n < 2 ||
	        memcmp(content.p + content.n - 2, "\r\n", 2) != 0);
	char line[64];
	int status;

	snprintf(line, sizeof(line), "BDAT %zu LAST\r\n",
	    content.n + (is_open ? 2 : 0));
	status = session_send(session, ph_slice_str(line));
	for (; status == PH_OK && content.n > PIECE; content.p += PIECE,
	    content.n -= PIECE)
		status = session_send(session, (struct ph_slice){ content.p,
		    PIECE });
	if (!may_end(session))
		return false;
	if (status == PH_OK)
		status = session_send(session, content);
	if (status == PH_OK && is_open)
		session_send(session, PH_LIT("\r\n"));
	return true;
}

static int
send_stuffed(struct session *session, struct stuff *stuff)
{
	struct ph_slice piece;
	int status = PH_OK;

	while (status == PH_OK && stuff_next(stuff, PIECE, &piece))
		status = session_send(session, piece);
	return status;
}

static bool
send_end(struct session *session, const struct stuff *stuff)
{
	if (!may_end(session))
		return false;
	session_send(session, stuff_end(stuff));
	return true;
}

static bool
send_lines(struct session *session)
{
	struct stuff stuff;

	stuff_begin(&stuff, session->delivery->content);
	return send_stuffed(session, &stuff) != PH_OK ||
	    send_end(session, &stuff);
}

static bool
send_recoded(struct session *session)
{
	struct recode *recode = ph_arena_alloc(session->arena,
	    sizeof(*recode));
	struct ph_slice piece;
	struct stuff stuff;
	int status = PH_OK;

	recode_begin(recode, session->delivery->recoding.plan);
	stuff_begin(&stuff, PH_LIT(""));
	while (status == PH_OK && recode_next(recode, PIECE, &piece)) {
		stuff_more(&stuff, piece);
		status = send_stuffed(session, &stuff);
	}
	return status != PH_OK || send_end(session, &stuff);
}

bool
session_send_content(struct session *session)
{
	if (session->is_recoded)
		return send_recoded(session);
	return session->offer.chunking ? send_chunk(session) :
	                                 send_lines(session);
}
