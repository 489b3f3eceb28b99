/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.c - IP addresses and networks. IPv4-mapped IPv6 addresses become IPv4
 * here and nowhere else, so that a list entry for one form holds for both.
 */
#include <posthouse/addr.h>
#include <posthouse/option.h>

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static unsigned
addr_bits(const struct ph_addr *addr)
{
	return addr->family == 4 ? 32 : addr->family == 6 ? 128 : 0;
}

static size_t
addr_octets(const struct ph_addr *addr)
{
	return addr_bits(addr) / 8;
}

bool
ph_addr_parse(struct ph_slice text, struct ph_addr *addr_out)
{
	struct ph_addr addr = { 0 };
	char z[PH_ADDR_TEXT_MAX];

	if (text.n == 0 || text.n >= sizeof(z) ||
	    memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (inet_pton(AF_INET, z, addr.octet) == 1) {
		addr.family = 4;
	} else if (inet_pton(AF_INET6, z, addr.octet) == 1) {
		addr.family = 6;
		if (memcmp(addr.octet, mapped_prefix, 12) == 0) {
			addr.family = 4;
			memmove(addr.octet, addr.octet + 12, 4);
			memset(addr.octet + 4, 0, 12);
		}
	} else {
		return false;
	}
	*addr_out = addr;
	return true;
}

const char *
ph_addr_format(const struct ph_addr *addr, char text[PH_ADDR_TEXT_MAX])
{
	const char *done = NULL;

	if (addr->family == 4)
		done = inet_ntop(AF_INET, addr->octet, text, PH_ADDR_TEXT_MAX);
	else if (addr->family == 6)
		done = inet_ntop(AF_INET6, addr->octet, text, PH_ADDR_TEXT_MAX);
	if (done == NULL)
		memcpy(text, "none", 5);
	return text;
}

bool
ph_addr_eq(const struct ph_addr *a, const struct ph_addr *b)
{
	return a->family == b->family &&
	    memcmp(a->octet, b->octet, addr_octets(a)) == 0;
}

bool
ph_addr_is_loopback(const struct ph_addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	return addr->family == 4 ? addr->octet[0] == 127 :
	    addr->family == 6    ? memcmp(addr->octet, one, 16) == 0 :
	                           false;
}

bool
ph_addr_is_unspecified(const struct ph_addr *addr)
{
	static const uint8_t zero[16];

	return addr->family != 0 &&
	    memcmp(addr->octet, zero, addr_octets(addr)) == 0;
}

/* The last octet's share and all octets behind a prefix of bits are zero. */
static bool
host_bits_are_zero(const struct ph_addr *addr, unsigned bits)
{
	for (unsigned i = bits; i < addr_bits(addr); i++)
		if (addr->octet[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

bool
ph_net_parse(struct ph_slice text, struct ph_net *net_out)
{
	struct ph_slice rest = text, head = ph_slice_cut(&rest, '/');
	uint64_t bits;
	struct ph_net net = { 0 };

	if (!ph_addr_parse(head, &net.addr))
		return false;
	bits = addr_bits(&net.addr);
	if (rest.p != NULL && (!ph_slice_number(rest, bits, &bits) ||
	                          rest.n > 3))
		return false;
	net.bits = (uint8_t)bits;
	if (!host_bits_are_zero(&net.addr, net.bits))
		return false;
	*net_out = net;
	return true;
}

bool
ph_net_has(const struct ph_net *net, const struct ph_addr *addr)
{
	unsigned whole = net->bits / 8, part = net->bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> part);

	if (net->addr.family != addr->family || addr->family == 0)
		return false;
	if (memcmp(net->addr.octet, addr->octet, whole) != 0)
		return false;
	return part == 0 ||
	    (net->addr.octet[whole] & mask) == (addr->octet[whole] & mask);
}

bool
ph_addr_in(const struct ph_addr *addr, const char *net_text)
{
	struct ph_net net;

	return ph_net_parse(ph_slice_str(net_text), &net) &&
	    ph_net_has(&net, addr);
}

bool
ph_net_list_has(const struct ph_net_list *list, const struct ph_addr *addr)
{
	for (size_t i = 0; i < list->count; i++)
		if (ph_net_has(&list->net[i], addr))
			return true;
	return false;
}
