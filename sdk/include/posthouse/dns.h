/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/dns.h - questions to the configured resolvers.
 *
 * Every call suspends, at most for the dns section's timeout and the fiber's
 * deadline. CNAMEs are followed; truncated answers are asked again over TCP.
 * The same question asked meanwhile is the same look-up, and an answer is kept
 * while its TTL lasts (the dns section's cache_bytes).
 * Available in the check and relay roles.
 */
#ifndef POSTHOUSE_DNS_H
#define POSTHOUSE_DNS_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ph_dns_result {
	PH_DNS_OK,       /* at least one record */
	PH_DNS_NO_NAME,  /* NXDOMAIN */
	PH_DNS_NO_DATA,  /* the name exists, the type does not */
	PH_DNS_NO_ANSWER, /* could not tell: SERVFAIL, timeout, canceled, garbage */
};

struct ph_dns_mx {
	uint16_t preference;
	const char *host; /* without trailing dot; "" is the null MX, RFC 7505 */
};

struct ph_dns_answer {
	enum ph_dns_result result;
	const char *name; /* the question */
	size_t count;     /* of the one array below that was asked for, <= 256 */
	const struct ph_addr *addr;   /* A, AAAA, host */
	const struct ph_dns_mx *mx;   /* MX, by preference */
	const struct ph_slice *txt;   /* TXT, strings of a record joined */
	const char *const *ptr;       /* PTR */
	/* how long it may be kept; that there is nothing (RFC 2308): as the
	 * zone says, three hours at most; 0: not at all */
	uint32_t ttl_s;
};

/*
 * A records: IPv4 addresses. The answer lives in the arena and is never NULL;
 * name is without or with a trailing dot, one that is none does not exist.
 * Suspends.
 */
PH_EXPORT const struct ph_dns_answer *ph_dns_a(struct ph_arena *arena,
    const char *name);
/* AAAA records: IPv6 addresses. Suspends. */
PH_EXPORT const struct ph_dns_answer *ph_dns_aaaa(struct ph_arena *arena,
    const char *name);
/* Both families, IPv6 first. NO_ANSWER only when nothing at all was found.
 * Suspends. */
PH_EXPORT const struct ph_dns_answer *ph_dns_host(struct ph_arena *arena,
    const char *name);
/* MX records, by preference. Suspends. */
PH_EXPORT const struct ph_dns_answer *ph_dns_mx(struct ph_arena *arena,
    const char *name);
/* TXT records. Suspends. */
PH_EXPORT const struct ph_dns_answer *ph_dns_txt(struct ph_arena *arena,
    const char *name);
/* The names of an address: PTR below in-addr.arpa or ip6.arpa. Suspends. */
PH_EXPORT const struct ph_dns_answer *ph_dns_ptr(struct ph_arena *arena,
    const struct ph_addr *addr);

/* "4.3.2.1.zone" for 1.2.3.4, nibbles for IPv6 (RFC 5782 s2.1, s2.4). Pure. */
PH_EXPORT const char *ph_dns_reverse(struct ph_arena *arena,
    const struct ph_addr *addr, const char *zone);

/*
 * Several questions at once: add them, then take answers in the order in which
 * they come. What is still open when the arena or the batch's time ends is
 * dropped. In the arena of the session (ph_call_session_arena) a batch that one
 * hook began may be taken by the hook of a later stage: the client talks on in
 * the meantime.
 */
struct ph_dns_batch;
PH_EXPORT struct ph_dns_batch *ph_dns_batch(struct ph_arena *arena,
    unsigned timeout_ms);
/* Ask for A records of name (copied). Does not suspend. */
PH_EXPORT void ph_dns_batch_a(struct ph_dns_batch *batch, const char *name);
/* Ask for AAAA records. */
PH_EXPORT void ph_dns_batch_aaaa(struct ph_dns_batch *batch, const char *name);
/* Ask for MX records. */
PH_EXPORT void ph_dns_batch_mx(struct ph_dns_batch *batch, const char *name);
/* Ask for TXT records. */
PH_EXPORT void ph_dns_batch_txt(struct ph_dns_batch *batch, const char *name);
/* Its answer's name is the one asked, below in-addr.arpa or ip6.arpa. */
PH_EXPORT void ph_dns_batch_ptr(struct ph_dns_batch *batch,
    const struct ph_addr *addr);
/* Suspends. NULL when all were taken or the time is over. */
PH_EXPORT const struct ph_dns_answer *ph_dns_batch_next(
    struct ph_dns_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
