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

enum { KV_MS = 2000, REQUEST_MAX = 8192 };

struct question {
	struct ph_arena *arena;
	struct ph_buf buf;
};

static int
begin(struct question *question, const char *op, struct ph_slice key)
{
	const struct log_context *context = fiber_context();

	if (key.n == 0)
		return PH_INVALID;
	if (key.n > PH_KV_KEY_MAX)
		return PH_TOO_BIG;
	question->arena = ph_arena_create(NULL);
	ph_buf_init(&question->buf, question->arena, REQUEST_MAX);
	record_put_str(&question->buf, F_OP, op);
	record_put_str(&question->buf, F_NAME,
	    context != NULL && context->module != NULL ? context->module : "");
	record_put(&question->buf, F_KV_KEY, key);
	return PH_OK;
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
