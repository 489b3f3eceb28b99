/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_test.c - the resolver against a DNS server in threads of this process,
 * UDP and TCP on one port, whose answers a table of names decides.
 */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fiber.h"
#include "net/dns.h"
#include "net/dns_packet.h"

/* --- a server --- */

struct packet {
	uint8_t p[2 + 65535];
	size_t n;
};

static void
put(struct packet *packet, const void *p, size_t n)
{
	memcpy(packet->p + packet->n, p, n);
	packet->n += n;
}

static void
put16(struct packet *packet, unsigned value)
{
	uint8_t octets[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	put(packet, octets, 2);
}

static void
put_name(struct packet *packet, const char *name)
{
	uint8_t wire[DNS_NAME_WIRE] = { 0 };
	size_t n = name[0] == '\0' ? 1 : dns_name_encode(name, wire);

	put(packet, wire, n);
}

/* An answer record; counts it in the header. */
static void
put_rr(struct packet *packet, const char *owner, unsigned kind,
    const void *data, size_t n)
{
	unsigned count = (unsigned)packet->p[6] << 8 | packet->p[7];

	put_name(packet, owner);
	put16(packet, kind);
	put16(packet, 1);
	put(packet, kind == DNS_KIND_CNAME ? "\0\0\0\3" : "\0\0\0\5", 4);
	put16(packet, (unsigned)n);
	put(packet, data, n);
	count++;
	packet->p[6] = (uint8_t)(count >> 8);
	packet->p[7] = (uint8_t)count;
}

static void
put_cname(struct packet *packet, const char *owner, const char *target)
{
	struct packet data = { .n = 0 };

	put_name(&data, target);
	put_rr(packet, owner, DNS_KIND_CNAME, data.p, data.n);
}

static void
put_mx(struct packet *packet, const char *owner, unsigned preference,
    const char *host)
{
	struct packet data = { .n = 0 };

	put16(&data, preference);
	put_name(&data, host);
	put_rr(packet, owner, DNS_KIND_MX, data.p, data.n);
}

static void
put_many(struct packet *packet, const char *name)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t a[4] = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i };

		put_rr(packet, name, DNS_KIND_A, a, 4);
	}
}

/* Longer than any answer takes to come, on however busy a machine. */
enum { LONG_MS = 40000 };

enum { SILENT, ANSWER, HANG_UP };

static int
answer_mail(struct packet *reply, const char *name)
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

static int
answer_alias(struct packet *reply, const char *name)
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
answer(struct packet *reply, const char *name, unsigned kind, bool udp)
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
	} else if (strcmp(name, "empty.test") == 0) {
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
		return answer_alias(reply, name);
	}
	return ANSWER;
}

static struct {
	int udp, tcp;
	uint16_t port;
	pthread_t thread[2];
	_Atomic unsigned questions; /* that came over UDP */
	uint16_t id[64], from[64];
} server;

/* The question of a query, and the beginning of its reply. */
static unsigned
begin_reply(const uint8_t *query, size_t n, char *name, struct packet *reply)
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

static void *
serve_udp(void *arg)
{
	static uint8_t query[2048];
	static struct packet reply;
	char name[DNS_NAME_TEXT];

	(void)arg;
	for (;;) {
		struct sockaddr_in from;
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(server.udp, query, sizeof(query), 0,
		    (struct sockaddr *)&from, &from_n);
		unsigned kind;

		if (n < 17)
			return NULL;
		server.id[server.questions % 64] =
		    (uint16_t)(query[0] << 8 | query[1]);
		server.from[server.questions % 64] = from.sin_port;
		server.questions++;
		kind = begin_reply(query, (size_t)n, name, &reply);
		if (answer(&reply, name, kind, true) != ANSWER)
			continue;
		if (strcmp(name, "wrongid.test") == 0) {
			uint8_t last = reply.p[reply.n - 1];

			reply.p[0] ^= 1;
			reply.p[reply.n - 1] = 99;
			sendto(server.udp, reply.p, reply.n, 0,
			    (struct sockaddr *)&from, from_n);
			reply.p[0] ^= 1;
			reply.p[reply.n - 1] = last;
		}
		sendto(server.udp, reply.p, reply.n, 0,
		    (struct sockaddr *)&from, from_n);
	}
}

