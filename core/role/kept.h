/* SPDX-License-Identifier: Apache-2.0 */
/* kept.h - the role's side of ph_keep and ph_kept_take. */
#ifndef CORE_ROLE_KEPT_H
#define CORE_ROLE_KEPT_H

#include <posthouse/transport.h>

enum { KEPT_MAX = 256 };

size_t kept_count(void);
/* Let all that is kept end, and wait for it at most ms. Suspends. */
void kept_end_all(unsigned ms);

#endif
