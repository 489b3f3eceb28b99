/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c - messages in memory, and their durable encoding. A queue may hold a
 * million of them, so an entry is one allocation, and what only an attempt
 * needs (facts, content) is read again for it.
 */
#include "queue/queue.h"

#include <stdlib.h>

#include "base/record.h"
#include "queue/envelope.h"

enum {
	BUCKETS = 1 << 18,
	TEXTS = 8, /* of ids, good at once */
	MEMORY_MAX = 64 << 20, /* octets of content kept for first attempts */
};

struct queue_state queue = { .now_ms = ph_now_ms, .begin = attempt_begin };

static struct entry *bucket[BUCKETS];
static const struct recipient_more nothing_more;

static struct entry **
bucket_of(uint64_t id)
{
	return &bucket[(id ^ id >> 22) % BUCKETS];
}

static struct entry **
find(uint64_t id)
{
	struct entry **at = bucket_of(id);

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
	struct entry **at = bucket_of(entry->id), *after = queue.newest;

	entry->next_hash = *at;
	*at = entry;
	/* the store is read from its newest to its oldest */
	if (queue.oldest != NULL && entry->id < queue.oldest->id)
		after = NULL;
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
		said_put(recipient->said);
	}
	free(entry);
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

static size_t
kept_octets(const struct kept *kept)
{
	return kept->facts_n + kept->origin_n + kept->content_n;
}

void
entry_keep_content(struct entry *entry, struct ph_slice envelope,
    struct ph_slice content)
{
	const struct ph_slice origin = envelope_origin(envelope);
	struct ph_slice facts;
	struct kept *kept;

	if (content.p == NULL || queue.memory + content.n > MEMORY_MAX)
		return;
	facts = envelope_facts(NULL, envelope);
	kept = malloc(sizeof(*kept) + facts.n + origin.n + content.n);
	ph_assert(kept != NULL);
	kept->facts_n = facts.n;
	kept->origin_n = origin.n;
	kept->content_n = content.n;
	if (facts.n > 0) {
		memcpy(kept->octets, facts.p, facts.n);
		free((char *)(uintptr_t)facts.p);
	}
	if (origin.n > 0)
		memcpy(kept->octets + facts.n, origin.p, origin.n);
	memcpy(kept->octets + facts.n + origin.n, content.p, content.n);
	queue.memory += kept_octets(kept);
	entry->kept = kept;
}

void
entry_drop_content(struct entry *entry)
{
	struct kept *kept = entry->kept;

	if (kept == NULL)
		return;
	queue.memory -= kept_octets(kept);
	free(kept);
	entry->kept = NULL;
}

static const char *
id_text(uint64_t id)
{
	static char text[TEXTS][ID_TEXT_MAX];
	static unsigned turn;

	return id_format(id, text[turn++ % TEXTS]);
}

const char *
entry_name(const struct entry *entry)
{
	return id_text(entry->id);
}

const char *
entry_session(const struct entry *entry)
{
	return entry->session != 0 ? id_text(entry->session) : NULL;
}

/* Behind the sender. */
const char *
entry_quarantine(const struct entry *entry)
{
	return entry->is_quarantined ?
	    entry->sender + strlen(entry->sender) + 1 : NULL;
}

struct entry *
entry_of(struct queue_recipient *recipient)
{
	return HEAP_OF(recipient - recipient->index, struct entry,
	    recipients);
}

void
recipient_tried(struct queue_recipient *recipient)
{
	if (recipient->attempts < ATTEMPTS_MAX)
		recipient->attempts++;
}

/* --- the durable encoding --- */

