/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.c - see proxy.h. The socket is looked at before it is read, so that
 * what follows the header (perhaps a TLS handshake) stays where it is.
 */
#include "net/proxy.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/stream_inner.h"

enum {
	V1_MAX = 107,  /* with its CRLF */
	V2_FIXED = 16, /* before the addresses */
	V2_MAX = 2048, /* with TLVs, which we pass over */
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

static bool
v1_addresses(struct ph_slice rest, uint8_t family, struct proxy_header *header)
{
	struct ph_slice client = ph_slice_cut(&rest, ' ');
	struct ph_slice local = ph_slice_cut(&rest, ' ');
	struct ph_slice client_port = ph_slice_cut(&rest, ' ');
	const bool is_six = family == 6;

	/* A mapped address parses as IPv4: so look at the text. */
	if (client.p == NULL || local.p == NULL || client_port.p == NULL ||
	    rest.p == NULL || client.n == 0 ||
	    (memchr(client.p, ':', client.n) != NULL) != is_six)
		return false;
	header->is_known = true;
	return ph_addr_parse(client, &header->client) &&
	    ph_addr_parse(local, &header->local) &&
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
	if (*used < 2 || lf[-1] != '\r')
		return PROXY_BROKEN;
	line = (struct ph_slice){ in.p, *used - 2 };
	(void)ph_slice_cut(&line, ' '); /* "PROXY" */
	word = ph_slice_cut(&line, ' ');
	if (ph_slice_eq(word, PH_LIT("UNKNOWN")))
		return PROXY_WHOLE;
	good = ph_slice_eq(word, PH_LIT("TCP4")) ?
	    v1_addresses(line, 4, header) :
	    ph_slice_eq(word, PH_LIT("TCP6")) && v1_addresses(line, 6, header);
	return good ? PROXY_WHOLE : PROXY_BROKEN;
}

/* --- version 2: binary --- */

static uint16_t
u16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
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

static enum proxy_answer
v2_parse(struct ph_slice in, struct proxy_header *header, size_t *used)
{
	const char *at = in.p + V2_FIXED;
	size_t octets, length;
	unsigned char command;

	if (in.n < V2_FIXED)
		return PROXY_MORE;
	command = (unsigned char)in.p[12];
	length = u16(in.p + 14);
	if ((command != 0x20 && command != 0x21) ||
	    V2_FIXED + length > V2_MAX)
		return PROXY_BROKEN;
	if (in.n < V2_FIXED + length)
		return PROXY_MORE;
	*used = V2_FIXED + length;
	/* LOCAL: the front end's own; of PROXY, TCP over IP alone is known. */
	octets = in.p[13] == 0x11 ? 4 : in.p[13] == 0x21 ? 16 : 0;
	if (command == 0x20 || octets == 0)
		return PROXY_WHOLE;
	if (length < 2 * octets + 4)
		return PROXY_BROKEN;
	header->is_known = true;
	take_addr(at, octets, &header->client);
	take_addr(at + octets, octets, &header->local);
	header->client_port = u16(at + 2 * octets);
	header->local_port = u16(at + 2 * octets + 2);
	return PROXY_WHOLE;
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

/* Take n octets that are known to be there. */
static bool
take(int fd, char *p, size_t n)
{
	return recv(fd, p, n, MSG_DONTWAIT) == (ssize_t)n;
}

int
proxy_read(struct ph_stream *stream, unsigned timeout_ms,
    struct proxy_header *header_out)
{
	const uint64_t start = ph_now_ms();
	char text[V2_MAX];
	size_t have = 0, used;

	for (;;) {
		unsigned left = stream_time_left(start, timeout_ms);
		ssize_t n = recv(stream->fd, text + have, sizeof(text) - have,
		    MSG_PEEK | MSG_DONTWAIT);
		int status;

		if (n == 0)
			return PH_EOF;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return PH_IO;
		if (n < 0) {
			status = left == 0 ? PH_TIMEOUT :
			    poll_wait(stream->poll, POLL_INPUT, left);
			if (status != PH_OK)
				return status;
			continue;
		}
		switch (proxy_parse((struct ph_slice){ text, have + (size_t)n },
		    header_out, &used)) {
		case PROXY_WHOLE:
			return take(stream->fd, text, used - have) ? PH_OK :
			    PH_IO;
		case PROXY_BROKEN:
			return PH_DEFECT;
		case PROXY_MORE: /* all of it belongs to the header */
			if (!take(stream->fd, text + have, (size_t)n))
				return PH_IO;
			have += (size_t)n;
			break;
		}
	}
}
