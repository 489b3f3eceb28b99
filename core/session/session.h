/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one client's connection as the core sees it, in edge, mail and
 * (as a view without a stream) check. Modules see <posthouse/session.h> and
 * <posthouse/listener.h>.
 */
#ifndef CORE_SESSION_SESSION_H
#define CORE_SESSION_SESSION_H

#include <posthouse/listener.h>

#include "base/id.h"
#include "log/log.h"
#include "pipeline/policy.h"
#include "role/role.h"

struct client_place;
struct tls_peer;
struct tls_server;

struct ph_session {
	struct ph_arena *arena;
	struct generation *generation; /* referenced while the session lives */
	const struct module_instance *instance; /* the listener; check: NULL */
	struct ph_stream *stream;      /* check: NULL */
	struct log_context log;
	char id[ID_TEXT_MAX];
	const char *listener, *service;
	struct ph_addr client, local;
	struct ph_addr peer;           /* the connection's; a front end's */
	uint16_t client_port, local_port;
	struct ph_slice helo;
	const char *tls;
	const struct tls_peer *tls_peer; /* NULL: no certificate */
	const char *user;              /* NULL: not logged in */
	struct ph_slice token;
	const struct ph_slice *aliases;
	size_t alias_count;

	/* edge only */
	struct client_place *place;    /* of the connection */
	struct tls_server *tls_server; /* NULL: none is offered */
	struct last_recipient *last_recipient; /* NULL: none looked up */
	uint64_t exchange;             /* SASL under way; 0: none */
	unsigned auth_failures;
	bool was_asked;                /* check may hold state for it */
	int relay_fd;                  /* handed over behind TLS; else -1 */
	bool is_handed_over;
	struct ph_buf trace;           /* F_TRACE fields so far */
	struct ph_buf headers;         /* fields that checks add */
	struct ph_buf notes;           /* F_NOTEs of checks */
	uint64_t transactions;         /* begun so far */
	struct score score;            /* of all its messages */

	/* mail only: mailboxes to close */
	struct ph_mailbox *mailboxes;
};

/* In its own arena; the stream's arena too. References the generation. */
struct ph_session *session_create(struct generation *generation,
    const struct module_instance *instance);
/* Frees it with its arena. */
void session_free(struct ph_session *session);
/* Make the session's ids those of the calling fiber's log lines. */
void session_enter_log(struct ph_session *session);

/* The handshake, at once or behind STARTTLS. Suspends. A failure is logged. */
int session_secure(struct ph_session *session);

/* Who and where, as fields of a bus message; and back. PH_DEFECT. */
void session_put(const struct ph_session *session, struct ph_buf *buf);
int session_take(struct ph_session *session, struct ph_slice record);

/* Take check's answer to a stage, which is believed no more than its form
 * allows: PH_DEFECT, and nothing is kept, when it is none. */
int session_take_outcome(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice record,
    struct ph_outcome *outcome_out);
/* A bit for each stage at which a check that enforces is asked about it. */
unsigned session_stages(const struct ph_session *session,
    struct ph_mail *mail);
/* Whether the policy's conditions hold; recipient: absent but at rcpt. */
bool session_policy_applies(const struct ph_session *session,
    struct ph_mail *mail, struct ph_slice recipient);
/* Hold the message's score against the policy, after a stage's checks. */
void session_judge(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient,
    struct ph_outcome *outcome);
/* The field of the score is ours alone where we write it: what came lies. From
 * data on, before checks look. */
void session_drop_forged(struct ph_session *session, struct ph_mail *mail);
/* Tell check to forget the session, if it was ever asked. */
void session_end_checks(struct ph_session *session);

/* The canonical user of the address that this session looked up last; NULL
 * when it was another one, or none of ours. */
const char *recipient_user(const struct ph_session *session,
    struct ph_slice address);
/* The listener instance of that section; NULL. */
const struct module_instance *session_instance(
    const struct generation *generation, struct ph_slice section);

enum {
	BUS_AUTH_MS = 60000,
	BUS_LOOKUP_MS = 10000,
	BUS_COMMIT_MS = 120000,
	BUS_HANDOVER_MS = 10000,
};

#endif
