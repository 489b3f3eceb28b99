/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.h - the addresses to try for a destination, one after the other. */
#ifndef TRANSPORT_SMTP_HOSTS_H
#define TRANSPORT_SMTP_HOSTS_H

#include "delivery.h"

struct smtp_host {
	const char *name;  /* of the MX, or the address in a literal */
	struct ph_addr addr;
	bool is_literal;
};

struct hosts {
	struct delivery *delivery;
	const struct ph_dns_mx *mx;
	size_t mx_count, mx_at;
	bool is_implicit;  /* no MX record: the domain itself */
	const char *name;  /* whose addresses these are */
	const struct ph_addr *addr;
	size_t addr_count, addr_at;
	bool is_literal;
	unsigned given;    /* addresses so far */
	struct ph_addr *own; /* addresses of this machine */
	size_t own_count;
};

/* Look the destination up. False: no host can be tried, and the delivery knows
 * why. Suspends. */
bool hosts_find(struct delivery *delivery, struct hosts *hosts);
/* The next address; false when there is none, or enough were tried. What keeps
 * a host from being tried goes to delivery_fail. Suspends. */
bool hosts_next(struct hosts *hosts, struct smtp_host *host_out);

#endif
