/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what the core adds to <posthouse/log.h>: where lines go, and the ids
 * that the calling fiber's context adds.
 *
 * A line: 2026-11-23T08:47:00.123Z info edge[1234] accepted session=… queue=…
 * module=… key=value. Lines of one turn of the loop leave in one write; warn
 * and error at once. Values with other than printable ASCII or with space, "
 * or = are quoted, control octets as \xNN.
 */
#ifndef CORE_LOG_LOG_H
#define CORE_LOG_LOG_H

#include <posthouse/log.h>

/* Ids added to each line of a fiber (fiber_context); all borrowed, NULL: none. */
struct log_context {
	const char *session;
	const char *queue;
	const char *module;
	const char *hook; /* of the module; for the crash report, not logged */
};

/* fd is borrowed; process: "edge", "queue" ... */
void log_init(int fd, enum ph_level level, const char *process);
void log_set_level(enum ph_level level);
void log_set_fd(int fd);
/* Write what is gathered; called by the loop at each turn, and before exit. */
void log_flush(void);
/* The formatter, for tests: one line with newline into buf. */
struct ph_buf;
void log_format(struct ph_buf *buf, enum ph_level level, const char *event,
    const struct log_context *context, const struct ph_field *fields);

#endif
