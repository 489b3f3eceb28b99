/* SPDX-License-Identifier: Apache-2.0 */
/* seqset.c - see seqset.h. */
#include "seqset.h"

#include <stdlib.h>

/* seq-number = nz-number / "*" */
static bool
take_number(struct ph_slice text, uint32_t *number_out)
{
	uint64_t number;

	if (text.n == 1 && text.p[0] == '*') {
		*number_out = SEQ_STAR;
		return true;
	}
	if (text.n > 10 || !ph_slice_number(text, SEQ_STAR, &number) ||
	    number == 0)
		return false;
	/* 4294967295 is "*" as well: no message has it */
	*number_out = (uint32_t)number;
	return true;
}

bool
seqset_parse(struct ph_arena *arena, struct ph_slice text,
    struct seqset *set_out)
{
	struct seq_range *ranges;
	struct ph_slice rest = text;
	size_t count = 1;

	for (size_t i = 0; i < text.n; i++)
		count += text.p[i] == ',';
	ranges = ph_arena_array(arena, count, sizeof(*ranges));
	for (size_t i = 0; i < count; i++) {
		struct ph_slice high = ph_slice_cut(&rest, ',');
		struct ph_slice low = ph_slice_cut(&high, ':');

		if (!take_number(low, &ranges[i].low))
			return false;
		ranges[i].high = ranges[i].low;
		if (high.p != NULL && !take_number(high, &ranges[i].high))
			return false;
	}
	*set_out = (struct seqset){ ranges, count };
	return true;
}

static int
by_low(const void *a, const void *b)
{
	const struct seq_range *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

struct seqset
seqset_resolve(struct ph_arena *arena, struct seqset set, uint32_t star)
{
	struct seq_range *ranges = ph_arena_array(arena, set.count,
	    sizeof(*ranges));
	size_t n = 0;

	for (size_t i = 0; i < set.count; i++) {
		uint32_t a = set.range[i].low, b = set.range[i].high;

		a = a == SEQ_STAR ? star : a;
		b = b == SEQ_STAR ? star : b;
		ranges[i] = (struct seq_range){ a < b ? a : b, a < b ? b : a };
	}
	qsort(ranges, set.count, sizeof(*ranges), by_low);
	for (size_t i = 0; i < set.count; i++) {
		if (n > 0 && ranges[i].low <= ranges[n - 1].high) {
			if (ranges[i].high > ranges[n - 1].high)
				ranges[n - 1].high = ranges[i].high;
		} else {
			ranges[n++] = ranges[i];
		}
	}
	return (struct seqset){ ranges, n };
}

bool
seqset_has(struct seqset set, uint32_t number)
{
	size_t low = 0, high = set.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (number < set.range[middle].low)
			high = middle;
		else if (number > set.range[middle].high)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

void
seqset_format(struct ph_buf *buf, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t end = i;

		while (end + 1 < count && numbers[end] != UINT32_MAX &&
		    numbers[end + 1] == numbers[end] + 1)
			end++;
		ph_buf_printf(buf, "%s%u", i > 0 ? "," : "", numbers[i]);
		if (end > i)
			ph_buf_printf(buf, ":%u", numbers[end]);
		i = end + 1;
	}
}
