/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiline.h - message content as a multi-line response (RFC 1939 s3). Pure.
 */
#ifndef POP3_MULTILINE_H
#define POP3_MULTILINE_H

#include <posthouse/base.h>

/* A walk over content; zeroed but for rest. */
struct multiline {
	struct ph_slice rest;
	const char *lf; /* the next one, or the end; behind rest.p: not known */
	bool begun;
};

/*
 * The next run of content, in which nothing has to be added; before it goes a
 * "." when *stuff_out. False: the end. Dots are stuffed behind CR and LF alike,
 * so that no reader sees an end where there is none (CVE-2026-33604).
 */
bool multiline_next(struct multiline *walk, struct ph_slice *run_out,
    bool *stuff_out);
/* Octets of the header section, the empty line, and count lines behind. */
size_t multiline_top(struct ph_slice content, size_t header, uint64_t count);

#endif
