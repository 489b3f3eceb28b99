/* SPDX-License-Identifier: Apache-2.0 */
/* conf_fill.c - a section into a struct, by its option table. */
#include "conf/conf_inner.h"

#include <stdio.h>

/* Lists are written in a table as in a file; libconfig reads them. */
static const struct conf_setting *
default_list(struct ph_arena *arena, const char *written)
{
	struct conf_errors errors = { .arena = arena };
	struct conf conf = { 0 };
	const struct conf_setting *setting;

	conf_section_obtain(arena, &conf, "", "", 0);
	conf_read(arena, &conf, "", ph_arena_printf(arena, "x = %s;", written),
	    &errors);
	setting = conf_setting(conf.sections, "x");
	ph_assert(errors.count == 0 && setting != NULL);
	return setting;
}

const struct conf_setting *
conf_default(struct ph_arena *arena, const struct ph_option *option)
{
	struct conf_setting *setting;
	uint64_t number;

	if (option->type == PH_OPTION_LIST || option->type == PH_OPTION_NETS ||
	    option->type == PH_OPTION_PATHS)
		return default_list(arena, option->fallback);
	setting = ph_arena_alloc(arena, sizeof(*setting));
	setting->name = option->name;
	setting->type = CONF_TEXT;
	setting->text = option->fallback;
	if (option->type == PH_OPTION_BOOL) {
		setting->type = CONF_BOOL;
		setting->flag = strcmp(option->fallback, "true") == 0;
	} else if (option->type == PH_OPTION_UINT) {
		setting->type = CONF_NUMBER;
		ph_assert(ph_slice_number(ph_slice_str(option->fallback),
		    UINT32_MAX, &number));
		setting->number = (int64_t)number;
	}
	return setting;
}

static bool
has_name(const struct ph_option *table, const char *name,
    struct nearest *nearest)
{
	for (; table != NULL && table->name != NULL; table++) {
		if (strcmp(table->name, name) == 0)
			return true;
		nearest_offer(nearest, table->name);
	}
	return false;
}

static void
check_names(const struct conf_section *section, const struct ph_option *table,
    const struct ph_option *also, struct conf_errors *errors)
{
	for (const struct conf_setting *at = section->settings; at != NULL;
	     at = at->next) {
		struct nearest nearest = { .wanted = at->name };
		const char *name;

		if (has_name(table, at->name, &nearest) ||
		    has_name(also, at->name, &nearest))
			continue;
		name = nearest_name(&nearest);
		conf_error_add(errors, at->file, at->line,
		    "unknown option \"%s\"%s%s%s%s%s", at->name,
		    section->name[0] != '\0' ? " in section " : "",
		    section->name, name != NULL ? "; did you mean \"" : "",
		    name != NULL ? name : "", name != NULL ? "\"?" : "");
	}
}

int
conf_fill(struct ph_arena *arena, const struct conf_section *section,
    const struct ph_option *table, const struct ph_option *also, void *values,
    struct conf_errors *errors)
{
	size_t before = errors->count;

	for (const struct ph_option *option = table; option->name != NULL;
	     option++) {
		const struct conf_setting *setting = conf_setting(section,
		    option->name);
		const char *wrong;

		if (setting == NULL && option->fallback == NULL) {
			conf_error_add(errors,
			    section != NULL ? section->file : NULL,
			    section != NULL ? section->line : 0,
			    "option \"%s\" must be set", option->name);
			continue;
		}
		if (setting != NULL) {
			wrong = conf_value_put(arena, option, setting, values);
			if (wrong != NULL)
				conf_error_add(errors, setting->file,
				    setting->line, "%s: %s", option->name,
				    wrong);
			continue;
		}
		wrong = conf_value_put(arena, option,
		    conf_default(arena, option), values);
		if (wrong != NULL)
			conf_error_add(errors, NULL, 0,
			    "the default of %s is wrong: %s", option->name,
			    wrong);
	}
	if (section != NULL)
		check_names(section, table, also, errors);
	return errors->count > before ? PH_INVALID : PH_OK;
}
