/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdicts.c - what checks said before attempts, as part of a stored trace. Each
 * attempt asks again, and mostly hears the same: that is no news, and costs no
 * row.
 */
#include "queue/verdicts.h"

#include "base/record.h"
#include "pipeline/pipeline.h"
#include "queue/routing.h"
#include "role/messages.h"

enum {
	MODULE_MAX = 64,
	TEXT_MAX = 512,
	ONE_MORE = 256, /* octets beside module, text and address */
};

/* --- from an answer --- */

static bool
is_verdict(struct ph_slice in)
{
	uint64_t stage = record_get_u64(in, F_STAGE, PH_STAGES_ALL);

	return record_is_sound(in) &&
	    (stage == PH_AT_ROUTE || stage == PH_AT_DELIVER) &&
	    record_get_u64(in, F_VERDICT, PH_QUARANTINE + 1) <= PH_QUARANTINE &&
	    record_get(in, F_MODULE).n > 0 &&
	    routing_is_sane(record_get(in, F_MODULE), MODULE_MAX);
}

static void
put_one(struct ph_buf *buf, struct ph_slice in, const char *address,
    unsigned attempt)
{
	static const uint16_t numbers[] = { F_STAGE, F_VERDICT, F_MICROSECONDS,
		F_SHADOW };
	struct ph_slice text = record_get(in, F_TEXT);
	size_t mark = record_begin(buf, F_TRACE);

	record_put(buf, F_MODULE, record_get(in, F_MODULE));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		record_put_u64(buf, numbers[i],
		    record_get_u64(in, numbers[i], 0));
	if (text.p != NULL && routing_is_sane(text, TEXT_MAX))
		record_put(buf, F_TEXT, text);
	if (record_get(in, F_SCORE).p != NULL)
		record_put_u64(buf, F_SCORE, record_get_u64(in, F_SCORE, 0));
	record_put_str(buf, F_ADDRESS, address);
	record_put_u64(buf, F_ATTEMPTS, attempt);
	record_end(buf, mark);
}

void
verdicts_put(struct ph_buf *buf, struct ph_slice answer, const char *address,
    unsigned attempt)
{
	size_t most = MODULE_MAX + TEXT_MAX + strlen(address) + ONE_MORE;
	struct record_field field;

	while (record_next(&answer, &field) && buf->n + most <= VERDICTS_MAX)
		if (field.tag == F_TRACE && is_verdict(field.value))
			put_one(buf, field.value, address, attempt);
}

/* --- in a trace --- */

static bool
is_later(struct ph_slice verdict)
{
	return record_get(verdict, F_ADDRESS).p != NULL;
}

static bool
is_equal(struct ph_slice a, struct ph_slice b, uint16_t tag)
{
	struct ph_slice x = record_get(a, tag), y = record_get(b, tag);

	return (x.p == NULL) == (y.p == NULL) && ph_slice_eq(x, y);
}

/* By the same check, of the same recipient. */
static bool
is_about_same(struct ph_slice a, struct ph_slice b)
{
	return is_equal(a, b, F_ADDRESS) && is_equal(a, b, F_STAGE) &&
	    is_equal(a, b, F_MODULE);
}

static bool
says_same(struct ph_slice a, struct ph_slice b)
{
	return is_about_same(a, b) && is_equal(a, b, F_VERDICT) &&
	    is_equal(a, b, F_TEXT) && is_equal(a, b, F_SCORE) &&
	    is_equal(a, b, F_SHADOW);
}

typedef bool (*same_fn)(struct ph_slice a, struct ph_slice b);

static bool
has(struct ph_slice list, struct ph_slice verdict, same_fn same)
{
	struct record_field field;

	while (record_next(&list, &field))
		if (field.tag == F_TRACE && same(field.value, verdict))
			return true;
	return false;
}

/* Those of the list that the other one says nothing like. */
static struct ph_slice
without(struct ph_arena *arena, struct ph_slice list, struct ph_slice other,
    same_fn same)
{
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, list.n + 1);
	ph_buf_reserve(&buf, list.n + 1);
	while (record_next(&list, &field))
		if (!has(other, field.value, same))
			record_put(&buf, field.tag, field.value);
	return ph_buf_content(&buf);
}

/* The newest that have room. */
static struct ph_slice
newest(struct ph_slice list, size_t room)
{
	struct record_field field;

	while (list.n > room && record_next(&list, &field))
		continue;
	return list;
}

static void
put_where(struct ph_buf *buf, struct ph_slice trace, bool later)
{
	struct record_field field;

	while (record_next(&trace, &field))
		if (is_later(field.value) == later)
			record_put(buf, field.tag, field.value);
}

struct ph_slice
verdicts_merge(struct ph_arena *arena, struct ph_slice trace,
    struct ph_slice more)
{
	struct ph_slice news = without(arena, more, trace, says_same), kept;
	struct ph_buf later, all;

	if (news.n == 0)
		return trace;
	ph_buf_init(&later, arena, trace.n + more.n + 1);
	put_where(&later, without(arena, trace, news, is_about_same), true);
	ph_buf_slice(&later, news);
	kept = newest(ph_buf_content(&later), VERDICTS_MAX);
	ph_buf_init(&all, arena, trace.n + more.n + 1);
	put_where(&all, trace, false);
	ph_buf_slice(&all, kept);
	return ph_buf_content(&all);
}

struct ph_slice
verdicts_of(struct ph_arena *arena, struct ph_slice trace,
    const char *address)
{
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, trace.n + 1);
	ph_buf_reserve(&buf, trace.n + 1);
	while (record_next(&trace, &field))
		if (!is_later(field.value) || ph_slice_eq(record_get(
		        field.value, F_ADDRESS), ph_slice_str(address)))
			record_put(&buf, field.tag, field.value);
	return ph_buf_content(&buf);
}
