/* SPDX-License-Identifier: Apache-2.0 */
/*
 * when.h - whom a section concerns: the groups `when` (all that it says must
 * hold) and `unless` (nothing that it says may hold) of a module or of the
 * policy. What is not known yet, a recipient before RCPT, keeps nobody out. Of
 * several recipients, one who is concerned is enough. Pure.
 */
#ifndef CORE_CONF_WHEN_H
#define CORE_CONF_WHEN_H

#include "conf/conf.h"

struct when_group {
	const char *const *listeners;   /* sections; empty: says nothing */
	unsigned authenticated;         /* any, no, yes */
	struct ph_net_list clients;
	const char *const *sender_domains, *const *recipient_domains;
};

struct when {
	struct when_group when, unless;
};

extern const char *const when_authenticated[];

/* The options "when.listeners" ... of a struct with a member `struct when m`. */
#define WHEN_GROUP_OPTIONS(group, s, m, yes, no)                           \
	PH_OPT_LIST(group ".listeners", s, m.listeners, 0, 64, "[]",       \
	    "Sections of listeners through which the client " yes),        \
	PH_OPT_CHOICE(group ".authenticated", s, m.authenticated,          \
	    when_authenticated, "any", "Whether the client " no " logged in"), \
	PH_OPT_NETS(group ".clients", s, m.clients, 0, 1000, "[]",         \
	    "Networks of clients"),                                        \
	PH_OPT_LIST(group ".sender_domains", s, m.sender_domains, 0, 1000, \
	    "[]", "Domains of senders; \".example.org\": those below"),    \
	PH_OPT_LIST(group ".recipient_domains", s, m.recipient_domains, 0, \
	    1000, "[]", "Domains of recipients, written so, too")
#define WHEN_OPTIONS(s, m)                                                 \
	WHEN_GROUP_OPTIONS("when", s, m.when, "must come", "must have"),   \
	WHEN_GROUP_OPTIONS("unless", s, m.unless, "must not come",         \
	    "must not have")

/* Whether it says anything at all. */
bool when_is_set(const struct when *when);

/* What is known of a session and its message. */
struct when_facts {
	const char *listener;
	bool is_authenticated;
	const struct ph_addr *client;
	struct ph_slice sender;            /* absent: not known yet */
	const struct ph_slice *recipients; /* of the message, or the one asked */
	size_t recipient_count;            /* 0: not known yet */
};
bool when_holds(const struct when *when, const struct when_facts *facts);

/* What a table can't say: the settings of a section are domains, and its
 * listeners are among `listeners` (NULL-terminated; NULL: not known here). */
void when_check(const struct conf *conf, const char *section,
    const struct when *when, const char *const *listeners,
    struct conf_errors *errors);

/* As a record for the way to a role, and back; hostile input says nothing. */
void when_encode(const struct when *when, struct ph_buf *buf);
void when_decode(struct ph_arena *arena, struct ph_slice record,
    struct when *when_out);

#endif
