/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - one generation of the configuration as the master sees it.
 *
 * The master reads files and the core's own settings. What needs a module's
 * code - whether its options are right, its kinds and hooks - it learns as
 * data from the checker, a child without rights. A plan is what each role is
 * told: only the sections of modules it loads, only the secrets it needs.
 */
#ifndef CORE_MASTER_PLAN_H
#define CORE_MASTER_PLAN_H

#include "bus/bus.h"
#include "conf/core_conf.h"
#include "master/grants.h"
#include "module/facts.h"
#include "role/token.h"

struct plan {
	struct ph_arena *arena;
	unsigned references;
	uint64_t number;
	struct conf *conf;
	struct core_conf core;
	struct module_facts *modules; /* enabled sections; NULL: none */
	struct plan_tls {
		/* PEM; empty: no TLS */
		struct ph_slice certificate, key;
		struct ph_slice more; /* F_CERT_MORE* F_CLIENT_CA? */
	} tls;
	const struct grant *grants; /* programs to run as users; NULL: none */
	struct ph_slice notices; /* the file of bounce_template; "" none */
};

/* Read and check everything. Suspends. 0, or PH_INVALID with errors added. */
int plan_make(const char *main_file, uint64_t number, struct plan **plan_out,
    struct conf_errors *errors);
struct plan *plan_get(struct plan *plan);
void plan_put(struct plan *plan);
/* NULL: no enabled section has the name. */
const struct module_facts *plan_module(const struct plan *plan,
    struct ph_slice name);

/* How many processes of each role there shall be; 1..64. */
void plan_role_sizes(const struct core_conf *core, unsigned sizes_out[ROLES]);

struct plan_secrets {
	const uint8_t *key;      /* TOKEN_KEY_SIZE; signs tokens and goes to
	                          * those who make or check them */
	struct ph_slice tickets; /* for edge */
};
/* The record of MSG_CONFIGURE for a role. sizes: the processes there are. */
void plan_encode(const struct plan *plan, enum role role,
    const unsigned sizes[ROLES], const struct plan_secrets *secrets,
    struct ph_buf *record);

/* The certificates and keys as PEM text, empty when none is configured. */
int plan_read_tls(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct plan_tls *tls_out,
    struct conf_errors *errors);
/*
 * The words of reports, for the queue's own user may not be able to read them:
 * the file of queue.bounce_template ("" when none is set), once it is known to
 * be good. 0, or PH_INVALID with errors added.
 */
int plan_read_notices(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_slice *file_out,
    struct conf_errors *errors);
/* Add an error at a setting, or, when the file does not have it, at none. */
void plan_error_at(struct conf_errors *errors, const struct conf *conf,
    const char *section, const char *setting, const char *text);

#endif
