/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/domain.h - the one form in which domains and addresses are compared
 * and kept. A domain may be written with U-labels or with A-labels (RFC 5891),
 * in any case, with a dot at its end: they are all one, and what decides by a
 * name must not see a difference. Pure: nothing suspends. Since minor 3.
 */
#ifndef POSTHOUSE_DOMAIN_H
#define POSTHOUSE_DOMAIN_H

#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A copy in the arena, with a NUL behind it: lower-case, A-labels instead of
 * U-labels (UTS #46, non-transitional), no dot at the end. Total: what
 * IDNA doesn't know stays as it is, with ASCII letters in lower case and octets
 * outside ASCII in it, and so equals only itself. Absent for an absent one. A
 * domain of ASCII alone costs one pass.
 */
PH_EXPORT struct ph_slice ph_domain_canonical(struct ph_arena *arena,
    struct ph_slice domain);
/* Whether both are one domain; takes no memory. */
PH_EXPORT bool ph_domain_eq(struct ph_slice a, struct ph_slice b);
/* Whether the domain is the pattern, or for a pattern ".example.test" below it
 * (and not example.test itself). */
PH_EXPORT bool ph_domain_fits(struct ph_slice pattern, struct ph_slice domain);

/*
 * local@domain, for comparing: ASCII letters in lower case, the domain
 * canonical. Octets outside ASCII of the local part stay (RFC 6530 s10.1 leaves
 * it to us). A copy in the arena, with a NUL behind it; without an "@" a local
 * part.
 */
PH_EXPORT struct ph_slice ph_address_fold(struct ph_arena *arena,
    struct ph_slice address);
/* Whether both have the same form then; takes no memory. */
PH_EXPORT bool ph_address_eq(struct ph_slice a, struct ph_slice b);

#ifdef __cplusplus
}
#endif
#endif
