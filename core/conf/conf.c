/* SPDX-License-Identifier: Apache-2.0 */
/* conf.c - sections and settings by name, and the list of errors. */
#include "conf/conf_inner.h"

enum { ERRORS_MAX = 100 };

void
conf_error_add(struct conf_errors *errors, const char *file, unsigned line,
    const char *fmt, ...)
{
	struct conf_error *all;
	va_list args;
	char *text;

	va_start(args, fmt);
	text = ph_arena_vprintf(errors->arena, fmt, args);
	va_end(args);
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		if (e->line == line && strcmp(e->text, text) == 0 &&
		    (e->file == file || (e->file != NULL && file != NULL &&
		    strcmp(e->file, file) == 0)))
			return; /* told already */
	}
	if (errors->count >= ERRORS_MAX)
		return;
	all = ph_arena_array(errors->arena, errors->count + 1, sizeof(*all));
	if (errors->count > 0)
		memcpy(all, errors->error, errors->count * sizeof(*all));
	all[errors->count] = (struct conf_error){ .line = line, .text = text,
		.file = file != NULL ? ph_arena_strdup(errors->arena, file) :
		    NULL };
	errors->error = all;
	errors->count++;
}

struct conf_section *
conf_section(const struct conf *conf, const char *name)
{
	struct conf_section *at = conf->sections;

	while (at != NULL && strcmp(at->name, name) != 0)
		at = at->next;
	return at;
}

struct conf_setting *
conf_setting(const struct conf_section *section, const char *name)
{
	struct conf_setting *at = section != NULL ? section->settings : NULL;

	while (at != NULL && strcmp(at->name, name) != 0)
		at = at->next;
	return at;
}

struct conf_section *
conf_section_obtain(struct ph_arena *arena, struct conf *conf,
    const char *name, const char *file, unsigned line)
{
	struct conf_section **at = &conf->sections, *section;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	if (*at != NULL)
		return *at;
	section = ph_arena_alloc(arena, sizeof(*section));
	section->name = ph_arena_strdup(arena, name);
	section->file = file;
	section->line = line;
	*at = section;
	return section;
}

void
conf_setting_put(struct conf_section *section, struct conf_setting *setting)
{
	struct conf_setting **at = &section->settings;

	while (*at != NULL && strcmp((*at)->name, setting->name) != 0)
		at = &(*at)->next;
	setting->next = *at != NULL ? (*at)->next : NULL;
	*at = setting;
}
