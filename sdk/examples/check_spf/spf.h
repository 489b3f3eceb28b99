/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf.h - check_host() of RFC 7208: may this client send mail for a domain?
 * Asks DNS, so it suspends; decides nothing.
 */
#ifndef CHECK_SPF_SPF_H
#define CHECK_SPF_SPF_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR, /* could not be told now */
	SPF_PERMERROR, /* the domain's record can't be understood */
};

struct spf {
	/* set by the caller, all borrowed */
	struct ph_arena *arena;
	const struct ph_addr *client;
	struct ph_slice local, domain; /* of the sender */
	const char *helo;
	/* its own */
	unsigned lookups, voids;
};

/* "pass" ..., RFC 8601 s2.7.2 */
const char *spf_result_name(enum spf_result result);
/* Suspends, for 10 questions and their addresses at most. */
enum spf_result spf_check(struct spf *spf, const char *domain);

#endif
