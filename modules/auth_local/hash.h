/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - password hashes by crypt(3). Slow on purpose: hash_fits and
 * hash_make belong into ph_work.
 */
#ifndef AUTH_LOCAL_HASH_H
#define AUTH_LOCAL_HASH_H

#include <posthouse/base.h>

enum { HASH_TEXT_MAX = 385 }; /* with the NUL */

/* In the order of hash_schemes. */
enum hash_scheme { HASH_YESCRYPT, HASH_SHA512, HASH_SHA256, HASH_BCRYPT };
extern const char *const hash_schemes[]; /* names, NULL-terminated */

/* "$...$" that this libcrypt can compute, or "!" or "*" in front: locked, no
 * password fits. */
bool hash_is_usable(struct ph_slice hash);
bool hash_is_locked(struct ph_slice hash);
/* Longer passwords can't be hashed. */
size_t hash_password_max(void);
/* Whether the password (NUL-terminated) makes the hash; constant time from the
 * result on. */
bool hash_fits(const char *password, const char *hash);
/* A new hash with a random salt. False: the system has no such scheme. */
bool hash_make(const char *password, enum hash_scheme scheme,
    char out[HASH_TEXT_MAX]);

#endif
