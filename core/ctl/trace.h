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

/* Read log (a file that can be rewound), print the lines to out in order.
 * How many; negative: the file can't be read. */
long trace_print(FILE *log, struct ph_slice id, FILE *out);

#endif
