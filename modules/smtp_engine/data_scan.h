/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data_scan.h - message content on the wire: where it ends, its dots, and CR
 * and LF that are no line end (RFC 5321 s4.1.1.4, s4.5.2). Pure, incremental:
 * the result does not depend on how the input was cut.
 *
 * The end is CRLF "." CRLF and nothing else, whatever the policy for bare
 * newlines: two servers that differ here let mail be smuggled
 * (CVE-2023-51764 and its kin).
 */
#ifndef SMTP_ENGINE_DATA_SCAN_H
#define SMTP_ENGINE_DATA_SCAN_H

#include <posthouse/base.h>

enum data_state {
	DATA_TEXT,    /* inside a line */
	DATA_CR,      /* a CR is held back */
	DATA_BARE_LF, /* a bare LF comes next */
	DATA_LINE,    /* behind CRLF, or at the start */
	DATA_LF_LINE, /* behind a bare LF that became a line end */
	DATA_DOT,     /* behind CRLF "." */
	DATA_DOT_CR,  /* behind CRLF "." CR, which is held back */
};

struct data_scan {
	enum data_state state;
	bool dots;      /* DATA; false: BDAT, where the length tells the end */
	bool normalize; /* bare LF becomes CRLF, bare CR a space */
	bool binary;    /* RFC 3030: octets, not lines; nothing is looked at */
	bool bare;      /* a bare CR or LF was there */
};

void data_scan_init(struct data_scan *scan, bool dots, bool normalize);
/*
 * Looks at a piece of input, of at least one octet; returns how many octets of
 * it were used, and the content they gave: a part of the input, a constant, or
 * empty. At the end of data *end_out is true and the scanner is done. Call
 * until the input is used up.
 */
size_t data_scan_next(struct data_scan *scan, struct ph_slice in,
    struct ph_slice *content_out, bool *end_out);
/* The end of the last BDAT chunk: what is held back, and a line end when the
 * last line has none. */
struct ph_slice data_scan_finish(struct data_scan *scan);

#endif
