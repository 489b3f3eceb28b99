/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine.h - what a role gives up: its user, its view of the file system, the
 * system calls it never needs.
 *
 * Each layer stands alone: the user decides what files may be touched, Landlock
 * which paths exist at all, seccomp which calls. What the kernel lacks is
 * logged and does without.
 */
#ifndef CORE_ROLE_CONFINE_H
#define CORE_ROLE_CONFINE_H

#include "role/role.h"

/* Become the user and nothing else, checked; no_new_privs either way. 0, or
 * PH_DENIED: the process must end. */
int confine_user(const struct role_start *start, struct ph_err *err);
/* Whether a debugger or core dump may see our memory. */
void confine_dumps(bool allow);
/* Valgrind stands between us and the kernel: what we may call is its need. */
bool confine_is_on_valgrind(void);
/* Before threads exist and modules are loaded: Landlock and seccomp for the
 * role; conf names the modules, reads (NULL: none) the files of their options.
 * Skipped, and said so, under sanitizers and valgrind. */
void confine_process(enum role role, const struct core_conf *core,
    const char *dir, const struct conf *conf, const char *const *reads);
/* Whether this process, confined as it is, could not read a module of conf or
 * one of the files. */
bool confine_lacks(const struct core_conf *core, const struct conf *conf,
    const char *const *reads);

/* The two layers; 0 or an errno. ENOSYS, EOPNOTSUPP: not in this kernel. */
int confine_paths(enum role role, const struct core_conf *core,
    const char *dir, const struct conf *conf, const char *const *reads);
int confine_calls(enum role role);

/* When the machine runs out of memory, the kernel may end this process first:
 * it can be done without for a second. */
void confine_offer_memory(void);
/* For who judges a configuration: no socket, no file changed, no process. */
void confine_judge(void);

#endif
