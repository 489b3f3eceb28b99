/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role.h - what every role process has in common: its start after exec, its
 * configuration generations, its end.
 *
 * The master execs `posthouse --role=NAME --index=N` with descriptor 3 = the
 * link to the master, 4 = the log, 5 = the shared page. role_main drops
 * privileges, waits for MSG_CONFIGURE, loads the modules of the role's kinds,
 * calls the role's ops, confines itself, and runs the loop until MSG_STOP.
 */
#ifndef CORE_ROLE_ROLE_H
#define CORE_ROLE_ROLE_H

#include "bus/bus.h"
#include "module/module_conf.h"
#include "role/messages.h"
#include "role/tally.h"
#include "role/token.h"

/* What edge knows of a check module: whether it would be asked. */
struct check_facts {
	const char *section;
	unsigned stages; /* a bit for each that it hooks */
	unsigned order, on_failure, mode, timeout_ms;
	bool has_when;
	struct when when;
};

/* One configuration generation in a role. Freed when replaced and unused. */
struct router;
struct notices;
struct generation {
	struct ph_arena *arena;
	uint64_t number;
	struct core_conf core;
	struct module_set modules;
	uint8_t key[TOKEN_KEY_SIZE];   /* zero where the role has none */
	struct ph_slice certificate, certificate_key; /* edge */
	struct ph_slice client_ca;
	struct ph_slice tickets; /* wiped when taken */
	struct ph_slice certificates;  /* edge: F_CERT_MORE fields as sent */
	const struct check_facts *checks; /* edge, check, queue: by order */
	size_t check_count;
	unsigned stages;               /* a bit for each that a check hooks */
	unsigned observed;             /* the same, in mode "observe" */
	unsigned router_count;         /* of the whole configuration */
	uint64_t routes_sum;           /* queue: of what routes are made from */
	const struct notices *notices; /* queue: the words of reports */
	struct router *routers;        /* check: in route.c's care */
	unsigned references;
};
struct generation *generation_current(void);
struct generation *generation_get(struct generation *generation);
void generation_put(struct generation *generation);

struct role_ops {
	enum role role;
	unsigned kinds; /* modules to load */
	/* In a fiber, once, when the first generation is current. */
	int (*start)(struct generation *generation, struct ph_err *err);
	/* In a fiber, for each later generation, already current. */
	void (*reload)(struct generation *generation);
	/* In a fiber: end when what runs has ended, by role_make_way; another
	 * process takes the place. NULL: none can. */
	void (*renew)(void);
	/* In a fiber: stop taking work, end what can end within timeout_ms. */
	void (*stop)(unsigned timeout_ms);
	/* Add F_ITEMs for `posthousectl status`. */
	void (*status)(struct ph_buf *items);
};
extern const struct role_ops role_edge, role_check, role_auth, role_queue,
    role_mail, role_relay;

/* The index of this process in its role, and its folders (absolute): the
 * role's own below data_dir, created by the master, mode 0700. */
unsigned role_index(void);
const char *role_dir(void);
void role_status_item(struct ph_buf *items, const char *name, const char *fmt,
    ...) PH_PRINTF(3, 4);

/* How the master started us: --role, --index, --uid, --gid. */
struct role_start {
	enum role role;
	unsigned index;
	bool drop; /* become uid and gid; else stay the caller */
	unsigned uid, gid;
};
/* Returns the exit status of the process. */
int role_main(const struct role_start *start);
/* The operations of a role; NULL for the master. */
const struct role_ops *role_ops_of(enum role role);

/* What the master said of a module (MSG_MODULE_STATE). */
enum module_standing {
	MODULE_IN,
	MODULE_BROKEN, /* taken out after crashes */
	MODULE_OFF,    /* the operator's word */
	MODULE_STATES,
};
enum module_standing role_module_state(const char *name);
/* Whether it gets no work: broken or off. */
bool role_module_is_out(const char *name);

/* Which partition, and so which mail process, holds a user: FNV-1a of the
 * canonical name. */
unsigned partition_of(struct ph_slice user, unsigned partitions);

/* The shared page: what each process is doing, for the master after a crash.
 * Noted before each module call; a watchdog reads the heartbeat. */
struct activity {
	bool is_inside;  /* of the module; else it is the one that ran last */
	char module[48];
	char hook[24];
	char subject[16]; /* id of the message or session it is about, or "" */
	uint64_t heartbeat_ms; /* on ph_now_ms's clock */
	struct tally tally[TALLIES];
};
struct activity *role_activity(void);
/* Around each call into a module; module NULL: none. */
void role_note(const char *module, const char *hook);
/* After that: which session or message the call is about; NULL: none. */
void role_note_subject(const char *subject);
/* Whether the link to the master is open still, as long as there was one. */
bool role_is_linked(void);
/* End this process, which can't go on because of a module: another takes its
 * place. It is counted as a crash of the module. */
void role_give_up(const char *module, const char *hook);
enum { ROLE_GAVE_UP = 75 }; /* exit status: EX_TEMPFAIL */
/* The same at the master's wish (MSG_RENEW): nobody is to blame. */
void role_make_way(void);
enum { ROLE_MADE_WAY = 76 };

#endif
