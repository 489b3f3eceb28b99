/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - a table from a file that is read again when it, or a file that it
 * includes, has changed.
 */
#ifndef ROUTER_FILE_SOURCE_H
#define ROUTER_FILE_SOURCE_H

#include "table.h"

struct source;

/* path is copied; what is read ends with the arena. Opens nothing yet. */
struct source *source_open(struct ph_arena *arena, const char *path,
    enum table_form form);
/*
 * The table as of now, or of a second ago; valid until the caller waits for
 * anything. A file that does not exist is empty. NULL: it can't be read and
 * never could. May suspend.
 */
const struct table *source_table(struct source *source);

#endif
