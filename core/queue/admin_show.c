/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_show.c - all that is known of one message: its rows, what memory knows
 * of each recipient, and what checks said, in the session and later.
 */
#include "queue/admin_text.h"

#include <posthouse/session.h>

#include "base/json.h"
#include "base/record.h"
#include "queue/envelope.h"

enum {
	SHOW_CONTENT = 4096,
	/* octets from the end where each part stops: the next have room */
	LEFT_OF_FACTS = 300 << 10,
	LEFT_OF_RECIPIENTS = 128 << 10,
	LEFT_OF_VERDICTS = 48 << 10,
	LEFT_OF_TEXT = 64 << 10,
};

static bool
has_room(const struct ph_buf *buf, size_t left)
{
	return buf->n + left < ADMIN_TEXT_MAX;
}

static struct ph_slice
first_octets(const struct queue_db_message *message)
{
	struct ph_slice content = message->body.octets;

	content.n = content.n > SHOW_CONTENT ? SHOW_CONTENT : content.n;
	return content;
}

/* One that a check gave. */
struct verdict {
	struct ph_slice module, text;
	const char *stage, *name;
	unsigned long long micros;
	double score; /* 0: none */
	bool is_shadow;
	struct ph_slice to; /* of which recipient; absent: in the session */
	unsigned attempt;
};

static struct verdict
verdict_of(struct ph_slice in)
{
	return (struct verdict){ record_get(in, F_MODULE),
		record_get(in, F_TEXT),
		ph_stage_name((enum ph_stage)record_get_u64(in, F_STAGE, 0)),
		ph_verdict_name((enum ph_verdict)record_get_u64(in,
		    F_VERDICT, 0)),
		record_get_u64(in, F_MICROSECONDS, 0),
		(double)(int64_t)record_get_u64(in, F_SCORE, 0) / 1000,
		record_get_u64(in, F_SHADOW, 0) != 0,
		record_get(in, F_ADDRESS),
		(unsigned)record_get_u64(in, F_ATTEMPTS, 0) };
}

/* --- for a person --- */

static void
put_trace(struct ph_slice trace, struct ph_buf *buf)
{
	struct record_field field;

	while (record_next(&trace, &field)) {
		struct verdict v = verdict_of(field.value);

		if (field.tag != F_TRACE)
			continue;
		ph_buf_printf(buf, "verdict module=" PH_SLICE_FMT
		    " stage=%s verdict=%s us=%llu%s", PH_SLICE_ARG(v.module),
		    v.stage, v.name, v.micros, v.is_shadow ? " shadow" : "");
		if (v.to.p != NULL)
			ph_buf_printf(buf, " to=<" PH_SLICE_FMT
			    "> attempt=%u", PH_SLICE_ARG(v.to), v.attempt);
		if (v.score != 0)
			ph_buf_printf(buf, " score=%.3g", v.score);
		if (v.text.p != NULL)
			ph_buf_printf(buf, " reason=\"" PH_SLICE_FMT "\"",
			    PH_SLICE_ARG(v.text));
		ph_buf_char(buf, '\n');
	}
}

static void
put_facts(struct ph_slice envelope, struct ph_buf *buf)
{
	struct ph_slice rest = envelope;
	struct record_field field;

	while (record_next(&rest, &field))
		if (field.tag == ENV_FACT)
			ph_buf_printf(buf, PH_SLICE_FMT "=" PH_SLICE_FMT "\n",
			    PH_SLICE_ARG(record_get(field.value, F_NAME)),
			    PH_SLICE_ARG(record_get(field.value, F_TEXT)));
}

static void
put_recipient(const struct entry *entry, struct queue_recipient *r,
    struct ph_buf *buf)
{
	char text[32];

	ph_buf_printf(buf, "to=<%s> state=%s attempts=%u",
	    text_address(r->address), select_state(entry, r), r->attempts);
	if (r->state == QUEUE_DB_WAITING && r->attempts > 0)
		ph_buf_printf(buf, " next=%s", text_next(r, text));
	if (r->state == QUEUE_DB_WAITING)
		ph_buf_printf(buf, " class=%s", fair_class(r));
	ph_buf_char(buf, '\n');
	text_said(r, buf);
}

