/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header.c - see proxy_header.h. Whatever the specification calls
 * invalid, or leaves a receiver free to refuse, ends the connection; of the
 * TLVs behind the addresses only the checksum is looked at.
 */
#include "net/proxy_header.h"

enum {
	V1_MAX = 107,  /* with its CRLF */
	V2_FIXED = 16, /* before the addresses */
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	UNIX_OCTETS = 108, /* of one address */
	TLV_FIXED = 3,
	TLV_CRC32C = 3,
};

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* --- version 1: PROXY TCP4 192.0.2.1 198.51.100.1 4711 25 CRLF --- */

static bool
take_port(struct ph_slice text, uint16_t *port_out)
{
	uint64_t number;

	if (text.n > 5 || (text.n > 1 && text.p[0] == '0') ||
	    !ph_slice_number(text, UINT16_MAX, &number))
		return false;
	*port_out = (uint16_t)number;
	return true;
}

/* A mapped address parses as IPv4: so look at the text. */
static bool
take_text_addr(struct ph_slice text, bool is_six, struct ph_addr *addr_out)
{
	return text.n > 0 &&
	    (memchr(text.p, ':', text.n) != NULL) == is_six &&
	    ph_addr_parse(text, addr_out);
}

static bool
v1_addresses(struct ph_slice rest, bool is_six, struct proxy_header *header)
{
	struct ph_slice client = ph_slice_cut(&rest, ' ');
	struct ph_slice local = ph_slice_cut(&rest, ' ');
	struct ph_slice client_port = ph_slice_cut(&rest, ' ');

	header->is_known = true;
	return rest.p != NULL &&
	    take_text_addr(client, is_six, &header->client) &&
	    take_text_addr(local, is_six, &header->local) &&
	    take_port(client_port, &header->client_port) &&
	    take_port(rest, &header->local_port);
}

static enum proxy_answer
v1_parse(struct ph_slice in, struct proxy_header *header, size_t *used)
{
	const size_t n = in.n < V1_MAX ? in.n : V1_MAX;
	const char *lf = memchr(in.p, '\n', n);
	struct ph_slice line, word;
	bool good;

	if (lf == NULL)
		return in.n < V1_MAX ? PROXY_MORE : PROXY_BROKEN;
	*used = (size_t)(lf - in.p) + 1;
	if (lf[-1] != '\r')
		return PROXY_BROKEN;
	line = (struct ph_slice){ in.p, *used - 2 };
	(void)ph_slice_cut(&line, ' '); /* "PROXY" */
	word = ph_slice_cut(&line, ' ');
	if (ph_slice_eq(word, PH_LIT("UNKNOWN")))
		return PROXY_WHOLE;
	good = ph_slice_eq(word, PH_LIT("TCP4")) ?
	    v1_addresses(line, false, header) :
	    ph_slice_eq(word, PH_LIT("TCP6")) &&
	        v1_addresses(line, true, header);
	return good ? PROXY_WHOLE : PROXY_BROKEN;
}

/* --- version 2: binary --- */

static uint16_t
u16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static uint32_t
u32(const char *p)
{
	return (uint32_t)u16(p) << 16 | u16(p + 2);
}

