/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - readings of the log: the first ones gather the ids that belong to
 * the one asked for, the second prints.
 */
#include "ctl/trace.h"

#include <stdlib.h>

#include "base/id.h"

enum {
	IDS_MAX = 256,
	ID_LENGTH = ID_TEXT_MAX - 1,
	ROUNDS_MAX = 8, /* of gathering: a bounce of a bounce */
	SESSION_MS = 86400000, /* a session may have begun so long before */
};

struct ids {
	char text[IDS_MAX][ID_TEXT_MAX];
	unsigned count;
};

struct line {
	struct ph_slice session, queue;
	struct ph_slice received; /* as in the message's Received field */
	struct ph_slice other[4]; /* ids under other keys: bounce=... */
	unsigned others;
};

static bool
has(const struct ids *ids, struct ph_slice id)
{
	for (unsigned i = 0; i < ids->count; i++)
		if (ph_slice_eq(id, ph_slice_str(ids->text[i])))
			return true;
	return false;
}

static void
add(struct ids *ids, struct ph_slice id)
{
	if (id.n != ID_LENGTH || has(ids, id) || ids->count == IDS_MAX)
		return;
	memcpy(ids->text[ids->count], id.p, id.n);
	ids->text[ids->count++][id.n] = '\0';
}

static bool
is_id(struct ph_slice text)
{
	uint64_t number;

	return text.n == ID_LENGTH && id_parse(text, &number);
}

/* key=value words; a value in quotes may hold spaces, and its ids, as in the
 * "(TOKEN)" of a refusal, are no keys. */
static void
parse(struct ph_slice text, struct line *line_out)
{
	struct line line = { .others = 0 };

	while (text.p != NULL) {
		struct ph_slice word = ph_slice_cut(&text, ' ');
		struct ph_slice value = word, key = ph_slice_cut(&value, '=');

		if (value.p != NULL && ph_slice_eq(key, PH_LIT("received")))
			line.received = value;
		if (value.p == NULL || !is_id(value))
			continue;
		if (ph_slice_eq(key, PH_LIT("session")))
			line.session = value;
		else if (ph_slice_eq(key, PH_LIT("queue")))
			line.queue = value;
		else if (line.others <
		    sizeof(line.other) / sizeof(line.other[0]))
			line.other[line.others++] = value;
	}
	*line_out = line;
}

/* asked: the id of the call, for which a session's messages count too; or that
 * of a Received field, "SESSION.2", which is one message's. */
static void
gather(const struct line *line, struct ph_slice asked, struct ids *sessions,
    struct ids *messages)
{
	if (has(messages, line->queue)) {
		add(sessions, line->session);
		for (unsigned i = 0; i < line->others; i++)
			add(messages, line->other[i]);
	}
	if (line->received.p != NULL && ph_slice_eq(line->received, asked)) {
		add(sessions, line->session);
		add(messages, line->queue);
	}
	if (line->queue.p != NULL && ph_slice_eq(line->session, asked))
		add(messages, line->queue);
	for (unsigned i = 0; i < line->others; i++)
		if (line->queue.p != NULL && has(messages, line->other[i]))
			add(messages, line->queue);
}

static bool
belongs(const struct line *line, const struct ids *sessions,
    const struct ids *messages)
{
	if (line->queue.p != NULL)
		return has(messages, line->queue);
	for (unsigned i = 0; i < line->others; i++)
		if (has(messages, line->other[i]))
			return true;
	return line->session.p != NULL && has(sessions, line->session);
}

struct story {
	struct ph_slice asked;
	struct ids sessions, messages;
	trace_put put;
	FILE *out;
	long count;
};

static void
gather_line(void *arg, struct ph_slice text)
{
	struct story *story = arg;
	struct line line;

	parse(text, &line);
	gather(&line, story->asked, &story->sessions, &story->messages);
}

static void
print_line(void *arg, struct ph_slice text)
{
	struct story *story = arg;
	struct line line;

	parse(text, &line);
	if (!belongs(&line, &story->sessions, &story->messages))
		return;
	story->put(text, story->out);
	story->count++;
}

void
trace_put_text(struct ph_slice line, FILE *out)
{
	fwrite(line.p, 1, line.n, out);
	putc('\n', out);
}

int64_t
trace_since_ms(struct ph_slice id)
{
	uint64_t number;

	return id_parse(ph_slice_cut(&id, '.'), &number) ? id_wall_ms(number) - SESSION_MS : 0;
}

long
trace_print(const struct logs *logs, struct ph_slice id, trace_put put,
    FILE *out, const char **path_out)
{
	struct story *story = calloc(1, sizeof(*story));
	unsigned known = 0;
	long result = 0;

	ph_assert(story != NULL);
	story->asked = id;
	story->put = put;
	story->out = out;
	add(&story->sessions, id);
	add(&story->messages, id);
	for (unsigned round = 0; result == 0 && round < ROUNDS_MAX; round++) {
		known = story->sessions.count + story->messages.count;
		result = logs_read(logs, gather_line, story, path_out);
		if (story->sessions.count + story->messages.count == known)
			break;
	}
	if (result == 0)
		result = logs_read(logs, print_line, story, path_out);
	if (result == 0)
		result = story->count;
	free(story);
	return result;
}
