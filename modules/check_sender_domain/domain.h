/* SPDX-License-Identifier: Apache-2.0 */
/*
 * domain.h - whether mail could go back to a domain, from what DNS says of it
 * (RFC 5321 s5.1, RFC 7505). Pure.
 */
#ifndef CHECK_SENDER_DOMAIN_DOMAIN_H
#define CHECK_SENDER_DOMAIN_DOMAIN_H

#include <posthouse/dns.h>

enum domain_answer {
	DOMAIN_GOOD,
	DOMAIN_NULL_MX, /* says that it takes no mail */
	DOMAIN_UNKNOWN, /* no such name, or nothing that takes mail */
	DOMAIN_UNSURE,
	DOMAIN_ASK_HOST, /* no MX record: its addresses decide */
};

enum domain_answer domain_by_mx(const struct ph_dns_answer *mx);
enum domain_answer domain_by_host(const struct ph_dns_answer *host);

#endif
