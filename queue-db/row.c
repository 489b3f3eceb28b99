/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.c - how rows and keys are written and read. Pure.
 *
 * A row is a version octet, a CRC and a record (for bodies plain octets). The
 * CRC covers table and key too, so a row in a wrong place is as damaged as one
 * with a flipped bit. Fields are never renumbered; readers skip unknown ones.
 */
#include "inner.h"

enum message_tag {
	M_ENVELOPE = 1,
	M_TRACE,
	M_ORDER,
	M_OCTETS,
	M_FILE,
	M_PRIORITY, /* absent: 0, as in rows from before there was one */
};
enum recipient_tag {
	R_STATE = 1,
	R_ATTEMPTS,
	R_NEXT,
	R_ADDRESS,
	R_DESTINATION,
	R_RECORD,
};
enum pair_tag { P_EXPIRES = 1, P_VALUE };

static void
store_be(char *p, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(unsigned char)(value >> (8 * (n - 1 - i)));
}

static uint64_t
load_be(const char *p, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | (unsigned char)p[i];
	return value;
}

void
key_of_id(uint64_t id, char key[KEY_ID])
{
	store_be(key, id, 8);
}

void
key_of_recipient(uint64_t id, uint32_t number, char key[KEY_RECIPIENT])
{
	store_be(key, id, 8);
	store_be(key + 8, number, 4);
}

uint64_t
id_of_key(struct ph_slice key)
{
	return key.n >= KEY_ID ? load_be(key.p, 8) : 0;
}

static uint32_t
row_crc(enum table table, struct ph_slice key, const char *row, size_t n)
{
	const char name = (char)table;
	uint32_t crc = record_crc(0, &name, 1);

	crc = record_crc(crc, key.p, key.n);
	crc = record_crc(crc, row, 1);
	return record_crc(crc, row + ROW_HEAD, n - ROW_HEAD);
}

static void
row_seal(enum table table, struct ph_slice key, char *row, size_t n)
{
	uint32_t crc;

	row[0] = ROW_VERSION;
	crc = row_crc(table, key, row, n);
	for (size_t i = 0; i < 4; i++)
		row[1 + i] = (char)(unsigned char)(crc >> (8 * i));
}

int
row_open(enum table table, struct ph_slice key, struct ph_slice row,
    struct ph_slice *payload_out)
{
	uint32_t crc = 0;

	if (row.n < ROW_HEAD || row.p[0] != ROW_VERSION)
		return PH_DEFECT;
	for (size_t i = 0; i < 4; i++)
		crc |= (uint32_t)(unsigned char)row.p[1 + i] << (8 * i);
	if (crc != row_crc(table, key, row.p, row.n))
		return PH_DEFECT;
	*payload_out = (struct ph_slice){ row.p + ROW_HEAD, row.n - ROW_HEAD };
	return 0;
}

/* A buffer with room for the head and a record of about n octets. */
static void
row_begin(struct ph_buf *buf, struct ph_arena *arena, size_t n)
{
	ph_buf_init(buf, arena, SIZE_MAX / 2);
	ph_assert(ph_buf_reserve(buf, ROW_HEAD + n) != NULL);
	ph_buf_commit(buf, ROW_HEAD);
}

static struct ph_slice
row_end(struct ph_buf *buf, enum table table, struct ph_slice key)
{
	ph_assert(!buf->full);
	row_seal(table, key, buf->p, buf->n);
	return ph_buf_content(buf);
}

struct ph_slice
row_of_message(struct ph_arena *arena, struct ph_slice key,
    const struct row_message *message)
{
	struct ph_buf buf;

	row_begin(&buf, arena, message->envelope.n + message->trace.n + 64);
	record_put(&buf, M_ENVELOPE, message->envelope);
	record_put(&buf, M_TRACE, message->trace);
	record_put_u64(&buf, M_ORDER, message->order);
	record_put_u64(&buf, M_OCTETS, message->octet_bytes);
	if (message->has_file)
		record_put_u64(&buf, M_FILE, message->file_bytes);
	if (message->priority != 0)
		record_put_u64(&buf, M_PRIORITY,
		    (uint64_t)(int64_t)message->priority);
	return row_end(&buf, T_MESSAGES, key);
}

struct ph_slice
row_of_recipient(struct ph_arena *arena, struct ph_slice key,
    const struct queue_db_recipient *recipient)
{
	struct ph_buf buf;

	row_begin(&buf, arena, recipient->address.n + recipient->destination.n +
	    recipient->record.n + 64);
	record_put_u64(&buf, R_STATE, recipient->state);
	record_put_u64(&buf, R_ATTEMPTS, recipient->attempts);
	record_put_u64(&buf, R_NEXT, (uint64_t)recipient->next_ms);
	record_put(&buf, R_ADDRESS, recipient->address);
	record_put(&buf, R_DESTINATION, recipient->destination);
	record_put(&buf, R_RECORD, recipient->record);
	return row_end(&buf, T_RECIPIENTS, key);
}

