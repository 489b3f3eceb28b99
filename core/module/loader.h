/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - one .so through libltdl into a descriptor that may be trusted to
 * be one. Loaded modules stay loaded; from one thread only.
 */
#ifndef CORE_MODULE_LOADER_H
#define CORE_MODULE_LOADER_H

#include <posthouse/module.h>

/* path is absolute. NULL with err->text: what is wrong, wanted, found. */
const struct ph_module *loader_open(const char *path, struct ph_err *err);
/* Whether it was loaded from a file that has been replaced or written since. */
bool loader_is_stale(const char *path);
/* Whether a descriptor is of our ABI and whole; for tests, too. */
bool loader_accepts(const struct ph_module *module, struct ph_err *err);

#endif
