/* SPDX-License-Identifier: Apache-2.0 */
/*
 * said.c - what an attempt was told, kept once for all who were told the same:
 * a destination that sends a thousand recipients away says one sentence, and a
 * thousand destinations with the same software say one another's. What is
 * alive is found in tables of a fixed size, by a hash; what comes later takes
 * the place, so now and then a text is there twice.
 */
#include "queue/queue.h"

#include <stdlib.h>

#include "base/record.h"

enum {
	TEXT_MAX = 400,
	SLOTS = 1 << 16, /* a slot is a uint16_t */
};

/* Without control characters, and bounded. */
struct clean {
	bool is_there;
	size_t n;
	char text[TEXT_MAX + 1];
};

static struct reply no_reply = { .references = 1 };
static struct said nothing = { .reply = &no_reply, .references = 1 };
static struct reply *replies[SLOTS];
static struct said *sayings[SLOTS];

static void
take(struct clean *to, struct ph_slice text)
{
	to->is_there = text.p != NULL;
	to->n = text.n < TEXT_MAX ? text.n : TEXT_MAX;
	for (size_t i = 0; i < to->n; i++)
		to->text[i] = (unsigned char)text.p[i] < 0x20 ||
		    text.p[i] == 0x7f ? ' ' : text.p[i];
	to->text[to->n] = '\0';
}

static bool
is_text(const struct clean *clean, const char *text)
{
	return clean->is_there ?
	    text != NULL && strcmp(clean->text, text) == 0 : text == NULL;
}

static size_t
room_for(const struct clean *clean)
{
	return clean->is_there ? clean->n + 1 : 0;
}

static const char *
put(char **at, const struct clean *clean)
{
	char *to = *at;

	if (!clean->is_there)
		return NULL;
	memcpy(to, clean->text, clean->n + 1);
	*at += clean->n + 1;
	return to;
}

/* --- the words --- */

/* Referenced once more. */
static struct reply *
reply_of(int code, const struct clean *enhanced, const struct clean *reason)
{
	uint16_t slot = (uint16_t)record_crc(record_crc((uint32_t)code,
	    enhanced->text, enhanced->n), reason->text, reason->n);
	struct reply *reply = replies[slot];
	char *at;

	if (reply != NULL && reply->code == code &&
	    is_text(enhanced, reply->enhanced) &&
	    is_text(reason, reply->reason)) {
		reply->references++;
		return reply;
	}
	reply = malloc(sizeof(*reply) + room_for(enhanced) +
	    room_for(reason));
	ph_assert(reply != NULL);
	at = (char *)(reply + 1);
	reply->references = 1;
	reply->code = code;
	reply->enhanced = put(&at, enhanced);
	reply->reason = put(&at, reason);
	reply->slot = slot;
	replies[slot] = reply;
	return reply;
}

static void
reply_put(struct reply *reply)
{
	if (--reply->references > 0)
		return;
	if (replies[reply->slot] == reply)
		replies[reply->slot] = NULL;
	free(reply);
}

/* --- and who said them --- */

/* Referenced once more. */
static struct said *
said_of(int code, const struct clean *enhanced, const struct clean *host,
    const struct clean *reason)
{
	struct reply *reply = reply_of(code, enhanced, reason);
	uint16_t slot = (uint16_t)record_crc(reply->slot, host->text,
	    host->n);
	struct said *said = sayings[slot];

	if (said != NULL && said->reply == reply &&
	    is_text(host, said_host(said))) {
		reply_put(reply); /* said has it */
		return said_get(said);
	}
	said = malloc(offsetof(struct said, host) + room_for(host) + 1);
	ph_assert(said != NULL);
	said->reply = reply;
	said->references = 1;
	said->slot = slot;
	said->has_host = host->is_there;
	memcpy(said->host, host->text, room_for(host));
	sayings[slot] = said;
	return said;
}

const char *
said_host(const struct said *said)
{
	return said->has_host ? said->host : NULL;
}

struct said *
said_get(struct said *said)
{
	if (said != &nothing)
		said->references++;
	return said;
}

void
said_put(struct said *said)
{
	if (said == NULL || said == &nothing || --said->references > 0)
		return;
	if (sayings[said->slot] == said)
		sayings[said->slot] = NULL;
	reply_put(said->reply);
	free(said);
}

void
recipient_say(struct queue_recipient *recipient, int code,
    struct ph_slice enhanced, struct ph_slice host, struct ph_slice reason)
{
	struct said *before = recipient->said;
	struct lane *lane = recipient->lane;
	struct clean e, h, r;

	if (code == 0 && enhanced.p == NULL && host.p == NULL &&
	    reason.p == NULL) {
		recipient->said = &nothing;
	} else {
		take(&e, enhanced);
		take(&h, host);
		take(&r, reason);
		recipient->said = said_of(code, &e, &h, &r);
		if (lane != NULL) {
			said_put(lane->said);
			lane->said = said_get(recipient->said);
		}
	}
	said_put(before); /* last: the texts may be its own */
}
