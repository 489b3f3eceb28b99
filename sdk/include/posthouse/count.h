/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/count.h - a module's own counters, which posthousectl(8) shows
 * beside those that the server keeps of every module.
 *
 * A counter begins at 0 with the server and only grows; all processes of a role
 * count together, and what a process counted outlives its death. It is for an
 * operator's eyes: no module reads one (values to read: <posthouse/kv.h>).
 * Since minor 5.
 */
#ifndef POSTHOUSE_COUNT_H
#define POSTHOUSE_COUNT_H

#include <posthouse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_COUNTERS_MAX 16     /* of one section */
#define PH_COUNTER_NAME_MAX 23 /* octets: lower-case letters, digits, "_" */

/*
 * Add n to the counter of that name of the section on whose behalf the fiber
 * runs, made when it is new. Costs no system call; never suspends. What has no
 * such name, or is one too many, is not counted.
 */
PH_EXPORT void ph_count(const char *name, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
