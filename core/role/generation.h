/* SPDX-License-Identifier: Apache-2.0 */
/* generation.h - making generations; role.h declares what others use. */
#ifndef CORE_ROLE_GENERATION_H
#define CORE_ROLE_GENERATION_H

#include "role/role.h"

/*
 * From the record of MSG_CONFIGURE, with one reference. 0, or PH_INVALID with
 * errors added (copied into their arena). before_modules (NULL: nothing) is
 * called before the code of any module is loaded.
 */
int generation_create(struct ph_slice record, unsigned kinds,
    void (*before_modules)(const struct core_conf *core,
        const struct conf *conf, const char *const *reads),
    struct generation **generation_out, struct conf_errors *errors);
/*
 * Whether this process can't take the record as it is: it may not read what is
 * named there, or the file of a module it has loaded is another by now. Only
 * then is what_out (a word) filled.
 */
bool generation_is_beyond(struct ph_slice record, const char **what_out);
/* The reference is given; the one of the former generation is put. NULL: at
 * the end of the process. */
void generation_make_current(struct generation *generation);

#endif