struct ph_slice
recipient_record(struct ph_arena *arena,
    const struct queue_recipient *recipient)
{
	const struct said *said = recipient->said;
	const struct recipient_more *more = recipient->more != NULL ?
	    recipient->more : &nothing_more;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 8192);
	if (recipient->user != NULL)
		record_put_str(&buf, ENV_USER, recipient->user);
	if (more->notify != NULL)
		record_put_str(&buf, ENV_NOTIFY, more->notify);
	if (more->orcpt != NULL)
		record_put_str(&buf, ENV_ORCPT, more->orcpt);
	if (recipient->is_warned)
		record_put_u64(&buf, ENV_WARNED, 1);
	if (more->transport != NULL)
		record_put_str(&buf, ENV_TRANSPORT, more->transport);
	if (more->destination != NULL)
		record_put_str(&buf, ENV_DESTINATION, more->destination);
	if (said != NULL && said->reply->code != 0)
		record_put_u64(&buf, ENV_CODE, (uint64_t)said->reply->code);
	if (said != NULL && said->reply->enhanced != NULL)
		record_put_str(&buf, ENV_ENHANCED, said->reply->enhanced);
	if (said != NULL && said->has_host)
		record_put_str(&buf, ENV_HOST, said->host);
	if (said != NULL && said->reply->reason != NULL)
		record_put_str(&buf, ENV_REASON, said->reply->reason);
	return ph_buf_content(&buf);
}

struct ph_slice
envelope_facts(struct ph_arena *arena, struct ph_slice envelope)
{
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, envelope.n + 1);
	while (record_next(&envelope, &field))
		if (field.tag == ENV_FACT)
			record_put(&buf, F_FACT, field.value);
	return ph_buf_content(&buf);
}

struct ph_slice
envelope_origin(struct ph_slice envelope)
{
	return record_get(envelope, ENV_ORIGIN);
}

struct ph_slice
fact_of(struct ph_slice facts, const char *name)
{
	struct record_field field;

	while (record_next(&facts, &field))
		if (ph_slice_eq(record_get(field.value, F_NAME),
		        ph_slice_str(name)))
			return record_get(field.value, F_TEXT);
	return (struct ph_slice){ NULL, 0 };
}

/* --- from the store --- */

/* The texts of a recipient; a mailbox with the name of its address is written
 * once. */
struct recipient_texts {
	struct ph_slice address, user, notify, orcpt, transport, destination;
	bool user_is_address;
};

/* Where the field belongs; NULL: it is none of them. */
static struct ph_slice *
text_of(struct recipient_texts *texts, uint16_t tag)
{
	switch (tag) {
	case ENV_USER:
		return &texts->user;
	case ENV_NOTIFY:
		return &texts->notify;
	case ENV_ORCPT:
		return &texts->orcpt;
	case ENV_TRANSPORT:
		return &texts->transport;
	case ENV_DESTINATION:
		return &texts->destination;
	default:
		return NULL;
	}
}

static struct recipient_texts
texts_of(const struct queue_db_recipient *from)
{
	struct recipient_texts texts = { .address = from->address };
	struct ph_slice rest = from->record;
	struct record_field field;

	while (record_next(&rest, &field)) {
		struct ph_slice *text = text_of(&texts, field.tag);

		if (text != NULL && text->p == NULL)
			*text = field.value;
	}
	texts.user_is_address = texts.user.p != NULL &&
	    ph_slice_eq(texts.user, texts.address);
	return texts;
}

static bool
has_more(const struct recipient_texts *texts)
{
	return texts->notify.p != NULL || texts->orcpt.p != NULL ||
	    texts->transport.p != NULL || texts->destination.p != NULL;
}

static size_t
room_for(struct ph_slice text)
{
	return text.p != NULL ? text.n + 1 : 0;
}

/* Of all recipients, and how many have more than an address. */
static size_t
room_for_texts(const struct queue_db_message *message, size_t *more_out)
{
	size_t room = room_for(record_get(message->envelope, ENV_SENDER)) +
	    room_for(record_get(message->envelope, ENV_QUARANTINE));

	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient_texts texts =
		    texts_of(&message->recipients[i]);

		room += room_for(texts.address) + room_for(texts.notify) +
		    room_for(texts.orcpt) + room_for(texts.transport) +
		    room_for(texts.destination);
		if (!texts.user_is_address)
			room += room_for(texts.user);
		*more_out += has_more(&texts);
	}
	return room;
}

