/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - one record behind its length (u32 LE) on a socket: how the master
 * speaks with posthousectl and with the configuration checker.
 */
#ifndef CORE_MASTER_FRAME_H
#define CORE_MASTER_FRAME_H

#include <posthouse/stream.h>

#define FRAME_REQUEST_LIMIT (64u << 10)
#define FRAME_REPLY_LIMIT (4u << 20)

/* In a fiber; suspend. The record lies in the arena. 0 or a status: PH_TOO_BIG
 * over the limit, PH_INVALID when it is no sound record. */
int frame_write(struct ph_stream *stream, struct ph_slice record);
int frame_read(struct ph_stream *stream, struct ph_arena *arena, size_t limit,
    unsigned timeout_ms, struct ph_slice *record_out);

/* The same for programs and threads without a loop. PH_TIMEOUT: the peer took
 * nothing for stall_ms; -1 waits for ever. */
int frame_send(int fd, struct ph_slice record, int stall_ms);
int frame_receive(int fd, struct ph_arena *arena, size_t limit,
    struct ph_slice *record_out);

#endif
