/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_serve.c - MSG_KV: who may ask, and whose keys they see. The sender's role
 * is part of the key, so a role that was broken into can't touch another's.
 */
#include "queue/kv.h"

#include <posthouse/kv.h>

#include "base/record.h"
#include "queue/queue.h"

static struct {
	unsigned busy;
	bool is_stopping;
	struct ph_event idle;
} served;

enum {
	KEY_MAX = 1 + KV_NAME_MAX + 1 + PH_KV_KEY_MAX,
	REPLY_MAX = PH_KV_KEYS_MAX * (PH_KV_VALUE_MAX + 16),
};

/* Role, name, NUL, key; absent: a field is missing or over its limit. */
static struct ph_slice
whole_key(const struct bus_request *request, struct ph_slice key,
    char text[KEY_MAX])
{
	struct ph_slice name = record_get(request->message.record, F_NAME);
	size_t n = 0;

	if (name.p == NULL || name.n > KV_NAME_MAX || key.n == 0 ||
	    key.n > PH_KV_KEY_MAX || memchr(name.p, '\0', name.n) != NULL)
		return (struct ph_slice){ NULL, 0 };
	text[n++] = (char)request->from;
	memcpy(text + n, name.p, name.n);
	n += name.n;
	text[n++] = '\0';
	memcpy(text + n, key.p, key.n);
	return (struct ph_slice){ text, n + key.n };
}

static int
answer(const struct bus_request *request, struct ph_slice key,
    struct ph_buf *reply)
{
	struct ph_slice record = request->message.record, value;
	struct ph_slice op = record_get(record, F_OP);
	uint64_t ttl_ms = record_get_u64(record, F_TIMEOUT, 0);
	int64_t sum = (int64_t)record_get_u64(record, F_NUMBER, 0);
	int status;

	if (ph_slice_eq(op, PH_LIT("get"))) {
		status = kv_get(key, request->arena, &value);
		if (status == PH_OK)
			record_put(reply, F_VALUE, value);
		return status;
	}
	if (ph_slice_eq(op, PH_LIT("put"))) {
		value = record_get(record, F_VALUE);
		if (value.p == NULL || value.n > PH_KV_VALUE_MAX)
			return value.p == NULL ? PH_INVALID : PH_TOO_BIG;
		return kv_put(key, value, ttl_ms);
	}
	if (ph_slice_eq(op, PH_LIT("delete")))
		return kv_delete(key);
	if (!ph_slice_eq(op, PH_LIT("add")))
		return PH_INVALID;
	status = kv_add(key, sum, ttl_ms, &sum);
	if (status == PH_OK)
		record_put_u64(reply, F_NUMBER, (uint64_t)sum);
	return status;
}

/* A value or a status for each key; PH_NOT_FOUND is the only one that does not
 * end it. */
static int
answer_many(const struct bus_request *request, struct ph_buf *reply)
{
	struct ph_slice rest = request->message.record, key, value;
	struct record_field field;
	char text[KEY_MAX];
	unsigned count = 0;

	while (record_next(&rest, &field)) {
		int status;

		if (field.tag != F_KV_KEY)
			continue;
		key = whole_key(request, field.value, text);
		if (key.p == NULL || ++count > PH_KV_KEYS_MAX)
			return PH_INVALID;
		status = kv_get(key, request->arena, &value);
		if (status == PH_OK)
			record_put(reply, F_VALUE, value);
		else if (status == PH_NOT_FOUND)
			record_put_u64(reply, F_STATUS, (uint64_t)status);
		else
			return status;
	}
	return PH_OK;
}

static int
answer_any(const struct bus_request *request, struct ph_buf *reply)
{
	struct ph_slice record = request->message.record, key;
	char text[KEY_MAX];

	if (served.is_stopping)
		return PH_UNAVAILABLE;
	if (ph_slice_eq(record_get(record, F_OP), PH_LIT("get_many")))
		return answer_many(request, reply);
	key = whole_key(request, record_get(record, F_KV_KEY), text);
	return key.p != NULL ? answer(request, key, reply) : PH_INVALID;
}

static void
on_kv(struct bus_request *request)
{
	struct ph_buf reply;
	int status;

	ph_buf_init(&reply, request->arena, REPLY_MAX);
	served.busy++;
	status = answer_any(request, &reply);
	if (--served.busy == 0)
		ph_event_signal(&served.idle);
	bus_reply(request, status, ph_buf_content(&reply), NULL, 0);
}

void
kv_serve(void)
{
	bus_serve(MSG_KV, ROLE_BIT(ROLE_CHECK) | ROLE_BIT(ROLE_EDGE) |
	    ROLE_BIT(ROLE_RELAY), on_kv);
	bus_limit_fds(MSG_KV, 0, 0);
}

void
kv_serve_stop(void)
{
	served.is_stopping = true;
	while (served.busy > 0 &&
	    ph_event_wait(&served.idle, PH_NO_LIMIT_MS) == PH_OK)
		;
	kv_stop();
}
