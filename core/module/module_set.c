/* SPDX-License-Identifier: Apache-2.0 */
/* module_set.c - the enabled sections of a configuration as modules. */
#include "module/module_conf.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "module/loader.h"

static const char *const failures[] = { "defer", "next", "reject", NULL };
static const char *const modes[] = { "enforce", "shadow", "observe",
	NULL };
static const char *const certificates[] = { "no", "ask", "require", NULL };

const struct ph_option module_common_options[] = {
	PH_OPT_BOOL("enabled", struct module_common, enabled, "true",
	    "False: as if the section were not there"),
	PH_OPT_STRING("module", struct module_common, module, 0, 1024, "",
	    "The .so's name or absolute path; empty: the section's name"),
	PH_OPT_UINT("order", struct module_common, order, 0, 1000, "100",
	    "Modules of the same order are asked together"),
	PH_OPT_CHOICE("on_failure", struct module_common, on_failure,
	    failures, "defer", "What counts when a check can't answer"),
	PH_OPT_CHOICE("mode", struct module_common, mode, modes, "enforce",
	    "\"shadow\": a check runs, is recorded, changes nothing; "
	    "\"observe\": nobody waits for it"),
	PH_OPT_MSEC("hook_timeout", struct module_common, timeout_ms, 10,
	    600000, "20s", "How long one hook of a check may take"),
	PH_OPT_LIST("listen", struct module_common, listen, 0, 64, "[]",
	    "ADDRESS:PORT of a listener's sockets"),
	PH_OPT_LIST("listen_tls", struct module_common, listen_tls, 0, 64,
	    "[]", "The same with TLS from the first octet"),
	PH_OPT_NETS("proxy_from", struct module_common, proxy_from, 0, 1000,
	    "[]", "Front ends that begin with a PROXY header"),
	PH_OPT_CHOICE("client_certificate", struct module_common,
	    client_certificate, certificates, "no",
	    "Under TLS: ask clients for theirs, or require one"),
	WHEN_OPTIONS(struct module_common, when),
	PH_OPT_END,
};

struct loading {
	struct ph_arena *arena;
	const struct conf *conf;
	const struct core_conf *core;
	struct conf_errors *errors;
};

static const char *
path_of(struct loading *l, const char *name)
{
	if (name[0] == '/')
		return name;
	if (strchr(name, '/') != NULL)
		return NULL;
	return ph_arena_printf(l->arena, "%s/%s.so", l->core->module_dir, name);
}

static bool
is_enabled(struct loading *l, const struct conf_section *section)
{
	const struct conf_setting *at = conf_setting(section, "enabled");

	(void)l;
	return at == NULL || at->type != CONF_BOOL || at->flag;
}

/* A section whose module is missing may be a mistyped section of the core. */
static const char *
section_hint(struct loading *l, const char *name)
{
	size_t count;
	const struct core_table *tables = core_tables(&count);

	for (size_t i = 1; i < count; i++)
		if (strncasecmp(tables[i].section, name,
		        strlen(tables[i].section) - 1) == 0)
			return ph_arena_printf(l->arena,
			    "; did you mean the section \"%s\"?",
			    tables[i].section);
	return "";
}

/* Around the code that a module runs before it is asked for anything. */
static void (*on_load)(const char *section);

void
module_set_on_load(void (*fn)(const char *section))
{
	on_load = fn;
}

static void
loads(const char *section)
{
	if (on_load != NULL)
		on_load(section);
}

static const char *
name_of(const struct conf_section *section)
{
	const struct conf_setting *at = conf_setting(section, "module");

	return at != NULL && at->type == CONF_TEXT && at->text[0] != '\0' ?
	    at->text : section->name;
}

