/* SPDX-License-Identifier: Apache-2.0 */
/* triplet.c - see triplet.h. */
#include "triplet.h"

#include <stdlib.h>

#include <posthouse/kv.h>
#include <posthouse/mail.h>

enum { REFRESH_S_MAX = 86400, ADDRESS_MAX = 220 };

const char *
grey_network(struct ph_arena *arena, const struct ph_addr *client,
    unsigned v4_bits, unsigned v6_bits)
{
	const unsigned bits = client->family == 4 ? v4_bits : v6_bits;
	const unsigned size = client->family == 4 ? 4 : 16;
	struct ph_addr network = *client;
	char text[PH_ADDR_TEXT_MAX];

	for (unsigned i = 0; i < size; i++) {
		const unsigned kept = bits <= 8 * i ? 0 : bits - 8 * i;

		if (kept < 8)
			network.octet[i] &= (uint8_t)(0xff00u >> kept);
	}
	return ph_arena_printf(arena, "%s/%u", ph_addr_format(&network, text),
	    bits);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A long one by its end and a number of the whole (FNV-1a). */
static void
add_address(struct ph_buf *key, struct ph_slice address, size_t local_n)
{
	uint64_t number = 14695981039346656037u;

	if (address.n > ADDRESS_MAX) {
		for (size_t i = 0; i < address.n; i++)
			number = (number ^ (uint8_t)ph_lower(address.p[i])) *
			    1099511628211u;
		ph_buf_printf(key, "~%016llx", (unsigned long long)number);
		address.p += address.n - ADDRESS_MAX / 2;
		address.n = ADDRESS_MAX / 2;
		local_n = 0;
	}
	for (size_t i = 0; i < address.n; i++) {
		if (i >= local_n || !is_digit(address.p[i]))
			ph_buf_char(key, ph_lower(address.p[i]));
		else if (i == 0 || !is_digit(address.p[i - 1]))
			ph_buf_char(key, '#');
	}
}

struct ph_slice
grey_key(struct ph_arena *arena, const char *network, struct ph_slice sender,
    struct ph_slice recipient)
{
	struct ph_buf key;

	ph_buf_init(&key, arena, PH_KV_KEY_MAX);
	ph_buf_printf(&key, "t %s ", network);
	add_address(&key, sender, ph_address_local(sender).n);
	ph_buf_char(&key, ' ');
	add_address(&key, recipient, 0);
	return ph_buf_content(&key);
}

struct ph_slice
grey_row_format(struct ph_arena *arena, const struct grey_row *row)
{
	return ph_slice_str(ph_arena_printf(arena, "%c%lld",
	    row->has_passed ? 'p' : 'w', (long long)row->since_s));
}

bool
grey_row_parse(struct ph_slice text, struct grey_row *row_out)
{
	uint64_t since;

	if (text.n < 2 || (text.p[0] != 'p' && text.p[0] != 'w') ||
	    !ph_slice_number((struct ph_slice){ text.p + 1, text.n - 1 },
	        INT64_MAX, &since))
		return false;
	*row_out = (struct grey_row){ text.p[0] == 'p', (int64_t)since };
	return true;
}

enum grey_answer
grey_judge(const struct grey_row *row, int64_t now_s, unsigned delay_s,
    unsigned keep_s)
{
	const int64_t refresh_s = keep_s / 10 < REFRESH_S_MAX ? keep_s / 10 :
	                                                        REFRESH_S_MAX;

	if (row == NULL || row->since_s > now_s) /* or the clock went back */
		return GREY_NEW;
	if (row->has_passed)
		return now_s - row->since_s >= refresh_s ? GREY_PASS :
		                                           GREY_KNOWN;
	return now_s - row->since_s >= delay_s ? GREY_PASS : GREY_EARLY;
}
