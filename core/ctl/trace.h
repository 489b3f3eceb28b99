/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - the lines of a log that tell the story of an id.
 *
 * An id of a session leads to the messages it brought, one of a message to the
 * session that brought it and to its bounces. A session's lines about other
 * messages are left out.
 */
#ifndef CORE_CTL_TRACE_H
#define CORE_CTL_TRACE_H

#include <posthouse/base.h>

#include <stdio.h>

#include "ctl/logs.h"

/* What was written before this time is not of the id. */
int64_t trace_since_ms(struct ph_slice id);
/* What is done with a line that belongs to the story. */
typedef void (*trace_put)(struct ph_slice line, FILE *out);
/* As it is; as a JSON object (trace_json.c). */
void trace_put_text(struct ph_slice line, FILE *out);
void trace_put_json(struct ph_slice line, FILE *out);
/* Put the lines in order. How many; negative: a file can't be read, *path_out. */
long trace_print(const struct logs *logs, struct ph_slice id, trace_put put,
    FILE *out, const char **path_out);

#endif
