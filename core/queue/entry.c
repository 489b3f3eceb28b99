/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c - messages in memory, and their durable encoding. */
#include "queue/queue.h"

#include <stdlib.h>

#include "base/record.h"
#include "queue/envelope.h"

enum {
	BUCKETS = 65536,
	MEMORY_MAX = 64 << 20, /* octets of content kept for first attempts */
	REASON_MAX = 400,
};

struct queue_state queue;

static struct entry *bucket[BUCKETS];

static struct entry **
find(uint64_t id)
{
	struct entry **at = &bucket[(id ^ id >> 22) % BUCKETS];

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next_hash;
	return at;
}

struct entry *
entry_find(uint64_t id)
{
	return *find(id);
}

void
entry_add(struct entry *entry)
{
	struct entry **at = find(entry->id), *after = queue.newest;

	entry->next_hash = *at;
	*at = entry;
	while (after != NULL && after->id > entry->id)
		after = after->prev_all;
	entry->prev_all = after;
	entry->next_all = after != NULL ? after->next_all : queue.oldest;
	*(after != NULL ? &after->next_all : &queue.oldest) = entry;
	*(entry->next_all != NULL ? &entry->next_all->prev_all :
	    &queue.newest) = entry;
	queue.count++;
}

void
entry_free(struct entry *entry)
{
	if (entry == NULL)
		return;
	entry_drop_content(entry);
	for (size_t i = 0; i < entry->recipient_count; i++) {
		struct queue_recipient *recipient = &entry->recipients[i];

		lane_put(recipient->lane);
		free(recipient->enhanced);
		free(recipient->host);
		free(recipient->reason);
	}
	ph_arena_free(entry->arena);
}

void
entry_remove(struct entry *entry)
{
	if (!entry->is_removed) {
		struct entry **at = find(entry->id);

		*at = entry->next_hash;
		*(entry->prev_all != NULL ? &entry->prev_all->next_all :
		    &queue.oldest) = entry->next_all;
		*(entry->next_all != NULL ? &entry->next_all->prev_all :
		    &queue.newest) = entry->prev_all;
		queue.count--;
		entry->is_removed = true;
		schedule_entry(entry);
	}
	if (entry->jobs == 0)
		entry_free(entry);
}

void
entry_keep_content(struct entry *entry, struct ph_slice content)
{
	if (content.p == NULL || queue.memory + content.n > MEMORY_MAX)
		return;
	entry->content = malloc(content.n + 1);
	ph_assert(entry->content != NULL);
	memcpy(entry->content, content.p, content.n);
	entry->content_n = content.n;
	queue.memory += content.n;
}

void
entry_drop_content(struct entry *entry)
{
	if (entry->content == NULL)
		return;
	queue.memory -= entry->content_n;
	free(entry->content);
	entry->content = NULL;
}

/* --- what the last attempt said --- */

static char *
copy(struct ph_slice text)
{
	char *to;

	if (text.p == NULL)
		return NULL;
	if (text.n > REASON_MAX)
		text.n = REASON_MAX;
	to = malloc(text.n + 1);
	ph_assert(to != NULL);
	for (size_t i = 0; i < text.n; i++)
		to[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ?
		    ' ' : text.p[i];
	to[text.n] = '\0';
	return to;
}

void
recipient_say(struct queue_recipient *recipient, int code,
    struct ph_slice enhanced, struct ph_slice host, struct ph_slice reason)
{
	free(recipient->enhanced);
	free(recipient->host);
	free(recipient->reason);
	recipient->code = code;
	recipient->enhanced = copy(enhanced);
	recipient->host = copy(host);
	recipient->reason = copy(reason);
}

struct ph_slice
recipient_record(struct ph_arena *arena,
    const struct queue_recipient *recipient)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 8192);
	if (recipient->user != NULL)
		record_put_str(&buf, ENV_USER, recipient->user);
	if (recipient->notify != NULL)
		record_put_str(&buf, ENV_NOTIFY, recipient->notify);
	if (recipient->orcpt != NULL)
		record_put_str(&buf, ENV_ORCPT, recipient->orcpt);
	if (recipient->is_warned)
		record_put_u64(&buf, ENV_WARNED, 1);
	if (recipient->transport != NULL)
		record_put_str(&buf, ENV_TRANSPORT, recipient->transport);
	if (recipient->destination != NULL)
		record_put_str(&buf, ENV_DESTINATION, recipient->destination);
	if (recipient->code != 0)
		record_put_u64(&buf, ENV_CODE, (uint64_t)recipient->code);
	if (recipient->enhanced != NULL)
		record_put_str(&buf, ENV_ENHANCED, recipient->enhanced);
	if (recipient->host != NULL)
		record_put_str(&buf, ENV_HOST, recipient->host);
	if (recipient->reason != NULL)
		record_put_str(&buf, ENV_REASON, recipient->reason);
	return ph_buf_content(&buf);
}

