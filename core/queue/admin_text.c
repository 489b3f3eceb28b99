/* SPDX-License-Identifier: Apache-2.0 */
/* admin_text.c - lists, counts and explanations of the queue. */
#include "queue/admin_text.h"

#include <posthouse/mail.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "loop/fiber.h"

enum {
	LIST_DEFAULT = 1000,
	ENTRY_MAX = 16 << 10, /* octets one message may take in a list */
	COUNTS_MAX = 10000,   /* destinations told apart */
	ADDRESSES = 2,        /* a sender and a recipient in one line */
};

const char *
text_time(int64_t wall_s, char text[32])
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	return text;
}

/* 0 is what an operator asks for: at once. */
const char *
text_next(const struct queue_recipient *r, char text[32])
{
	return r->next_ms > 0 ? text_time(r->next_ms / 1000, text) : "now";
}

/* Whether SMTP writes it as it is. */
static bool
is_plain(struct ph_slice local)
{
	for (size_t i = 0; i < local.n; i++)
		if (memchr(" \"(),:;<>@[\\]", local.p[i], 13) != NULL ||
		    (local.p[i] == '.' && (i == 0 || i + 1 == local.n ||
		        local.p[i + 1] == '.')))
			return false;
	return true;
}

const char *
text_address(const char *address)
{
	static char quoted[ADDRESSES][2 * QUEUE_RCPT_MAX + 4];
	static unsigned turn;
	struct ph_slice text = ph_slice_str(address);
	struct ph_arena *arena;
	char *to;

	if (is_plain(ph_address_local(text)))
		return address;
	arena = ph_arena_create(NULL);
	to = quoted[turn++ % ADDRESSES];
	text = ph_path_format(arena, text);
	snprintf(to, sizeof(quoted[0]), PH_SLICE_FMT, PH_SLICE_ARG(text));
	ph_arena_free(arena);
	return to;
}

void
text_said(const struct queue_recipient *r, struct ph_buf *buf)
{
	const struct said *said = r->said;

	if (said->reply->reason == NULL)
		return;
	ph_buf_printf(buf, "  attempt %u: ", r->attempts);
	if (said->has_host) /* without a code it is our own words about it */
		ph_buf_printf(buf, "%s%s ", said->host,
		    said->reply->code != 0 ? " said" : ":");
	if (said->reply->code != 0)
		ph_buf_printf(buf, "%d ", said->reply->code);
	if (said->reply->enhanced != NULL)
		ph_buf_printf(buf, "%s ", said->reply->enhanced);
	ph_buf_printf(buf, "%s\n", said->reply->reason);
}

/* Normal mail says nothing of it. */
static void
put_priority(const struct entry *entry, struct ph_buf *buf)
{
	if (entry->priority != 0)
		ph_buf_printf(buf, " priority=%d", entry->priority);
}

/* --- lists --- */

static void
put_line(const struct entry *entry, struct ph_buf *buf)
{
	size_t end = buf->n + ENTRY_MAX - 2048;
	const char *why = entry_quarantine(entry);
	char text[32];

	ph_buf_printf(buf, "%s %s %llu from=<%s>%s", entry_name(entry),
	    text_time(entry->received_at, text),
	    (unsigned long long)entry->size_bytes, text_address(entry->sender),
	    !entry->is_held ? "" : why != NULL ? " quarantine" : " held");
	put_priority(entry, buf);
	ph_buf_char(buf, '\n');
	if (entry->is_held && why != NULL)
		ph_buf_printf(buf, "  reason=\"%s\"\n", why);
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		if (r->state != QUEUE_DB_WAITING)
			continue;
		if (buf->n > end) {
			ph_buf_str(buf, "  ... more: queue show tells all\n");
			return;
		}
		ph_buf_printf(buf, "  to=<%s> %s attempts=%u",
		    text_address(r->address), select_state(entry, r), r->attempts);
		if (r->attempts > 0)
			ph_buf_printf(buf, " next=%s", text_next(r, text));
		if (r->said->reply->reason != NULL)
			ph_buf_printf(buf, " reason=\"%s\"",
			    r->said->reply->reason);
		ph_buf_char(buf, '\n');
	}
}

