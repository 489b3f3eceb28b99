/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim.h - signatures of RFC 6376 with rsa-sha256 and, RFC 8463,
 * ed25519-sha256: parsed, held against a message and a key, and made. Pure: the
 * caller asks DNS, and gives the slow parts to a thread.
 */
#ifndef CHECK_DKIM_DKIM_H
#define CHECK_DKIM_DKIM_H

#include "canon.h"

struct dkim {
	struct ph_slice domain, selector, algorithm, names; /* d, s, a, h */
	struct ph_slice body_hash, signature;               /* decoded */
	bool is_header_relaxed, is_body_relaxed;
	uint64_t body_limit;  /* l; UINT64_MAX: all */
	uint64_t expires_at;  /* x; 0: never */
	struct ph_header_field field;
};

/* A tag of a list "a=1; b=2", trimmed; absent: not there. s3.2 */
struct ph_slice dkim_tag(struct ph_slice list, const char *name);

/* The signature that a field holds. NULL, or why it is none. */
const char *dkim_parse(struct ph_arena *arena,
    const struct ph_header_field *field, struct dkim *dkim_out);

/* A key's record. NULL: *why_out tells; "revoked" is one reason. The caller
 * frees it. */
EVP_PKEY *dkim_key(struct ph_arena *arena, struct ph_slice record,
    const struct dkim *dkim, const char **why_out);

/* Whether header and body are what was signed. NULL, or why not. */
const char *dkim_verify(const struct dkim *dkim, EVP_PKEY *key,
    struct ph_slice header, struct ph_slice body);

/* The value of a field that signs them; NULL: libcrypto can't with this key.
 * dkim has domain and selector. */
const char *dkim_sign(struct ph_arena *arena, const struct dkim *dkim,
    EVP_PKEY *key, struct ph_slice header, struct ph_slice body, int64_t now);

#endif
