/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - the modules of a configuration, told to who must not load them. */
#include "module/facts.h"

#include <stdio.h>

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
	FACT_FILE,
	FACT_ABI,
	FACT_WHEN,       /* when_encode */
	FACT_PATH,       /* repeated: an option's name */
};

static unsigned
stages_of(const struct ph_module *module)
{
	unsigned stages = 0;

	for (unsigned i = 0; i < PH_STAGES_ALL; i++)
		if (module_hook(module, (enum ph_stage)i) != NULL)
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
put_paths(struct ph_buf *buf, const struct ph_module *module)
{
	const struct ph_option *at = module->options;

	for (; at != NULL && at->name != NULL; at++)
		if (at->type == PH_OPTION_PATH || at->type == PH_OPTION_PATHS)
			record_put_str(buf, FACT_PATH, at->name);
}

static void
put_instance(struct ph_buf *buf, const struct module_instance *instance)
{
	const struct module_common *common = &instance->common;
	const struct ph_abi *abi = &instance->module->abi;
	size_t mark = record_begin(buf, FACT_MODULE);
	char version[16];

	snprintf(version, sizeof(version), "%u.%u", abi->major, abi->minor);
	record_put_str(buf, FACT_SECTION, instance->name);
	record_put_str(buf, FACT_FILE, instance->file);
	record_put_str(buf, FACT_ABI, version);
	record_put_u64(buf, FACT_KINDS, instance->module->kinds);
	record_put_u64(buf, FACT_STAGES, stages_of(instance->module));
	record_put_u64(buf, FACT_ORDER, common->order);
	record_put_u64(buf, FACT_ON_FAILURE, common->on_failure);
	record_put_u64(buf, FACT_MODE, common->mode);
	record_put_u64(buf, FACT_TIMEOUT, common->timeout_ms);
	put_list(buf, FACT_LISTEN, common->listen);
	put_list(buf, FACT_LISTEN_TLS, common->listen_tls);
	put_paths(buf, instance->module);
	if (when_is_set(&common->when)) {
		size_t inner = record_begin(buf, FACT_WHEN);

		when_encode(&common->when, buf);
		record_end(buf, inner);
	}
	record_end(buf, mark);
}

/* --- one address can be bound once --- */

struct endpoint {
	struct endpoint *next;
	struct ph_addr addr;
	uint16_t port;
	const char *text, *section;
	const struct conf_setting *setting;
};

/* Whether a stands after b, as the files are read: the main file first. */
static bool
is_later(const struct conf *conf, const struct conf_setting *a,
    const struct conf_setting *b)
{
	int files = strcmp(a->file, b->file);

	if (files == 0)
		return a->line > b->line;
	if (strcmp(a->file, conf->main_file) == 0)
		return false;
	return strcmp(b->file, conf->main_file) == 0 || files > 0;
}

/* Whichever order they were loaded in, the later line is the mistake. */
static void
check_double(const struct conf *conf, const struct endpoint *all,
    const struct endpoint *new, struct conf_errors *errors)
{
	const struct endpoint *old = all;

	while (old != NULL && (old->port != new->port ||
	    memcmp(&old->addr, &new->addr, sizeof(new->addr)) != 0))
		old = old->next;
	if (old == NULL || new->port == 0) /* any free port */
		return;
	if (is_later(conf, old->setting, new->setting)) {
		const struct endpoint *swap = old;

		old = new;
		new = swap;
	}
	conf_error_add(errors, new->setting->file, new->setting->line,
	    "%s: %s (%s:%u) listens there already", new->text, old->section,
	    old->setting->file, old->setting->line);
}

static void
check_list(struct ph_arena *arena, const struct conf *conf,
    const struct module_instance *instance, const char *option,
    struct endpoint **all, struct conf_errors *errors)
{
	const struct conf_setting *setting = conf_setting(instance->section,
	    option);
	const char *const *list = strcmp(option, "listen") == 0 ?
	    instance->common.listen : instance->common.listen_tls;

	for (; *list != NULL; list++) {
		struct endpoint *new = ph_arena_alloc(arena, sizeof(*new));

		new->text = *list;
		new->section = instance->name;
		new->setting = setting;
		conf_endpoint_parse(ph_slice_str(*list), 0, &new->addr,
		    &new->port);
		check_double(conf, *all, new, errors);
		new->next = *all;
		*all = new;
	}
}

static void
check_doubles(struct ph_arena *arena, const struct conf *conf,
    const struct module_set *set, struct conf_errors *errors)
{
	struct endpoint *all = NULL;

	for (const struct module_instance *at = set->first; at != NULL;
	     at = at->next) {
		check_list(arena, conf, at, "listen", &all, errors);
		check_list(arena, conf, at, "listen_tls", &all, errors);
	}
}

/* Listeners that conditions name are there. */
static void
check_conditions(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, const struct module_set *set,
    struct conf_errors *errors)
{
	const struct module_instance *at;
	const char **listeners;
	size_t n = 0;

	for (at = set->first; at != NULL; at = at->next)
		n += (at->module->kinds & PH_KIND_LISTENER) != 0;
	listeners = ph_arena_array(arena, n + 1, sizeof(*listeners));
	n = 0;
	for (at = set->first; at != NULL; at = at->next)
		if ((at->module->kinds & PH_KIND_LISTENER) != 0)
			listeners[n++] = at->name;
	for (at = set->first; at != NULL; at = at->next)
		when_check(conf, at->name, &at->common.when, listeners,
		    errors);
	when_check(conf, "policy", &core->policy.when, listeners, errors);
}

int
facts_check(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_buf *record,
    struct conf_errors *errors)
{
	struct module_set set = { 0 };

	if (module_set_load(arena, conf, core, ~0u, &set, errors) != PH_OK)
		return PH_INVALID;
	check_doubles(arena, conf, &set, errors);
	check_conditions(arena, conf, core, &set, errors);
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
		facts->file = ph_arena_slice(arena,
		    record_get(in, FACT_FILE)).p;
		facts->abi = ph_arena_slice(arena, record_get(in, FACT_ABI)).p;
		facts->when = ph_arena_slice(arena, record_get(in, FACT_WHEN));
		facts->listen = take_list(arena, in, FACT_LISTEN);
		facts->listen_tls = take_list(arena, in, FACT_LISTEN_TLS);
		facts->paths = take_list(arena, in, FACT_PATH);
		if (facts->section == NULL || facts->file == NULL ||
		    facts->abi == NULL)
			return PH_DEFECT;
		*last = facts;
		last = &facts->next;
	}
	if (record.p == NULL)
		return PH_DEFECT;
	*first_out = first;
	return PH_OK;
}
