/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/kv.h - small values that expire and that all processes of the
 * server share: greylists, rates, what was found out before.
 *
 * The keys of a module are its own: the section of the configuration on whose
 * behalf the fiber runs, and the role it runs in, name the space. Processes of
 * one role see the same values; they outlive a restart, but the last second
 * before a crash may be lost. It is memory, never the only copy of a fact.
 *
 * Every call suspends, for two seconds at most. When the store can't be reached
 * (PH_UNAVAILABLE, at once when it is down, PH_TIMEOUT), or its disk is full
 * (PH_FULL), the caller's own policy decides: a check abstains. Other failures:
 * PH_CANCELED; PH_TOO_BIG for a key or value over its limit; PH_INVALID for an
 * empty key or a life of 0; PH_IO and PH_DEFECT from the disk.
 * Available in the check, edge and relay roles.
 */
#ifndef POSTHOUSE_KV_H
#define POSTHOUSE_KV_H

#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_KV_KEY_MAX 512    /* octets, any; at least one */
#define PH_KV_VALUE_MAX 4096 /* octets, any; may be none */
#define PH_KV_KEYS_MAX 80    /* asked for at once */

/* The value, in the arena; PH_NOT_FOUND when there is none, or it expired. */
PH_EXPORT int ph_kv_get(struct ph_arena *arena, struct ph_slice key,
    struct ph_slice *value_out);
/*
 * The values of several keys (at most PH_KV_KEYS_MAX, PH_TOO_BIG) in one trip,
 * into values_out[count]; absent (p is NULL) where there is none.
 */
PH_EXPORT int ph_kv_get_many(struct ph_arena *arena,
    const struct ph_slice *keys, size_t count, struct ph_slice *values_out);
/* Set it, in place of the one before; it lives for ttl_ms from now (at most
 * 400 days). */
PH_EXPORT int ph_kv_put(struct ph_slice key, struct ph_slice value,
    uint64_t ttl_ms);
/* A missing key is fine. */
PH_EXPORT int ph_kv_delete(struct ph_slice key);
/*
 * Add n to a counter and learn the sum; whoever adds at the same time, no
 * addition is lost. A counter that is not there, or expired, starts at 0 and
 * lives for ttl_ms from now; of one that is there ttl_ms says nothing. Sums
 * stop at the limits of their type. ph_kv_get shows a counter as 8 octets, least
 * first; a value of another length can't be added to (PH_INVALID).
 */
PH_EXPORT int ph_kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms,
    int64_t *sum_out);
/*
 * Count one more event and learn whether that makes more than limit within
 * window_ms: *over_out. Windows follow each other, the first event after one
 * opens the next; so in the worst case twice the limit passes in the time of
 * one window.
 */
PH_EXPORT int ph_kv_rate(struct ph_slice key, uint64_t limit,
    uint64_t window_ms, bool *over_out);

#ifdef __cplusplus
}
#endif
#endif
