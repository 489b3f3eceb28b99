/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/check.h - hooks: look at a session or message, answer a verdict.
 *
 * A hook runs as a fiber in the check role with its own deadline; it may
 * suspend (DNS, sleep, work). What it allocates from ph_call_arena ends with
 * the call. A verdict that a stage does not honour is a logged fault and
 * counts as the module's on_failure.
 */
#ifndef POSTHOUSE_CHECK_H
#define POSTHOUSE_CHECK_H

#include <posthouse/count.h>
#include <posthouse/dns.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/module.h>
#include <posthouse/session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_call;

typedef enum ph_verdict ph_hook(struct ph_call *call, const void *conf);

/* NULL where the module has nothing to say. */
struct ph_check_ops {
	ph_hook *at[PH_STAGES]; /* .at = { [PH_AT_CONNECT] = on_connect } */
};

/* Memory that ends when the hook has returned; its alone, so that ph_work may
 * take from it, too. */
PH_EXPORT struct ph_arena *ph_call_arena(struct ph_call *call);
/* Who is connected; borrowed until the hook returns. */
PH_EXPORT const struct ph_session *ph_call_session(const struct ph_call *call);
/* The stage whose hook this is: one function may serve several. */
PH_EXPORT enum ph_stage ph_call_stage(const struct ph_call *call);
/* Shorthand for ph_session_client(ph_call_session(call)). */
PH_EXPORT const struct ph_addr *ph_call_client(const struct ph_call *call);

/* The envelope, all without angle brackets; absent before its stage. The null
 * sender is present and empty. */
PH_EXPORT struct ph_slice ph_call_sender(const struct ph_call *call);
/* At rcpt, and behind the queue: the recipient asked about. */
PH_EXPORT struct ph_slice ph_call_recipient(const struct ph_call *call);
/* How many recipients were accepted so far. */
PH_EXPORT size_t ph_call_recipient_count(const struct ph_call *call);
/* Accepted recipient i, at data and message; absent when there is none. */
PH_EXPORT struct ph_slice ph_call_recipient_at(const struct ph_call *call,
    size_t i);
/*
 * The header section with the empty line behind it, at data, message, route and
 * deliver; for ph_header_next. It is what would be stored now: with what the
 * listener put in front (Received; at a submission also Date and Message-ID) and
 * with all that modules of earlier stages and orders added and changed; modules
 * of one order see the same. Borrowed for the call.
 */
PH_EXPORT struct ph_slice ph_call_header(const struct ph_call *call);
/* That header section and the body, at message, route and deliver: a read-only
 * mapping. After the last order come only the field of the score (section policy) and, at the
 * delivery, Return-Path and Delivered-To in front. Borrowed for the call. */
PH_EXPORT struct ph_slice ph_call_content(const struct ph_call *call);

/*
 * A section with mode = "observe" is nobody's delay: its hooks run when the stage
 * has been decided, are not waited for, and decide nothing (any verdict but
 * PH_NEXT is a fault). It is shown what the others were, but for the content at
 * message, route and deliver, and what came of it. When too much comes at a time
 * it misses some; `posthousectl modules` has the number.
 */
struct ph_decision {
	enum ph_verdict verdict; /* PH_ACCEPT: nobody objected */
	int code;                /* of a refusal, else 0 */
	struct ph_slice enhanced, text, module; /* absent: not said */
};
/* What the stage came to; NULL for all but an observer. Borrowed for the call;
 * the struct grows at its end. */
PH_EXPORT const struct ph_decision *ph_call_decision(
    const struct ph_call *call);

/*
 * Refuse for good: the value is what the hook returns. code is 5xx (RFC 5321
 * s4.2), enhanced is RFC 3463 ("5.7.1"); the text is one line of printable ASCII
 * for a person, cut at 400 octets, other octets become "?". All are copied. The
 * core adds the token for `posthousectl trace`. Say it once, and return it.
 */
PH_EXPORT enum ph_verdict ph_reject(struct ph_call *call, int code,
    const char *enhanced, const char *fmt, ...) PH_PRINTF(4, 5);
/* Refuse for now. As ph_reject, with 4xx and "4.x.y". */
PH_EXPORT enum ph_verdict ph_defer(struct ph_call *call, int code,
    const char *enhanced, const char *fmt, ...) PH_PRINTF(4, 5);
/* Why, for the log and the trace, with any other verdict; as the text of
 * ph_reject. */
PH_EXPORT void ph_reason(struct ph_call *call, const char *fmt, ...)
    PH_PRINTF(2, 3);
/* Add to the message's score, summed over modules and stages; before mail, to
 * that of every message of the session. The section `policy` decides on it. */
PH_EXPORT void ph_score(struct ph_call *call, double points);
/*
 * The sum so far: of earlier stages and orders, and what this hook added; for a
 * hook behind the queue, of all stages before it (while one of these modules was
 * on when the message came; else 0). Since minor 5.
 */
