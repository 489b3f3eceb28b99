/* SPDX-License-Identifier: Apache-2.0 */
/* recode_fixture.h - holds what a plan writes against what it was made from. */
#ifndef SMTP_CLIENT_RECODE_FIXTURE_H
#define SMTP_CLIENT_RECODE_FIXTURE_H

#include "recode.h"

/* What the plan writes, in pieces of at most limit (>= 128) octets. */
struct ph_slice recode_all(struct ph_arena *arena,
    const struct recode_plan *plan, size_t limit);
/* NULL: out has the parts of content, in ASCII, and each decodes to the same
 * octets. Else what is different. */
const char *recode_differs(struct ph_arena *arena, struct ph_slice content,
    struct ph_slice out);

#endif
