/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_fake.c - a DNS server in threads of a test, UDP and TCP on one port, whose
 * answers a table of names decides; and the frame of a test that asks it.
 */
#include "net/dns_fake.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fiber.h"
#include "net/dns.h"
#include "net/dns_udp.h"

static void
put(struct fake_packet *packet, const void *p, size_t n)
{
	memcpy(packet->p + packet->n, p, n);
	packet->n += n;
}

static void
put16(struct fake_packet *packet, unsigned value)
{
	uint8_t octets[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	put(packet, octets, 2);
}

static void
put_name(struct fake_packet *packet, const char *name)
{
	uint8_t wire[DNS_NAME_WIRE] = { 0 };
	size_t n = name[0] == '\0' ? 1 : dns_name_encode(name, wire);

	put(packet, wire, n);
}

/* An answer record; counts it in the header. */
static void
put_rr(struct fake_packet *packet, const char *owner, unsigned kind,
    const void *data, size_t n)
{
	unsigned count = (unsigned)packet->p[6] << 8 | packet->p[7];

	put_name(packet, owner);
	put16(packet, kind);
	put16(packet, 1);
	put16(packet, 0);
	put16(packet, strcmp(owner, "brief.test") == 0 ? 1 :
	        strcmp(owner, "zero.test") == 0      ? 0 :
	        strncmp(owner, "keep", 4) == 0       ? 3600 :
	        kind == DNS_KIND_CNAME               ? 3 :
	                                               5);
	put16(packet, (unsigned)n);
	put(packet, data, n);
	count++;
	packet->p[6] = (uint8_t)(count >> 8);
	packet->p[7] = (uint8_t)count;
}

static void
put_cname(struct fake_packet *packet, const char *owner, const char *target)
{
	struct fake_packet data = { .n = 0 };

	put_name(&data, target);
	put_rr(packet, owner, DNS_KIND_CNAME, data.p, data.n);
}

static void
put_mx(struct fake_packet *packet, const char *owner, unsigned preference,
    const char *host)
{
	struct fake_packet data = { .n = 0 };

	put16(&data, preference);
	put_name(&data, host);
	put_rr(packet, owner, DNS_KIND_MX, data.p, data.n);
}

static void
put_many(struct fake_packet *packet, const char *name)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t a[4] = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i };

		put_rr(packet, name, DNS_KIND_A, a, 4);
	}
}

enum { SILENT, ANSWER, HANG_UP, HOLD };

/* That there is no such name, and for how long: an SOA record in the authority
 * section. */
static void
put_negative(struct fake_packet *packet, const char *name)
{
	packet->p[3] |= 3;
	put_rr(packet, name, DNS_KIND_SOA,
	    "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\7", 22);
	packet->p[9] = packet->p[7];
	packet->p[7] = 0;
}

static int
answer_mail(struct fake_packet *reply, const char *name)
{
	if (strcmp(name, "mx.test") == 0) {
		put_mx(reply, name, 30, "c.test");
		put_mx(reply, name, 10, "a.test");
		put_mx(reply, name, 20, "b.test");
	} else if (strcmp(name, "nullmx.test") == 0) {
		put_mx(reply, name, 0, "");
	} else if (strcmp(name, "oddmx.test") == 0) {
		put_rr(reply, name, DNS_KIND_MX, "\0\12\3a b\4test\0", 12);
	} else if (strcmp(name, "txt.test") == 0) {
		put_rr(reply, name, DNS_KIND_TXT, "\6v=spf1\5 -all", 13);
		put_rr(reply, name, DNS_KIND_TXT, "\0", 1);
	} else if (strcmp(name, "badtxt.test") == 0) {
		put_rr(reply, name, DNS_KIND_TXT, "\377abc", 4);
	} else if (strcmp(name, "7.2.0.192.in-addr.arpa") == 0) {
		put_rr(reply, name, DNS_KIND_PTR, "\1a\4test\0", 8);
	} else {
		return SILENT;
	}
	return ANSWER;
}

