/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors.h - how many descriptors the modules of this process leave open,
 * and which of them does. A process that runs short of them answers nobody any
 * more: it makes way for a fresh one before.
 */
#ifndef CORE_ROLE_DESCRIPTORS_H
#define CORE_ROLE_DESCRIPTORS_H

#include "role/role.h"

/* Called at each change of the module that runs; cheap while few are open. */
void descriptors_note(const char *module);
/* Look now. True: too many are open; *module_out is who left most of them open,
 * as far as known ("" nobody). */
bool descriptors_are_over(const char **module_out);
unsigned descriptors_seen(void); /* at the last look */

#endif
