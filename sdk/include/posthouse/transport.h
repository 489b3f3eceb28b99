/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/transport.h - one delivery attempt to another server or program.
 *
 * Runs in the relay role as a fiber. The queue decides when and for which
 * recipients; the transport reports one result for each recipient. A recipient
 * without a result when the operation returns counts as deferred. What is
 * reported as delivered is never sent again: report it only after the peer's
 * 2xx to the end of data.
 */
#ifndef POSTHOUSE_TRANSPORT_H
#define POSTHOUSE_TRANSPORT_H

#include <posthouse/dns.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/module.h>
#include <posthouse/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_attempt;

struct ph_transport_ops {
	void (*attempt)(struct ph_attempt *attempt, const void *conf);
};

/* Memory that ends with the attempt. */
PH_EXPORT struct ph_arena *ph_attempt_arena(struct ph_attempt *attempt);
/* The id that the log has for the message. */
PH_EXPORT const char *ph_attempt_queue_id(const struct ph_attempt *attempt);
/* This server's own name, for EHLO. */
PH_EXPORT const char *ph_attempt_hostname(const struct ph_attempt *attempt);
/* The domain (A-labels) or route all recipients share. */
PH_EXPORT struct ph_slice ph_attempt_destination(
    const struct ph_attempt *attempt);
/* The sender without angle brackets; empty for the null sender. */
PH_EXPORT struct ph_slice ph_attempt_sender(const struct ph_attempt *attempt);
/* How many recipients this attempt is for; at least one. */
PH_EXPORT size_t ph_attempt_recipient_count(const struct ph_attempt *attempt);
/* Recipient i, i < count: local@domain without brackets. */
PH_EXPORT struct ph_slice ph_attempt_recipient(
    const struct ph_attempt *attempt, size_t i);
/* RFC 3461: what the sender wants to be told of recipient i ("NEVER",
 * "SUCCESS,FAILURE"); absent when it was not said. */
PH_EXPORT struct ph_slice ph_attempt_notify(const struct ph_attempt *attempt,
    size_t i);
/* RFC 3461: the original recipient as given; absent when it was not. */
PH_EXPORT struct ph_slice ph_attempt_orcpt(const struct ph_attempt *attempt,
    size_t i);
/* What ph_mail_set kept ("body", "smtputf8", "ret", "envid"), or absent. */
PH_EXPORT struct ph_slice ph_attempt_get(const struct ph_attempt *attempt,
    const char *key);
/* The whole content, CRLF line ends; a read-only mapping. */
PH_EXPORT struct ph_slice ph_attempt_content(const struct ph_attempt *attempt);

enum ph_delivery {
	PH_DELIVERED,
	PH_DEFERRED, /* try later: 4xx, no connection, could not tell */
	PH_FAILED,   /* permanent: bounce */
};
/*
 * The result for recipient i (or all: PH_ALL_RECIPIENTS sets those without
 * one). code/enhanced as the peer said, 0/NULL for failures of our own; host is
 * the peer or NULL; text is copied and escaped.
 */
#define PH_ALL_RECIPIENTS ((size_t)-1)
PH_EXPORT void ph_attempt_result(struct ph_attempt *attempt, size_t i,
    enum ph_delivery result, int code, const char *enhanced, const char *host,
    const char *fmt, ...) PH_PRINTF(7, 8);

/*
 * Who reports the success of recipient i, should its sender have asked for that
 * (RFC 3461 s5.2). Without a word of the transport the peer may send the message
 * on and tells nobody: the sender hears that it was relayed. PH_ONWARD_END with
 * PH_DEFERRED tells that a mailbox or program did answer although there is no
 * code: the destination counts as one that can be reached.
 */
enum ph_onward {
	PH_ONWARD_SILENT,
	PH_ONWARD_REPORTS, /* the peer took the wish over: nothing is said here */
	PH_ONWARD_END,     /* a mailbox or program: the sender hears "delivered" */
};
PH_EXPORT void ph_attempt_onward(struct ph_attempt *attempt, size_t i,
    enum ph_onward onward);

/*
 * Run a program for recipient i as another user. Only the configuration grants
 * that: the section's option `run_as` names the user, its option `command` (a
 * list) the program and its arguments. argv (NULL-terminated) must be that
 * command; only in arguments with ${...} may something else stand in its place,
 * and nothing that makes an option of them. fds[0] becomes the input, fds[1]
 * output and errors; borrowed. Without root the program runs as the calling
 * user. It leads a process group, which is killed after timeout_ms and when the
 * attempt ends. Suspends until the program's end. 0 with *end_out as wait(2)
 * has it; PH_TIMEOUT, PH_CANCELED (it was killed), PH_DENIED (nothing grants
 * it), PH_BUSY, or another status when it could not be run.
 */
PH_EXPORT int ph_attempt_run(struct ph_attempt *attempt, size_t i,
    const char *const *argv, const int fds[2], unsigned timeout_ms,
    int *end_out);

/*
 * Keep an object, a connection as a rule, for a later attempt in this process
 * (the check role has it, too: for a later call of a hook). It ends with its arena (given; one without a parent). key (copied) names all
 * that the object depends upon. When nobody took it for idle_ms, when too many
 * are kept, or when the server stops, end(object) is called in a fiber, which
 * may suspend for some seconds, and the arena ends after it.
 */
PH_EXPORT void ph_keep(struct ph_arena *arena, void *object, const char *key,
    unsigned idle_ms, void (*end)(void *object));
/*
 * The newest object kept under the key, and its arena, which are the caller's
 * from now on; NULL when there is none. Never suspends.
 */
PH_EXPORT void *ph_kept_take(const char *key, struct ph_arena **arena_out);

#ifdef __cplusplus
}
#endif
#endif
