/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c - a queue from one file. The file is read twice: once to know that
 * it is sound to its end, once to add what is in it. Whatever it says is
 * checked: lengths before memory is taken, numbers, order, sums.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"
#include "port.h"

enum { WORDS_MAX = 5, CHUNK = 65536, IN_FLIGHT = 256 };

static const char *const state_names[] = {
	[QUEUE_DB_WAITING] = "waiting",
	[QUEUE_DB_DELIVERED] = "delivered",
	[QUEUE_DB_FAILED] = "failed",
	[QUEUE_DB_REPLACED] = "replaced",
};

static const char *const order_names[] = {
	[QUEUE_DB_READY] = "ready",
	[QUEUE_DB_HELD] = "held",
	[QUEUE_DB_RETURNED] = "returned",
};

const char *
port_order_name(enum queue_db_order order)
{
	return order_names[order];
}

const char *
port_state_name(enum queue_db_state state)
{
	return state_names[state];
}

bool
port_state_parse(struct ph_slice name, enum queue_db_state *state_out)
{
	for (unsigned i = QUEUE_DB_WAITING; i <= QUEUE_DB_REPLACED; i++)
		if (ph_slice_eq(name, ph_slice_str(state_names[i]))) {
			*state_out = (enum queue_db_state)i;
			return true;
		}
	return false;
}

/* --- ops under way --- */

struct importing {
	struct queue_db *db; /* NULL: only look */
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	unsigned under_way;
	uint64_t present;
	int status;          /* the first that failed */
};

static void
on_done(void *arg, int status)
{
	struct importing *in = arg;

	pthread_mutex_lock(&in->lock);
	in->under_way--;
	if (status == PH_EXISTS)
		in->present++;
	else if (status != 0 && in->status == 0)
		in->status = status;
	pthread_cond_signal(&in->fewer);
	pthread_mutex_unlock(&in->lock);
}

static void
note_failure(struct importing *in, int status)
{
	pthread_mutex_lock(&in->lock);
	if (in->status == 0)
		in->status = status;
	pthread_mutex_unlock(&in->lock);
}

/* Wait until at most n are under way; what has failed so far. */
static int
wait_for(struct importing *in, unsigned n)
{
	int status;

	pthread_mutex_lock(&in->lock);
	while (in->under_way > n)
		pthread_cond_wait(&in->fewer, &in->lock);
	status = in->status;
	pthread_mutex_unlock(&in->lock);
	return status;
}

static int
submit(struct importing *in, struct queue_db_op *op)
{
	int status = wait_for(in, IN_FLIGHT - 1);

	if (status != 0) {
		queue_db_op_free(op);
		return status;
	}
	pthread_mutex_lock(&in->lock);
	in->under_way++;
	pthread_mutex_unlock(&in->lock);
	status = queue_db_submit(in->db, op, QUEUE_DB_DURABLE, on_done, in);
	if (status != 0) {
		pthread_mutex_lock(&in->lock);
		in->under_way--;
		pthread_mutex_unlock(&in->lock);
		note_failure(in, status);
	}
	return status;
}

/* --- reading --- */

struct source {
	FILE *from;
	uint32_t item_crc, file_crc;
	const char *wrong; /* the first mistake; NULL: none */
	uint64_t at;       /* octets read */
	struct ph_arena *arena; /* of the item */
	struct queue_db_tally tally;
};

static bool
wrong(struct source *s, const char *text)
{
	if (s->wrong == NULL)
		s->wrong = text;
	return false;
}

static bool
get(struct source *s, void *p, size_t n)
{
	size_t got = fread(p, 1, n, s->from);

	s->at += got;
	if (got != n)
		return wrong(s, ferror(s->from) ? "it can't be read" :
		    "it ends too early");
	s->item_crc = record_crc(s->item_crc, p, n);
	s->file_crc = record_crc(s->file_crc, p, n);
	return true;
}

struct words {
	struct ph_slice word[WORDS_MAX];
	size_t n;
	char line[PORT_LINE_MAX];
};