static const struct ph_module *
find_module(struct loading *l, const struct conf_section *section,
    const char **path_out)
{
	const struct conf_setting *at = conf_setting(section, "module");
	const char *name = name_of(section);
	const char *path = path_of(l, name);
	const struct ph_module *module = NULL;
	struct ph_err err = { 0 };

	if (path == NULL)
		ph_err_set(&err, PH_INVALID, 0,
		    "\"%s\" is neither a name nor an absolute path", name);
	else
		module = loader_open(path, &err);
	*path_out = path;
	if (module == NULL)
		conf_error_add(l->errors, at != NULL ? at->file :
		    section->file, at != NULL ? at->line : section->line,
		    "module %s: %s%s", name, err.text,
		    err.status == PH_NOT_FOUND && at == NULL ?
		    section_hint(l, name) : "");
	return module;
}

static void
check_endpoints(struct loading *l, const struct conf_section *section,
    const char *option, const char *const *list)
{
	const struct conf_setting *at = conf_setting(section, option);

	for (; *list != NULL; list++) {
		struct ph_addr addr;
		uint16_t port;

		if (!conf_endpoint_parse(ph_slice_str(*list), 0, &addr, &port))
			conf_error_add(l->errors, at->file, at->line,
			    "%s: \"%s\" is not ADDRESS:PORT", option, *list);
	}
}

static void
check_when(struct loading *l, const struct module_instance *instance)
{
	const struct conf_setting *at = instance->section->settings;

	if ((instance->module->kinds & PH_KIND_CHECK) != 0) {
		when_check(l->conf, instance->name, &instance->common.when,
		    NULL, l->errors);
		return;
	}
	for (; at != NULL; at = at->next)
		if (strncmp(at->name, "when.", 5) == 0 ||
		    strncmp(at->name, "unless.", 7) == 0)
			conf_error_add(l->errors, at->file, at->line,
			    "%s: %s is no check", at->name, instance->name);
}

static void
check_common(struct loading *l, const struct module_instance *instance)
{
	const struct module_common *common = &instance->common;
	const struct conf_section *section = instance->section;
	const struct conf_setting *at = conf_setting(section, "listen");

	if (at == NULL)
		at = conf_setting(section, "listen_tls");
	if (at == NULL)
		at = conf_setting(section, "proxy_from");
	if (at == NULL)
		at = conf_setting(section, "client_certificate");
	if (at != NULL && (instance->module->kinds & PH_KIND_LISTENER) == 0)
		conf_error_add(l->errors, at->file, at->line,
		    "%s: %s is no listener", at->name, instance->name);
	check_when(l, instance);
	check_endpoints(l, section, "listen", common->listen);
	check_endpoints(l, section, "listen_tls", common->listen_tls);
	if (common->listen_tls[0] != NULL &&
	    l->core->tls.certificate[0] == '\0') {
		at = conf_setting(section, "listen_tls");
		conf_error_add(l->errors, at->file, at->line,
		    "listen_tls: there is no certificate in section tls");
	}
	if (common->client_certificate == CLIENT_CERTIFICATE_REQUIRE &&
	    (l->core->tls.certificate[0] == '\0' ||
	        l->core->tls.client_ca_file[0] == '\0')) {
		at = conf_setting(section, "client_certificate");
		conf_error_add(l->errors, at->file, at->line,
		    "client_certificate: to require one, section tls needs "
		    "certificate and client_ca_file");
	}
}

/* --- what a module itself says of its options --- */

static bool
is_quoted(const char *text, const char *value)
{
	size_t n = strlen(value);

	for (const char *at = text; n > 0 && (at = strstr(at, value)) != NULL;
	     at++)
		if (at > text && at[-1] == '"' && at[n] == '"')
			return true;
	return false;
}

static bool
quotes(const char *text, const struct conf_setting *setting)
{
	if (setting->type == CONF_TEXT)
		return is_quoted(text, setting->text);
	if (setting->type == CONF_LIST)
		for (const char *const *at = setting->list; *at != NULL; at++)
			if (is_quoted(text, *at))
				return true;
	return false;
}

