/* SPDX-License-Identifier: Apache-2.0 */
/* activity.h - mapping the shared page (role.h tells what it is for). */
#ifndef CORE_ROLE_ACTIVITY_H
#define CORE_ROLE_ACTIVITY_H

#include "role/role.h"

/* Map the page behind fd (borrowed). False: errno tells. */
bool activity_map(int fd);

#endif
