/* SPDX-License-Identifier: Apache-2.0 */
/* conf_inner.h - between the files of this folder. */
#ifndef CORE_CONF_CONF_INNER_H
#define CORE_CONF_CONF_INNER_H

#include "conf/conf.h"

/* The section of that name, made when it is missing. */
struct conf_section *conf_section_obtain(struct ph_arena *arena,
    struct conf *conf, const char *name, const char *file, unsigned line);
/* Replaces the setting of the same name. */
void conf_setting_put(struct conf_section *section,
    struct conf_setting *setting);
/* Read one file's text into conf. False: errors were added. */
bool conf_read(struct ph_arena *arena, struct conf *conf, const char *file,
    const char *text, struct conf_errors *errors);
/* A default as written in a table, as a setting. */
const struct conf_setting *conf_default(struct ph_arena *arena,
    const struct ph_option *option);
/* Put a setting's value into the member; or say what is wrong (in arena). */
const char *conf_value_put(struct ph_arena *arena,
    const struct ph_option *option, const struct conf_setting *setting,
    void *values);

/* The closest of the names offered so far; offer each, then ask. */
struct nearest {
	const char *wanted, *name;
	unsigned distance;
};
void nearest_offer(struct nearest *nearest, const char *name);
/* NULL when none is close enough to be meant. */
const char *nearest_name(const struct nearest *nearest);

#endif
