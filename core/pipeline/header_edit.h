/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_edit.h - changes of a header section that checks asked for, one after
 * the other, in check for modules of later orders and in edge for good. Pure.
 */
#ifndef CORE_PIPELINE_HEADER_EDIT_H
#define CORE_PIPELINE_HEADER_EDIT_H

#include <posthouse/arena.h>

enum {
	HEADER_GROWTH_MAX = 256 << 10, /* octets that all changes may add */
};

/* Whether an F_EDIT, of a sender that may be broken into, can be applied: a
 * known change of a field whose name and value are whole and nothing else. */
bool header_edit_is_sound(struct ph_slice edit);

/* Whether there is an F_EDIT or F_ADD_HEADER among the fields. */
bool header_edit_is_any(struct ph_slice changes);

/*
 * Append header (fields and, if it is there, the empty line behind them) to
 * out with all F_EDITs and F_ADD_HEADERs (in front of all) of changes applied
 * in their order, each to what the ones before it left.
 */
void header_edit_apply(struct ph_slice header, struct ph_slice changes,
    struct ph_buf *out);

/* Append header to out, with the empty line that it lacks, so that what follows
 * is a body. */
void header_edit_end(struct ph_slice header, struct ph_buf *out);

#endif
