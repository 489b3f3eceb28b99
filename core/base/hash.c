/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - SipHash-2-4, by Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF". libcrypto's costs a context and more than the table it is for. */
#include "base/hash.h"

#include <sys/random.h>

static uint64_t
get_u64(const uint8_t *p)
{
	uint64_t value = 0;

	for (unsigned i = 8; i-- > 0;)
		value = value << 8 | p[i];
	return value;
}

static uint64_t
rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void
sip_rounds(uint64_t v[4], unsigned rounds)
{
	while (rounds-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void
take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

uint64_t
hash_with(const uint8_t key[HASH_KEY], const void *p, size_t n)
{
	const uint64_t k[2] = { get_u64(key), get_u64(key + 8) };
	uint64_t v[4] = { k[0] ^ 0x736f6d6570736575u,
		k[1] ^ 0x646f72616e646f6du, k[0] ^ 0x6c7967656e657261u,
		k[1] ^ 0x7465646279746573u };
	const uint8_t *at = p;
	uint8_t last[8] = { [7] = (uint8_t)n };

	for (; n >= 8; n -= 8, at += 8)
		take_word(v, get_u64(at));
	for (size_t i = 0; i < n; i++)
		last[i] = at[i];
	take_word(v, get_u64(last));
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
hash_of(const void *p, size_t n)
{
	static uint8_t key[HASH_KEY];
	static bool has_key;

	if (!has_key) {
		ph_assert(getrandom(key, sizeof(key), 0) == sizeof(key));
		has_key = true;
	}
	return hash_with(key, p, n);
}
