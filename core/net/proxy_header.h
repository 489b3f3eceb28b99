/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header.h - the PROXY protocol, versions 1 and 2 (haproxy's
 * proxy-protocol.txt): what a front end says before anything else about whose
 * connection it passes on. Pure.
 */
#ifndef CORE_NET_PROXY_HEADER_H
#define CORE_NET_PROXY_HEADER_H

#include <posthouse/addr.h>

enum { PROXY_HEADER_MAX = 4096 }; /* version 2 with its TLVs */

struct proxy_header {
	bool is_known; /* false: the front end speaks for itself, or of a kind
	                * of connection that we know nothing of */
	struct ph_addr client, local;
	uint16_t client_port, local_port;
};

enum proxy_answer { PROXY_MORE, PROXY_WHOLE, PROXY_BROKEN };

/* With all that came; *used_out: the header's octets. */
enum proxy_answer proxy_parse(struct ph_slice in,
    struct proxy_header *header_out, size_t *used_out);

#endif
