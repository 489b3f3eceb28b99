/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - how much memory the modules of this process hold, and which of
 * them took it. A process over its limit makes way for a fresh one.
 */
#ifndef CORE_ROLE_MEMORY_H
#define CORE_ROLE_MEMORY_H

#include "role/role.h"

/* Octets that belong to a process alone and are in memory; 0: can't tell. */
uint64_t memory_of_process(int pid);

/* Look from now on (before confinement). */
void memory_begin(void);
void memory_limit(uint64_t limit_bytes); /* 0: none */
/* Called at each change of the module that runs; cheap below half the limit. */
void memory_note(const char *module);
/* Look now, unless that was a moment ago. True: over the limit; *module_out is
 * who took most, as far as known ("" nobody). */
bool memory_is_over(const char **module_out);
uint64_t memory_seen(void); /* at the last look */

#endif
