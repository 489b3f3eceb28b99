/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/addr.h - IP addresses and networks. Pure; nothing suspends.
 */
#ifndef POSTHOUSE_ADDR_H
#define POSTHOUSE_ADDR_H

#include <posthouse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An IPv4 or IPv6 address. IPv4-mapped IPv6 is stored as IPv4. */
struct ph_addr {
	uint8_t family; /* 4, 6, or 0 for none (a Unix socket) */
	uint8_t octet[16]; /* network order; the first 4 for IPv4 */
};

/* A network: the first `bits` bits of addr count. */
struct ph_net {
	struct ph_addr addr;
	uint8_t bits; /* 0..32 or 0..128 */
};

#define PH_ADDR_TEXT_MAX 46 /* with the NUL */

/* "192.0.2.1", "2001:db8::1"; no brackets, no zone. */
PH_EXPORT bool ph_addr_parse(struct ph_slice text, struct ph_addr *addr_out);
/* Writes at most PH_ADDR_TEXT_MAX octets to text; returns text. */
PH_EXPORT const char *ph_addr_format(const struct ph_addr *addr,
    char text[PH_ADDR_TEXT_MAX]);
/* The same family and the same octets. */
PH_EXPORT bool ph_addr_eq(const struct ph_addr *a, const struct ph_addr *b);
/* 127.0.0.0/8 or ::1. */
PH_EXPORT bool ph_addr_is_loopback(const struct ph_addr *addr);
/* 0.0.0.0 or :: */
PH_EXPORT bool ph_addr_is_unspecified(const struct ph_addr *addr);

/* "192.0.2.0/24", "2001:db8::/32", or one address. Host bits must be zero. */
PH_EXPORT bool ph_net_parse(struct ph_slice text, struct ph_net *net_out);
/* Whether addr lies in net; never for another family. */
PH_EXPORT bool ph_net_has(const struct ph_net *net, const struct ph_addr *addr);
/* Whether addr is in the network written as text; false when text is none. */
PH_EXPORT bool ph_addr_in(const struct ph_addr *addr, const char *net_text);

#ifdef __cplusplus
}
#endif
#endif
