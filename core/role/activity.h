/* SPDX-License-Identifier: Apache-2.0 */
/* activity.h - mapping the shared page (role.h tells what it is for). */
#ifndef CORE_ROLE_ACTIVITY_H
#define CORE_ROLE_ACTIVITY_H

#include "role/role.h"

/* Map the page behind fd (borrowed). False: errno tells. */
bool activity_map(int fd);

/* Which section's module is being loaded; NULL: none any more, and what was
 * noted before is again. */
void activity_note_load(const char *section);
#define ACTIVITY_LOAD "load" /* the hook's name meanwhile */

#endif
