/* SPDX-License-Identifier: Apache-2.0 */
/* grants.c - reading who may be run as whom, and comparing what is asked. */
#include "master/grants.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "bus/bus.h"

static const char *
text_of(const struct conf_section *section, const char *name)
{
	const struct conf_setting *at = conf_setting(section, name);

	return at != NULL && at->type == CONF_TEXT ? at->text : "";
}

static bool
is_enabled(const struct conf_section *section)
{
	const struct conf_setting *at = conf_setting(section, "enabled");

	return at == NULL || at->type != CONF_BOOL || at->flag;
}

/* Whoever is a role of ours could reach that role's files. */
static bool
is_own_user(const struct core_conf *core, const struct grant *grant)
{
	for (unsigned role = 0; role < ROLES; role++) {
		const struct passwd *own;
		char name[64];

		snprintf(name, sizeof(name), "%s%s", core->user_prefix,
		    role_name((enum role)role));
		own = getpwnam(name);
		if (own != NULL && (own->pw_uid == grant->uid ||
		    own->pw_gid == grant->gid))
			return true;
	}
	return false;
}

/* Not there, or not of its form (which the module's own options refuse). */
static uint64_t
amount_of(const struct conf_section *section, const char *name,
    bool (*parse)(struct ph_slice text, uint64_t *out), uint64_t fallback)
{
	const struct conf_setting *at = conf_setting(section, name);
	uint64_t value = fallback;

	if (at != NULL && at->type == CONF_NUMBER && at->number >= 0)
		return (uint64_t)at->number;
	if (at != NULL && at->type == CONF_TEXT)
		parse(ph_slice_str(at->text), &value);
	return value;
}

static bool
number_parse(struct ph_slice text, uint64_t *out)
{
	return ph_slice_number(text, UINT32_MAX, out);
}

/* The defaults are those of transport_pipe's options. */
static void
find_limits(const struct conf_section *section, struct program_limits *limits)
{
	limits->cpu_ms = amount_of(section, "cpu_limit", conf_duration_parse,
	    0);
	limits->memory_bytes = amount_of(section, "memory_limit",
	    conf_size_parse, 1 << 30);
	limits->open_files = amount_of(section, "open_files_limit",
	    number_parse, 1024);
	limits->processes = amount_of(section, "processes_limit",
	    number_parse, 512);
	limits->file_bytes = amount_of(section, "file_size_limit",
	    conf_size_parse, 0);
}

/* NULL, or what is wrong with the user. */
static const char *
find_user(struct ph_arena *arena, const struct core_conf *core,
    struct grant *grant)
{
	struct ph_slice group = ph_slice_str(grant->user);
	const struct passwd *found;

	grant->name = ph_arena_slice(arena, ph_slice_cut(&group, ':')).p;
	grant->is_group_named = group.p != NULL;
	found = getpwnam(grant->name);
	if (found == NULL)
		return "there is no such user";
	grant->uid = found->pw_uid;
	grant->gid = found->pw_gid;
	if (grant->is_group_named) {
		const struct group *named = getgrnam(group.p);

		if (named == NULL)
			return "there is no such group";
		grant->gid = named->gr_gid;
	}
	grant->drop = geteuid() == 0;
	if (grant->uid == 0 || grant->gid == 0)
		return "no program may run as root";
	return is_own_user(core, grant) ?
	    "it is a user of posthouse's own" : NULL;
}

static const char *
find_command(const struct conf_section *section, struct grant *grant)
{
	const struct conf_setting *at = conf_setting(section, "command");

	if (at == NULL || at->type != CONF_LIST || at->list[0] == NULL)
		return "there is no command to run";
	grant->command = at->list;
	if (at->list[0][0] != '/' || strstr(at->list[0], "${") != NULL)
		return "the program must be an absolute path";
	return NULL;
}

int
grants_read(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, const struct grant **first_out,
    struct conf_errors *errors)
{
	const struct grant *first = NULL;
	size_t before = errors->count;

	for (const struct conf_section *at = conf->sections; at != NULL;
	     at = at->next) {
		const char *user = text_of(at, "run_as"), *wrong;
		struct grant *grant;

		if (user[0] == '\0' || !is_enabled(at))
			continue;
		grant = ph_arena_alloc(arena, sizeof(*grant));
		grant->section = at->name;
		grant->user = user;
		grant->next = first;
		first = grant;
		find_limits(at, &grant->limits);
		wrong = find_user(arena, core, grant);
		if (wrong == NULL)
			wrong = find_command(at, grant);
		if (wrong != NULL)
			conf_error_add(errors,
			    conf_setting(at, "run_as")->file,
			    conf_setting(at, "run_as")->line,
			    "run_as: \"%s\": %s", user, wrong);
	}
	if (errors->count > before)
		return PH_INVALID;
	*first_out = first;
	return PH_OK;
}

const struct grant *
grant_of(const struct grant *first, struct ph_slice section)
{
	while (first != NULL &&
	    !ph_slice_eq(section, ph_slice_str(first->section)))
		first = first->next;
	return first;
}

static bool
argument_fits(const char *wanted, const char *value)
{
	const char *open = strstr(wanted, "${"), *close;
	size_t head, tail, n = strlen(value);

	close = open != NULL ? strrchr(open, '}') : NULL;
	if (close == NULL)
		return strcmp(wanted, value) == 0;
	head = (size_t)(open - wanted);
	tail = strlen(close + 1);
	return n >= head + tail && memcmp(value, wanted, head) == 0 &&
	    memcmp(value + n - tail, close + 1, tail) == 0 &&
	    (head > 0 || value[0] != '-');
}

bool
grant_fits(const struct grant *grant, const char *const *argv)
{
	size_t i = 0;

	for (; grant->command[i] != NULL && argv[i] != NULL; i++)
		if (!argument_fits(grant->command[i], argv[i]))
			return false;
	return i > 0 && grant->command[i] == NULL && argv[i] == NULL;
}