void
text_json_recipient(const struct entry *entry,
    const struct queue_recipient *r, struct ph_buf *buf)
{
	const struct reply *reply = r->said->reply;
	char text[32];

	ph_buf_str(buf, "\"to\":");
	json_string(buf, text_address(r->address));
	ph_buf_printf(buf, ",\"state\":\"%s\",\"attempts\":%u",
	    select_state(entry, r), r->attempts);
	if (r->next_ms > 0)
		ph_buf_printf(buf, ",\"next\":\"%s\"", text_next(r, text));
	if (reply->code != 0)
		ph_buf_printf(buf, ",\"code\":%d", reply->code);
	if (reply->enhanced != NULL) {
		ph_buf_str(buf, ",\"status\":");
		json_string(buf, reply->enhanced);
	}
	if (reply->reason != NULL) {
		ph_buf_str(buf, ",\"reason\":");
		json_string(buf, reply->reason);
	}
	if (r->said->has_host) {
		ph_buf_str(buf, ",\"host\":");
		json_string(buf, r->said->host);
	}
}

void
text_json_entry(const struct entry *entry, struct ph_buf *buf)
{
	char text[32];

	ph_buf_printf(buf, "\"id\":\"%s\",\"received\":\"%s\",\"size\":%llu,"
	    "\"priority\":%d,\"held\":%s,\"from\":", entry_name(entry),
	    text_time(entry->received_at, text),
	    (unsigned long long)entry->size_bytes, entry->priority,
	    entry->is_held ? "true" : "false");
	json_string(buf, text_address(entry->sender));
	if (entry->is_held && entry_quarantine(entry) != NULL) {
		ph_buf_str(buf, ",\"quarantine\":");
		json_string(buf, entry_quarantine(entry));
	}
}

/* One message a line: JSON Lines, so that a page can be cut anywhere. */
static void
put_json_entry(const struct entry *entry, struct ph_buf *buf)
{
	size_t end = buf->n + ENTRY_MAX - 2048;
	bool first = true, is_cut = false;

	ph_buf_char(buf, '{');
	text_json_entry(entry, buf);
	ph_buf_str(buf, ",\"recipients\":[");
	for (size_t i = 0; i < entry->recipient_count; i++) {
		if (entry->recipients[i].state != QUEUE_DB_WAITING)
			continue;
		is_cut = buf->n >= end;
		if (is_cut)
			break;
		if (!first)
			ph_buf_char(buf, ',');
		ph_buf_char(buf, '{');
		text_json_recipient(entry, &entry->recipients[i], buf);
		ph_buf_char(buf, '}');
		first = false;
	}
	ph_buf_str(buf, is_cut ? "],\"cut\":true}\n" : "]}\n");
}

void
text_list(const struct selection *s, struct ph_buf *buf)
{
	uint64_t limit = s->limit > 0 ? s->limit : LIST_DEFAULT;
	const struct entry *last = NULL, *at = queue.oldest;
	int64_t now = fiber_wall_ms();
	size_t shown = 0;

	for (; at != NULL && shown < limit &&
	     buf->n + 2 * ENTRY_MAX < ADMIN_TEXT_MAX; at = at->next_all) {
		if (!select_has(s, at, now))
			continue;
		if (s->json)
			put_json_entry(at, buf);
		else
			put_line(at, buf);
		last = at;
		shown++;
	}
	while (at != NULL && !select_has(s, at, now))
		at = at->next_all;
	if (s->json)
		return;
	if (queue.count == 0)
		ph_buf_str(buf, "The queue is empty.\n");
	else
		ph_buf_printf(buf, "%zu of %zu messages.\n", shown,
		    queue.count);
	if (queue.is_loading)
		ph_buf_str(buf, "Older messages are still being read.\n");
	if (at != NULL && last != NULL)
		ph_buf_printf(buf, "More: --after=%s\n", entry_name(last));
}

/* --- counts --- */

/* The first that fits counts. */
static const struct age {
	const char *name;
	int64_t below_ms;
} ages[] = {
	{ "under_5m", 300000 },
	{ "under_1h", 3600000 },
	{ "under_6h", 21600000 },
	{ "under_1d", 86400000 },
	{ "older", INT64_MAX },
};

enum { AGES = sizeof(ages) / sizeof(ages[0]) };

struct count { /* a million of these for a moment */
	struct ph_slice destination;
	int64_t oldest_ms;
	uint32_t recipients, deferred, suspended, age[AGES];
};

