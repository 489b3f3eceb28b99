/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.h - running the hooks of one stage, in the check role.
 *
 * Modules of one order run together as fibers; orders run one after the other.
 * Within an order the strongest verdict wins: reject, defer, discard,
 * quarantine, accept, next. A reject ends the wait for the others: nothing can
 * change it. Accept ends the stage after its order.
 */
#ifndef CORE_PIPELINE_PIPELINE_H
#define CORE_PIPELINE_PIPELINE_H

#include <posthouse/delivery.h>

#include "role/role.h"
#include "session/session.h"

struct body_edit;

/* What one hook is shown and what it answers. */
struct ph_call {
	struct ph_arena *arena;
	struct ph_session *session;
	enum ph_stage stage;
	struct ph_slice sender, recipient, header, content;
	const struct ph_slice *recipients;
	size_t recipient_count, recipients_known;
	const struct module_instance *instance;
	struct session_state *state;
	int content_fd;        /* what content maps; -1: octets of the arena */
	size_t content_skip;   /* of it, before the body */
	const struct ph_delivery_facts *delivery; /* NULL: before the queue */
	const struct ph_decision *decision; /* for observers; else NULL */
	struct ph_slice crashed; /* record with F_CRASHED; absent: none */
	/* the answer */
	enum ph_verdict verdict;
	int code;
	unsigned answers;      /* refusals said */
	unsigned redirects, places, replies;
	size_t reply_octets;
	const char *fault;     /* of the module's code, which it survives */
	const char *enhanced, *text;
	double score;
	int64_t score_so_far; /* thousandths; shown, not answered */
	struct ph_buf changes; /* F_ADD_HEADER, F_EDIT, F_ENVELOPE */
	struct body_edit *body; /* NULL: as it came */
	uint64_t micros;
	bool cut_short;        /* decided without it: it said nothing */
	bool failed;           /* counts as on_failure */
	const char *failure;
	struct log_context log;
};

/* Run the stage for the request and put the reply's fields into reply.
 * *body_fd_out, of the arena: a sealed file with another body; -1: none. NULL: at
 * a stage that has no body to replace. */
void pipeline_run(const struct generation *generation,
    const struct ph_call *request, struct ph_buf *reply, int *body_fd_out);
/* body_edit.c: what ph_replace_body gathers; and its end, before others see
 * it. False: it can't be a body, or there is no memory. */
int body_edit_add(struct ph_call *call, struct ph_slice octets);
bool body_edit_end(struct body_edit *body);
/* Of the arena. */
int body_edit_fd(const struct body_edit *body);
/* Which of two verdicts wins. Pure. */
enum ph_verdict pipeline_stronger(enum ph_verdict a, enum ph_verdict b);
/* Whether the call is nobody's delay and decides nothing. Pure. */
bool pipeline_only_tells(const struct ph_call *call);
/* Whether a stage is one that hears of an outcome and decides nothing. Pure. */
bool pipeline_is_told(enum ph_stage stage);
/* Whether a stage honours a verdict. Pure. */
bool pipeline_honours(enum ph_stage stage, enum ph_verdict verdict);

/* Memory of modules for a session: found or made by its id, bounded, dropped
 * at the session's end or after an hour. */
struct session_state *session_state_obtain(struct ph_slice session);
void session_state_drop(struct ph_slice session);
/* A section's own; it outlives a reload. */
void *session_state_of(struct session_state *state,
    const struct module_instance *instance, size_t size);
struct ph_arena *session_state_arena(struct session_state *state);
struct ph_arena *message_state_arena(struct session_state *state);
/* A section's own of the message under way. */
void *message_state_of(struct session_state *state,
    const struct module_instance *instance, size_t size);
/* transaction: which message a call is about, 0 none; another one than before
 * ends what was kept of that. */
void session_state_message(struct session_state *state, uint64_t transaction);
/* Words of modules to each other, of the message or, before one, the session. */
void session_state_note(struct session_state *state, const char *key,
    const char *text, bool is_shadow);
const char *session_state_noted(const struct session_state *state,
    const char *key, bool is_shadow);
/* While a call uses it. */
void session_state_get(struct session_state *state);
void session_state_put(struct session_state *state);

#endif
