/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - what the master must know of the modules without loading one: a
 * checker process loads them, writes these facts as a record and ends.
 */
#ifndef CORE_MODULE_FACTS_H
#define CORE_MODULE_FACTS_H

#include "module/module_conf.h"

struct module_facts {
	const char *section;  /* in the arena, as all strings here */
	unsigned kinds;       /* enum ph_kind, or-ed */
	unsigned stages;      /* checks: bit i is stage i */
	unsigned order, on_failure, mode, timeout_ms;
	const char *file, *abi; /* the .so, "1.0" */
	struct ph_slice when; /* when_encode; absent: it is always asked */
	const char *const *listen, *const *listen_tls; /* NULL-terminated */
	const char *const *paths; /* options that name files; NULL-terminated */
	struct module_facts *next;
};

/*
 * Load every module of a configuration (in this process), put the facts into
 * record. It is given parsed: the checker judges what the master read, and has
 * lost the right to read it itself. 0 or PH_INVALID with errors. Not for the
 * master.
 */
int facts_check(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_buf *record,
    struct conf_errors *errors);
/* Hostile input: PH_DEFECT when damaged. By order, then name. */
int facts_decode(struct ph_arena *arena, struct ph_slice record,
    struct module_facts **first_out);

#endif
