/* SPDX-License-Identifier: Apache-2.0 */
/* dns_fake.h - a DNS server for tests, and the frame of a test that asks it. */
#ifndef CORE_NET_DNS_FAKE_H
#define CORE_NET_DNS_FAKE_H

#include <pthread.h>

#include "net/dns_packet.h"

/* Longer than any answer takes to come, on however busy a machine. */
enum { LONG_MS = 40000 };

struct fake_packet {
	uint8_t p[2 + 65535];
	size_t n;
};

struct fake_dns {
	int udp, tcp;
	uint16_t port;
	pthread_t thread[2];
	_Atomic unsigned questions; /* that came over UDP */
	uint16_t id[64], from[64];
};
extern struct fake_dns fake_dns;

/* Of the test that runs. */
extern struct ph_arena *arena;

/*
 * Run fn as a fiber, which ends with fiber_runtime_stop, against the server and
 * perhaps one that is asked before it. Nothing may be left.
 */
void fake_dns_run(void (*fn)(void *), const char *before, unsigned timeout_ms,
    uint64_t cache_bytes);

/* The question of a query, and the beginning of its reply. */
unsigned fake_dns_reply(const uint8_t *query, size_t n, char *name,
    struct fake_packet *reply);
int fake_dns_answer_alias(struct fake_packet *reply, const char *name);

#define ck_answer(expr, want_result, want_count)        \
	do {                                            \
		got = (expr);                           \
		ck_assert_int_eq(got->result, want_result); \
		ck_assert_uint_eq(got->count, want_count);  \
	} while (0)

#endif
