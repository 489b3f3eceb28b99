/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.h - a log and the older parts of it that lie beside: LOG.1, LOG.2.gz,
 * LOG-20261123.gz and whatever else was LOG once, the oldest first.
 */
#ifndef CORE_CTL_LOGS_H
#define CORE_CTL_LOGS_H

#include <posthouse/arena.h>

#include <stdint.h>

struct logs {
	const char **path; /* by time of the last change */
	size_t n;
};

/* Parts that were last written before since_ms (wall time) are passed over; the
 * log itself is not. 0, or PH_IO with errno: it can't be read. In the arena. */
int logs_find(struct ph_arena *arena, const char *log, int64_t since_ms,
    struct logs *logs_out);
/* Each line without its end, in order. 0, or PH_IO: one can't be read to its
 * end; *path_out is it. A part that is gone by now is passed over. */
int logs_read(const struct logs *logs,
    void (*line)(void *arg, struct ph_slice line), void *arg,
    const char **path_out);

#endif