static bool
get_line(struct source *s, struct words *words)
{
	struct ph_slice rest = { words->line, 0 };
	size_t n = 0;

	for (;; n++) {
		if (n == PORT_LINE_MAX)
			return wrong(s, "a line is too long");
		if (!get(s, &words->line[n], 1))
			return false;
		if (words->line[n] == '\n')
			break;
	}
	rest.n = n;
	for (words->n = 0; rest.p != NULL; words->n++) {
		if (words->n == WORDS_MAX)
			return wrong(s, "a line has too many words");
		words->word[words->n] = ph_slice_cut(&rest, ' ');
	}
	return true;
}

static bool
is_line(const struct words *words, const char *name, size_t n)
{
	return words->n == n &&
	    ph_slice_eq(words->word[0], ph_slice_str(name));
}

static bool
get_newline(struct source *s)
{
	char c;

	return get(s, &c, 1) &&
	    (c == '\n' || wrong(s, "a value has another length"));
}

/* The value whose line was read. */
static bool
take_value(struct source *s, const struct words *words, size_t max,
    struct ph_slice *value_out)
{
	uint64_t n;
	char *p;

	if (!ph_slice_number(words->word[1], max, &n))
		return wrong(s, "a length is not one, or too large");
	p = ph_arena_alloc(s->arena, (size_t)n + 1);
	if (!get(s, p, (size_t)n))
		return false;
	*value_out = (struct ph_slice){ p, (size_t)n };
	return get_newline(s);
}

static bool
get_value(struct source *s, const char *name, size_t max,
    struct ph_slice *value_out)
{
	struct words words;

	if (!get_line(s, &words))
		return false;
	if (!is_line(&words, name, 2))
		return wrong(s, "a value is missing");
	return take_value(s, &words, max, value_out);
}

static bool
is_crc(struct ph_slice word, uint32_t crc)
{
	char text[9];

	snprintf(text, sizeof(text), "%08" PRIx32, crc);
	return ph_slice_eq(word, ph_slice_str(text));
}

/* --- messages --- */

struct message_parts {
	struct queue_db_message m;
	struct queue_db_recipient *recipient;
	size_t room;
};

static bool
take_recipient(struct source *s, const struct words *words,
    struct message_parts *parts)
{
	struct queue_db_recipient r = { 0 };
	uint64_t number, attempts, next;
	size_t n = parts->m.recipient_count;

	if (!ph_slice_number(words->word[1], UINT32_MAX, &number) ||
	    !port_state_parse(words->word[2], &r.state) ||
	    !ph_slice_number(words->word[3], UINT32_MAX, &attempts) ||
	    !ph_slice_number(words->word[4], INT64_MAX, &next))
		return wrong(s, "a recipient's line has a bad word");
	if (n > 0 && parts->recipient[n - 1].number >= number)
		return wrong(s, "recipients are out of order");
	r.number = (uint32_t)number;
	r.attempts = (uint32_t)attempts;
	r.next_ms = (int64_t)next;
	if (!get_value(s, "address", QUEUE_DB_ADDRESS_MAX, &r.address) ||
	    !get_value(s, "destination", QUEUE_DB_ADDRESS_MAX,
	        &r.destination) ||
	    !get_value(s, "record", QUEUE_DB_RECORD_MAX, &r.record))
		return false;
	if (n == parts->room) {
		struct queue_db_recipient *more;

		parts->room = n > 0 ? 2 * n : 4;
		more = ph_arena_array(s->arena, parts->room, sizeof(*more));
		if (n > 0)
			memcpy(more, parts->recipient, n * sizeof(*more));
		parts->recipient = more;
	}
	parts->recipient[n] = r;
	parts->m.recipients = parts->recipient;
	parts->m.recipient_count = n + 1;
	return true;
}

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

static bool
take_file(struct source *s, const struct words *words, struct importing *in,
    struct queue_db_body *body)
{
	char chunk[CHUNK];
	uint64_t left;

