/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_edit.h - changes of a header section that checks asked for, one after
 * the other. Pure.
 */
#ifndef CORE_SESSION_HEADER_EDIT_H
#define CORE_SESSION_HEADER_EDIT_H

#include <posthouse/arena.h>

/* Whether an F_EDIT, of a sender that may be broken into, can be applied: a
 * known change of a field whose name and value are whole and nothing else. */
bool header_edit_is_sound(struct ph_slice edit);

/*
 * Append header (fields and, if it is there, the empty line behind them) to
 * out with all F_EDITs of edits applied in their order, each to what the ones
 * before it left.
 */
void header_edit_apply(struct ph_slice header, struct ph_slice edits,
    struct ph_buf *out);

#endif
