/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - taking a PROXY header off a connection. Only who is listed for it
 * is asked for one.
 */
#ifndef CORE_NET_PROXY_H
#define CORE_NET_PROXY_H

#include "net/proxy_header.h"

struct ph_stream;

/*
 * Take the header, and not one octet behind it, off a stream that nothing was
 * read from yet. Suspends. PH_DEFECT: it is none.
 */
int proxy_read(struct ph_stream *stream, unsigned timeout_ms,
    struct proxy_header *header_out);

#endif