	if (!ph_slice_number(words->word[1], INT64_MAX, &left))
		return wrong(s, "a length is not one");
	body->file_bytes = left;
	if (in->db != NULL) {
		int status = queue_db_spool(in->db, &body->fd);

		if (status != 0) {
			note_failure(in, status);
			return wrong(s, "a body was not taken");
		}
		ph_arena_own_fd(s->arena, body->fd);
	}
	while (left > 0) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		if (!get(s, chunk, n))
			return false;
		if (body->fd >= 0 && !write_all(body->fd, chunk, n)) {
			note_failure(in, status_of_errno(errno));
			return wrong(s, "a body was not taken");
		}
		left -= n;
	}
	return get_newline(s);
}

/* One that is not 0 has a line. */
static bool
take_priority(struct source *s, const struct words *words, int8_t *priority)
{
	struct ph_slice word = words->word[1];
	bool is_less = word.n > 0 && word.p[0] == '-';
	uint64_t level;

	if (is_less) {
		word.p++;
		word.n--;
	}
	if (!ph_slice_number(word, QUEUE_DB_PRIORITY_MAX, &level))
		return wrong(s, "a priority is not one");
	*priority = (int8_t)(is_less ? -(int)level : (int)level);
	return true;
}

/* The lines of a message behind its first, to its sum. */
static bool
take_parts(struct source *s, struct importing *in, struct message_parts *parts)
{
	struct queue_db_message *m = &parts->m;
	struct words words;
	uint32_t crc;
	bool good = true;

	while (good) {
		crc = s->item_crc;
		if (!get_line(s, &words))
			return false;
		if (is_line(&words, "recipient", 5))
			good = take_recipient(s, &words, parts);
		else if (is_line(&words, "priority", 2))
			good = take_priority(s, &words, &m->priority);
		else if (is_line(&words, "envelope", 2))
			good = take_value(s, &words, QUEUE_DB_RECORD_MAX,
			    &m->envelope);
		else if (is_line(&words, "trace", 2))
			good = take_value(s, &words, QUEUE_DB_RECORD_MAX,
			    &m->trace);
		else if (is_line(&words, "octets", 2))
			good = take_value(s, &words, QUEUE_DB_INLINE_MAX,
			    &m->body.octets);
		else if (is_line(&words, "file", 2) && m->body.fd < 0)
			good = take_file(s, &words, in, &m->body);
		else if (is_line(&words, "end", 2))
			break;
		else
			good = wrong(s, "a line of a message is unknown");
	}
	if (!good)
		return false;
	if (!is_crc(words.word[1], crc))
		return wrong(s, "the sum of a message is wrong");
	if (m->envelope.p == NULL || m->trace.p == NULL ||
	    m->body.octets.p == NULL)
		return wrong(s, "a part of a message is missing");
	return true;
}

/* As it was, however it grew: recipients may have come later. */
static int
add_message(struct importing *in, const struct queue_db_message *message)
{
	struct queue_db_op *op = queue_db_op_create();
	struct queue_db_message m = *message;

	op->limit = SIZE_MAX / 2;
	if (m.recipient_count > QUEUE_DB_RECIPIENTS_MAX)
		m.recipient_count = QUEUE_DB_RECIPIENTS_MAX;
	queue_db_op_message(op, &m);
	for (size_t i = m.recipient_count; i < message->recipient_count; i++)
		queue_db_op_recipient(op, m.id, &message->recipients[i]);
	return submit(in, op);
}

static bool
take_message(struct source *s, const struct words *words, struct importing *in)
{
	struct message_parts parts = { .m.body.fd = -1 };
	struct queue_db_message *m = &parts.m;

	while (m->order < QUEUE_DB_ORDERS && !ph_slice_eq(words->word[2],
	    ph_slice_str(port_order_name(m->order))))
		m->order++;
	if (!id_parse(words->word[1], &m->id) || m->id == 0 ||
	    m->order == QUEUE_DB_ORDERS)
		return wrong(s, "the first line of a message has a bad word");
	if (!take_parts(s, in, &parts))
		return false;
	s->tally.messages++;
	s->tally.recipients += m->recipient_count;
	s->tally.content_bytes += m->body.octets.n + m->body.file_bytes;
	return in->db == NULL || add_message(in, m) == 0 ||
	    wrong(s, "a message was not taken");
}

