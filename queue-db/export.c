/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c - the whole queue to one file. Lines for what a person may read,
 * each value with its length in front, a CRC behind each message and behind
 * the whole; README.md has the form.
 *
 * The queue may be at work meanwhile. Messages are read in the order of their
 * ids, each whole as it is at that moment; what is made of a message later (a
 * bounce, say) has a greater id and comes behind it. So nothing is missing that
 * was there before and is there still.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"
#include "port.h"

enum { IDS_AT_ONCE = 1024, PAIRS_AT_ONCE = 1000, CHUNK = 65536 };

struct sink {
	FILE *to;
	uint32_t item_crc, file_crc;
	bool is_broken;
};

static void
put(struct sink *s, const void *p, size_t n)
{
	s->item_crc = record_crc(s->item_crc, p, n);
	s->file_crc = record_crc(s->file_crc, p, n);
	if (fwrite(p, 1, n, s->to) != n)
		s->is_broken = true;
}

static void put_line(struct sink *s, const char *fmt, ...) PH_PRINTF(2, 3);

static void
put_line(struct sink *s, const char *fmt, ...)
{
	char line[PORT_LINE_MAX];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	ph_assert(n > 0 && n < (int)sizeof(line));
	put(s, line, (size_t)n);
}

static void
put_value(struct sink *s, const char *name, struct ph_slice value)
{
	put_line(s, "%s %zu\n", name, value.n);
	put(s, value.p, value.n);
	put(s, "\n", 1);
}

static void
put_end(struct sink *s)
{
	put_line(s, "end %08" PRIx32 "\n", s->item_crc);
}

/* The octets of a body file, to the sink or, NULL, to nobody. */
static int
read_file(int fd, uint64_t size, struct sink *s)
{
	char chunk[CHUNK];

	for (uint64_t at = 0; at < size;) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = pread(fd, chunk, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return PH_DEFECT;
		if (s != NULL)
			put(s, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

static int
put_message(struct sink *s, const struct queue_db_message *m)
{
	char name[ID_TEXT_MAX];
	int rc = 0;

	s->item_crc = 0;
	put_line(s, "message %s %s\n", id_format(m->id, name),
	    port_order_name(m->order));
	if (m->priority != 0)
		put_line(s, "priority %d\n", m->priority);
	put_value(s, "envelope", m->envelope);
	put_value(s, "trace", m->trace);
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_db_recipient *r = &m->recipients[i];

		put_line(s, "recipient %" PRIu32 " %s %" PRIu32 " %" PRIu64
		    "\n", r->number, port_state_name(r->state), r->attempts,
		    r->next_ms > 0 ? (uint64_t)r->next_ms : 0);
		put_value(s, "address", r->address);
		put_value(s, "destination", r->destination);
		put_value(s, "record", r->record);
	}
	put_value(s, "octets", m->body.octets);
	if (m->body.fd >= 0) {
		put_line(s, "file %" PRIu64 "\n", m->body.file_bytes);
		rc = read_file(m->body.fd, m->body.file_bytes, s);
		put(s, "\n", 1);
	}
	put_end(s);
	return rc;
}

/* What is written can't be taken back: a body file is read to its end before
 * the first line of its message. One that fails after that spoils the export. */
static int
export_message(struct queue_db *db, uint64_t id, struct sink *s,
    struct queue_db_tally *tally)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_message m;
	int rc = queue_db_get(db, id, true, arena, &m);

	if (rc == 0 && m.body.fd >= 0)
		rc = read_file(m.body.fd, m.body.file_bytes, NULL);
	if (rc == 0) {
		if (put_message(s, &m) != 0)
			s->is_broken = true;
		tally->messages++;
		tally->recipients += m.recipient_count;
		tally->content_bytes += m.size_bytes;
	}
	ph_arena_free(arena);
	if (rc == PH_DEFECT) {
		char name[ID_TEXT_MAX];

		tally->damaged++;
		queue_report(db, rc, 0, "message %s can't be read and is left "
		    "out", id_format(id, name));
	}
	return rc == PH_DEFECT || rc == PH_NOT_FOUND ? 0 : rc;
}

static int
export_messages(struct queue_db *db, struct sink *s,
    struct queue_db_tally *tally)
{
	uint64_t ids[IDS_AT_ONCE], after = 0;
	size_t n;
	int rc;

	for (;;) {
		rc = read_ids(db, after, UP, ids, IDS_AT_ONCE, &n);
		if (rc != 0 || n == 0)
			return rc;
		for (size_t i = 0; i < n; i++) {
			rc = export_message(db, ids[i], s, tally);
			if (rc != 0 || s->is_broken)
				return rc;
		}
		after = ids[n - 1];
	}
}

static void
put_pair(struct sink *s, uint8_t space, const struct queue_db_pair *pair)
{
	s->item_crc = 0;
	put_line(s, "pair %u %" PRIu64 "\n", space,
	    pair->expires_ms > 0 ? (uint64_t)pair->expires_ms : 0);
	put_value(s, "key", pair->key);
	put_value(s, "value", pair->value);
	put_end(s);
}

static int
export_space(struct queue_db *db, uint8_t space, struct sink *s,
    struct queue_db_tally *tally)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice after = { NULL, 0 };
	const struct queue_db_pair *list;
	int rc;

	for (;;) {
		struct ph_arena *page = ph_arena_create(NULL);
		size_t n = 0;

		rc = queue_db_kv_list(db, space, after, PAIRS_AT_ONCE,
		    wall_ms(), page, &list, &n);
		for (size_t i = 0; rc == 0 && i < n; i++)
			put_pair(s, space, &list[i]);
		tally->pairs += rc == 0 ? n : 0;
		ph_arena_free(arena);
		arena = page; /* `after` lies in it */
		if (rc != 0 || n == 0 || s->is_broken)
			break;
		after = list[n - 1].key;
	}
	ph_arena_free(arena);
	return rc;
}

int
queue_db_export(struct queue_db *db, FILE *to,
    struct queue_db_tally *tally_out, struct ph_err *err)
{
	struct queue_db_tally tally = { 0 };
	struct sink s = { .to = to };
	int rc;

	put_line(&s, "%s\n", PORT_FIRST_LINE);
	rc = export_messages(db, &s, &tally);
	for (unsigned space = 0; rc == 0 && !s.is_broken && space < 256; space++)
		rc = export_space(db, (uint8_t)space, &s, &tally);
	if (rc != 0)
		return ph_err_set(err, rc, 0, "the queue can't be read to its "
		    "end: %s", ph_status_name(rc));
	put_line(&s, "total %" PRIu64 " %" PRIu64 " %08" PRIx32 "\n",
	    tally.messages, tally.pairs, s.file_crc);
	if (s.is_broken || fflush(to) != 0)
		return ph_err_set(err, status_of_errno(errno), errno,
		    "the export can't be written: %s", strerror(errno));
	*tally_out = tally;
	return 0;
}
