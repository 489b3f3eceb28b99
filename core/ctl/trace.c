/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - two readings of the log: the first gathers the ids that belong to
 * the one asked for, the second prints.
 */
#include "ctl/trace.h"

#include <stdlib.h>

#include "base/id.h"

enum {
	IDS_MAX = 256,
	ID_LENGTH = ID_TEXT_MAX - 1,
	ROUNDS_MAX = 8, /* of gathering: a bounce of a bounce */
};

struct ids {
	char text[IDS_MAX][ID_TEXT_MAX];
	unsigned count;
};

struct line {
	struct ph_slice session, queue;
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

/* asked: the id of the call, for which a session's messages count too. */
static void
gather(const struct line *line, struct ph_slice asked, struct ids *sessions,
    struct ids *messages)
{
	if (has(messages, line->queue)) {
		add(sessions, line->session);
		for (unsigned i = 0; i < line->others; i++)
			add(messages, line->other[i]);
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

static struct ph_slice
without_end(const char *p, ssize_t n)
{
	struct ph_slice text = { p, (size_t)n };

	if (text.n > 0 && p[text.n - 1] == '\n')
		text.n--;
	return text;
}

static bool
gather_all(FILE *log, struct ph_slice id, struct ids *sessions,
    struct ids *messages)
{
	unsigned before = 0;
	char *p = NULL;
	size_t size = 0;
	ssize_t n;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		rewind(log);
		while ((n = getline(&p, &size, log)) >= 0) {
			struct line line;

			parse(without_end(p, n), &line);
			gather(&line, id, sessions, messages);
		}
		if (sessions->count + messages->count == before)
			break;
		before = sessions->count + messages->count;
	}
	free(p);
	return !ferror(log);
}

long
trace_print(FILE *log, struct ph_slice id, FILE *out)
{
	struct ids *sessions = calloc(2, sizeof(*sessions));
	struct ids *messages = sessions + 1;
	char *p = NULL;
	size_t size = 0;
	ssize_t n;
	long count = 0;

	ph_assert(sessions != NULL);
	add(sessions, id);
	add(messages, id);
	if (!gather_all(log, id, sessions, messages))
		count = PH_IO;
	rewind(log);
	while (count >= 0 && (n = getline(&p, &size, log)) >= 0) {
		struct line line;

		parse(without_end(p, n), &line);
		if (!belongs(&line, sessions, messages))
			continue;
		fwrite(p, 1, (size_t)n, out);
		count++;
	}
	free(p);
	free(sessions);
	return count;
}