int
fake_dns_answer_alias(struct fake_packet *reply, const char *name)
{
	char target[64];

	if (strcmp(name, "inside.test") == 0) {
		put_rr(reply, "two.test", DNS_KIND_A, "\300\0\2\11", 4);
		put_cname(reply, "one.test", "TWO.test");
		put_cname(reply, name, "one.test");
	} else if (strcmp(name, "outside.test") == 0) {
		put_cname(reply, name, "a.test");
	} else if (strcmp(name, "alias-of-none.test") == 0) {
		put_cname(reply, name, "none.test");
	} else if (strcmp(name, "loop.test") == 0) {
		put_cname(reply, name, "loop2.test");
	} else if (strcmp(name, "loop2.test") == 0) {
		put_cname(reply, name, "loop.test");
	} else if (strcmp(name, "knot.test") == 0) {
		put_cname(reply, name, "knot2.test");
		put_cname(reply, "knot2.test", name);
	} else if (strncmp(name, "chain", 5) == 0) {
		int left = atoi(name + 5);

		if (left > 1)
			snprintf(target, sizeof(target), "chain%d.test",
			    left - 1);
		put_cname(reply, name, left > 1 ? target : "a.test");
	} else {
		return answer_mail(reply, name);
	}
	return ANSWER;
}

static int
answer(struct fake_packet *reply, const char *name, unsigned kind, bool udp)
{
	if (strcmp(name, "a.test") == 0) {
		if (kind == DNS_KIND_A)
			put_rr(reply, name, kind, "\300\0\2\7", 4);
		if (kind == DNS_KIND_AAAA)
			put_rr(reply, name, kind,
			    " \1\15\270\0\0\0\0\0\0\0\0\0\0\0\7", 16);
	} else if (strcmp(name, "half.test") == 0) {
		if (kind == DNS_KIND_AAAA)
			return SILENT;
		put_rr(reply, name, kind, "\300\0\2\10", 4);
	} else if (strcmp(name, "none.test") == 0) {
		reply->p[3] |= 3;
	} else if (strcmp(name, "gone.test") == 0) {
		put_negative(reply, name);
	} else if (strcmp(name, "brief.test") == 0 ||
	    strcmp(name, "zero.test") == 0 ||
	    strncmp(name, "keep", 4) == 0) {
		put_rr(reply, name, DNS_KIND_A, "\300\0\2\7", 4);
	} else if (strncmp(name, "held", 4) == 0) {
		put_rr(reply, name, DNS_KIND_A, "\300\0\2\7", 4);
		return udp ? HOLD : ANSWER;
	} else if (strcmp(name, "empty.test") == 0 ||
	    strcmp(name, "release.test") == 0) {
		;
	} else if (strcmp(name, "servfail.test") == 0) {
		reply->p[3] |= 2;
	} else if (strcmp(name, "short.test") == 0) {
		put_rr(reply, name, DNS_KIND_A, "\1\2\3", 3);
	} else if (strcmp(name, "garbage.test") == 0) {
		reply->p[7] = 3;
		put(reply, "\300\377\300\0aoeu\1\2\3\4\377\377\377\377", 16);
	} else if (strcmp(name, "many.test") == 0) {
		if (udp)
			reply->p[2] |= 2;
		else
			put_many(reply, name);
	} else if (strcmp(name, "hangup.test") == 0) {
		reply->p[2] |= 2;
		return udp ? ANSWER : HANG_UP;
	} else if (strcmp(name, "wrongid.test") == 0) {
		put_rr(reply, name, DNS_KIND_A, "\300\0\2\6", 4);
	} else {
		return fake_dns_answer_alias(reply, name);
	}
	return ANSWER;
}

struct fake_dns fake_dns;

/* The question of a query, and the beginning of its reply. */
unsigned
fake_dns_reply(const uint8_t *query, size_t n, char *name, struct fake_packet *reply)
{
	size_t at = 12, to = 0;

	while (at < n && query[at] != 0) {
		size_t label = query[at];

		if (to > 0)
			name[to++] = '.';
		memcpy(name + to, query + at + 1, label);
		to += label;
		at += label + 1;
	}
	name[to] = '\0';
	memcpy(reply->p, query, at + 5);
	memset(reply->p + 6, 0, 6);
	reply->p[2] = 0x81;
	reply->p[3] = 0x80;
	reply->n = at + 5;
	return (unsigned)query[at + 1] << 8 | query[at + 2];
}

/* Replies to names that begin with "held" wait for a question about
 * "release.test". */
static struct {
	struct fake_packet reply[8];
	struct sockaddr_in to[8];
	unsigned count;
} held;

static void
hold(const struct fake_packet *reply, const struct sockaddr_in *to)
{
	held.reply[held.count % 8] = *reply;
	held.to[held.count++ % 8] = *to;
}

static void
release(void)
{
	while (held.count > 0) {
		held.count--;
		sendto(fake_dns.udp, held.reply[held.count].p,
		    held.reply[held.count].n, 0,
		    (struct sockaddr *)&held.to[held.count],
		    sizeof(held.to[0]));
	}
}

