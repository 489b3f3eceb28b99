/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdicts.h - what checks said before attempts, in the stored trace of a message
 * behind what they said in its session: of each check, stage and recipient the
 * last that was new. Pure.
 *
 * One is a F_TRACE as the pipeline makes it, with F_ADDRESS of the recipient and
 * F_ATTEMPTS, the attempt at which it was said first; those of the session have
 * neither.
 */
#ifndef CORE_QUEUE_VERDICTS_H
#define CORE_QUEUE_VERDICTS_H

#include <posthouse/arena.h>

enum {
	VERDICTS_MAX = 16 << 10, /* octets of them: the oldest go */
};

/* Those of a check's answer about a recipient, made harmless; what has no room
 * below VERDICTS_MAX is left out. */
void verdicts_put(struct ph_buf *buf, struct ph_slice answer,
    const char *address, unsigned attempt);
/* A trace with more of them: in the arena; the trace itself when more says
 * nothing new. A queue_db_merge. */
struct ph_slice verdicts_merge(struct ph_arena *arena, struct ph_slice trace,
    struct ph_slice more);
/* Without those of other recipients. */
struct ph_slice verdicts_of(struct ph_arena *arena, struct ph_slice trace,
    const char *address);

#endif
