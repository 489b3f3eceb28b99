/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope_edit.h - changes of the envelope that checks ask for at the end of a
 * message, on the bus: in check for modules of later orders, in edge for good.
 * Pure but for memory.
 */
#ifndef CORE_PIPELINE_ENVELOPE_EDIT_H
#define CORE_PIPELINE_ENVELOPE_EDIT_H

#include <posthouse/arena.h>

enum envelope_op { ENVELOPE_ADD = 1, ENVELOPE_REMOVE, ENVELOPE_SENDER };
enum { ENVELOPE_EDITS_MAX = 2000 }; /* of one answer */

struct envelope_edit {
	enum envelope_op op;
	struct ph_slice address;       /* as it is kept: unquoted */
	struct ph_slice notify, orcpt; /* RFC 3461; absent: not given */
	struct ph_slice module;        /* for the log */
};

/* Append an F_ENVELOPE. PH_INVALID, and nothing is appended, as below. */
int envelope_edit_put(struct ph_buf *buf, const struct envelope_edit *edit);
/*
 * Read one, of a sender that may be broken into. PH_INVALID: no known change,
 * no address that SMTP could carry (the null one is a sender), or no NOTIFY or
 * ORCPT that is one.
 */
int envelope_edit_take(struct ph_arena *arena, struct ph_slice record,
    struct envelope_edit *edit_out);
/* Whether there are any among the fields. */
bool envelope_edit_is_any(struct ph_slice changes);

/* A bare CR or LF, or a NUL: what a body may not have (RFC 5321 s2.3.8). */
struct body_scan {
	bool after_cr, is_bad;
};
void body_scan_next(struct body_scan *scan, struct ph_slice octets);
/* Behind the last: whether all of it is sound. */
bool body_scan_end(const struct body_scan *scan);

#endif