static void *
serve_udp(void *arg)
{
	static uint8_t query[2048];
	static struct fake_packet reply;
	char name[DNS_NAME_TEXT];

	(void)arg;
	for (;;) {
		struct sockaddr_in from;
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(fake_dns.udp, query, sizeof(query), 0,
		    (struct sockaddr *)&from, &from_n);
		unsigned kind;
		int what;

		if (n < 17)
			return NULL;
		fake_dns.id[fake_dns.questions % 64] =
		    (uint16_t)(query[0] << 8 | query[1]);
		fake_dns.from[fake_dns.questions % 64] = from.sin_port;
		fake_dns.questions++;
		kind = fake_dns_reply(query, (size_t)n, name, &reply);
		what = answer(&reply, name, kind, true);
		if (what == HOLD)
			hold(&reply, &from);
		if (what != ANSWER)
			continue;
		if (strcmp(name, "release.test") == 0)
			release();
		if (strcmp(name, "wrongid.test") == 0) {
			uint8_t last = reply.p[reply.n - 1];

			reply.p[0] ^= 1;
			reply.p[reply.n - 1] = 99;
			sendto(fake_dns.udp, reply.p, reply.n, 0,
			    (struct sockaddr *)&from, from_n);
			reply.p[0] ^= 1;
			reply.p[reply.n - 1] = last;
		}
		sendto(fake_dns.udp, reply.p, reply.n, 0,
		    (struct sockaddr *)&from, from_n);
	}
}

static void *
serve_tcp(void *arg)
{
	static uint8_t query[2048];
	static struct fake_packet reply;
	char name[DNS_NAME_TEXT];
	int fd;

	(void)arg;
	while ((fd = accept(fake_dns.tcp, NULL, NULL)) >= 0) {
		ssize_t n = recv(fd, query, sizeof(query), 0);

		if (n > 18) {
			unsigned kind = fake_dns_reply(query + 2, (size_t)n - 2,
			    name, &reply);

			if (answer(&reply, name, kind, false) == ANSWER) {
				uint8_t length[2] = {
					(uint8_t)(reply.n >> 8),
					(uint8_t)reply.n };

				send(fd, length, 2, MSG_NOSIGNAL | MSG_MORE);
				send(fd, reply.p, reply.n, MSG_NOSIGNAL);
			}
		}
		close(fd);
	}
	return NULL;
}

static void
server_start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);

	memset(&fake_dns, 0, sizeof(fake_dns));
	held.count = 0;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	do {
		at.sin_port = 0;
		fake_dns.udp = socket(AF_INET, SOCK_DGRAM, 0);
		fake_dns.tcp = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(bind(fake_dns.tcp, (struct sockaddr *)&at, n),
		    0);
		getsockname(fake_dns.tcp, (struct sockaddr *)&at, &n);
		if (bind(fake_dns.udp, (struct sockaddr *)&at, n) == 0)
			break;
		close(fake_dns.udp);
		close(fake_dns.tcp);
	} while (true);
	ck_assert_int_eq(listen(fake_dns.tcp, 8), 0);
	fake_dns.port = ntohs(at.sin_port);
	pthread_create(&fake_dns.thread[0], NULL, serve_udp, NULL);
	pthread_create(&fake_dns.thread[1], NULL, serve_tcp, NULL);
}

static void
server_stop(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(fake_dns.port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sendto(fd, "x", 1, 0, (struct sockaddr *)&at, sizeof(at));
	close(fd);
	shutdown(fake_dns.tcp, SHUT_RDWR);
	pthread_join(fake_dns.thread[0], NULL);
	pthread_join(fake_dns.thread[1], NULL);
	close(fake_dns.udp);
	close(fake_dns.tcp);
}

/* --- the frame of a test --- */

struct ph_arena *arena;

void
fake_dns_run(void (*fn)(void *), const char *before, unsigned timeout_ms,
    uint64_t cache_bytes)
{
	char text[64];
	const char *servers[] = { before, text, NULL };
	struct ph_err err;

	server_start();
	snprintf(text, sizeof(text), "127.0.0.1:%u", fake_dns.port);
	ck_assert_int_eq(resolver_init(before != NULL ? servers : servers + 1,
	    timeout_ms, 2, cache_bytes, &err), PH_OK);
	fiber_runtime_init();
	arena = ph_arena_create(NULL);
	fiber_start(fn, NULL);
	fiber_runtime_run();
	ck_assert_uint_eq(dns_udp_open_questions(), 0);
	ck_assert_uint_eq(fiber_count(), 0);
	ph_arena_free(arena);
	resolver_fini();
	ck_assert_uint_eq(dns_udp_sockets(), 0);
	fiber_runtime_fini();
	server_stop();
}
