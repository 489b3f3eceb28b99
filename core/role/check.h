/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the check role's processes, from both sides. */
#ifndef CORE_ROLE_CHECK_H
#define CORE_ROLE_CHECK_H

#include "bus/bus.h"

/* Around each piece of work of this process. False: it makes way for another
 * and begins no more. */
bool check_begin(void);
void check_end(void);

/* Serve the hooks behind the queue. */
void check_delivery_serve(void);
/* Around what nobody waits for. False: too much of it runs, and what is told
 * about the stages is missed. */
bool check_tell_begin(unsigned stages);
void check_tell_end(void);
/* F_DECISION; NULL: there is none. */
struct ph_decision;
const struct ph_decision *check_decision(struct ph_arena *arena,
    struct ph_slice record);
/* What it did, for `posthousectl status`. */
void check_delivery_status(struct ph_buf *items);

/* What the checks are asked. */
struct check_question {
	uint16_t type;
	const char *subject; /* id of the session or message, good until the
	                      * answer; NULL: none */
	struct ph_buf *record; /* F_CRASHED is added to it */
	int fd; /* sent along, not closed; -1: none */
	unsigned timeout_ms;
};

/* bus_call to a check process; one that makes way is waited for, and when one
 * dies another is asked, without the module that died over this subject. */
int check_ask(uint32_t shard, const struct check_question *question,
    struct ph_arena *arena, struct bus_message *reply_out);
/* MSG_CRASH, of the master; and when it links us to a process of the checks. */
void check_ask_on_crash(struct bus_request *request);
void check_ask_on_link(unsigned index);
/* For tests: how much longer the crashes of others may make a question. */
void check_ask_spare(unsigned ms);

#endif
