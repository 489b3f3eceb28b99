/* SPDX-License-Identifier: Apache-2.0 */
/* main.h - the entry points of the two programs, in the library. */
#ifndef CORE_MASTER_MAIN_H
#define CORE_MASTER_MAIN_H

#include <posthouse/base.h>

PH_EXPORT int posthouse_main(int argc, char **argv);
PH_EXPORT int posthousectl_main(int argc, char **argv);

#endif