static struct count
count_one(const struct queue_recipient *r, int64_t age_ms,
    struct ph_arena *names)
{
	char room[LANE_NAME_MAX];
	const char *name = lane_name(r, room);
	struct count one = { ph_slice_str(name == room ?
	    ph_arena_strdup(names, name) : name), age_ms, 1,
		r->attempts > 0, suspend_holds(r), { 0 } };
	size_t i = 0;

	while (age_ms >= ages[i].below_ms)
		i++;
	one.age[i] = 1;
	return one;
}

static void
count_add(struct count *sum, const struct count *one)
{
	sum->recipients += one->recipients;
	sum->deferred += one->deferred;
	sum->suspended += one->suspended;
	for (size_t i = 0; i < AGES; i++)
		sum->age[i] += one->age[i];
	if (one->oldest_ms > sum->oldest_ms)
		sum->oldest_ms = one->oldest_ms;
}

static int
by_destination(const void *a, const void *b)
{
	const struct count *x = a, *y = b;
	size_t n = x->destination.n < y->destination.n ? x->destination.n :
	                                                 y->destination.n;
	int order = memcmp(x->destination.p, y->destination.p, n);

	return order != 0 ? order :
	    (x->destination.n > y->destination.n) -
	    (x->destination.n < y->destination.n);
}

static int
by_recipients(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return (x->recipients < y->recipients) -
	    (x->recipients > y->recipients);
}

/* Every waiting recipient as a count of one, then sorted and added up. */
static size_t
gather(const struct selection *s, int64_t now, struct ph_arena *names,
    struct count **out)
{
	size_t n = 0, room = 1024, merged = 0;
	struct count *all = malloc(room * sizeof(*all));

	ph_assert(all != NULL);
	for (const struct entry *at = queue.oldest; at != NULL;
	     at = at->next_all) {
		if (!select_has(s, at, now))
			continue;
		for (size_t i = 0; i < at->recipient_count; i++) {
			const struct queue_recipient *r = &at->recipients[i];

			if (r->state != QUEUE_DB_WAITING)
				continue;
			if (n == room) {
				room *= 2;
				all = realloc(all, room * sizeof(*all));
				ph_assert(all != NULL);
			}
			all[n++] = count_one(r, now - id_wall_ms(at->id),
			    names);
		}
	}
	qsort(all, n, sizeof(*all), by_destination);
	for (size_t i = 0; i < n; i++) {
		struct count *last = merged > 0 ? &all[merged - 1] : NULL;

		if (last == NULL || by_destination(last, &all[i]) != 0) {
			all[merged++] = all[i];
			continue;
		}
		count_add(last, &all[i]);
	}
	*out = all;
	return merged;
}

static void
put_count(const struct count *c, bool json, struct ph_buf *buf)
{
	char name[QUEUE_RCPT_MAX + 1];

	snprintf(name, sizeof(name), PH_SLICE_FMT,
	    PH_SLICE_ARG(c->destination));
	if (json) {
		ph_buf_str(buf, "{\"destination\":");
		json_string(buf, name);
	} else {
		ph_buf_str(buf, name);
	}
	ph_buf_printf(buf, json ? ",\"recipients\":%u,\"deferred\":%u,"
	    "\"oldest_s\":%lld" : " recipients=%u deferred=%u oldest_s=%lld",
	    c->recipients, c->deferred, (long long)(c->oldest_ms / 1000));
	for (size_t i = 0; i < AGES; i++)
		ph_buf_printf(buf, json ? ",\"%s\":%u" : " %s=%u",
		    ages[i].name, c->age[i]);
	if (json)
		ph_buf_printf(buf, ",\"suspended\":%u}\n", c->suspended);
	else if (c->suspended > 0)
		ph_buf_printf(buf, " suspended=%u\n", c->suspended);
	else
		ph_buf_char(buf, '\n');
}

void
text_counts(const struct selection *s, struct ph_buf *buf)
{
	struct ph_arena *names = ph_arena_create(NULL);
	struct count *all;
	size_t n = gather(s, fiber_wall_ms(), names, &all);

	qsort(all, n, sizeof(*all), by_recipients);
	for (size_t i = 0; i < n && i < COUNTS_MAX &&
	     buf->n + 1024 < ADMIN_TEXT_MAX; i++)
		put_count(&all[i], s->json, buf);
	if (n == 0 && !s->json)
		ph_buf_str(buf, "Nothing waits.\n");
	free(all);
	ph_arena_free(names);
}

/* --- why --- */