/* --- from the store --- */

static const char *
text_of(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice text = record_get(record, tag);

	return text.p != NULL ? ph_arena_slice(arena, text).p : NULL;
}

static void
take_recipient(struct ph_arena *arena, const struct queue_db_recipient *from,
    struct queue_recipient *to)
{
	to->number = from->number;
	to->state = from->state;
	to->attempts = from->attempts;
	to->next_ms = from->next_ms;
	to->address = ph_arena_slice(arena, from->address).p;
	to->user = text_of(arena, from->record, ENV_USER);
	to->notify = text_of(arena, from->record, ENV_NOTIFY);
	to->orcpt = text_of(arena, from->record, ENV_ORCPT);
	to->transport = text_of(arena, from->record, ENV_TRANSPORT);
	to->destination = text_of(arena, from->record, ENV_DESTINATION);
	to->is_warned = record_get_u64(from->record, ENV_WARNED, 0) != 0;
	recipient_say(to, (int)record_get_u64(from->record, ENV_CODE, 0),
	    record_get(from->record, ENV_ENHANCED),
	    record_get(from->record, ENV_HOST),
	    record_get(from->record, ENV_REASON));
}

static struct ph_slice
take_facts(struct ph_arena *arena, struct ph_slice envelope)
{
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, envelope.n + 1);
	while (record_next(&envelope, &field))
		if (field.tag == ENV_FACT)
			record_put(&buf, F_FACT, field.value);
	return ph_buf_content(&buf);
}

struct entry *
entry_create(const struct queue_db_message *message)
{
	struct ph_slice envelope = message->envelope;
	struct ph_arena *arena;
	struct entry *entry;

	if (!record_is_sound(envelope) ||
	    record_get(envelope, ENV_SENDER).p == NULL)
		return NULL;
	arena = ph_arena_create(NULL);
	entry = ph_arena_alloc(arena, sizeof(*entry));
	entry->arena = arena;
	entry->id = message->id;
	id_format(entry->id, entry->name);
	entry->is_held = message->held;
	entry->size_bytes = message->size_bytes;
	entry->sender = text_of(arena, envelope, ENV_SENDER);
	entry->session = text_of(arena, envelope, ENV_SESSION);
	entry->client = text_of(arena, envelope, ENV_CLIENT);
	entry->auth_user = text_of(arena, envelope, ENV_AUTH_USER);
	entry->received_at = (int64_t)record_get_u64(envelope,
	    ENV_RECEIVED_AT, 0);
	entry->facts = take_facts(arena, envelope);
	entry->recipient_count = message->recipient_count;
	entry->recipients = ph_arena_array(arena, message->recipient_count,
	    sizeof(*entry->recipients));
	for (size_t i = 0; i < entry->recipient_count; i++) {
		take_recipient(arena, &message->recipients[i],
		    &entry->recipients[i]);
		if (entry->recipients[i].state == QUEUE_DB_WAITING)
			entry->recipients[i].lane =
			    lane_of(&entry->recipients[i]);
	}
	return entry;
}

struct ph_slice
entry_fact(const struct entry *entry, const char *name)
{
	struct ph_slice rest = entry->facts;
	struct record_field field;

	while (record_next(&rest, &field))
		if (ph_slice_eq(record_get(field.value, F_NAME),
		        ph_slice_str(name)))
			return record_get(field.value, F_TEXT);
	return (struct ph_slice){ NULL, 0 };
}
