/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c - a token is its expiry (8 octets LE) and HMAC-SHA-256 over the
 * expiry and the length-prefixed user and session.
 */
#include "role/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { EXPIRY_SIZE = 8, MAC_SIZE = 32, TOKEN_SIZE = EXPIRY_SIZE + MAC_SIZE };

static void
put_number(uint8_t *p, uint64_t value)
{
	for (int i = 0; i < EXPIRY_SIZE; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t
get_number(const uint8_t *p)
{
	uint64_t value = 0;

	for (int i = 0; i < EXPIRY_SIZE; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

static void
add_prefixed(struct ph_buf *buf, struct ph_slice value)
{
	uint8_t length[EXPIRY_SIZE];

	put_number(length, value.n);
	ph_buf_add(buf, length, sizeof(length));
	ph_buf_slice(buf, value);
}

/* False when the input is larger than any name can be. */
static bool
token_mac(const uint8_t key[TOKEN_KEY_SIZE], const uint8_t expiry[EXPIRY_SIZE],
    struct ph_slice user, struct ph_slice session, uint8_t mac[MAC_SIZE])
{
	unsigned length = 0;
	struct ph_buf buf;
	bool ok;

	ph_buf_init(&buf, NULL, 4096);
	ph_buf_add(&buf, expiry, EXPIRY_SIZE);
	add_prefixed(&buf, user);
	add_prefixed(&buf, session);
	ok = !buf.full &&
	    HMAC(EVP_sha256(), key, TOKEN_KEY_SIZE, (const uint8_t *)buf.p,
	        buf.n, mac, &length) != NULL &&
	    length == MAC_SIZE;
	ph_buf_fini(&buf);
	return ok;
}

struct ph_slice
token_make(struct ph_arena *arena, const uint8_t key[TOKEN_KEY_SIZE],
    struct ph_slice user, struct ph_slice session, int64_t expires_at)
{
	uint8_t *token = ph_arena_alloc(arena, TOKEN_SIZE);

	put_number(token, (uint64_t)expires_at);
	if (!token_mac(key, token, user, session, token + EXPIRY_SIZE))
		return PH_LIT("");
	return (struct ph_slice){ (const char *)token, TOKEN_SIZE };
}

bool
token_check(const uint8_t key[TOKEN_KEY_SIZE], struct ph_slice token,
    struct ph_slice user, struct ph_slice session, int64_t now)
{
	const uint8_t *octets = (const uint8_t *)token.p;
	uint8_t mac[MAC_SIZE];

	if (token.n != TOKEN_SIZE ||
	    !token_mac(key, octets, user, session, mac) ||
	    CRYPTO_memcmp(mac, octets + EXPIRY_SIZE, MAC_SIZE) != 0)
		return false;
	return now < (int64_t)get_number(octets);
}