/* Why one in line is not at work. */
static void
put_turn(struct queue_recipient *r, struct ph_buf *buf)
{
	const struct lane *lane = r->lane;
	uint64_t now = ph_now_ms();

	if (lane->is_backlog)
		ph_buf_printf(buf, "it waits for its turn as %s mail of "
		    "priority %d (nothing is at work for its destination, as "
		    "for those of %u others)", fair_class(r),
		    entry_of(r)->priority, lane->line.count - 1);
	else if (lane->pace.rest_until_ms > now)
		ph_buf_printf(buf, "the destination %s did not answer %u "
		    "times and is left alone for %llu s", lane->name,
		    lane->pace.failures, (unsigned long long)
		    ((lane->pace.rest_until_ms - now) / 1000));
	else if (lane->pace.slow_until_ms > now)
		ph_buf_printf(buf, "the next attempt at the destination %s is "
		    "in %llu s, for its rate", lane->name,
		    (unsigned long long)
		    ((lane->pace.slow_until_ms - now + 999) / 1000));
	else
		ph_buf_printf(buf, "it waits for its turn as %s mail of "
		    "priority %d (%u at work for %s, %u in line)",
		    fair_class(r), entry_of(r)->priority,
		    lane->pace.running, lane->name, lane->line.count);
}

static void
put_holder(const struct entry *entry, struct queue_recipient *r,
    int64_t now, struct ph_buf *buf)
{
	char name[LANE_NAME_MAX];

	if (r->state != QUEUE_DB_WAITING)
		ph_buf_str(buf, "nothing is to be done for it any more");
	else if (entry->is_held && entry->is_quarantined)
		ph_buf_printf(buf, "the message is in quarantine, %s: queue "
		    "release", entry_quarantine(entry));
	else if (entry->is_held)
		ph_buf_str(buf, "the message is held: queue release");
	else if (entry->is_bounced)
		ph_buf_str(buf, "it was given up by hand: its sender is to "
		    "have a report");
	else if (r->where == AT_WORK)
		ph_buf_printf(buf, "it is being delivered%s",
		    suspend_holds(r) ? ", the last before its destination is "
		    "suspended" : "");
	else if (suspend_holds(r))
		ph_buf_printf(buf, "the destination " PH_SLICE_FMT " is "
		    "suspended: queue resume", PH_SLICE_ARG(
		    suspend_keeps_out(r) ? ph_address_domain(
		        ph_slice_str(r->address)) :
		    ph_slice_str(lane_name(r, name))));
	else if (r->where == IN_LINE)
		put_turn(r, buf);
	else if (r->next_ms > now)
		ph_buf_printf(buf, "the next attempt is in %lld s",
		    (long long)((r->next_ms - now + 999) / 1000));
	else
		ph_buf_str(buf, "it is due");
}

static void
put_why(struct entry *entry, struct queue_recipient *r, int64_t now,
    struct ph_buf *buf)
{
	ph_buf_printf(buf, "to=<%s> %s: ", text_address(r->address),
	    select_state(entry, r));
	put_holder(entry, r, now, buf);
	ph_buf_str(buf, ".\n");
	text_said(r, buf);
}

/* One recipient a line. */
static void
put_json_why(struct entry *entry, struct queue_recipient *r, int64_t now,
    struct ph_buf *buf)
{
	struct ph_buf words;

	ph_buf_init(&words, NULL, 4096);
	put_holder(entry, r, now, &words);
	ph_buf_char(&words, '\0');
	ph_buf_printf(buf, "{\"id\":\"%s\",\"priority\":%d,",
	    entry_name(entry), entry->priority);
	text_json_recipient(entry, r, buf);
	ph_buf_str(buf, ",\"why\":");
	json_string(buf, ph_buf_content(&words).p);
	ph_buf_str(buf, "}\n");
	ph_buf_fini(&words);
}

void
text_why(struct entry *entry, bool json, struct ph_buf *buf)
{
	int64_t now = fiber_wall_ms();

	if (!json) {
		ph_buf_printf(buf, "%s from=<%s> waits since %lld s",
		    entry_name(entry), text_address(entry->sender),
		    (long long)((now - id_wall_ms(entry->id)) / 1000));
		put_priority(entry, buf);
		ph_buf_char(buf, '\n');
	}
	for (size_t i = 0; i < entry->recipient_count &&
	     buf->n + 8192 < ADMIN_TEXT_MAX; i++)
		(json ? put_json_why : put_why)(entry, &entry->recipients[i],
		    now, buf);
}
