/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.h - which programs the configuration lets run as which users.
 *
 * A section with `run_as` names a user, and its `command` the program. Only the
 * files of the configuration grant it: no module and no role has a say.
 */
#ifndef CORE_MASTER_GRANTS_H
#define CORE_MASTER_GRANTS_H

#include "conf/core_conf.h"

/* 0: none. */
struct program_limits {
	uint64_t cpu_ms; /* 0: as long as it may take */
	uint64_t memory_bytes, open_files, processes, file_bytes;
};

struct grant {
	const struct grant *next;
	const char *section;
	const char *const *command; /* NULL-terminated, with ${...} */
	const char *user;     /* "user" or "user:group" */
	const char *name;     /* of the user */
	bool is_group_named;  /* gid is its only group then */
	bool drop; /* become uid and gid; else stay the calling user */
	unsigned uid, gid;
	struct program_limits limits;
};

/*
 * The grants of the enabled sections. PH_INVALID with errors added for a user
 * or group that does not exist, is root or is one of posthouse's own.
 */
int grants_read(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, const struct grant **first_out,
    struct conf_errors *errors);
/* NULL: the section has none. */
const struct grant *grant_of(const struct grant *first,
    struct ph_slice section);
/*
 * Whether these are the command's arguments: the same number of them, the
 * first and those without ${...} to the letter, the others with something in
 * its place that does not make an option of them. Pure.
 */
bool grant_fits(const struct grant *grant, const char *const *argv);

#endif
