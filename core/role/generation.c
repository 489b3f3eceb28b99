/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.c - one configuration as a role sees it, made from MSG_CONFIGURE
 * and kept while a session or call still uses it.
 */
#include "role/generation.h"

#include "base/record.h"
#include "queue/notice.h"
#include "role/confine.h"

static struct generation *current;

struct generation *
generation_current(void)
{
	return current;
}

struct generation *
generation_get(struct generation *generation)
{
	generation->references++;
	return generation;
}

void
generation_put(struct generation *generation)
{
	if (generation == NULL || --generation->references > 0)
		return;
	ph_wipe(generation->key, sizeof(generation->key));
	ph_wipe((char *)(uintptr_t)generation->certificate_key.p,
	    generation->certificate_key.n);
	ph_wipe((char *)(uintptr_t)generation->certificates.p,
	    generation->certificates.n);
	ph_arena_free(generation->arena);
}

void
generation_make_current(struct generation *generation)
{
	struct generation *old = current;

	current = generation;
	generation_put(old);
}

/* All fields of a tag as they came, for others to take apart. */
static struct ph_slice
take_all(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice rest = record;
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, record.n + 1);
	while (record_next(&rest, &field))
		if (field.tag == tag)
			record_put(&buf, tag, field.value);
	return ph_buf_content(&buf);
}

static struct check_facts
take_check(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_slice when = record_get(record, F_WHEN);
	struct check_facts facts = {
		.section = ph_arena_slice(arena,
		    record_get(record, F_SECTION)).p,
		.stages = (unsigned)record_get_u64(record, F_STAGES, 0),
		.order = (unsigned)record_get_u64(record, F_ORDER, 0),
		.on_failure = (unsigned)record_get_u64(record, F_ON_FAILURE,
		    0),
		.mode = (unsigned)record_get_u64(record, F_MODE, 0),
		.timeout_ms = (unsigned)record_get_u64(record, F_TIMEOUT,
		    20000),
		.has_when = when.p != NULL };

	when_decode(arena, when, &facts.when);
	return facts;
}

static void
take_checks(struct generation *generation, struct ph_slice record)
{
	struct ph_slice rest = record;
	struct record_field field;
	struct check_facts *checks;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_CHECK;
	checks = ph_arena_array(generation->arena, n, sizeof(*checks));
	generation->checks = checks;
	generation->check_count = n;
	while (record_next(&record, &field))
		if (field.tag == F_CHECK) {
			*checks = take_check(generation->arena, field.value);
			generation->stages |= checks->stages;
			if (checks->mode == MODE_OBSERVE)
				generation->observed |= checks->stages;
			checks++;
		}
}

static void
take_secrets(struct generation *generation, struct ph_slice record)
{
	struct ph_arena *arena = generation->arena;
	struct ph_slice key = record_get(record, F_KEY);

	if (key.n == TOKEN_KEY_SIZE)
		memcpy(generation->key, key.p, TOKEN_KEY_SIZE);
	generation->certificate = ph_arena_slice(arena,
	    record_get(record, F_CERT));
	generation->certificate_key = ph_arena_slice(arena,
	    record_get(record, F_CERT_KEY));
	generation->tickets = ph_arena_slice(arena,
	    record_get(record, F_TICKETS));
	generation->client_ca = ph_arena_slice(arena,
	    record_get(record, F_CLIENT_CA));
	generation->certificates = take_all(arena, record, F_CERT_MORE);
	take_checks(generation, record);
}

/* The master has looked at the file: what is wrong now is the way here. */
static int
take_notices(struct generation *generation, struct ph_slice record)
{
	struct ph_slice file = ph_arena_slice(generation->arena,
	    record_get(record, F_NOTICES));
	struct notices *notices;
	const char *why;
	unsigned line;

	if (file.p == NULL)
		return PH_OK;
	notices = ph_arena_alloc(generation->arena, sizeof(*notices));
	generation->notices = notices;
	return notices_parse(generation->arena, file, notices, &line, &why);
}

/* NULL-terminated. */
static const char *const *
take_reads(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_slice rest = record;
	struct record_field field;
	const char **reads;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_READ;
	reads = ph_arena_array(arena, n + 1, sizeof(*reads));
	n = 0;
	while (record_next(&record, &field))
		if (field.tag == F_READ)
			reads[n++] = ph_arena_slice(arena, field.value).p;
	return reads;
}

bool
generation_is_beyond(struct ph_slice record, const char **what_out)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	const char *what = NULL;
	struct core_conf core;
	struct conf *conf;

	if (conf_decode(arena, record_get(record, F_CONF), &conf) == PH_OK &&
	    core_conf_fill(arena, conf, &core, &errors) == PH_OK) {
		if (confine_lacks(&core, conf, take_reads(arena, record)))
			what = "files it may not read";
		else if (module_set_is_stale(arena, conf, &core))
			what = "a module's file has changed";
	}
	ph_arena_free(arena);
	if (what != NULL)
		*what_out = what;
	return what != NULL;
}

static int
load(struct generation *generation, struct ph_slice record, unsigned kinds,
    void (*before_modules)(const struct core_conf *core,
        const struct conf *conf, const char *const *reads),
    struct conf_errors *errors)
{
	struct ph_arena *arena = generation->arena;
	struct conf *conf;
	int status = conf_decode(arena, record_get(record, F_CONF), &conf);

	if (status != PH_OK) {
		conf_error_add(errors, NULL, 0,
		    "the configuration came damaged");
		return status;
	}
	status = core_conf_fill(arena, conf, &generation->core, errors);
	if (status != PH_OK)
		return status;
	if (before_modules != NULL)
		before_modules(&generation->core, conf,
		    take_reads(arena, record));
	status = module_set_load(arena, conf, &generation->core, kinds,
	    &generation->modules, errors);
	for (struct module_instance *at = generation->modules.first;
	     at != NULL && status == PH_OK; at = at->next)
		at->tally = tally_of(at->name);
	return status;
}

int
generation_create(struct ph_slice record, unsigned kinds,
    void (*before_modules)(const struct core_conf *core,
        const struct conf *conf, const char *const *reads),
    struct generation **generation_out, struct conf_errors *errors)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct generation *generation = ph_arena_alloc(arena,
	    sizeof(*generation));
	int status;

	generation->arena = arena;
	generation->references = 1;
	generation->number = record_get_u64(record, F_GENERATION, 0);
	generation->router_count = (unsigned)record_get_u64(record, F_ROUTERS,
	    0);
	generation->routes_sum = record_get_u64(record, F_ROUTES_SUM, 0);
	take_secrets(generation, record);
	status = take_notices(generation, record);
	if (status != PH_OK)
		conf_error_add(errors, NULL, 0, "bounce_template came damaged");
	else
		status = load(generation, record, kinds, before_modules,
		    errors);
	if (status != PH_OK) {
		generation_put(generation);
		return status;
	}
	*generation_out = generation;
	return PH_OK;
}