PH_EXPORT double ph_call_score(const struct ph_call *call);
/*
 * Put a header field in front of the others, above those of earlier orders. The
 * value is unstructured text of up to 8,192 octets, cut there: the core folds it
 * at blanks (so who signs a field gives long words, as base64, some), takes the
 * folds that are in it out, and writes words in UTF-8 as encoded words (RFC
 * 2047); octets that are neither become "?".
 */
PH_EXPORT void ph_add_header(struct ph_call *call, const char *name,
    const char *fmt, ...) PH_PRINTF(3, 4);

/*
 * Changes of the header section as ph_call_header shows it, at data and
 * message; elsewhere they are nothing. They compose: stage by stage, in a stage
 * by order, in an order by the name of the section, each applies to what the
 * ones before it left; what an order adds by ph_add_header then goes in front.
 * Values are as those of ph_add_header; a verdict that fails, or a shadow's,
 * changes nothing. One module may change 64 KiB at a stage, beyond that it
 * failed; all together may add 256 KiB.
 */
/* A new field as the at-th from above (1: the first); beyond the end: the
 * last. */
PH_EXPORT void ph_insert_header(struct ph_call *call, unsigned at,
    const char *name, const char *fmt, ...) PH_PRINTF(4, 5);
/* Put this in the place of the n-th field of that name (1: the first); without
 * one nothing happens. */
PH_EXPORT void ph_change_header(struct ph_call *call, const char *name,
    unsigned n, const char *fmt, ...) PH_PRINTF(4, 5);
/* Remove the n-th field of that name; 0: all of them. */
PH_EXPORT void ph_remove_header(struct ph_call *call, const char *name,
    unsigned n);

/*
 * Changes of the envelope and the body, at message; elsewhere PH_INVALID. They
 * compose as those of the header do, later orders are shown them, and they are
 * stored with the message, in one transaction with it. A verdict that fails, or
 * a shadow's, changes nothing.
 */
/*
 * One recipient more, as ph_call_recipient_at shows them. It is routed like any
 * other, and is no way to relay: one that is not ours is taken only when the
 * session itself may relay (its user is known, or its network may); else it, and
 * one that does not exist, is left out and the log says so. notify and orcpt as
 * at RCPT (RFC 3461), copied; NULL: as if not given, so that the sender hears of
 * failures; "NEVER" is for one the sender is not to know of. PH_INVALID: no
 * address, or none of those.
 */
PH_EXPORT int ph_add_recipient(struct ph_call *call, const char *address,
    const char *notify, const char *orcpt);
/* One less: nothing is delivered to it, and no report tells of it. When none is
 * left the message is discarded. PH_INVALID: no address. */
PH_EXPORT int ph_remove_recipient(struct ph_call *call, const char *address);
/* Another sender, where reports go to; "": the null one. Whether the session may
 * send as that address is not asked. PH_INVALID: no address. */
PH_EXPORT int ph_change_sender(struct ph_call *call, const char *address);
/*
 * Put these octets in the place of the body; called again, they are added to
 * those before. Copied; n may be 0. Lines end in CRLF: a bare CR or LF, or a NUL,
 * is PH_INVALID; so is what has more than message_limit octets PH_TOO_BIG, and
 * PH_IO: no memory. After a failure the module failed, whatever it returns. May
 * suspend.
 */
PH_EXPORT int ph_replace_body(struct ph_call *call, const void *p, size_t n);

/*
 * A word to modules of a later order, of this stage or another: what was found
 * out about the message (before mail: the session), under a key like
 * "spf.result". The last one counts. Text as that of ph_reason; up to 64 keys
 * of 64 octets, more are dropped. A shadow's notes are seen by shadows alone.
 */
PH_EXPORT void ph_note(struct ph_call *call, const char *key, const char *fmt,
    ...) PH_PRINTF(3, 4);
/* What was noted under the key, borrowed for the call; NULL: nothing. */
PH_EXPORT const char *ph_call_note(const struct ph_call *call,
    const char *key);

/* Memory of this module's section for this message, from mail on: as
 * ph_call_session_state, zeroed again when the next message begins. */
PH_EXPORT void *ph_call_message_state(struct ph_call *call, size_t size);
/* Where that memory lives: what a later stage of this message wants. It ends when
 * the next one begins, or with the session; for threads as that. Since minor
 * 5. */
PH_EXPORT struct ph_arena *ph_call_message_arena(struct ph_call *call);
/*
 * Memory of this module's section for this session (kept between stages): the
 * same zeroed size octets each time, also when the configuration changed in
 * between. From the session's arena.
 */
PH_EXPORT void *ph_call_session_state(struct ph_call *call, size_t size);
/* Where that memory lives: what must outlive the call and end with the session.
 * Bounded use only, a session may be long. Other modules take from it, so no
 * thread may. */
PH_EXPORT struct ph_arena *ph_call_session_arena(struct ph_call *call);

#ifdef __cplusplus
}
#endif
#endif