void
text_show(struct entry *entry, const struct queue_db_message *message,
    bool with_content, struct ph_buf *buf)
{
	struct ph_slice client = record_get(message->envelope, ENV_CLIENT);
	struct ph_slice user = record_get(message->envelope, ENV_AUTH_USER);
	char text[32];

	ph_buf_printf(buf, "queue=%s\nsession=%s\nreceived=%s\nsize=%llu\n"
	    "priority=%d\nfrom=<%s>\nclient=" PH_SLICE_FMT "\n",
	    entry_name(entry),
	    entry->session != 0 ? entry_session(entry) : "",
	    text_time(entry->received_at, text),
	    (unsigned long long)entry->size_bytes, entry->priority,
	    text_address(entry->sender), PH_SLICE_ARG(client));
	if (user.p != NULL)
		ph_buf_printf(buf, "user=" PH_SLICE_FMT "\n",
		    PH_SLICE_ARG(user));
	put_facts(message->envelope, buf);
	for (size_t i = 0; i < entry->recipient_count &&
	     has_room(buf, LEFT_OF_TEXT); i++)
		put_recipient(entry, &entry->recipients[i], buf);
	put_trace(message->trace, buf);
	if (!with_content || message->body.octets.p == NULL)
		return;
	ph_buf_char(buf, '\n');
	ph_buf_slice(buf, first_octets(message));
}

/* --- for a program --- */

static void
put_member(struct ph_buf *buf, const char *name, struct ph_slice value)
{
	if (value.p == NULL)
		return;
	ph_buf_printf(buf, ",\"%s\":", name);
	json_slice(buf, value);
}

/* False, as below: something was left out. */
static bool
put_json_facts(struct ph_slice envelope, struct ph_buf *buf)
{
	struct record_field field;
	bool first = true, is_whole = true;

	ph_buf_str(buf, ",\"facts\":{");
	while (record_next(&envelope, &field)) {
		if (field.tag != ENV_FACT)
			continue;
		is_whole = has_room(buf, LEFT_OF_FACTS);
		if (!is_whole)
			break;
		if (!first)
			ph_buf_char(buf, ',');
		json_slice(buf, record_get(field.value, F_NAME));
		ph_buf_char(buf, ':');
		json_slice(buf, record_get(field.value, F_TEXT));
		first = false;
	}
	ph_buf_char(buf, '}');
	return is_whole;
}

static bool
put_json_recipients(struct entry *entry, struct ph_buf *buf)
{
	size_t i;

	ph_buf_str(buf, ",\"recipients\":[");
	for (i = 0; i < entry->recipient_count &&
	     has_room(buf, LEFT_OF_RECIPIENTS); i++) {
		struct queue_recipient *r = &entry->recipients[i];

		ph_buf_str(buf, i > 0 ? ",{" : "{");
		text_json_recipient(entry, r, buf);
		if (r->state == QUEUE_DB_WAITING)
			ph_buf_printf(buf, ",\"class\":\"%s\"", fair_class(r));
		ph_buf_char(buf, '}');
	}
	ph_buf_char(buf, ']');
	return i == entry->recipient_count;
}

static bool
put_json_verdicts(struct ph_slice trace, struct ph_buf *buf)
{
	struct record_field field;
	bool first = true, is_whole = true;

	ph_buf_str(buf, ",\"verdicts\":[");
	while (record_next(&trace, &field)) {
		struct verdict v = verdict_of(field.value);

		if (field.tag != F_TRACE)
			continue;
		is_whole = has_room(buf, LEFT_OF_VERDICTS);
		if (!is_whole)
			break;
		ph_buf_str(buf, first ? "{\"module\":" : ",{\"module\":");
		json_slice(buf, v.module);
		ph_buf_printf(buf, ",\"stage\":\"%s\",\"verdict\":\"%s\","
		    "\"us\":%llu,\"shadow\":%s", v.stage, v.name, v.micros,
		    v.is_shadow ? "true" : "false");
		if (v.score != 0)
			ph_buf_printf(buf, ",\"score\":%.3f", v.score);
		put_member(buf, "reason", v.text);
		put_member(buf, "to", v.to);
		if (v.to.p != NULL)
			ph_buf_printf(buf, ",\"attempt\":%u", v.attempt);
		ph_buf_char(buf, '}');
		first = false;
	}
	ph_buf_char(buf, ']');
	return is_whole;
}

void
text_show_json(struct entry *entry, const struct queue_db_message *message,
    bool with_content, struct ph_buf *buf)
{
	bool is_whole;

	ph_buf_str(buf, "{\"type\":\"message\",");
	text_json_entry(entry, buf);
	if (entry->session != 0)
		put_member(buf, "session", ph_slice_str(entry_session(entry)));
	put_member(buf, "client", record_get(message->envelope, ENV_CLIENT));
	put_member(buf, "user", record_get(message->envelope, ENV_AUTH_USER));
	is_whole = put_json_facts(message->envelope, buf);
	is_whole = put_json_recipients(entry, buf) && is_whole;
	is_whole = put_json_verdicts(message->trace, buf) && is_whole;
	if (with_content)
		put_member(buf, "content", first_octets(message));
	ph_buf_printf(buf, ",\"cut\":%s}\n", is_whole ? "false" : "true");
}
