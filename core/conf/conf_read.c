/* SPDX-License-Identifier: Apache-2.0 */
/* conf_read.c - one file's text through libconfig into settings with lines. */
#include "conf/conf_inner.h"

#include <libconfig.h>
#include <stdio.h>

static unsigned
line_of(const config_setting_t *from)
{
	return (unsigned)config_setting_source_line(from);
}

/* The elements of a list as text; NULL with an error added. */
static const char *const *
read_list(struct ph_arena *arena, const config_setting_t *from,
    const char *file, struct conf_errors *errors)
{
	int n = config_setting_length(from);
	const char **list = ph_arena_array(arena, (size_t)n + 1,
	    sizeof(*list));

	for (int i = 0; i < n; i++) {
		config_setting_t *e = config_setting_get_elem(from,
		    (unsigned)i);

		if (config_setting_type(e) == CONFIG_TYPE_STRING)
			list[i] = ph_arena_strdup(arena,
			    config_setting_get_string(e));
		else if (config_setting_type(e) == CONFIG_TYPE_INT ||
		    config_setting_type(e) == CONFIG_TYPE_INT64)
			list[i] = ph_arena_printf(arena, "%lld",
			    config_setting_get_int64(e));
		else {
			conf_error_add(errors, file, line_of(from),
			    "%s: a list holds texts or numbers, nothing else",
			    config_setting_name(from));
			return NULL;
		}
	}
	return list;
}

/* group: of the one it stands in within its section, or NULL. */
static void
read_setting(struct ph_arena *arena, struct conf_section *section,
    const char *group, const config_setting_t *from, const char *file,
    struct conf_errors *errors)
{
	struct conf_setting *setting = ph_arena_alloc(arena, sizeof(*setting));

	setting->name = ph_arena_printf(arena, "%s%s%s",
	    group != NULL ? group : "", group != NULL ? "." : "",
	    config_setting_name(from));
	setting->file = file;
	setting->line = line_of(from);
	switch (config_setting_type(from)) {
	case CONFIG_TYPE_BOOL:
		setting->type = CONF_BOOL;
		setting->flag = config_setting_get_bool(from) != 0;
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		setting->type = CONF_NUMBER;
		setting->number = config_setting_get_int64(from);
		break;
	case CONFIG_TYPE_STRING:
		setting->type = CONF_TEXT;
		setting->text = ph_arena_strdup(arena,
		    config_setting_get_string(from));
		break;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		setting->type = CONF_LIST;
		setting->list = read_list(arena, from, file, errors);
		if (setting->list == NULL)
			return;
		break;
	default:
		conf_error_add(errors, file, setting->line,
		    "%s: wanted a truth value, number, text or list",
		    setting->name);
		return;
	}
	conf_setting_put(section, setting);
}

static void
read_group(struct ph_arena *arena, struct conf *conf,
    const config_setting_t *group, const char *file,
    struct conf_errors *errors)
{
	struct conf_section *section = conf_section_obtain(arena, conf,
	    config_setting_name(group), file, line_of(group));
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *at = config_setting_get_elem(group,
		    (unsigned)i);
		int inner = config_setting_is_group(at) ?
		    config_setting_length(at) : 0;

		if (!config_setting_is_group(at))
			read_setting(arena, section, NULL, at, file, errors);
		for (int k = 0; k < inner; k++)
			read_setting(arena, section, config_setting_name(at),
			    config_setting_get_elem(at, (unsigned)k), file,
			    errors);
	}
}

bool
conf_read(struct ph_arena *arena, struct conf *conf, const char *file,
    const char *text, struct conf_errors *errors)
{
	size_t before = errors->count;
	config_setting_t *root;
	config_t config;

	config_init(&config);
	if (config_read_string(&config, text) != CONFIG_TRUE) {
		conf_error_add(errors, file,
		    (unsigned)config_error_line(&config), "%s",
		    config_error_text(&config));
		config_destroy(&config);
		return false;
	}
	root = config_root_setting(&config);
	for (int i = 0; i < config_setting_length(root); i++) {
		config_setting_t *at = config_setting_get_elem(root,
		    (unsigned)i);

		if (config_setting_is_group(at))
			read_group(arena, conf, at, file, errors);
		else
			read_setting(arena, conf_section(conf, ""), NULL, at, file,
			    errors);
	}
	config_destroy(&config);
	return errors->count == before;
}
