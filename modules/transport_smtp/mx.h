/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mx.h - which hosts take a domain's mail, from its MX records (RFC 5321 s5.1,
 * RFC 7505). Pure but for the shuffle.
 */
#ifndef TRANSPORT_SMTP_MX_H
#define TRANSPORT_SMTP_MX_H

#include <posthouse/dns.h>

enum mx_answer {
	MX_HOSTS,     /* the list is in the order to try */
	MX_NULL,      /* the domain takes no mail */
	MX_OURSELVES, /* we are the best one: a loop */
};

/*
 * Order hosts (count > 0, sorted by preference) in place: equal preferences
 * shuffled, and, unless own is NULL, from our own name's preference on
 * dropped. Null records beside others are dropped.
 */
enum mx_answer mx_order(struct ph_dns_mx *mx, size_t count, const char *own,
    size_t *count_out);

#endif
