/* SPDX-License-Identifier: Apache-2.0 */
/* session_state.c - what modules keep between the stages of a session. */
#include <stdlib.h>

#include "base/record.h"
#include "pipeline/pipeline.h"

enum {
	BUCKETS = 4096,
	STATES_MAX = 50000,        /* then the oldest is dropped */
	KEPT_MS = 3600000,
	NOTES_MAX = 64,
	NOTE_KEY_MAX = 64,
};

struct module_state {
	struct module_state *next;
	const char *section;
	const struct ph_module *module;
	size_t size;
	void *memory;
};

struct note {
	struct note *next;
	const char *key, *text;
	bool is_shadow;
	unsigned changes; /* bounded: old texts stay until the end */
};

/* What is kept in one arena: of the session, of its message. */
struct keep {
	struct ph_arena *arena;
	struct module_state *modules;
	struct note *notes;
	unsigned note_count;
};

struct session_state {
	struct session_state *next;          /* in its bucket */
	struct session_state *older, *newer; /* by last use */
	char id[ID_TEXT_MAX];
	struct ph_arena *arena;
	struct keep session, message;
	uint64_t transaction;                /* of the message; 0: none */
	uint64_t used_ms;
	unsigned calls;
	bool is_dropped;
};

static struct {
	struct session_state *bucket[BUCKETS];
	struct session_state *oldest, *newest;
	unsigned count;
} all;

static struct session_state **
find(struct ph_slice id)
{
	struct session_state **at =
	    &all.bucket[record_crc(0, id.p, id.n) % BUCKETS];

	while (*at != NULL && !ph_slice_eq(ph_slice_str((*at)->id), id))
		at = &(*at)->next;
	return at;
}

static void
unlink_age(struct session_state *state)
{
	*(state->older != NULL ? &state->older->newer : &all.oldest) =
	    state->newer;
	*(state->newer != NULL ? &state->newer->older : &all.newest) =
	    state->older;
	state->older = state->newer = NULL;
}

static void
link_newest(struct session_state *state)
{
	state->used_ms = ph_now_ms();
	state->older = all.newest;
	*(all.newest != NULL ? &all.newest->newer : &all.oldest) = state;
	all.newest = state;
}

static void
drop(struct session_state *state)
{
	struct session_state **at = find(ph_slice_str(state->id));

	*at = state->next;
	unlink_age(state);
	all.count--;
	if (state->calls > 0)
		state->is_dropped = true;
	else
		ph_arena_free(state->arena);
}

struct session_state *
session_state_obtain(struct ph_slice session)
{
	struct session_state **at = find(session), *state = *at;
	struct ph_arena *arena;

	if (state != NULL) {
		unlink_age(state);
		link_newest(state);
		return state;
	}
	while (all.oldest != NULL && (all.count >= STATES_MAX ||
	    ph_now_ms() - all.oldest->used_ms > KEPT_MS))
		drop(all.oldest);
	arena = ph_arena_create(NULL);
	state = ph_arena_alloc(arena, sizeof(*state));
	state->arena = arena;
	state->session.arena = arena;
	ph_assert(session.n < sizeof(state->id));
	memcpy(state->id, session.p, session.n);
	at = find(session);
	state->next = *at;
	*at = state;
	link_newest(state);
	all.count++;
	return state;
}

void
session_state_drop(struct ph_slice session)
{
	struct session_state *state = *find(session);

	if (state != NULL)
		drop(state);
}

static void *
memory_of(struct keep *keep, const struct module_instance *instance,
    size_t size)
{
	struct module_state *at = keep->modules;

	while (at != NULL && (at->module != instance->module ||
	    strcmp(at->section, instance->name) != 0))
		at = at->next;
	if (at == NULL) {
		at = ph_arena_alloc(keep->arena, sizeof(*at));
		at->module = instance->module;
		at->section = ph_arena_strdup(keep->arena, instance->name);
		at->size = size;
		at->memory = ph_arena_alloc(keep->arena, size);
		at->next = keep->modules;
		keep->modules = at;
	}
	ph_assert(at->size >= size);
	return at->memory;
}

void *
session_state_of(struct session_state *state,
    const struct module_instance *instance, size_t size)
{
	return memory_of(&state->session, instance, size);
}

static struct keep *
message_of(struct session_state *state)
{
	if (state->message.arena == NULL)
		state->message.arena = ph_arena_create(state->arena);
	return &state->message;
}

void *
message_state_of(struct session_state *state,
    const struct module_instance *instance, size_t size)
{
	return memory_of(message_of(state), instance, size);
}

/* A call that edge gave up on may still use what is of the message before. */
void
session_state_message(struct session_state *state, uint64_t transaction)
{
	if (transaction == state->transaction)
		return;
	state->transaction = transaction;
	if (state->calls == 0)
		ph_arena_free(state->message.arena);
	state->message = (struct keep){ NULL, NULL, NULL, 0 };
}

static struct note *
find_note(const struct keep *keep, const char *key, bool is_shadow)
{
	struct note *at = keep->notes;

	while (at != NULL && (at->is_shadow != is_shadow ||
	    strcmp(at->key, key) != 0))
		at = at->next;
	return at;
}

void
session_state_note(struct session_state *state, const char *key,
    const char *text, bool is_shadow)
{
	struct keep *keep = state->transaction != 0 ? message_of(state) :
	                                              &state->session;
	struct note *note = find_note(keep, key, is_shadow);

	if (strlen(key) > NOTE_KEY_MAX ||
	    (note == NULL && keep->note_count == NOTES_MAX) ||
	    (note != NULL && ++note->changes > NOTES_MAX))
		return;
	if (note == NULL) {
		note = ph_arena_alloc(keep->arena, sizeof(*note));
		note->key = ph_arena_strdup(keep->arena, key);
		note->is_shadow = is_shadow;
		note->next = keep->notes;
		keep->notes = note;
		keep->note_count++;
	}
	note->text = ph_arena_strdup(keep->arena, text);
}

static const struct note *
either(const struct session_state *state, const char *key, bool is_shadow)
{
	const struct note *note = find_note(&state->message, key, is_shadow);

	return note != NULL ? note :
	                      find_note(&state->session, key, is_shadow);
}

const char *
session_state_noted(const struct session_state *state, const char *key,
    bool is_shadow)
{
	const struct note *note = is_shadow ? either(state, key, true) : NULL;

	if (note == NULL)
		note = either(state, key, false);
	return note != NULL ? note->text : NULL;
}

struct ph_arena *
session_state_arena(struct session_state *state)
{
	return state->arena;
}

struct ph_arena *
message_state_arena(struct session_state *state)
{
	return message_of(state)->arena;
}

void
session_state_get(struct session_state *state)
{
	state->calls++;
}

void
session_state_put(struct session_state *state)
{
	if (--state->calls == 0 && state->is_dropped)
		ph_arena_free(state->arena);
}
