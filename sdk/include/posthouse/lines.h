/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/lines.h - a text file with one entry a line, kept in memory and
 * read again when it changed: lists of senders, names, domains.
 *
 * The server keeps what it read for all who ask, so a module needs no state of
 * its own. Roles are confined: a check may read what options of the types path
 * and paths name, what is below /etc, /usr and /opt, and its role's own folder,
 * check in data_dir. Since minor 2.
 */
#ifndef POSTHOUSE_LINES_H
#define POSTHOUSE_LINES_H

#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_lines;

#define PH_LINES_OCTETS_MAX (64u << 20) /* of a file */

/*
 * The lines of the file at path (absolute), as they were at most a second ago;
 * they stay as they are until the arena ends. White space around a line is not
 * part of it; empty lines and those that begin with "#" are left out. A file
 * that could be read before and can't be now is logged, once, and stays as it
 * was. 0, or with err (may be NULL) filled: PH_NOT_FOUND; PH_DENIED; PH_IO;
 * PH_TOO_BIG over PH_LINES_OCTETS_MAX; PH_INVALID when it is no regular file;
 * PH_TIMEOUT and PH_CANCELED of the fiber. Suspends when the file is looked at:
 * at most once a second.
 */
PH_EXPORT int ph_lines_read(struct ph_arena *arena, const char *path,
    const struct ph_lines **lines_out, struct ph_err *err);
/* Whether a line is this text; ASCII letters are folded. In constant time. */
PH_EXPORT bool ph_lines_has(const struct ph_lines *lines,
    struct ph_slice text);
/* How many lines there are. */
PH_EXPORT size_t ph_lines_count(const struct ph_lines *lines);
/* Line i, i < count, in the order of the file. Borrowed from lines. */
PH_EXPORT struct ph_slice ph_lines_at(const struct ph_lines *lines, size_t i);

#ifdef __cplusplus
}
#endif
#endif