static bool
is_of_name(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
names(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = text; (at = strstr(at, name)) != NULL; at++)
		if ((at == text || !is_of_name(at[-1])) && !is_of_name(at[n]))
			return true;
	return false;
}

/* The setting of which the text tells, of a section that several files may
 * share: whose value it quotes, or else whose name stands in it; NULL. */
static const struct conf_setting *
setting_told(const struct conf_section *section, const char *text)
{
	const struct conf_setting *named = NULL;

	for (const struct conf_setting *at = section->settings; at != NULL;
	     at = at->next) {
		if (quotes(text, at))
			return at;
		if (named == NULL && names(text, at->name))
			named = at;
	}
	return named;
}

static void
add_own_error(struct loading *l, const struct conf_section *section,
    const char *text)
{
	const struct conf_setting *at = setting_told(section, text);

	conf_error_add(l->errors, at != NULL ? at->file : section->file,
	    at != NULL ? at->line : section->line, "%s", text);
}

/* The module's own struct, filled and looked at by itself. */
static const void *
fill_own(struct loading *l, const struct ph_module *module,
    const struct conf_section *section)
{
	void *values = ph_arena_alloc(l->arena,
	    module->conf_size > 0 ? module->conf_size : 1);
	size_t before = l->errors->count;
	struct ph_err err = { 0 };

	if (module->options != NULL)
		conf_fill(l->arena, section, module->options,
		    module_common_options, values, l->errors);
	if (l->errors->count == before && module->check_conf != NULL &&
	    module->check_conf(values, &err) != PH_OK)
		add_own_error(l, section, err.text);
	return values;
}

static struct module_instance *
fill_section(struct loading *l, const struct conf_section *section)
{
	static const struct ph_option none[] = { PH_OPT_END };
	struct module_instance *instance;
	const char *file;
	const struct ph_module *module = find_module(l, section, &file);

	if (module == NULL)
		return NULL;
	instance = ph_arena_alloc(l->arena, sizeof(*instance));
	instance->name = section->name;
	instance->file = file;
	instance->module = module;
	instance->section = section;
	if (conf_fill(l->arena, section, module_common_options,
	        module->options != NULL ? module->options : none,
	        &instance->common, l->errors) == PH_OK)
		check_common(l, instance);
	instance->conf = fill_own(l, module, section);
	return instance;
}

static struct module_instance *
load_section(struct loading *l, const struct conf_section *section)
{
	struct module_instance *instance;

	if (!is_enabled(l, section))
		return NULL;
	loads(section->name);
	instance = fill_section(l, section);
	loads(NULL);
	return instance;
}

static void
insert(struct module_set *set, struct module_instance *instance)
{
	struct module_instance **at = &set->first;

	while (*at != NULL && ((*at)->common.order < instance->common.order ||
	    ((*at)->common.order == instance->common.order &&
	    strcmp((*at)->name, instance->name) < 0)))
		at = &(*at)->next;
	instance->next = *at;
	*at = instance;
}

int
module_set_load(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, unsigned kinds, struct module_set *set_out,
    struct conf_errors *errors)
{
	struct loading l = { arena, conf, core, errors };
	struct module_set set = { .arena = arena };
	size_t before = errors->count;

	for (const struct conf_section *section = conf->sections;
	     section != NULL; section = section->next) {
		struct module_instance *instance;

		if (core_section_is(section->name))
			continue;
		instance = load_section(&l, section);
		if (instance != NULL && (instance->module->kinds & kinds) != 0)
			insert(&set, instance);
	}
	if (errors->count > before)
		return PH_INVALID;
	*set_out = set;
	return PH_OK;
}

bool
module_set_is_stale(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core)
{
	struct loading l = { arena, conf, core, NULL };
	const struct conf_section *at = conf->sections;

	for (; at != NULL; at = at->next) {
		const char *path = core_section_is(at->name) ||
		    !is_enabled(&l, at) ? NULL : path_of(&l, name_of(at));

		if (path != NULL && loader_is_stale(path))
			return true;
	}
	return false;
}
