/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts.c - from a destination to addresses: MX records, or the domain itself
 * without any, or the address in a literal (RFC 5321 s5.1).
 *
 * Hosts are looked up when the turn of their preference comes, equal ones
 * together. Addresses that mean whoever asks are passed over. Where others reach
 * us under one of a host's addresses we are that host: all that are no better
 * would send the message back to us, and none of them is tried. When nothing
 * else is left the message failed as a loop. What DNS could not tell defers.
 */
#include "hosts.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <posthouse/fiber.h>
#include <posthouse/mail.h>

#include "mx.h"

static void
fail(struct hosts *hosts, bool is_permanent, const char *enhanced,
    const char *text)
{
	struct failure failure = { .is_permanent = is_permanent,
		.text = text };

	memcpy(failure.enhanced, enhanced, strlen(enhanced) + 1);
	delivery_fail(hosts->delivery, &failure);
}

/* --- addresses of this machine --- */

struct own_list {
	struct ifaddrs *list;
};

/* In the thread pool: a conversation with the kernel. */
static void
own_read(void *arg)
{
	struct own_list *own = arg;

	if (getifaddrs(&own->list) != 0)
		own->list = NULL;
}

static bool
own_take(const struct ifaddrs *interface, struct ph_addr *addr_out)
{
	const struct sockaddr *sa = interface->ifa_addr;

	memset(addr_out, 0, sizeof(*addr_out));
	if (sa != NULL && sa->sa_family == AF_INET) {
		addr_out->family = 4;
		memcpy(addr_out->octet,
		    &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
		    4);
		return true;
	}
	if (sa != NULL && sa->sa_family == AF_INET6) {
		addr_out->family = 6;
		memcpy(addr_out->octet,
		    &((const struct sockaddr_in6 *)(const void *)sa)
		         ->sin6_addr, 16);
		return true;
	}
	return false;
}

static void
own_find(struct hosts *hosts)
{
	struct own_list own = { NULL };
	size_t count = 0;

	ph_work(own_read, &own);
	for (struct ifaddrs *i = own.list; i != NULL; i = i->ifa_next)
		count++;
	hosts->own = ph_arena_array(hosts->delivery->arena, count + 1,
	    sizeof(*hosts->own));
	for (struct ifaddrs *i = own.list; i != NULL; i = i->ifa_next)
		if (own_take(i, &hosts->own[hosts->own_count]))
			hosts->own_count++;
	if (own.list != NULL)
		freeifaddrs(own.list);
}

static bool
is_own(const struct hosts *hosts, const struct ph_addr *addr)
{
	for (size_t i = 0; i < hosts->own_count; i++)
		if (ph_addr_eq(addr, &hosts->own[i]))
			return true;
	return false;
}

/* Nobody, or whoever asks: every machine may call itself so. */
static bool
is_nowhere(const struct hosts *hosts, const struct ph_addr *addr)
{
	if (ph_addr_in(addr, "224.0.0.0/3") || ph_addr_in(addr, "ff00::/8"))
		return true;
	return !hosts->conf->allow_loopback &&
	    (ph_addr_is_loopback(addr) || ph_addr_is_unspecified(addr));
}

static const char leads_back_text[] =
    "mail for the domain leads back to this machine";

/* RFC 5321 s5.1: with us among those whose turn it is, they and all behind them
 * would wait for us. */
static bool
leads_back(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->run_count; i++)
		for (size_t k = 0; k < hosts->run[i].addr_count; k++) {
			const struct ph_addr *addr = &hosts->run[i].addr[k];

			if (is_nowhere(hosts, addr) || !is_own(hosts, addr))
				continue;
			hosts->run_count = 0;
			hosts->run_at = 0;
			hosts->mx_at = hosts->mx_count;
			fail(hosts, true, "5.4.6", leads_back_text);
			return true;
		}
	return false;
}

/* --- hosts --- */

static bool
use_literal(struct hosts *hosts, const char *destination)
{
	struct ph_arena *arena = hosts->delivery->arena;
	struct ph_addr *addr = ph_arena_alloc(arena, sizeof(*addr));
	char text[PH_ADDR_TEXT_MAX];

	if (!ph_address_literal_parse(ph_slice_str(destination), addr)) {
		fail(hosts, true, "5.1.2", "the address literal is malformed");
		return false;
	}
	hosts->run[0].name = ph_arena_strdup(arena, ph_addr_format(addr, text));
	hosts->run[0].addr = addr;
	hosts->run[0].addr_count = 1;
	hosts->run_count = 1;
	return !leads_back(hosts);
}

/* One host of preference 0: the domain itself. */
static void
use_domain(struct hosts *hosts, const char *domain)
{
	struct ph_dns_mx *mx = ph_arena_alloc(hosts->delivery->arena,
	    sizeof(*mx));

	mx->host = domain;
	hosts->mx = mx;
	hosts->mx_count = 1;
	hosts->is_implicit = true;
}

static bool
use_records(struct hosts *hosts, const struct ph_dns_answer *answer)
{
	const struct delivery *delivery = hosts->delivery;
	struct ph_dns_mx *mx = ph_arena_array(delivery->arena, answer->count,
	    sizeof(*mx));

	memcpy(mx, answer->mx, answer->count * sizeof(*mx));
	hosts->mx = mx;
	switch (mx_order(mx, answer->count,
	    hosts->conf->allow_loopback ? NULL :
	        ph_attempt_hostname(delivery->attempt), &hosts->mx_count)) {
	case MX_HOSTS:
		return true;
	case MX_NULL: /* RFC 7505 s3 */
		fail(hosts, true, "5.1.10", "the domain takes no mail");
		return false;
	case MX_OURSELVES:
		fail(hosts, true, "5.4.6",
		    "mail for the domain leads back to this server");
		return false;
	}
	return false;
}

