/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c - what a transport sees of a delivery attempt.
 *
 * The record comes from another process and its values go into commands of a
 * protocol of lines, so no control octet gets past attempt_parse. The content
 * is a read-only mapping; header fields that the queue keeps apart from the
 * file lie on the pages right in front of it.
 */
#include "role/attempt.h"

#include <stdio.h>

#include "base/record.h"
#include "role/content.h"
#include "role/messages.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* --- parsing --- */

static bool
is_clean(struct ph_slice s, size_t limit)
{
	if (s.n > limit)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

/* One word, as a parameter's value is. */
static bool
is_word(struct ph_slice s, size_t limit)
{
	return is_clean(s, limit) && memchr(s.p != NULL ? s.p : "", ' ', s.n)
	    == NULL;
}

/* The domain is not quoted in a command, so nothing in it may end the path. */
static bool
is_address(struct ph_slice s)
{
	const char *at = s.p != NULL ? memrchr(s.p, '@', s.n) : NULL;
	struct ph_slice domain = { at, at != NULL ? (size_t)(s.p + s.n - at) :
	                                            0 };

	return is_clean(s, ATTEMPT_ADDRESS_MAX) &&
	    (at == NULL || (is_word(domain, 256) &&
	        memchr(at, '<', domain.n) == NULL &&
	        memchr(at, '>', domain.n) == NULL));
}

static bool
parse_recipient(struct ph_slice record, struct attempt_recipient *recipient)
{
	recipient->number = record_get_u64(record, F_NUMBER, UINT64_MAX);
	recipient->address = record_get(record, F_ADDRESS);
	recipient->notify = record_get(record, F_DSN_NOTIFY);
	recipient->orcpt = record_get(record, F_ORCPT);
	return recipient->number != UINT64_MAX && recipient->address.n > 0 &&
	    is_address(recipient->address) &&
	    is_word(recipient->notify, 64) && is_word(recipient->orcpt, 600);
}

static bool
parse_fact(struct ph_slice record, struct attempt_fact *fact)
{
	fact->name = record_get(record, F_NAME);
	fact->text = record_get(record, F_TEXT);
	return fact->name.n > 0 && is_word(fact->name, 64) &&
	    is_clean(fact->text, 1024);
}

static size_t
count_recipients(struct ph_slice record)
{
	struct record_field field;
	size_t count = 0;

	while (record_next(&record, &field))
		count += field.tag == F_RCPT;
	return count;
}

static int
parse_lists(struct ph_attempt *attempt, struct ph_slice record)
{
	struct record_field field;

	while (record_next(&record, &field)) {
		if (field.tag == F_RCPT) {
			if (!parse_recipient(field.value, &attempt->recipients[
			        attempt->recipient_count++]))
				return PH_INVALID;
		} else if (field.tag == F_FACT) {
			if (attempt->fact_count == ATTEMPT_FACTS_MAX)
				return PH_TOO_BIG;
			if (!parse_fact(field.value,
			        &attempt->facts[attempt->fact_count++]))
				return PH_INVALID;
		}
	}
	return record.p == NULL || attempt->recipient_count == 0 ? PH_INVALID :
	                                                           PH_OK;
}

int
attempt_parse(struct ph_arena *arena, struct ph_slice record,
    struct ph_attempt **attempt_out)
{
	struct ph_attempt *attempt = ph_arena_alloc(arena, sizeof(*attempt));
	uint64_t id = record_get_u64(record, F_QUEUE_ID, 0);
	size_t count = count_recipients(record);
	int status;

	if (count > ATTEMPT_RECIPIENTS_MAX)
		return PH_TOO_BIG;
	attempt->arena = arena;
	attempt->destination = record_get(record, F_DESTINATION);
	attempt->transport = record_get(record, F_TRANSPORT);
	attempt->sender = record_get(record, F_SENDER);
	attempt->octets = record_get(record, F_CONTENT);
	if (id == 0 || attempt->sender.p == NULL ||
	    attempt->destination.n == 0 ||
	    !is_word(attempt->destination, 1024) ||
	    !is_word(attempt->transport, 64) ||
	    !is_address(attempt->sender))
		return PH_INVALID;
	id_format(id, attempt->queue_id);
	attempt->recipients = ph_arena_array(arena, count,
	    sizeof(*attempt->recipients));
	attempt->facts = ph_arena_array(arena, ATTEMPT_FACTS_MAX,
	    sizeof(*attempt->facts));
	status = parse_lists(attempt, record);
	if (status == PH_OK)
		*attempt_out = attempt;
	return status;
}

/* --- the content --- */

int
attempt_open(struct ph_attempt *attempt, int fd, uint64_t limit_bytes,
    struct ph_err *err)
{
	return content_open(attempt->arena, attempt->octets, fd, limit_bytes,
	    &attempt->content, err);
}

/* --- what a transport sees --- */

struct ph_arena *
ph_attempt_arena(struct ph_attempt *attempt)
{
	return attempt->arena;
}

const char *
ph_attempt_queue_id(const struct ph_attempt *attempt)
{
	return attempt->queue_id;
}

const char *
ph_attempt_hostname(const struct ph_attempt *attempt)
{
	return attempt->hostname;
}

struct ph_slice
ph_attempt_destination(const struct ph_attempt *attempt)
{
	return attempt->destination;
}

struct ph_slice
ph_attempt_sender(const struct ph_attempt *attempt)
{
	return attempt->sender;
}

size_t
ph_attempt_recipient_count(const struct ph_attempt *attempt)
{
	return attempt->recipient_count;
}

static const struct attempt_recipient *
recipient_at(const struct ph_attempt *attempt, size_t i)
{
	ph_assert(i < attempt->recipient_count);
	return &attempt->recipients[i];
}

struct ph_slice
ph_attempt_recipient(const struct ph_attempt *attempt, size_t i)
{
	return recipient_at(attempt, i)->address;
}

struct ph_slice
ph_attempt_notify(const struct ph_attempt *attempt, size_t i)
{
	return recipient_at(attempt, i)->notify;
}

struct ph_slice
ph_attempt_orcpt(const struct ph_attempt *attempt, size_t i)
{
	return recipient_at(attempt, i)->orcpt;
}

struct ph_slice
ph_attempt_get(const struct ph_attempt *attempt, const char *key)
{
	struct ph_slice name = ph_slice_str(key);

	for (size_t i = 0; i < attempt->fact_count; i++)
		if (ph_slice_eq(attempt->facts[i].name, name))
			return attempt->facts[i].text;
	return (struct ph_slice){ NULL, 0 };
}

struct ph_slice
ph_attempt_content(const struct ph_attempt *attempt)
{
	return attempt->content;
}

/* --- results --- */

/* Printable and cut. */
static const char *
clean_copy(struct ph_arena *arena, const char *text, size_t limit)
{
	size_t n = strnlen(text, limit);
	char *copy = ph_arena_alloc(arena, n + 1);

	for (size_t i = 0; i < n; i++)
		copy[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ?
		    '?' : text[i];
	while (n > 0 && text[n] != '\0' && ((unsigned char)text[n] & 0xc0) ==
	    0x80)
		copy[--n] = '\0'; /* not half a character of UTF-8 */
	return copy;
}

static void
result_set(struct ph_attempt *attempt, size_t i,
    const struct attempt_result *result)
{
	struct attempt_result *to = &attempt->recipients[i].result;

	if (!to->is_set || to->delivery != PH_DELIVERED)
		*to = *result;
}

void
ph_attempt_result(struct ph_attempt *attempt, size_t i,
    enum ph_delivery delivery, int code, const char *enhanced,
    const char *host, const char *fmt, ...)
{
	struct attempt_result result = { .is_set = true,
		.delivery = delivery, .code = code };
	char text[ATTEMPT_TEXT_MAX + 8];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	result.text = clean_copy(attempt->arena, text, ATTEMPT_TEXT_MAX);
	if (enhanced != NULL)
		result.enhanced = clean_copy(attempt->arena, enhanced, 10);
	if (host != NULL)
		result.host = clean_copy(attempt->arena, host, 255);
	if (i != PH_ALL_RECIPIENTS) {
		ph_assert(i < attempt->recipient_count);
		result_set(attempt, i, &result);
		return;
	}
	for (i = 0; i < attempt->recipient_count; i++)
		if (!attempt->recipients[i].result.is_set)
			result_set(attempt, i, &result);
}

void
ph_attempt_onward(struct ph_attempt *attempt, size_t i,
    enum ph_onward onward)
{
	ph_assert(i < attempt->recipient_count);
	attempt->recipients[i].onward = onward;
}

static void
put_words(struct ph_buf *buf, const struct attempt_result *result, size_t room)
{
	size_t text_n = strlen(result->text);
	size_t host_n = result->host != NULL ? strlen(result->host) + 6 : 0;

	if (host_n > 0 && host_n <= room) {
		record_put_str(buf, F_HOST, result->host);
		room -= host_n;
	}
	if (text_n + 6 <= room)
		record_put_str(buf, F_TEXT, result->text);
}

void
attempt_reply(struct ph_attempt *attempt, const char *reason,
    struct ph_buf *buf)
{
	ph_attempt_result(attempt, PH_ALL_RECIPIENTS, PH_DEFERRED, 0, "4.3.0",
	    NULL, "%s", reason);
	for (size_t i = 0; i < attempt->recipient_count; i++) {
		const struct attempt_recipient *to = &attempt->recipients[i];
		const struct attempt_result *result = &to->result;
		size_t needed = (attempt->recipient_count - i) *
		    ATTEMPT_RESULT_MIN + buf->n;
		size_t mark = record_begin(buf, F_RESULT);

		record_put_u64(buf, F_NUMBER, to->number);
		record_put_u64(buf, F_DELIVERY, (uint64_t)result->delivery);
		if (to->onward != PH_ONWARD_SILENT)
			record_put_u64(buf, F_ONWARD, (uint64_t)to->onward);
		if (result->code > 0)
			record_put_u64(buf, F_CODE, (uint64_t)result->code);
		if (result->enhanced != NULL)
			record_put_str(buf, F_ENHANCED, result->enhanced);
		put_words(buf, result, buf->limit > needed ?
		    buf->limit - needed : 0);
		record_end(buf, mark);
	}
}
