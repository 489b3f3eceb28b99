/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - the modules of a configuration, told to who must not load them. */
#include "module/facts.h"

#include "base/record.h"

enum tag {
	FACT_MODULE = 1, /* the following, nested */
	FACT_SECTION,
	FACT_KINDS,
	FACT_STAGES,
	FACT_ORDER,
	FACT_ON_FAILURE,
	FACT_MODE,
	FACT_TIMEOUT,
	FACT_LISTEN,     /* repeated */
	FACT_LISTEN_TLS, /* repeated */
};

static unsigned
stages_of(const struct ph_module *module)
{
	unsigned stages = 0;

	for (unsigned i = 0; module->check != NULL && i < PH_STAGES; i++)
		if (module->check->at[i] != NULL)
			stages |= 1u << i;
	return stages;
}

static void
put_list(struct ph_buf *buf, uint16_t tag, const char *const *list)
{
	for (; *list != NULL; list++)
		record_put_str(buf, tag, *list);
}

static void
put_instance(struct ph_buf *buf, const struct module_instance *instance)
{
	const struct module_common *common = &instance->common;
	size_t mark = record_begin(buf, FACT_MODULE);

	record_put_str(buf, FACT_SECTION, instance->name);
	record_put_u64(buf, FACT_KINDS, instance->module->kinds);
	record_put_u64(buf, FACT_STAGES, stages_of(instance->module));
	record_put_u64(buf, FACT_ORDER, common->order);
	record_put_u64(buf, FACT_ON_FAILURE, common->on_failure);
	record_put_u64(buf, FACT_MODE, common->mode);
	record_put_u64(buf, FACT_TIMEOUT, common->timeout_ms);
	put_list(buf, FACT_LISTEN, common->listen);
	put_list(buf, FACT_LISTEN_TLS, common->listen_tls);
	record_end(buf, mark);
}

struct seen {
	const char *endpoint;
	const struct module_instance *instance;
	const struct conf_setting *setting;
	struct seen *next;
};

static bool
has_any_port(const char *endpoint)
{
	size_t n = strlen(endpoint);

	return n >= 2 && strcmp(endpoint + n - 2, ":0") == 0;
}

static void
see(struct ph_arena *arena, const struct module_instance *instance,
    const char *name, const char *const *list, struct seen **all,
    struct conf_errors *errors)
{
	const struct conf_setting *setting = conf_setting(instance->section,
	    name);

	for (; *list != NULL; list++) {
		struct seen *seen = *all;

		while (seen != NULL && strcmp(seen->endpoint, *list) != 0)
			seen = seen->next;
		if (seen != NULL && !has_any_port(*list))
			conf_error_add(errors, setting->file, setting->line,
			    "%s: %s (%s:%u) listens there already", *list,
			    seen->instance->name, seen->setting->file,
			    seen->setting->line);
		seen = ph_arena_alloc(arena, sizeof(*seen));
		*seen = (struct seen){ *list, instance, setting, *all };
		*all = seen;
	}
}

/* One address can be bound once. */
static void
check_doubles(struct ph_arena *arena, const struct module_set *set,
    struct conf_errors *errors)
{
	struct seen *all = NULL;

	for (const struct module_instance *at = set->first; at != NULL;
	     at = at->next) {
		see(arena, at, "listen", at->common.listen, &all, errors);
		see(arena, at, "listen_tls", at->common.listen_tls, &all,
		    errors);
	}
}

int
facts_check(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_buf *record,
    struct conf_errors *errors)
{
	struct module_set set = { 0 };

	if (module_set_load(arena, conf, core, ~0u, &set, errors) != PH_OK)
		return PH_INVALID;
	check_doubles(arena, &set, errors);
	if (errors->count > 0)
		return PH_INVALID;
	for (const struct module_instance *at = set.first; at != NULL;
	     at = at->next)
		put_instance(record, at);
	return record->full ? PH_TOO_BIG : PH_OK;
}

static const char *const *
take_list(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice rest = record;
	struct record_field field;
	const char **list;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == tag;
	list = ph_arena_array(arena, n + 1, sizeof(*list));
	n = 0;
	while (record_next(&record, &field))
		if (field.tag == tag)
			list[n++] = ph_arena_slice(arena, field.value).p;
	return list;
}

int
facts_decode(struct ph_arena *arena, struct ph_slice record,
    struct module_facts **first_out)
{
	struct module_facts *first = NULL, **last = &first;
	struct record_field field;

	while (record_next(&record, &field)) {
		struct module_facts *facts;
		struct ph_slice in = field.value;

		if (field.tag != FACT_MODULE)
			continue;
		if (!record_is_sound(in))
			return PH_DEFECT;
		facts = ph_arena_alloc(arena, sizeof(*facts));
		facts->section = ph_arena_slice(arena,
		    record_get(in, FACT_SECTION)).p;
		facts->kinds = (unsigned)record_get_u64(in, FACT_KINDS, 0);
		facts->stages = (unsigned)record_get_u64(in, FACT_STAGES, 0);
		facts->order = (unsigned)record_get_u64(in, FACT_ORDER, 0);
		facts->on_failure = (unsigned)record_get_u64(in,
		    FACT_ON_FAILURE, 0);
		facts->mode = (unsigned)record_get_u64(in, FACT_MODE, 0);
		facts->timeout_ms = (unsigned)record_get_u64(in, FACT_TIMEOUT,
		    0);
		facts->listen = take_list(arena, in, FACT_LISTEN);
		facts->listen_tls = take_list(arena, in, FACT_LISTEN_TLS);
		if (facts->section == NULL)
			return PH_DEFECT;
		*last = facts;
		last = &facts->next;
	}
	if (record.p == NULL)
		return PH_DEFECT;
	*first_out = first;
	return PH_OK;
}
