/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seqset.h - sequence sets, RFC 3501 s9, and lists of numbers as sets. Pure.
 */
#ifndef IMAP_SEQSET_H
#define IMAP_SEQSET_H

#include <posthouse/arena.h>

struct seq_range {
	uint32_t low, high; /* inclusive; SEQ_STAR stands for "*" */
};
struct seqset {
	const struct seq_range *range;
	size_t count;
};
#define SEQ_STAR UINT32_MAX

/* sequence-set = (seq-number / seq-range) *("," sequence-set) */
bool seqset_parse(struct ph_arena *arena, struct ph_slice text,
    struct seqset *set_out);
/* The same set with "*" as the number star, in order and without overlaps. */
struct seqset seqset_resolve(struct ph_arena *arena, struct seqset set,
    uint32_t star);
/* Of a resolved set. */
bool seqset_has(struct seqset set, uint32_t number);
/* "1:3,7": runs of numbers as they come, which must not be sorted for UIDPLUS
 * (RFC 4315 s3: pairs in order). */
void seqset_format(struct ph_buf *buf, const uint32_t *numbers, size_t count);

#endif
