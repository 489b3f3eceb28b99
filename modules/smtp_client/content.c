/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - the content on its way: as it is by BDAT (RFC 3030), with dots
 * doubled by DATA (RFC 5321 s4.5.2), or written in ASCII first for a host that
 * takes no more (RFC 6152).
 *
 * Only lines in ASCII come out of a plan, so DATA is good enough for them.
 */
#include "session.h"

#include <stdio.h>

#include "recode.h"
#include "stuff.h"

enum { PIECE = 16 << 10 };

const char *const eight_bit_names[] = { "encode", "bounce", "send", NULL };

/* --- which form --- */

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
	if (is_taken_as_it_is(session))
		return true;
	*why_out = "";
	if (delivery->conf->eight_bit == EIGHT_BIT_BOUNCE)
		return false;
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

/* The content as it is, in one chunk; and a line end at its end, as DATA would
 * give it. */
static void
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
	for (size_t at = 0; status == PH_OK && at < content.n; at += PIECE)
		status = session_send(session, (struct ph_slice){
		    content.p + at,
		    content.n - at < PIECE ? content.n - at : PIECE });
	if (status == PH_OK && is_open)
		session_send(session, PH_LIT("\r\n"));
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

static void
send_lines(struct session *session)
{
	struct stuff stuff;

	stuff_begin(&stuff, session->delivery->content);
	if (send_stuffed(session, &stuff) == PH_OK)
		session_send(session, stuff_end(&stuff));
}

static void
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
	if (status == PH_OK)
		session_send(session, stuff_end(&stuff));
}

void
session_send_content(struct session *session)
{
	if (session->is_recoded)
		send_recoded(session);
	else if (session->offer.chunking)
		send_chunk(session);
	else
		send_lines(session);
}
