/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_lookup.h - a name looked up once for all who ask for it meanwhile.
 */
#ifndef CORE_NET_DNS_LOOKUP_H
#define CORE_NET_DNS_LOOKUP_H

#include "net/dns_packet.h"

struct dns_lookup;

/* Who asks; in its owner's memory, which it leaves before that ends. */
struct dns_asker {
	struct dns_asker *next, *prev;
	struct dns_lookup *lookup; /* NULL: answered, or it left */
	/* Once, from the look-up's fiber. The answer is borrowed for the call
	 * and has no name. Must not suspend, join or leave. */
	void (*on_answer)(struct dns_asker *asker,
	    const struct ph_dns_answer *answer);
};

/*
 * Ask for a canonical name until end_ms. Does not suspend. What is kept is
 * told at once: true, and the answer but its name is in the arena. Else
 * on_answer will be called, unless dns_asker_leave is first; at end_ms it is for
 * the asker to leave, since others may wait longer.
 */
bool dns_lookup_join(struct dns_asker *asker, struct ph_arena *arena,
    const char *name, enum dns_kind kind, uint64_t end_ms,
    struct ph_dns_answer *answer_out);
/* The look-up goes on for others and ends with the last one. Fine when it is
 * answered. */
void dns_asker_leave(struct dns_asker *asker);

/* No look-up that runs is joined from now on, and no answer of one kept. */
void dns_lookup_forget(void);

/* Since the start, for `posthousectl status`. */
struct dns_lookup_counts {
	uint64_t asked;  /* look-ups made */
	uint64_t joined; /* asked while one was under way */
	uint64_t kept;   /* answered out of the cache */
};
const struct dns_lookup_counts *dns_lookup_counts(void);

#endif
