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

/* bus_call to a check process; one that makes way is waited for. */
int check_ask(uint32_t shard, uint16_t type, struct ph_slice record, int fd,
    unsigned timeout_ms, struct ph_arena *arena,
    struct bus_message *reply_out);

#endif
