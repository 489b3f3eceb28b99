/* SPDX-License-Identifier: Apache-2.0 */
/*
 * triplet.h - what greylisting remembers: who wants to send what to whom, since
 * when, and whether it came back. Pure.
 */
#ifndef CHECK_GREYLIST_TRIPLET_H
#define CHECK_GREYLIST_TRIPLET_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

/* "192.0.2.0/24": the network of the client; bits beyond it are cleared. */
const char *grey_network(struct ph_arena *arena, const struct ph_addr *client,
    unsigned v4_bits, unsigned v6_bits);

/*
 * The key of a triplet: case folded, and digits of the sender's local part as
 * one '#', since lists number their senders anew for each message. At most
 * PH_KV_KEY_MAX octets, whatever the addresses are.
 */
struct ph_slice grey_key(struct ph_arena *arena, const char *network,
    struct ph_slice sender, struct ph_slice recipient);

struct grey_row {
	bool has_passed;
	int64_t since_s; /* first seen; passed: noted last */
};
struct ph_slice grey_row_format(struct ph_arena *arena,
    const struct grey_row *row);
/* False: not one of ours. */
bool grey_row_parse(struct ph_slice text, struct grey_row *row_out);

enum grey_answer {
	GREY_NEW,   /* put off, remember */
	GREY_EARLY, /* put off */
	GREY_PASS,  /* it came back in time: remember that it may */
	GREY_KNOWN, /* may, and nothing need be written */
};
/* row NULL: not seen. keep_s: how long the store keeps it once it passed; it is
 * noted again long before that is over. */
enum grey_answer grey_judge(const struct grey_row *row, int64_t now_s,
    unsigned delay_s, unsigned keep_s);

#endif
