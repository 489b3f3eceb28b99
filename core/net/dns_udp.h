/* SPDX-License-Identifier: Apache-2.0 */
/* dns_udp.h - one question over UDP, to the servers that were set. */
#ifndef CORE_NET_DNS_UDP_H
#define CORE_NET_DNS_UDP_H

#include "net/dns_packet.h"

/* As resolver_init's; questions under way go on with what was set before. */
int dns_udp_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, struct ph_err *err);
/* Close the sockets that wait for nobody; the others are as good as closed. */
void dns_udp_close(void);
/* No question may be under way. */
void dns_udp_fini(void);

struct dns_udp_answer {
	enum ph_dns_result result; /* OK: look into the packet */
	struct ph_slice packet;    /* in the arena; absent: there is none */
	uint32_t negative_s;       /* how long there may be nothing */
	bool truncated;            /* ask this server over TCP */
	struct ph_addr server;
	uint16_t port;
};

/*
 * Ask until *end_ms on ph_now_ms's clock, which may be moved back meanwhile.
 * Suspends; a canceled fiber gets PH_DNS_NO_ANSWER.
 */
void dns_udp_ask(struct ph_arena *arena, const char *name, enum dns_kind kind,
    const uint64_t *end_ms, struct dns_udp_answer *answer_out);

/* For `posthousectl status` and the tests. */
unsigned dns_udp_open_questions(void);
unsigned dns_udp_sockets(void);

#endif
