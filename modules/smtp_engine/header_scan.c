/* SPDX-License-Identifier: Apache-2.0 */
/* header_scan.c - see header_scan.h. */
#include "header_scan.h"

/* RFC 5322 s2.2 field-name, and s4.5 blanks before the colon. */
static size_t
field_name(struct ph_slice line)
{
	size_t n = 0, blanks = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f &&
	    line.p[n] != ':')
		n++;
	while (n + blanks < line.n &&
	    (line.p[n + blanks] == ' ' || line.p[n + blanks] == '\t'))
		blanks++;
	return n + blanks < line.n && line.p[n + blanks] == ':' ? n : 0;
}

/* Without a field behind it "From " begins a body like any other line. */
static void
forget_mbox(struct header_scan *scan)
{
	if (scan->any || scan->mbox == 0)
		return;
	scan->at = scan->mbox = 0;
}

static enum header_answer
broken(struct header_scan *scan, size_t line_octets)
{
	scan->seen = scan->at + line_octets;
	forget_mbox(scan);
	return HEADER_BROKEN;
}

/* What stands before each message of an mbox; scripts send it along. Postfix
 * takes it out of the way, too. */
static bool
is_mbox_line(struct ph_slice line)
{
	if (line.n > 0 && line.p[0] == '>') {
		line.p++;
		line.n--;
	}
	return line.n > 5 && memcmp(line.p, "From ", 5) == 0;
}

enum header_answer
header_scan_next(struct header_scan *scan, struct ph_slice sofar)
{
	const char *lf;
	struct ph_slice line;
	size_t name;

	while (scan->at < sofar.n) {
		line.p = sofar.p + scan->at;
		if (scan->seen < scan->at)
			scan->seen = scan->at;
		lf = memchr(sofar.p + scan->seen, '\n', sofar.n - scan->seen);
		if (lf == NULL) {
			scan->seen = sofar.n;
			return HEADER_MORE;
		}
		line.n = (size_t)(lf - line.p) + 1;
		if (scan->at == 0 && field_name(line) == 0 &&
		    is_mbox_line(line)) {
			scan->at = scan->mbox = line.n;
			continue;
		}
		if (line.p[0] == '\n' || (line.n == 2 && line.p[0] == '\r')) {
			if (scan->mbox > 0 && !scan->any)
				return broken(scan, line.n);
			scan->at += line.n;
			return HEADER_COMPLETE;
		}
		if (line.p[0] != ' ' && line.p[0] != '\t') {
			name = field_name(line);
			if (name == 0)
				return broken(scan, line.n);
			scan->any = true;
			if (ph_slice_eq_nocase(
			        (struct ph_slice){ line.p, name },
			        PH_LIT("Received")))
				scan->hops++;
		} else if (!scan->any) {
			return broken(scan, line.n);
		}
		scan->at += line.n;
	}
	return HEADER_MORE;
}

size_t
header_scan_end(struct header_scan *scan, size_t n)
{
	const bool has_body = scan->mbox > 0 && !scan->any;

	forget_mbox(scan);
	return has_body ? 0 : n;
}
