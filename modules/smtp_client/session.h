/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one connection to one host: greeting, EHLO, TLS, AUTH,
 * transactions, QUIT. session.c has its frame, transfer.c what lies between.
 *
 * A connection whose transactions went well is kept for more mail to the same
 * peer on the same terms; the next session begins with RSET then.
 */
#ifndef SMTP_CLIENT_SESSION_H
#define SMTP_CLIENT_SESSION_H

#include "delivery.h"
#include "offer.h"
#include "peer.h"

/* How a step ended. */
enum step {
	GO_ON,
	STOP, /* the connection is of no more use; failures are noted */
};

struct session {
	struct delivery *delivery;
	struct ph_arena *arena; /* ends with the session */
	struct ph_arena *link;  /* the stream's; NULL: no connection */
	const struct client_peer *peer;
	struct ph_stream *stream;
	unsigned transactions;   /* of earlier sessions on the connection */
	struct smtp_offer offer;
	struct smtp_reply reply; /* the last one */
	const char *stage;       /* for the log: how far it came */
	bool is_recoded;         /* this host gets the recoded content */
	bool in_clear;           /* TLS failed before: do without */
	bool tls_failed;         /* and may be done without */
	bool is_lost;            /* no QUIT */
	bool is_confused;        /* session_confused: replies don't fit */
	bool had_transaction;
	bool is_unproved; /* a kept connection that took no MAIL yet: what goes
	                   * wrong is no failure of the host */
};

/*
 * Send to a host what has no result yet. in_clear: without TLS. *tls_failed_out:
 * TLS failed and the session may be tried once more in the clear. True when a
 * transaction was begun. Suspends.
 */
bool session_run(struct delivery *delivery, const struct client_peer *peer,
    bool in_clear, bool *tls_failed_out);

/* --- between session.c, auth.c and transfer.c --- */

/* Transactions until every recipient has a result, or STOP. */
enum step session_transfer(struct session *session);
/*
 * content.c: search the parts of a message that came with SMTPUTF8 for what needs
 * it, once. May suspend.
 */
void session_find_utf8(struct session *session);
/*
 * content.c: decide in which form the host is to have the content. False, with
 * the reason: in none (RFC 3463: 5.6.3). May suspend.
 */
bool session_choose_form(struct session *session, const char **why_out);
/* The envelope as it fits that form. */
struct smtp_envelope session_envelope(const struct session *session);
/* Whether the content goes by BDAT. */
bool session_uses_chunks(const struct session *session);
/* All of it with what ends it; failures show at the next flush. False: not its
 * end, for the host said already what it can't know. */
bool session_send_content(struct session *session);
/* AUTH when the peer has a user; anything but success is a failure. */
enum step session_auth(struct session *session);

int session_send(struct session *session, struct ph_slice line);
/*
 * Flush and read one reply into session->reply; EHLO's lines go to offer (may
 * be NULL). Any other status than PH_OK was noted as the host's failure.
 */
int session_read(struct session *session, unsigned timeout_ms,
    struct smtp_offer *offer);
/*
 * The replies do not fit what was asked, so none of them can be trusted from here
 * on: whoever has no result is deferred, and the connection ends as it is. STOP.
 */
enum step session_confused(struct session *session);
/* Note the last reply, or words of ours, as the host's failure; STOP. */
enum step session_fail_reply(struct session *session);
enum step session_fail(struct session *session, const char *enhanced,
    const char *fmt, ...) PH_PRINTF(3, 4);

#endif
