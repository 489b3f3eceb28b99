/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h - the configuration as sections of settings with their origin.
 *
 * The main file and every conf.d/?*.conf (by name) are parsed each on its own
 * with libconfig and merged: a later setting replaces the one of the same
 * section and name. A group at the top level is a section, scalars and lists
 * at the top level belong to the section "". Nothing here knows which sections
 * mean what; core_conf.h and the module loader do.
 */
#ifndef CORE_CONF_CONF_H
#define CORE_CONF_CONF_H

#include <posthouse/arena.h>
#include <posthouse/option.h>

enum conf_type { CONF_BOOL, CONF_NUMBER, CONF_TEXT, CONF_LIST };

struct conf_setting {
	const char *name;
	enum conf_type type;
	bool flag;
	int64_t number;
	const char *text;
	const char *const *list; /* NULL-terminated; numbers as text */
	const char *file;
	unsigned line;
	struct conf_setting *next;
};

struct conf_section {
	const char *name; /* "" for the top level */
	const char *file; /* where it was first opened */
	unsigned line;
	struct conf_setting *settings;
	struct conf_section *next;
};

struct conf {
	struct conf_section *sections;
	const char *main_file;
};

/* Several errors can be told at once: a list in the arena. */
struct conf_errors {
	struct ph_arena *arena;
	struct conf_error {
		const char *file; /* NULL: not of a file */
		unsigned line;
		const char *text;
	} *error;
	size_t count;
};
void conf_error_add(struct conf_errors *errors, const char *file,
    unsigned line, const char *fmt, ...) PH_PRINTF(4, 5);

/* Read main_file and the files of its conf.d (setting `include_dir`, default
 * "conf.d" beside main_file). 0, or PH_INVALID with errors added. */
int conf_load(struct ph_arena *arena, const char *main_file,
    struct conf **conf_out, struct conf_errors *errors);
struct conf_section *conf_section(const struct conf *conf, const char *name);
struct conf_setting *conf_setting(const struct conf_section *section,
    const char *name);

/* For the way to a role: the sections for which keep() is true, as a record;
 * and back (PH_DEFECT when damaged). Both copy. */
void conf_encode(const struct conf *conf,
    bool (*keep)(const struct conf_section *, void *), void *arg,
    struct ph_buf *buf);
int conf_decode(struct ph_arena *arena, struct ph_slice record,
    struct conf **conf_out);

/*
 * Fill *values (zeroed, of the table's struct) from a section (NULL: defaults
 * only) by a table. `also` is a second table whose names are allowed and
 * skipped (NULL: none). Unknown names, wrong types and ranges are added to
 * errors, with the nearest name. 0 or PH_INVALID.
 */
int conf_fill(struct ph_arena *arena, const struct conf_section *section,
    const struct ph_option *table, const struct ph_option *also, void *values,
    struct conf_errors *errors);

/* "192.0.2.1:25", "[2001:db8::1]:25"; with fallback_port > 0 the port may be
 * left out ("192.0.2.1", "2001:db8::1"). Port 0 is any free one. Pure. */
bool conf_endpoint_parse(struct ph_slice text, uint16_t fallback_port,
    struct ph_addr *addr_out, uint16_t *port_out);
/* "500ms" "3s" "5m" "2h" "4d", or plain milliseconds. Pure. */
bool conf_duration_parse(struct ph_slice text, uint64_t *ms_out);
/* "64K" "20M" "1G", or plain octets. Pure. */
bool conf_size_parse(struct ph_slice text, uint64_t *octets_out);

#endif
