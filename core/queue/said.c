/* SPDX-License-Identifier: Apache-2.0 */
/*
 * said.c - what an attempt was told, kept once for all who were told the same:
 * a destination that sends a thousand recipients away says one sentence, so a
 * lane remembers its last one.
 */
#include "queue/queue.h"

#include <stdlib.h>

enum { TEXT_MAX = 400 };

static struct said nothing = { .references = 1 };

static size_t
room_for(struct ph_slice text)
{
	if (text.p == NULL)
		return 0;
	return (text.n < TEXT_MAX ? text.n : TEXT_MAX) + 1;
}

/* Copied without control characters. */
static const char *
put(char **at, struct ph_slice text)
{
	size_t room = room_for(text);
	char *to = *at;

	if (room == 0)
		return NULL;
	for (size_t i = 0; i + 1 < room; i++)
		to[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ?
		    ' ' : text.p[i];
	to[room - 1] = '\0';
	*at += room;
	return to;
}

static struct said *
create(int code, struct ph_slice enhanced, struct ph_slice host,
    struct ph_slice reason)
{
	struct said *said;
	char *at;

	if (code == 0 && enhanced.p == NULL && host.p == NULL &&
	    reason.p == NULL)
		return &nothing;
	said = malloc(sizeof(*said) + room_for(enhanced) + room_for(host) +
	    room_for(reason));
	ph_assert(said != NULL);
	at = (char *)(said + 1);
	said->references = 1;
	said->code = code;
	said->enhanced = put(&at, enhanced);
	said->host = put(&at, host);
	said->reason = put(&at, reason);
	return said;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_same(const struct said *a, const struct said *b)
{
	return a != NULL && a->code == b->code &&
	    same_text(a->enhanced, b->enhanced) &&
	    same_text(a->host, b->host) && same_text(a->reason, b->reason);
}

void
said_put(struct said *said)
{
	if (said != NULL && said != &nothing && --said->references == 0)
		free(said);
}

void
recipient_say(struct queue_recipient *recipient, int code,
    struct ph_slice enhanced, struct ph_slice host, struct ph_slice reason)
{
	struct said *said = create(code, enhanced, host, reason);
	struct said *before = recipient->said;
	struct lane *lane = recipient->lane;

	if (lane != NULL && said != &nothing) {
		if (is_same(lane->said, said)) {
			said_put(said);
			said = lane->said;
		} else {
			said_put(lane->said);
			lane->said = said;
		}
		said->references++;
	}
	recipient->said = said;
	said_put(before); /* last: the texts may be its own */
}