struct ph_slice
row_of_octets(struct ph_arena *arena, enum table table, struct ph_slice key,
    struct ph_slice octets)
{
	struct ph_buf buf;

	row_begin(&buf, arena, octets.n);
	ph_buf_slice(&buf, octets);
	return row_end(&buf, table, key);
}

struct ph_slice
row_of_pair(struct ph_arena *arena, struct ph_slice key,
    const struct row_pair *pair)
{
	struct ph_buf buf;

	row_begin(&buf, arena, pair->value.n + 32);
	record_put_u64(&buf, P_EXPIRES, (uint64_t)pair->expires_ms);
	record_put(&buf, P_VALUE, pair->value);
	return row_end(&buf, T_KV, key);
}

/* The record of a row that is sound at its top level. */
static int
row_record(enum table table, struct ph_slice key, struct ph_slice row,
    struct ph_slice *record_out)
{
	int rc = row_open(table, key, row, record_out);

	return rc == 0 && !record_is_sound(*record_out) ? PH_DEFECT : rc;
}

/* One that a later version knows is nothing to be tried or returned by this. */
static enum queue_db_order
order_of(uint64_t number)
{
	return number < QUEUE_DB_ORDERS ? (enum queue_db_order)number :
	                                  QUEUE_DB_HELD;
}

/* A later version may know more levels: the last that this one knows. */
static int8_t
priority_of(uint64_t number)
{
	int64_t level = (int64_t)number;

	return (int8_t)(level > QUEUE_DB_PRIORITY_MAX ? QUEUE_DB_PRIORITY_MAX :
	    level < -QUEUE_DB_PRIORITY_MAX ? -QUEUE_DB_PRIORITY_MAX : level);
}

int
row_to_message(struct ph_slice key, struct ph_slice row,
    struct row_message *message_out)
{
	struct row_message message = { 0 };
	struct ph_slice record;
	int rc = row_record(T_MESSAGES, key, row, &record);

	if (rc != 0)
		return rc;
	message.envelope = record_get(record, M_ENVELOPE);
	message.trace = record_get(record, M_TRACE);
	message.order = order_of(record_get_u64(record, M_ORDER,
	    QUEUE_DB_READY));
	message.priority = priority_of(record_get_u64(record, M_PRIORITY, 0));
	message.octet_bytes = record_get_u64(record, M_OCTETS, 0);
	message.has_file = record_get(record, M_FILE).p != NULL;
	message.file_bytes = record_get_u64(record, M_FILE, 0);
	if (message.envelope.p == NULL || message.trace.p == NULL ||
	    message.octet_bytes > QUEUE_DB_INLINE_MAX)
		return PH_DEFECT;
	*message_out = message;
	return 0;
}

int
row_to_recipient(struct ph_slice key, struct ph_slice row,
    struct queue_db_recipient *recipient_out)
{
	struct queue_db_recipient recipient = { 0 };
	struct ph_slice record;
	uint64_t state, attempts;
	int rc = row_record(T_RECIPIENTS, key, row, &record);

	if (rc != 0)
		return rc;
	if (key.n != KEY_RECIPIENT)
		return PH_DEFECT;
	state = record_get_u64(record, R_STATE, 0);
	attempts = record_get_u64(record, R_ATTEMPTS, 0);
	recipient.number = (uint32_t)load_be(key.p + KEY_ID, 4);
	recipient.next_ms = (int64_t)record_get_u64(record, R_NEXT, 0);
	recipient.address = record_get(record, R_ADDRESS);
	recipient.destination = record_get(record, R_DESTINATION);
	recipient.record = record_get(record, R_RECORD);
	if (state < QUEUE_DB_WAITING || state > QUEUE_DB_REPLACED ||
	    attempts > UINT32_MAX || recipient.address.p == NULL ||
	    recipient.destination.p == NULL || recipient.record.p == NULL)
		return PH_DEFECT;
	recipient.state = (enum queue_db_state)state;
	recipient.attempts = (uint32_t)attempts;
	*recipient_out = recipient;
	return 0;
}

int
row_to_pair(struct ph_slice key, struct ph_slice row,
    struct row_pair *pair_out)
{
	struct row_pair pair = { 0 };
	struct ph_slice record;
	int rc = row_record(T_KV, key, row, &record);

	if (rc != 0)
		return rc;
	pair.expires_ms = (int64_t)record_get_u64(record, P_EXPIRES, 0);
	pair.value = record_get(record, P_VALUE);
	if (pair.value.p == NULL || key.n < 1)
		return PH_DEFECT;
	*pair_out = pair;
	return 0;
}
