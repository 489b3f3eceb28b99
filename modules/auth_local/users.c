/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.c - parsing the users file and finding in it.
 *
 * Names go into an open hash table first, aliases second, so that an alias
 * never hides a user. The first of two equal names stands.
 */
#include "users.h"

#include <posthouse/mail.h>

#include "hash.h"

struct users_slot {
	struct ph_slice key; /* absent: free */
	const struct users_entry *entry;
};

/* --- lines --- */

/* RFC 5322 s3.2.3 atext without "/", which would be a path; RFC 6532 adds
 * UTF-8. */
static bool
is_atext(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c >= 0x80 ||
	    (c != '\0' && strchr("!#$%&'*+-=?^_`{|}~", c) != NULL);
}

bool
users_name_is_valid(struct ph_slice name)
{
	struct ph_slice local = ph_address_local(name);
	char last = '.';

	if (name.n > USERS_NAME_MAX || local.n == 0 || local.n > 64 ||
	    local.p[0] == '#' || !ph_domain_is_valid(ph_address_domain(name)))
		return false;
	for (size_t i = 0; i < local.n; i++) {
		if (!is_atext((unsigned char)local.p[i]) &&
		    (local.p[i] != '.' || last == '.'))
			return false;
		last = local.p[i];
	}
	return last != '.';
}

enum users_line_kind
users_parse_line(struct ph_slice line, struct users_line *line_out,
    const char **why_out)
{
	struct ph_slice rest = ph_slice_trim(line);
	struct users_line parts;

	*why_out = NULL;
	if (rest.n == 0 || rest.p[0] == '#')
		return USERS_BLANK;
	parts.name = ph_slice_trim(ph_slice_cut(&rest, ':'));
	if (rest.p == NULL)
		*why_out = "no ':' behind the name";
	else if (!users_name_is_valid(parts.name))
		*why_out = "the name is not user@domain";
	if (*why_out != NULL)
		return USERS_WRONG;
	parts.hash = ph_slice_trim(ph_slice_cut(&rest, ':'));
	parts.aliases = rest;
	if (rest.p != NULL && memchr(rest.p, ':', rest.n) != NULL)
		*why_out = "more than name, hash and aliases";
	else if (parts.hash.n > USERS_HASH_MAX ||
	    !hash_is_usable(parts.hash))
		*why_out = "not a hash that crypt(3) knows";
	if (*why_out != NULL)
		return USERS_WRONG;
	*line_out = parts;
	return USERS_USER;
}

/* --- the table --- */

static void
complain(struct users *users, unsigned line, const char *why)
{
	if (users->error_count < USERS_ERRORS_MAX)
		users->errors[users->error_count] =
		    (struct users_error){ line, why };
	users->error_count++;
}

/* FNV-1a from a seed, then mixed: the low bits choose the slot. */
static size_t
first_slot(const struct users *users, struct ph_slice key)
{
	uint64_t h = 0xcbf29ce484222325u ^ users->seed;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3u;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	return (size_t)(h ^ h >> 33) & (users->slot_count - 1);
}

/* The slot that has the key or would take it. */
static struct users_slot *
slot_of(const struct users *users, struct ph_slice key)
{
	size_t at = first_slot(users, key);

	while (users->slots[at].key.p != NULL &&
	    !ph_slice_eq(users->slots[at].key, key))
		at = (at + 1) & (users->slot_count - 1);
	return &users->slots[at];
}

const struct users_entry *
users_find(const struct users *users, struct ph_slice address)
{
	return address.n > 0 ? slot_of(users, address)->entry : NULL;
}

/* False: the key is taken. */
static bool
insert(struct users *users, struct ph_slice key,
    const struct users_entry *entry)
{
	struct users_slot *slot = slot_of(users, key);

	if (slot->key.p != NULL)
		return false;
	*slot = (struct users_slot){ key, entry };
	return true;
}

static size_t
count_char(struct ph_slice text, char c)
{
	size_t count = 0;

	for (size_t i = 0; i < text.n; i++)
		count += text.p[i] == c;
	return count;
}

