/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checker.h - trying a configuration with the modules' own code, in a process
 * that may crash or hang and has no rights.
 */
#ifndef CORE_MASTER_CHECKER_H
#define CORE_MASTER_CHECKER_H

#include "conf/core_conf.h"
#include "module/facts.h"
#include "role/role.h"

/*
 * Send conf to a checker and take what it found: facts about the enabled
 * modules, or its errors. A checker that dies, is late or answers nonsense is
 * an error too. Suspends. 0 or PH_INVALID.
 */
int checker_run(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct module_facts **facts_out,
    struct conf_errors *errors);
/* The child: `posthouse --check-facts`, descriptor 3 = the master. Returns the
 * exit status. */
int checker_main(const struct role_start *start);
/* For posthouse -t: read main_file as who we are, give rights up, load the
 * modules. 0 or PH_INVALID. */
int checker_test(const char *main_file, struct ph_arena *arena,
    struct conf_errors *errors);

#endif