/* *at is the free room behind what was put before. */
static const char *
put_text(char **at, struct ph_slice text)
{
	char *to = *at;

	if (text.p == NULL)
		return NULL;
	memcpy(to, text.p, text.n);
	to[text.n] = '\0';
	*at += text.n + 1;
	return to;
}

static void
take_recipient(char **at, struct recipient_more **more,
    const struct queue_db_recipient *from, struct queue_recipient *to)
{
	struct recipient_texts texts = texts_of(from);

	to->number = from->number;
	to->state = from->state;
	to->attempts = (unsigned)(from->attempts < ATTEMPTS_MAX ?
	    from->attempts : ATTEMPTS_MAX) & ATTEMPTS_MAX;
	to->next_ms = from->next_ms;
	to->address = put_text(at, texts.address);
	to->user = texts.user_is_address ? to->address :
	                                   put_text(at, texts.user);
	to->more = &nothing_more;
	if (has_more(&texts)) {
		to->more = *more;
		(*more)->notify = put_text(at, texts.notify);
		(*more)->orcpt = put_text(at, texts.orcpt);
		(*more)->transport = put_text(at, texts.transport);
		(*more)->destination = put_text(at, texts.destination);
		(*more)++;
	}
	to->is_warned = record_get_u64(from->record, ENV_WARNED, 0) != 0;
	recipient_say(to, (int)record_get_u64(from->record, ENV_CODE, 0),
	    record_get(from->record, ENV_ENHANCED),
	    record_get(from->record, ENV_HOST),
	    record_get(from->record, ENV_REASON));
}

struct entry *
entry_create(const struct queue_db_message *message)
{
	struct ph_slice envelope = message->envelope;
	struct recipient_more *more;
	struct entry *entry;
	size_t more_n = 0, room = room_for_texts(message, &more_n);
	char *at;

	if (!record_is_sound(envelope) ||
	    message->recipient_count > QUEUE_DB_RECIPIENTS_MAX ||
	    record_get(envelope, ENV_SENDER).p == NULL)
		return NULL;
	entry = calloc(1, sizeof(*entry) +
	    message->recipient_count * sizeof(entry->recipients[0]) +
	    more_n * sizeof(*more) + room);
	ph_assert(entry != NULL);
	more = (struct recipient_more *)(void *)
	    &entry->recipients[message->recipient_count];
	at = (char *)&more[more_n];
	entry->id = message->id;
	entry->is_held = message->order == QUEUE_DB_HELD;
	entry->is_bounced = message->order == QUEUE_DB_RETURNED;
	entry->priority = message->priority;
	entry->is_by_user = record_get(envelope, ENV_AUTH_USER).p != NULL;
	entry->payer = fair_payer(record_get(envelope, ENV_AUTH_USER),
	    record_get(envelope, ENV_SENDER));
	entry->size_bytes = message->size_bytes < UINT32_MAX ?
	    (uint32_t)message->size_bytes : UINT32_MAX;
	entry->sender = put_text(&at, record_get(envelope, ENV_SENDER));
	id_parse(record_get(envelope, ENV_SESSION), &entry->session);
	entry->is_quarantined = put_text(&at, record_get(envelope,
	    ENV_QUARANTINE)) != NULL;
	entry->received_at = (uint32_t)record_get_u64(envelope,
	    ENV_RECEIVED_AT, 0);
	entry->begun_at = (uint32_t)record_get_u64(envelope, ENV_RELEASE_AT,
	    entry->received_at);
	entry->recipient_count = (uint16_t)message->recipient_count;
	for (unsigned i = 0; i < entry->recipient_count; i++) {
		entry->recipients[i].index = i & ((1 << 14) - 1);
		take_recipient(&at, &more, &message->recipients[i],
		    &entry->recipients[i]);
	}
	return entry;
}