static bool
find(struct hosts *hosts, const char *domain)
{
	const struct ph_dns_answer *answer;

	if (domain[0] == '[')
		return use_literal(hosts, domain);
	answer = ph_dns_mx(hosts->delivery->arena, domain);
	switch (answer->result) {
	case PH_DNS_OK:
		return use_records(hosts, answer);
	case PH_DNS_NO_DATA:
		use_domain(hosts, domain);
		return true;
	case PH_DNS_NO_NAME:
		fail(hosts, true, "5.1.2", "the domain does not exist");
		return false;
	case PH_DNS_NO_ANSWER:
		break;
	}
	fail(hosts, false, "4.4.3", "DNS could not tell the domain's mail hosts");
	return false;
}

/* RFC 5321 does not ask for MX records of a host that was named to us. */
static bool
find_relay(struct hosts *hosts, const char *name)
{
	size_t n = strlen(name);

	if (name[0] == '[' || name[n - 1] == ']')
		return use_literal(hosts, name);
	use_domain(hosts, name);
	return true;
}

bool
hosts_find(struct delivery *delivery, const struct smtp_conf *conf,
    struct hosts *hosts)
{
	struct ph_slice destination = ph_attempt_destination(delivery->attempt);

	memset(hosts, 0, sizeof(*hosts));
	hosts->delivery = delivery;
	hosts->conf = conf;
	if (!conf->allow_loopback)
		own_find(hosts);
	if (conf->relay_host[0] != '\0')
		return find_relay(hosts, conf->relay_host);
	return find(hosts, ph_arena_slice(delivery->arena, destination).p);
}

/* --- the addresses of hosts --- */

/* IPv6 and IPv4 in turn: one that has no way out must not use max_hosts up. */
static void
mix_families(struct ph_arena *arena, struct host *host)
{
	size_t n = host->addr_count, six = 0, at_six = 0, at_four;
	struct ph_addr *mixed = ph_arena_array(arena, n + 1, sizeof(*mixed));

	while (six < n && host->addr[six].family == 6)
		six++;
	at_four = six;
	for (size_t i = 0; i < n; i++)
		mixed[i] = at_four == n || (at_six < six && i % 2 == 0) ?
		    host->addr[at_six++] : host->addr[at_four++];
	host->addr = mixed;
}

static void
look_up(void *arg)
{
	struct host *host = arg;
	const struct ph_dns_answer *answer = ph_dns_host(host->arena,
	    host->name);

	host->addr = answer->addr;
	host->addr_count = answer->count;
	host->result = answer->result;
	mix_families(host->arena, host);
}

/* How many come next together: all of a preference, for one of them may be us;
 * one, where that does not matter. */
static size_t
run_length(const struct hosts *hosts)
{
	const struct ph_dns_mx *mx = hosts->mx + hosts->mx_at;
	size_t n = 0, left = hosts->mx_count - hosts->mx_at;

	if (left > hosts->conf->max_hosts - hosts->mx_at)
		left = hosts->conf->max_hosts - hosts->mx_at;
	while (n < left && mx[n].preference == mx[0].preference &&
	    (n == 0 || hosts->own_count > 0))
		n++;
	return n;
}

/* False: there is none, or all that are left lead back to us. */
static bool
next_run(struct hosts *hosts)
{
	struct ph_scope scope;

	if (hosts->mx_at == hosts->mx_count ||
	    hosts->mx_at >= hosts->conf->max_hosts)
		return false;
	hosts->run_at = 0;
	hosts->run_count = run_length(hosts);
	ph_scope_begin(&scope);
	for (size_t i = 0; i < hosts->run_count; i++) {
		hosts->run[i] = (struct host){
			.arena = hosts->delivery->arena,
			.name = hosts->mx[hosts->mx_at++].host };
		ph_scope_spawn(&scope, look_up, &hosts->run[i]);
	}
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	return !leads_back(hosts);
}

static void
note_missing(struct hosts *hosts, const struct host *host)
{
	bool is_relay = hosts->conf->relay_host[0] != '\0';

	if (host->result == PH_DNS_NO_ANSWER)
		fail(hosts, false, "4.4.3",
		    "DNS could not tell a mail host's address");
	else if (host->result != PH_DNS_OK)
		fail(hosts, !is_relay, is_relay ? "4.4.4" :
		    hosts->is_implicit ? "5.1.2" : "5.4.4",
		    is_relay ? "the relay host has no address" :
		    hosts->is_implicit ?
		        "the domain has neither mail hosts nor an address" :
		        "a mail host of the domain has no address");
}

bool
hosts_next(struct hosts *hosts, struct client_peer *peer)
{
	while (hosts->given < hosts->conf->max_hosts) {
		const struct host *host = &hosts->run[hosts->run_at];
		const struct ph_addr *addr;

		if (hosts->run_at == hosts->run_count) {
			if (!next_run(hosts))
				return false;
			continue;
		}
		if (hosts->addr_at == host->addr_count) {
			note_missing(hosts, host);
			hosts->run_at++;
			hosts->addr_at = 0;
			continue;
		}
		addr = &host->addr[hosts->addr_at++];
		if (is_nowhere(hosts, addr)) {
			fail(hosts, true, "5.4.6", leads_back_text);
			continue;
		}
		hosts->given++;
		peer->name = host->name;
		peer->addr = *addr;
		return true;
	}
	return false;
}
