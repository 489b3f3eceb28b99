/* SPDX-License-Identifier: Apache-2.0 */
/* modules.h - what posthousectl modules prints. */
#ifndef CORE_MASTER_MODULES_H
#define CORE_MASTER_MODULES_H

#include <posthouse/arena.h>

/* Each module of the plan and each section that is not enabled: lines of
 * key=value, or a JSON object each. */
void modules_text(bool json, struct ph_buf *text);

#endif
