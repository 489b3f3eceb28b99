/* SPDX-License-Identifier: Apache-2.0 */
/* content.h - a message's content as one run of octets. */
#ifndef CORE_ROLE_CONTENT_H
#define CORE_ROLE_CONTENT_H

#include "bus/bus.h"

/*
 * The octets (borrowed) followed by the file fd (borrowed; -1: none), mapped
 * until the arena ends and read into memory. Suspends. PH_INVALID: no plain
 * file, or nothing came; PH_TOO_BIG: the file is over limit_bytes; PH_IO.
 */
int content_open(struct ph_arena *arena, struct ph_slice octets, int fd,
    uint64_t limit_bytes, struct ph_slice *content_out, struct ph_err *err);

/* The F_CONTENT of a request and the file behind its descriptor, which ends with
 * the request; as content_open, and what went wrong is in the log. */
int content_take(struct bus_request *request, struct ph_slice *content_out);

#endif