/* CRC-32C (Castagnoli), a bit at a time: there is one header a connection. */
static uint32_t
crc32c(uint32_t crc, struct ph_slice octets)
{
	for (size_t i = 0; i < octets.n; i++) {
		crc ^= (unsigned char)octets.p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* Over the whole header, in which the sum itself counts as zero. */
static bool
is_sum_good(struct ph_slice header, const char *sum)
{
	struct ph_slice before = { header.p, (size_t)(sum - header.p) };
	struct ph_slice behind = { sum + 4, header.n - before.n - 4 };
	uint32_t crc = crc32c(UINT32_MAX, before);

	crc = crc32c(crc, (struct ph_slice){ "\0\0\0", 4 });
	return ~crc32c(crc, behind) == u32(sum);
}

/* Behind the addresses: type, length, value until the header's end. */
static bool
are_tlvs_good(struct ph_slice header, size_t at)
{
	while (at < header.n) {
		const char *tlv = header.p + at;
		size_t left = header.n - at, n;

		if (left < TLV_FIXED)
			return false;
		n = u16(tlv + 1);
		if (n > left - TLV_FIXED)
			return false;
		if (tlv[0] == TLV_CRC32C &&
		    (n != 4 || !is_sum_good(header, tlv + TLV_FIXED)))
			return false;
		at += TLV_FIXED + n;
	}
	return true;
}

static void
take_addr(const char *p, size_t octets, struct ph_addr *addr)
{
	static const char mapped[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

	*addr = (struct ph_addr){ .family = octets == 4 ? 4 : 6 };
	if (octets == 16 && memcmp(p, mapped, sizeof(mapped)) == 0) {
		addr->family = 4;
		p += sizeof(mapped);
		octets = 4;
	}
	memcpy(addr->octet, p, octets);
}

/* A PROXY command, all of it there. What is neither TCP nor IP is valid, but
 * says nothing that we can use. */
static bool
v2_addresses(struct ph_slice in, struct proxy_header *header)
{
	static const size_t octets_of[] = { 0, 4, 16, UNIX_OCTETS };
	const unsigned family = (unsigned char)in.p[13] >> 4;
	const unsigned protocol = (unsigned char)in.p[13] & 15;
	const char *at = in.p + V2_FIXED;
	size_t octets, length;

	if (family > 3 || protocol > 2)
		return false;
	if (family == 0 || protocol == 0)
		return true;
	octets = octets_of[family];
	length = 2 * octets + (family == 3 ? 0 : 4);
	if (in.n < V2_FIXED + length || !are_tlvs_good(in, V2_FIXED + length))
		return false;
	if (family == 3 || protocol != 1)
		return true;
	header->is_known = true;
	take_addr(at, octets, &header->client);
	take_addr(at + octets, octets, &header->local);
	header->client_port = u16(at + 2 * octets);
	header->local_port = u16(at + 2 * octets + 2);
	return true;
}

static enum proxy_answer
v2_parse(struct ph_slice in, struct proxy_header *header, size_t *used)
{
	unsigned char command;

	if (in.n < V2_FIXED)
		return PROXY_MORE;
	command = (unsigned char)in.p[12];
	*used = V2_FIXED + (size_t)u16(in.p + 14);
	if ((command != V2_LOCAL && command != V2_PROXY) ||
	    *used > PROXY_HEADER_MAX)
		return PROXY_BROKEN;
	if (in.n < *used)
		return PROXY_MORE;
	in.n = *used;
	/* LOCAL: the front end's own; what it says besides is not looked at. */
	return command == V2_LOCAL || v2_addresses(in, header) ? PROXY_WHOLE :
	                                                         PROXY_BROKEN;
}

/* --- */

static bool
begins(struct ph_slice in, const char *with, size_t n)
{
	return memcmp(in.p, with, in.n < n ? in.n : n) == 0;
}

enum proxy_answer
proxy_parse(struct ph_slice in, struct proxy_header *header_out,
    size_t *used_out)
{
	struct proxy_header header = { 0 };
	enum proxy_answer answer;
	size_t used = 0;

	if (in.n == 0)
		return PROXY_MORE;
	if (begins(in, v2_signature, sizeof(v2_signature)))
		answer = in.n < sizeof(v2_signature) ? PROXY_MORE :
		    v2_parse(in, &header, &used);
	else if (begins(in, "PROXY ", 6))
		answer = in.n < 6 ? PROXY_MORE : v1_parse(in, &header, &used);
	else
		answer = PROXY_BROKEN;
	if (answer == PROXY_WHOLE) {
		*header_out = header;
		*used_out = used;
	}
	return answer;
}
