/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_scan.h - where a header section that is still arriving ends, and how
 * many hops it tells of. Pure, incremental, linear.
 */
#ifndef SMTP_ENGINE_HEADER_SCAN_H
#define SMTP_ENGINE_HEADER_SCAN_H

#include <posthouse/base.h>

enum header_answer {
	HEADER_MORE,     /* not complete yet */
	HEADER_COMPLETE, /* an empty line; `at` is behind it */
	HEADER_BROKEN,   /* a line that is no field begins at `at` */
};

struct header_scan {
	size_t at;     /* start of the first line not looked at */
	size_t seen;   /* no LF between at and here; broken: behind that line */
	size_t mbox;   /* octets of an mbox's "From " line before the fields */
	unsigned hops; /* Received fields */
	bool any;      /* a field was there */
};

/* sofar: the message from its start; it only ever grows. Lines end in LF. */
enum header_answer header_scan_next(struct header_scan *scan,
    struct ph_slice sofar);

/* After HEADER_MORE there came no more: where a body of n octets begins. */
size_t header_scan_end(struct header_scan *scan, size_t n);

#endif
