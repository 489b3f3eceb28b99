/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_conf.h - the core's own settings: the top level and the sections log,
 * tls, dns, queue, processes, policy, limits. Each has an option table; `posthouse -t`,
 * the shipped posthouse.conf and posthouse.conf(5) are made from the same.
 */
#ifndef CORE_CONF_CORE_CONF_H
#define CORE_CONF_CORE_CONF_H

#include <posthouse/log.h>

#include "conf/conf.h"
#include "conf/when.h"

enum policy_stage {
	POLICY_AT_SETTLED,
	POLICY_AT_RCPT,
	POLICY_AT_DATA,
	POLICY_AT_MESSAGE,
};

struct core_conf {
	/* top level */
	const char *include_dir;        /* conf_load looks it up itself */
	const char *hostname;           /* default: the machine's name */
	const char *const *domains;     /* local domains, lower case; [0] completes login names */
	const char *postmaster;         /* local user that gets postmaster's mail; "" none */
	struct ph_net_list relay_networks;
	struct ph_net_list relay_front_ends; /* who may name clients of these */
	const char *data_dir;           /* /var/lib/posthouse */
	const char *run_dir;            /* /run/posthouse */
	const char *module_dir;         /* where NAME.so is looked for */
	const char *user_prefix;        /* "posthouse-": roles run as PREFIXrole */
	bool allow_core_dumps;
	unsigned crash_limit;           /* crashes within 60 s until a module is out */
	unsigned crash_pause_ms;        /* until it is tried again; 0: a reload */
	unsigned shutdown_timeout_ms;
	uint64_t message_limit_bytes;   /* largest message taken anywhere */

	struct core_log {
		unsigned level;         /* enum ph_level */
		const char *target;     /* "stderr", "journal" or an absolute path */
	} log;
	struct core_tls {
		const char *certificate; /* "" none: no TLS is offered */
		const char *key;
		const char *const *more_certificates; /* by SNI: with their keys */
		unsigned ticket_rotation_ms; /* how long a key seals tickets */
		const char *client_ca_file; /* "" none: no client is verified */
		const char *ca_file;     /* "" the system's CAs */
	} tls;
	struct core_dns {
		const char *const *servers; /* "192.0.2.1" or "192.0.2.1:5353"; empty: resolv.conf */
		unsigned timeout_ms;        /* for one question altogether */
		unsigned attempts;
		uint64_t cache_bytes;       /* of answers a process keeps; 0: none */
	} dns;
	struct core_queue {
		const char *const *retry;   /* waits between attempts: ["5m", "15m", ...], last repeats */
		const char *const *retry_greylisted; /* the first ones, then retry */
		const char *const *retry_unreachable; /* empty: twice retry */
		unsigned lifetime_ms;       /* then the message bounces; 0: at the first failure */
		const char *bounce_template; /* "" as shipped */
		uint64_t bounce_limit_bytes; /* more comes back as its header */
		unsigned delay_warning_ms;  /* then the sender is told once; 0: never */
		uint64_t soft_free_bytes;   /* below: 452 */
		uint64_t ballast_bytes;
		uint64_t cache_bytes;
		unsigned relay_concurrency; /* attempts at once, all destinations */
		unsigned destination_concurrency; /* at most, for one */
		unsigned destination_start;       /* at once, at first */
		unsigned destination_failures;    /* in a row, then it rests */
		const char *const *destination_limits; /* core_limit_find */
		unsigned attempt_timeout_ms; /* of a remote one, as a whole */
		bool fsync;                 /* false only for tests of tests: no promise */
	} queue;
	struct core_processes {
		unsigned edge, check, mail, relay; /* 0 for edge, mail: by cores */
		uint64_t check_memory_bytes; /* of one; then it makes way; 0: no limit */
	} processes;
	struct core_mail {
		unsigned partitions;        /* fixed when the store is created */
	} mail;
	struct core_policy {            /* points of a message; 0: never */
		unsigned reject_at, defer_at, quarantine_at, tag_at;
		unsigned stage;         /* enum policy_stage */
		unsigned mode;          /* as of a module */
		bool spare_postmaster;
		const char *header;     /* "" none */
		const char *reject_text, *defer_text;
		struct when when;
	} policy;
	struct core_limits {
		unsigned connections;            /* of all edge processes */
		unsigned connections_per_client; /* per address, /64 for IPv6 */
		uint64_t content_memory_bytes;   /* copies for checks; per edge process */
		unsigned auth_failure_delay_ms;
		unsigned auth_failures;          /* per connection, then it ends */
	} limits;
};

/* One of the core's tables: for -t, documentation, the shipped file. */
struct core_table {
	const char *section; /* "" for the top level */
	const struct ph_option *options;
	size_t offset; /* of the struct in core_conf */
	const char *doc;
};
const struct core_table *core_tables(size_t *count_out);
bool core_section_is(const char *name);

/* Fill from all core sections; 0 or PH_INVALID with errors added. Adds what a
 * table can't say (domains are host names, retry parses, ...). */
int core_conf_fill(struct ph_arena *arena, const struct conf *conf,
    struct core_conf *core_out, struct conf_errors *errors);

/* Whether mail for the domain is for mailboxes here; any case. Pure. */
bool core_is_local_domain(const struct core_conf *core,
    struct ph_slice domain);

enum core_retry {
	CORE_RETRY_REPLY,       /* somebody said "not now" */
	CORE_RETRY_GREYLISTED,  /* and that it is a matter of time */
	CORE_RETRY_UNREACHABLE, /* nobody said anything */
};
/* Whether a connection from peer, which speaks for client (itself, or whom a
 * front end named), may send anywhere. Pure. */
bool core_may_relay(const struct core_conf *core, const struct ph_addr *peer,
    const struct ph_addr *client);
/* The wait after a recipient's attempt number `attempt` (0: the first) failed
 * for now, in milliseconds. */
unsigned core_retry_ms(const struct core_conf *core, enum core_retry kind,
    unsigned attempt);

/* What one destination, or a transport as a whole, may be burdened with. */
struct core_limit {
	unsigned concurrency, start; /* attempts at once: at most, at first */
	unsigned messages;           /* in an interval; 0: no limit */
	uint64_t interval_ms;
	uint64_t delay_ms;           /* from one attempt to the next */
};
/* Whether an entry of destination_limits can be read. Pure. */
bool core_limit_is_entry(const char *entry);
/* Change what destination_limits says of the name. Pure. */
void core_limit_find(const struct core_queue *queue, const char *name,
    struct core_limit *limit_inout);

#endif