static void *
serve_tcp(void *arg)
{
	static uint8_t query[2048];
	static struct packet reply;
	char name[DNS_NAME_TEXT];
	int fd;

	(void)arg;
	while ((fd = accept(server.tcp, NULL, NULL)) >= 0) {
		ssize_t n = recv(fd, query, sizeof(query), 0);

		if (n > 18) {
			unsigned kind = begin_reply(query + 2, (size_t)n - 2,
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

	memset(&server, 0, sizeof(server));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	do {
		at.sin_port = 0;
		server.udp = socket(AF_INET, SOCK_DGRAM, 0);
		server.tcp = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(bind(server.tcp, (struct sockaddr *)&at, n),
		    0);
		getsockname(server.tcp, (struct sockaddr *)&at, &n);
		if (bind(server.udp, (struct sockaddr *)&at, n) == 0)
			break;
		close(server.udp);
		close(server.tcp);
	} while (true);
	ck_assert_int_eq(listen(server.tcp, 8), 0);
	server.port = ntohs(at.sin_port);
	pthread_create(&server.thread[0], NULL, serve_udp, NULL);
	pthread_create(&server.thread[1], NULL, serve_tcp, NULL);
}

static void
server_stop(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(server.port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sendto(fd, "x", 1, 0, (struct sockaddr *)&at, sizeof(at));
	close(fd);
	shutdown(server.tcp, SHUT_RDWR);
	pthread_join(server.thread[0], NULL);
	pthread_join(server.thread[1], NULL);
	close(server.udp);
	close(server.tcp);
}

/* --- the frame of a test --- */

static struct ph_arena *arena;
static const struct ph_dns_answer *got;

static void
run_with(void (*fn)(void *), const char *before, unsigned timeout_ms)
{
	char text[64];
	const char *servers[] = { before, text, NULL };
	struct ph_err err;

	server_start();
	snprintf(text, sizeof(text), "127.0.0.1:%u", server.port);
	ck_assert_int_eq(resolver_init(before != NULL ? servers : servers + 1,
	    timeout_ms, 2, &err), PH_OK);
	fiber_runtime_init();
	arena = ph_arena_create(NULL);
	fiber_start(fn, NULL);
	fiber_runtime_run();
	ck_assert_uint_eq(resolver_open_questions(), 0);
	ck_assert_uint_eq(fiber_count(), 0);
	ph_arena_free(arena);
	fiber_runtime_fini();
	resolver_fini();
	server_stop();
}

static void
run(void (*fn)(void *))
{
	run_with(fn, NULL, LONG_MS);
}

#define ck_answer(expr, want_result, want_count)        \
	do {                                            \
		got = (expr);                           \
		ck_assert_int_eq(got->result, want_result); \
		ck_assert_uint_eq(got->count, want_count);  \
	} while (0)

static bool
is_addr(const struct ph_addr *addr, const char *text)
{
	char buffer[PH_ADDR_TEXT_MAX];

	return strcmp(ph_addr_format(addr, buffer), text) == 0;
}

/* --- tests --- */

static void
plain_main(void *arg)
{
	struct ph_addr addr;

	(void)arg;
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.7"));
	ck_assert_str_eq(got->name, "a.test");
	ck_answer(ph_dns_a(arena, "A.Test."), PH_DNS_OK, 1);
	ck_answer(ph_dns_aaaa(arena, "a.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "2001:db8::7"));
	ck_answer(ph_dns_host(arena, "a.test"), PH_DNS_OK, 2);
	ck_assert(is_addr(&got->addr[0], "2001:db8::7"));
	ck_assert(is_addr(&got->addr[1], "192.0.2.7"));
	ck_answer(ph_dns_a(arena, "none.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_host(arena, "none.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "empty.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_host(arena, "empty.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_a(arena, "servfail.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "wrongid.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.6"));
	ph_addr_parse(PH_LIT("192.0.2.7"), &addr);
	ck_answer(ph_dns_ptr(arena, &addr), PH_DNS_OK, 1);
	ck_assert_str_eq(got->ptr[0], "a.test");
	fiber_runtime_stop();
}

START_TEST(tells_answers_from_no_name_no_data_and_no_answer)
{
	run(plain_main);
}
END_TEST

static void
mail_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_mx(arena, "mx.test"), PH_DNS_OK, 3);
	ck_assert_str_eq(got->mx[0].host, "a.test");
	ck_assert_str_eq(got->mx[1].host, "b.test");
	ck_assert_uint_eq(got->mx[2].preference, 30);
	ck_answer(ph_dns_mx(arena, "nullmx.test"), PH_DNS_OK, 1);
	ck_assert_str_eq(got->mx[0].host, "");
	ck_answer(ph_dns_mx(arena, "oddmx.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_mx(arena, "a.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_txt(arena, "txt.test"), PH_DNS_OK, 2);
	ck_assert(ph_slice_eq(got->txt[0], PH_LIT("v=spf1 -all")));
	ck_assert_uint_eq(got->txt[1].n, 0);
	ck_answer(ph_dns_txt(arena, "badtxt.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(sorts_mx_and_joins_txt)
{
	run(mail_main);
}
END_TEST

static void
alias_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "inside.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.9"));
	ck_assert_uint_eq(got->ttl_s, 3); /* the alias's */
	ck_answer(ph_dns_a(arena, "outside.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.7"));
	ck_assert_str_eq(got->name, "outside.test");
	ck_assert_uint_eq(got->ttl_s, 3);
	ck_answer(ph_dns_a(arena, "alias-of-none.test"), PH_DNS_NO_NAME, 0);
	ck_assert_uint_eq(got->ttl_s, 0);
	ck_answer(ph_dns_a(arena, "loop.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "knot.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "chain8.test"), PH_DNS_OK, 1);
	ck_answer(ph_dns_a(arena, "chain9.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(follows_eight_aliases_and_no_more)
{
	run(alias_main);
}
END_TEST

static void
tcp_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "many.test"), PH_DNS_OK, DNS_RECORDS_MAX);
	ck_assert(is_addr(&got->addr[255], "10.0.0.255"));
	ck_answer(ph_dns_a(arena, "hangup.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(asks_over_tcp_what_udp_truncated)
{
	run(tcp_main);
}
END_TEST

static void
broken_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "short.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "garbage.test"), PH_DNS_NO_ANSWER, 0);
	ck_assert_uint_gt(server.questions, 0);
	server.questions = 0;
	ck_answer(ph_dns_a(arena, "a b.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "a..test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, ""), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "-\n.test"), PH_DNS_NO_NAME, 0);
	ck_assert_uint_eq(server.questions, 0);
	fiber_runtime_stop();
}

START_TEST(malformed_packets_and_names_are_no_answer)
{
	run(broken_main);
}
END_TEST

static void
silent_main(void *arg)
{
	uint64_t start = ph_now_ms();

	(void)arg;
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_assert_uint_ge(ph_now_ms() - start, 1500);
	while (server.questions < 2) /* the server may be late */
		ph_sleep_ms(1);
	ck_assert_uint_eq(server.questions, 2);
	ck_answer(ph_dns_host(arena, "half.test"), PH_DNS_OK, 1);
	fiber_runtime_stop();
}

START_TEST(asks_again_and_gives_up)
{
	run_with(silent_main, NULL, 3000);
}
END_TEST


static void
second_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	fiber_runtime_stop();
}

START_TEST(asks_the_next_server_when_one_is_dead)
{
	run_with(second_main, "127.0.0.1:1", 4000);
}
END_TEST

static void
canceled_child(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_host(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
}

static void
cancel_main(void *arg)
{
	uint64_t start = ph_now_ms(), former;
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, canceled_child, NULL);
	ph_sleep_ms(20);
	ph_scope_end(&scope);
	former = ph_deadline_push(30);
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_host(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ph_deadline_restore(former);
	ck_assert_uint_lt(ph_now_ms() - start, LONG_MS / 2);
	ph_sleep_ms(5);
	fiber_runtime_stop();
}

START_TEST(cancelling_or_a_deadline_ends_a_question)
{
	run(cancel_main);
}
END_TEST

/* Each answer has the records of its kind, and outlives what was asked for. */
static void
batch_of_kinds(void)
{
	struct ph_dns_batch *batch = ph_dns_batch(arena, LONG_MS);
	const struct ph_dns_answer *answer;
	struct ph_addr addr;
	unsigned seen = 0;

	ck_assert(ph_addr_parse(PH_LIT("192.0.2.7"), &addr));
	ph_dns_batch_mx(batch, "mx.test");
	ph_dns_batch_ptr(batch, &addr);
	ph_dns_batch_aaaa(batch, "a.test");
	while ((answer = ph_dns_batch_next(batch)) != NULL) {
		ck_assert_int_eq(answer->result, PH_DNS_OK);
		ck_assert_uint_eq(answer->ttl_s, 5);
		if (answer->mx != NULL) {
			ck_assert_uint_eq(answer->count, 3);
			ck_assert_str_eq(answer->mx[2].host, "c.test");
			seen |= 1;
		} else if (answer->ptr != NULL) {
			ck_assert_str_eq(answer->name,
			    "7.2.0.192.in-addr.arpa");
			ck_assert_str_eq(answer->ptr[0], "a.test");
			seen |= 2;
		} else {
			ck_assert(is_addr(answer->addr, "2001:db8::7"));
			seen |= 4;
		}
	}
	ck_assert_uint_eq(seen, 7);
}

static void
batch_main(void *arg)
{
	static const char *const names[] = { "silent.test", "a.test",
		"none.test", "inside.test", "not a name" };
	struct ph_arena *call = ph_arena_create(NULL);
	struct ph_dns_batch *batch = ph_dns_batch(call, LONG_MS);
	const struct ph_dns_answer *answer;
	unsigned seen = 0;

	(void)arg;
	for (size_t i = 0; i < 5; i++)
		ph_dns_batch_a(batch, names[i]);
	ph_dns_batch_txt(batch, "txt.test");
	for (unsigned i = 0; i < 5; i++) {
		answer = ph_dns_batch_next(batch);
		ck_assert_ptr_nonnull(answer);
		for (unsigned k = 0; k < 5; k++)
			if (strcmp(answer->name, names[k]) == 0)
				seen |= 1u << k;
		if (answer->txt != NULL) {
			ck_assert_uint_eq(answer->count, 2);
			ck_assert(ph_slice_eq(answer->txt[0],
			    PH_LIT("v=spf1 -all")));
		}
	}
	ck_assert_uint_eq(seen, 0x1e); /* all but the silent one */
	ph_arena_free(call); /* drops it */
	ph_sleep_ms(5);
	ck_assert_uint_eq(resolver_open_questions(), 0);
	batch_of_kinds();
	batch = ph_dns_batch(arena, 50);
	ph_dns_batch_a(batch, "silent.test");
	while ((answer = ph_dns_batch_next(batch)) != NULL)
		ck_assert_int_eq(answer->result, PH_DNS_NO_ANSWER);
	fiber_runtime_stop();
}

START_TEST(batches_give_answers_as_they_come)
{
	run(batch_main);
}
END_TEST

static void
random_main(void *arg)
{
	unsigned same_id = 0, same_port = 0;

	(void)arg;
	for (unsigned i = 0; i < 32; i++)
		ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	for (unsigned i = 1; i < 32; i++) {
		int step = server.id[i] - server.id[i - 1];

		same_id += step >= -1 && step <= 1;
		same_port += server.from[i] == server.from[i - 1];
	}
	ck_assert_uint_lt(same_id, 4);
	ck_assert_uint_lt(same_port, 4);
	fiber_runtime_stop();
}

START_TEST(ids_and_ports_differ_from_question_to_question)
{
	run(random_main);
}
END_TEST

START_TEST(refuses_servers_that_are_no_address)
{
	static const char *const bad[][2] = { { "localhost", NULL },
		{ "127.0.0.1:", NULL }, { "127.0.0.1:0", NULL },
		{ "127.0.0.1:65536", NULL }, { "[::1]x", NULL },
		{ "[::1", NULL }, { "", NULL } };
	static const char *const good[][2] = { { "127.0.0.1", NULL },
		{ "::1", NULL }, { "[::1]", NULL }, { "[::1]:5353", NULL } };
	struct ph_err err;

	for (size_t i = 0; i < 7; i++)
		ck_assert_int_eq(resolver_init(bad[i], 1000, 2, &err),
		    PH_INVALID);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(resolver_init(good[i], 1000, 2, &err), PH_OK);
	resolver_fini();
}
END_TEST

/* A packet cut anywhere, or with any octet changed, is parsed without harm. */
START_TEST(any_damage_of_a_packet_is_survived)
{
	static struct packet packet;
	char name[DNS_NAME_TEXT];
	uint8_t query[DNS_QUERY_MAX];
	struct ph_dns_answer parsed = { .ttl_s = UINT32_MAX };
	const char *alias;
	unsigned cnames;
	size_t n = dns_query_build(query, 7, "inside.test", DNS_KIND_A);

	begin_reply(query, n, name, &packet);
	answer_alias(&packet, name);
	arena = ph_arena_create(NULL);
	for (size_t i = 0; i < packet.n; i++) {
		char *cut = malloc(i + 1);

		memcpy(cut, packet.p, i);
		cnames = 0;
		dns_packet_parse(arena, (struct ph_slice){ cut, i },
		    "inside.test", DNS_KIND_A, &cnames, &parsed, &alias);
		ck_assert_int_eq(parsed.result, PH_DNS_NO_ANSWER);
		free(cut);
	}
	for (size_t i = 0; i < packet.n * 256; i++) {
		uint8_t was = packet.p[i / 256];

		packet.p[i / 256] = (uint8_t)i;
		cnames = 0;
		dns_packet_parse(arena,
		    (struct ph_slice){ (char *)packet.p, packet.n },
		    "inside.test", DNS_KIND_A, &cnames, &parsed, &alias);
		packet.p[i / 256] = was;
		if (i % 64 == 0) {
			ph_arena_free(arena);
			arena = ph_arena_create(NULL);
		}
	}
	ph_arena_free(arena);
}
END_TEST

START_TEST(reverses_addresses)
{
	struct ph_addr addr;

	arena = ph_arena_create(NULL);
	ph_addr_parse(PH_LIT("192.0.2.99"), &addr);
	ck_assert_str_eq(ph_dns_reverse(arena, &addr, "bl.test"),
	    "99.2.0.192.bl.test");
	ph_addr_parse(PH_LIT("2001:db8::567:89ab"), &addr);
	ck_assert_str_eq(ph_dns_reverse(arena, &addr, "ip6.arpa"),
	    "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0."
	    "2.ip6.arpa");
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dns");
	TCase *tcase = tcase_create("dns");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_test(tcase, reverses_addresses);
	tcase_add_test(tcase, any_damage_of_a_packet_is_survived);
	tcase_add_test(tcase, refuses_servers_that_are_no_address);
	tcase_add_test(tcase,
	    tells_answers_from_no_name_no_data_and_no_answer);
	tcase_add_test(tcase, sorts_mx_and_joins_txt);
	tcase_add_test(tcase, follows_eight_aliases_and_no_more);
	tcase_add_test(tcase, asks_over_tcp_what_udp_truncated);
	tcase_add_test(tcase, malformed_packets_and_names_are_no_answer);
	tcase_add_test(tcase, asks_again_and_gives_up);
	tcase_add_test(tcase, asks_the_next_server_when_one_is_dead);
	tcase_add_test(tcase, cancelling_or_a_deadline_ends_a_question);
	tcase_add_test(tcase, batches_give_answers_as_they_come);
	tcase_add_test(tcase, ids_and_ports_differ_from_question_to_question);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
