/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.h - the addresses to try for a destination, one after the other. */
#ifndef TRANSPORT_SMTP_HOSTS_H
#define TRANSPORT_SMTP_HOSTS_H

#include <posthouse/dns.h>

#include "conf.h"
#include "smtp_client/delivery.h"
#include "smtp_client/peer.h"

enum { HOSTS_MAX = 50 }; /* no max_hosts is above it */

struct host {
	struct ph_arena *arena;
	const char *name;
	enum ph_dns_result result;
	const struct ph_addr *addr;
	size_t addr_count;
};

struct hosts {
	struct delivery *delivery;
	const struct smtp_conf *conf;
	const struct ph_dns_mx *mx;
	size_t mx_count, mx_at;
	bool is_implicit;  /* no MX record: the domain itself */
	/* those whose turn it is, and the address of the first of them */
	struct host run[HOSTS_MAX];
	size_t run_count, run_at, addr_at;
	unsigned given;    /* addresses so far */
	struct ph_addr *own; /* addresses of this machine */
	size_t own_count;
};

/* Look the destination, or the relay host, up. False: no host can be tried, and
 * the delivery knows why. Suspends. */
bool hosts_find(struct delivery *delivery, const struct smtp_conf *conf,
    struct hosts *hosts);
/* The next address: name and addr of the peer are set. False when there is none,
 * or enough were tried. What keeps a host from being tried goes to
 * delivery_fail. Suspends. */
bool hosts_next(struct hosts *hosts, struct client_peer *peer);

#endif
