/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.c - <posthouse/kv.h>: questions to the queue role, which owns the store.
 * Whose keys they are is the module that the fiber's context names.
 */
#include <posthouse/kv.h>

#include "base/record.h"
#include "bus/bus.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/messages.h"

enum {
	KV_MS = 2000,
	REQUEST_MAX = 8192,
	REQUEST_MANY_MAX = PH_KV_KEYS_MAX * (PH_KV_KEY_MAX + 16) + 1024,
};

struct question {
	struct ph_arena *arena;
	struct ph_buf buf;
};

static int
key_status(struct ph_slice key)
{
	return key.n == 0 ? PH_INVALID :
	    key.n > PH_KV_KEY_MAX ? PH_TOO_BIG : PH_OK;
}

static void
begin_any(struct question *question, const char *op, size_t limit)
{
	const struct log_context *context = fiber_context();

	question->arena = ph_arena_create(NULL);
	ph_buf_init(&question->buf, question->arena, limit);
	record_put_str(&question->buf, F_OP, op);
	record_put_str(&question->buf, F_NAME,
	    context != NULL && context->module != NULL ? context->module : "");
}

static int
begin(struct question *question, const char *op, struct ph_slice key)
{
	int status = key_status(key);

	if (status == PH_OK) {
		begin_any(question, op, REQUEST_MAX);
		record_put(&question->buf, F_KV_KEY, key);
	}
	return status;
}

static int
ask(struct question *question, struct bus_message *reply)
{
	if (bus_peers(ROLE_QUEUE) == 0)
		return PH_UNAVAILABLE;
	return bus_call(ROLE_QUEUE, 0, MSG_KV, ph_buf_content(&question->buf),
	    NULL, 0, KV_MS, question->arena, reply);
}

int
ph_kv_get(struct ph_arena *arena, struct ph_slice key,
    struct ph_slice *value_out)
{
	struct question question;
	struct bus_message reply;
	struct ph_slice value;
	int status = begin(&question, "get", key);

	if (status != PH_OK)
		return status;
	status = ask(&question, &reply);
	if (status == PH_OK) {
		value = record_get(reply.record, F_VALUE);
		if (value.p != NULL)
			*value_out = ph_arena_slice(arena, value);
		else
			status = PH_PROTOCOL;
	}
	ph_arena_free(question.arena);
	return status;
}

/* The reply has an F_VALUE for each key that has one, an F_STATUS for others. */
static int
take_values(struct ph_arena *arena, struct ph_slice record, size_t count,
    struct ph_slice *values_out)
{
	struct record_field field;
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		values_out[i] = (struct ph_slice){ NULL, 0 };
	while (n < count && record_next(&record, &field)) {
		if (field.tag == F_VALUE)
			values_out[n] = ph_arena_slice(arena, field.value);
		n += field.tag == F_VALUE || field.tag == F_STATUS;
	}
	return n == count ? PH_OK : PH_PROTOCOL;
}

int
ph_kv_get_many(struct ph_arena *arena, const struct ph_slice *keys,
    size_t count, struct ph_slice *values_out)
{
	struct question question;
	struct bus_message reply;
	int status = count > PH_KV_KEYS_MAX ? PH_TOO_BIG : PH_OK;

	for (size_t i = 0; status == PH_OK && i < count; i++)
		status = key_status(keys[i]);
	if (status != PH_OK || count == 0)
		return status;
	begin_any(&question, "get_many", REQUEST_MANY_MAX);
	for (size_t i = 0; i < count; i++)
		record_put(&question.buf, F_KV_KEY, keys[i]);
	status = ask(&question, &reply);
	if (status == PH_OK)
		status = take_values(arena, reply.record, count, values_out);
	ph_arena_free(question.arena);
	return status;
}

int
ph_kv_put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms)
{
	struct question question;
	struct bus_message reply;
	int status;

	if (ttl_ms == 0)
		return PH_INVALID;
	if (value.n > PH_KV_VALUE_MAX)
		return PH_TOO_BIG;
	status = begin(&question, "put", key);
	if (status != PH_OK)
		return status;
	record_put(&question.buf, F_VALUE, value.p != NULL ? value :
	    PH_LIT(""));
	record_put_u64(&question.buf, F_TIMEOUT, ttl_ms);
	status = ask(&question, &reply);
	ph_arena_free(question.arena);
	return status;
}

int
ph_kv_delete(struct ph_slice key)
{
	struct question question;
	struct bus_message reply;
	int status = begin(&question, "delete", key);

	if (status != PH_OK)
		return status;
	status = ask(&question, &reply);
	ph_arena_free(question.arena);
	return status;
}

int
ph_kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms, int64_t *sum_out)
{
	struct question question;
	struct bus_message reply;
	int status;

	if (ttl_ms == 0)
		return PH_INVALID;
	status = begin(&question, "add", key);
	if (status != PH_OK)
		return status;
	record_put_u64(&question.buf, F_NUMBER, (uint64_t)n);
	record_put_u64(&question.buf, F_TIMEOUT, ttl_ms);
	status = ask(&question, &reply);
	if (status == PH_OK)
		*sum_out = (int64_t)record_get_u64(reply.record, F_NUMBER, 0);
	ph_arena_free(question.arena);
	return status;
}

int
ph_kv_rate(struct ph_slice key, uint64_t limit, uint64_t window_ms,
    bool *over_out)
{
	int64_t sum;
	int status = ph_kv_add(key, 1, window_ms, &sum);

	if (status == PH_OK)
		*over_out = sum > 0 && (uint64_t)sum > limit;
	return status;
}
