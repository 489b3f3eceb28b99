/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_packet.h - DNS messages (RFC 1035 s4): a question built, an answer
 * parsed. Pure: octets in, answer out.
 */
#ifndef CORE_NET_DNS_PACKET_H
#define CORE_NET_DNS_PACKET_H

#include <posthouse/dns.h>

enum dns_kind {
	DNS_KIND_A = 1,
	DNS_KIND_CNAME = 5,
	DNS_KIND_SOA = 6,
	DNS_KIND_PTR = 12,
	DNS_KIND_MX = 15,
	DNS_KIND_TXT = 16,
	DNS_KIND_AAAA = 28,
};

enum {
	DNS_NAME_WIRE = 255,   /* octets of a name, RFC 1035 s2.3.4 */
	DNS_NAME_TEXT = 256,   /* as text, with the NUL */
	DNS_QUERY_MAX = 12 + DNS_NAME_WIRE + 4,
	DNS_PACKET_MAX = 65535,
	DNS_RECORDS_MAX = 256, /* given to the caller */
	DNS_WALK_MAX = 4096,   /* looked at in a packet */
	DNS_CNAMES_MAX = 8,
	DNS_NEGATIVE_S_MAX = 3 * 3600, /* RFC 2308 s5 */
};

/*
 * The name as it is asked: lower case, no trailing dot, A-labels for UTF-8
 * ones. False when no host, service or zone can have the name: letters,
 * digits, "-", "_" and "/" (RFC 2317) in labels of 1 to 63.
 */
bool dns_name_canonical(const char *name, char text[DNS_NAME_TEXT]);
/* The wire form of a canonical name; returns its length. */
size_t dns_name_encode(const char *name, uint8_t wire[DNS_NAME_WIRE]);

/* A question with recursion desired; returns its length. */
size_t dns_query_build(uint8_t packet[DNS_QUERY_MAX], uint16_t id,
    const char *name, enum dns_kind kind);

/*
 * How long the packet's answer that there is nothing may be kept, by the SOA
 * record in its authority section (RFC 2308 s5) and its aliases; 0: there is
 * none.
 */
uint32_t dns_packet_negative_ttl(struct ph_slice packet);

/*
 * Read the answer to (name, kind) out of a packet. CNAMEs inside are followed
 * and counted in *cnames (a chain over DNS_CNAMES_MAX is PH_DNS_NO_ANSWER).
 * When the chain leaves the packet *alias_out is the name to ask next, else
 * NULL. Fills result, count and the array of *answer, in the arena; what is
 * malformed is PH_DNS_NO_ANSWER. answer->ttl_s only gets shorter; when there is
 * nothing it is that of dns_packet_negative_ttl at most.
 */
void dns_packet_parse(struct ph_arena *arena, struct ph_slice packet,
    const char *name, enum dns_kind kind, unsigned *cnames,
    struct ph_dns_answer *answer, const char **alias_out);

#endif