/* --- pairs --- */

static bool
take_pair(struct source *s, const struct words *words, struct importing *in)
{
	struct ph_slice key, value;
	struct queue_db_op *op;
	uint64_t space, expires;
	struct words end;
	uint32_t crc;

	if (!ph_slice_number(words->word[1], UINT8_MAX, &space) ||
	    !ph_slice_number(words->word[2], INT64_MAX, &expires))
		return wrong(s, "the first line of a pair has a bad word");
	if (!get_value(s, "key", QUEUE_DB_KEY_MAX, &key) ||
	    !get_value(s, "value", QUEUE_DB_VALUE_MAX, &value))
		return false;
	crc = s->item_crc;
	if (!get_line(s, &end))
		return false;
	if (!is_line(&end, "end", 2) || !is_crc(end.word[1], crc))
		return wrong(s, "the sum of a pair is wrong");
	s->tally.pairs++;
	if (in->db == NULL)
		return true;
	op = queue_db_op_create();
	queue_db_op_kv_put(op, (uint8_t)space, key, value, (int64_t)expires);
	return submit(in, op) == 0 || wrong(s, "a pair was not taken");
}

/* --- the file --- */

static bool
take_total(struct source *s, const struct words *words, uint32_t crc)
{
	uint64_t messages, pairs;

	if (!ph_slice_number(words->word[1], UINT64_MAX, &messages) ||
	    !ph_slice_number(words->word[2], UINT64_MAX, &pairs) ||
	    messages != s->tally.messages || pairs != s->tally.pairs ||
	    !is_crc(words->word[3], crc))
		return wrong(s, "its last line does not fit the rest");
	return getc(s->from) == EOF || wrong(s, "it goes on behind its end");
}

static bool
take_first_line(struct source *s)
{
	char line[sizeof(PORT_FIRST_LINE)];

	return get(s, line, sizeof(line)) &&
	    (memcmp(line, PORT_FIRST_LINE "\n", sizeof(line)) == 0 ||
	     wrong(s, "it is no queue, or of another version"));
}

static bool
read_all(struct source *s, struct importing *in)
{
	bool good = take_first_line(s), is_end = false;

	while (good && !is_end) {
		uint32_t crc = s->file_crc;
		struct words words;

		s->arena = ph_arena_create(NULL);
		s->item_crc = 0;
		good = get_line(s, &words);
		if (good && is_line(&words, "message", 3))
			good = take_message(s, &words, in);
		else if (good && is_line(&words, "pair", 3))
			good = take_pair(s, &words, in);
		else if (good && is_line(&words, "total", 4))
			is_end = good = take_total(s, &words, crc);
		else if (good)
			good = wrong(s, "a line is unknown");
		ph_arena_free(s->arena);
	}
	return good;
}

int
queue_db_import(struct queue_db *db, FILE *from,
    struct queue_db_tally *tally_out, struct ph_err *err)
{
	struct importing in = { .lock = PTHREAD_MUTEX_INITIALIZER,
		.fewer = PTHREAD_COND_INITIALIZER };
	struct source look = { .from = from }, take = { .from = from };
	int status;

	if (!read_all(&look, &in))
		return ph_err_set(err, PH_INVALID, 0, "the file is not sound: "
		    "%s, at octet %" PRIu64 ", after %" PRIu64 " messages; "
		    "nothing was imported", look.wrong, look.at,
		    look.tally.messages);
	rewind(from);
	in.db = db;
	read_all(&take, &in);
	status = wait_for(&in, 0);
	pthread_cond_destroy(&in.fewer);
	pthread_mutex_destroy(&in.lock);
	take.tally.present = in.present;
	*tally_out = take.tally;
	if (status == 0 && take.wrong == NULL)
		return 0;
	return ph_err_set(err, status != 0 ? status : PH_INVALID, 0,
	    "the import stopped after %" PRIu64 " of %" PRIu64 " messages "
	    "(%s): repeat it when the cause is gone, what is there stays",
	    take.tally.messages, look.tally.messages, status != 0 ?
	    ph_status_name(status) : take.wrong);
}
