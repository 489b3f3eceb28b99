/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - the PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt):
 * what a front end says before anything else about whose connection it passes
 * on. Only who is listed for it is asked for one.
 */
#ifndef CORE_NET_PROXY_H
#define CORE_NET_PROXY_H

#include <posthouse/addr.h>

struct ph_stream;

struct proxy_header {
	bool is_known; /* false: the front end speaks for itself, or of a kind
	                * of connection that we know nothing of */
	struct ph_addr client, local;
	uint16_t client_port, local_port;
};

enum proxy_answer { PROXY_MORE, PROXY_WHOLE, PROXY_BROKEN };

/* With all that came; *used_out: the header's octets. Pure. */
enum proxy_answer proxy_parse(struct ph_slice in,
    struct proxy_header *header_out, size_t *used_out);

/*
 * Take the header, and not one octet behind it, off a stream that nothing was
 * read from yet. Suspends. PH_DEFECT: it is none.
 */
int proxy_read(struct ph_stream *stream, unsigned timeout_ms,
    struct proxy_header *header_out);

#endif
