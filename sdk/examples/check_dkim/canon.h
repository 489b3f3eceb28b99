/* SPDX-License-Identifier: Apache-2.0 */
/* canon.h - header fields and bodies as DKIM hashes them, RFC 6376 s3.4. Pure,
 * and slow for what is large: for a thread. */
#ifndef CHECK_DKIM_CANON_H
#define CHECK_DKIM_CANON_H

#include <posthouse/mail.h>

#include <openssl/evp.h>

enum { DIGEST_OCTETS = 32 }; /* SHA-256 */

/* A field and its line end; the last one, the signature itself, has none. */
void canon_field(EVP_MD_CTX *md, const struct ph_header_field *field,
    bool is_relaxed, bool is_last);
/* At most limit octets of the body; how many there are to hash in all. */
uint64_t canon_body(EVP_MD_CTX *md, struct ph_slice body, bool is_relaxed,
    uint64_t limit);

#endif
