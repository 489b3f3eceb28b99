/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - one DNS list as the configuration names it, and what its answers
 * mean (RFC 5782). Pure.
 */
#ifndef CHECK_RBL_LIST_H
#define CHECK_RBL_LIST_H

#include <posthouse/dns.h>

enum rbl_action {
	RBL_WEIGH,  /* its weight counts */
	RBL_TAG,
	RBL_DEFER,
	RBL_REJECT,
	RBL_ACCEPT, /* an allow list that overrules all others */
};

enum { RBL_CODES_MAX = 8, RBL_WEIGHT_MAX = 1000 };

struct rbl_list {
	struct ph_slice zone;
	enum rbl_action action;
	int weight;         /* below 0: an allow list */
	bool v4, v6;        /* whose addresses it lists */
	struct {
		uint32_t low, high;
	} codes[RBL_CODES_MAX]; /* answers that count; none: all */
	size_t code_count;
};

/*
 *   list   = zone *( SP word )
 *   word   = "weight=" ["-"] 1*DIGIT / "action=" name / "v4" / "v6"
 *            / "codes=" code *( "," code )
 *   code   = IPv4 ["-" IPv4] / IPv4 "/" bits
 *
 * The zone is borrowed. NULL, or what is wrong.
 */
const char *rbl_list_parse(const char *text, struct rbl_list *list_out);

/*
 * The first record that names the client; NULL: none does. Listings are in 127/8
 * (RFC 5782 s2.1): a parked zone answers outside it. 127.255.255/24 is how lists
 * say that they do not serve us; 127.0.0.1, what filters on the way answer,
 * counts only where it is among the codes.
 */
const struct ph_addr *rbl_list_code(const struct rbl_list *list,
    const struct ph_dns_answer *answer);

/*
 * RFC 5782 s5: no list may name 127.0.0.1 (else it names everybody), and each
 * names 127.0.0.2; those of IPv6 ::ffff:127.0.0.x. The question about the one
 * that ends so, and whether the answer names it, whatever the codes are.
 */
const char *rbl_test_point(struct ph_arena *arena, const struct rbl_list *list,
    uint8_t last);
bool rbl_names_test_point(const struct ph_dns_answer *answer);

#endif