/* First pass: users. The aliases wait, as text, in the entry's only alias. */
static void
take_users(struct users *users, struct ph_slice text)
{
	unsigned number = 0;

	while (text.p != NULL) {
		struct ph_slice line = ph_slice_cut(&text, '\n');
		struct users_entry *entry = &users->entries[users->count];
		struct users_line parts;
		const char *why;
		enum users_line_kind kind = users_parse_line(line, &parts,
		    &why);

		number++;
		if (kind == USERS_WRONG)
			complain(users, number, why);
		if (kind != USERS_USER)
			continue;
		entry->name = ph_address_fold(users->arena, parts.name);
		if (!insert(users, entry->name, entry)) {
			complain(users, number, "this user was there already");
			continue;
		}
		entry->hash = ph_arena_slice(users->arena, parts.hash);
		entry->line = number;
		if (parts.aliases.p != NULL) {
			entry->aliases = ph_arena_alloc(users->arena,
			    sizeof(*entry->aliases));
			*entry->aliases = parts.aliases;
		}
		users->count++;
	}
}

static void
take_aliases_of(struct users *users, struct users_entry *entry)
{
	struct ph_slice text = entry->aliases[0];
	size_t most = count_char(text, ',') + 1;

	entry->aliases = ph_arena_array(users->arena, most,
	    sizeof(*entry->aliases));
	while (text.p != NULL) {
		struct ph_slice alias = ph_slice_trim(ph_slice_cut(&text, ','));

		if (alias.n == 0)
			continue;
		if (!users_name_is_valid(alias)) {
			complain(users, entry->line,
			    "an alias is not user@domain");
			continue;
		}
		alias = ph_address_fold(users->arena, alias);
		if (!insert(users, alias, entry)) {
			complain(users, entry->line,
			    "an alias is a user or an alias already");
			continue;
		}
		entry->aliases[entry->alias_count++] = alias;
	}
}

/* --- what an unknown user costs --- */

/* Scheme and cost: all before the salt. "$5$salt$...", "$6$rounds=9$salt$...",
 * "$y$j9T$salt$...", "$2b$12$salt...". */
static struct ph_slice
cost_of(struct ph_slice hash)
{
	bool has_cost = ph_slice_starts_nocase(hash, "$y$") ||
	    ph_slice_starts_nocase(hash, "$2") ||
	    ph_slice_starts_nocase(hash, "$7$") ||
	    ph_slice_starts_nocase(hash, "$gy$") ||
	    ph_slice_starts_nocase(hash, "$5$rounds=") ||
	    ph_slice_starts_nocase(hash, "$6$rounds=");
	unsigned dollars = has_cost ? 3 : 2;
	size_t i;

	for (i = 0; i < hash.n && dollars > 0; i++)
		dollars -= hash.p[i] == '$';
	return (struct ph_slice){ hash.p, i };
}

static void
choose_usual(struct users *users)
{
	enum { KINDS = 16 };
	struct {
		struct ph_slice cost, hash;
		size_t count;
	} kinds[KINDS] = { 0 };
	size_t best = 0;

	for (size_t i = 0; i < users->count; i++) {
		struct ph_slice hash = users->entries[i].hash;
		struct ph_slice cost = cost_of(hash);
		size_t k = 0;

		if (hash.p[0] != '$')
			continue; /* locked */
		while (k < KINDS && kinds[k].count > 0 &&
		    !ph_slice_eq(kinds[k].cost, cost))
			k++;
		if (k == KINDS)
			continue;
		kinds[k].cost = cost;
		kinds[k].hash = hash;
		if (++kinds[k].count > kinds[best].count)
			best = k;
	}
	if (kinds[best].count > 0)
		memcpy(users->usual_hash, kinds[best].hash.p,
		    kinds[best].hash.n);
}

static void
wipe_hashes(void *object)
{
	struct users *users = object;

	for (size_t i = 0; i < users->count; i++)
		ph_wipe((char *)(uintptr_t)users->entries[i].hash.p,
		    users->entries[i].hash.n);
	ph_wipe(users->usual_hash, sizeof(users->usual_hash));
}

struct users *
users_parse(struct ph_arena *arena, struct ph_slice text, uint64_t seed)
{
	struct users *users = ph_arena_alloc(arena, sizeof(*users));
	size_t lines = count_char(text, '\n') + 1;
	size_t keys = lines + count_char(text, ',') + count_char(text, ':');

	users->arena = arena;
	users->seed = seed;
	users->slot_count = 16;
	while (users->slot_count < 2 * keys)
		users->slot_count *= 2;
	users->slots = ph_arena_array(arena, users->slot_count,
	    sizeof(*users->slots));
	users->entries = ph_arena_array(arena, lines, sizeof(*users->entries));
	take_users(users, text);
	for (size_t i = 0; i < users->count; i++)
		if (users->entries[i].aliases != NULL)
			take_aliases_of(users, &users->entries[i]);
	choose_usual(users);
	ph_arena_on_end(arena, wipe_hashes, users);
	return users;
}
