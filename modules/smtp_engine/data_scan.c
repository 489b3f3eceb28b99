/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data_scan.c - see data_scan.h. Text goes through in runs over many lines,
 * found with memchr; single octets are looked at only between lines. What can't
 * be told yet (a CR at the end of the input) is held back as a state.
 */
#include "data_scan.h"

/* While normalizing, runs are short and the look ahead for the other newline
 * would be repeated for each; it is bounded so that it can't get quadratic. */
enum { DATA_WINDOW = 4096 };

void
data_scan_init(struct data_scan *scan, bool dots, bool normalize)
{
	*scan = (struct data_scan){
		.state = DATA_LINE, .dots = dots, .normalize = normalize
	};
}

static struct ph_slice
bare_cr(struct data_scan *scan)
{
	scan->bare = true;
	return scan->normalize ? PH_LIT(" ") : PH_LIT("\r");
}

/*
 * One octet outside of a line. Returns whether it was used; *content_out is
 * what it (or what was held back before it) gives.
 */
static bool
scan_octet(struct data_scan *scan, char c, struct ph_slice *content_out,
    bool *end_out)
{
	const enum data_state state = scan->state;

	scan->state = DATA_TEXT;
	switch (state) {
	case DATA_CR:
		if (c != '\n') {
			*content_out = bare_cr(scan);
			return false;
		}
		*content_out = PH_LIT("\r\n");
		scan->state = DATA_LINE;
		return true;
	case DATA_BARE_LF:
		*content_out = PH_LIT("\r\n");
		scan->state = DATA_LF_LINE;
		return true;
	case DATA_LINE:
		if (c != '.' || !scan->dots)
			return false;
		scan->state = DATA_DOT;
		return true;
	case DATA_LF_LINE:
		return c == '.' && scan->dots;
	case DATA_DOT:
		if (c != '\r')
			return false;
		scan->state = DATA_DOT_CR;
		return true;
	case DATA_DOT_CR:
		if (c == '\n') {
			*end_out = true;
			return true;
		}
		*content_out = bare_cr(scan);
		return false;
	case DATA_TEXT:
		break;
	}
	return false;
}

/* From inside a line to the next place that changes anything; returns the end
 * of the run that starts at p. */
static const char *
scan_text(struct data_scan *scan, const char *p, const char *end)
{
	const char *cr, *lf = NULL;
	bool lf_known = false;

	for (;;) {
		if (!lf_known || (lf != NULL && lf < p)) {
			lf = memchr(p, '\n', (size_t)(end - p));
			lf_known = true;
		}
		cr = memchr(p, '\r', (size_t)((lf != NULL ? lf : end) - p));
		if (cr != NULL && cr + 1 != lf) {
			if (cr + 1 == end || scan->normalize) {
				scan->state = DATA_CR;
				return cr;
			}
			scan->bare = true;
			p = cr + 1;
			continue;
		}
		if (lf == NULL)
			return end;
		if (cr == NULL) {
			scan->bare = true;
			if (scan->normalize) {
				scan->state = DATA_BARE_LF;
				return lf;
			}
		}
		p = lf + 1;
		if (p == end || (*p == '.' && scan->dots)) {
			if (cr != NULL)
				scan->state = DATA_LINE;
			if (cr != NULL || p == end)
				return p;
		}
	}
}

size_t
data_scan_next(struct data_scan *scan, struct ph_slice in,
    struct ph_slice *content_out, bool *end_out)
{
	const char *stop, *limit = in.p + in.n;

	*content_out = PH_LIT("");
	*end_out = false;
	if (scan->binary) {
		*content_out = in;
		return in.n;
	}
	if (scan->state != DATA_TEXT)
		return scan_octet(scan, in.p[0], content_out, end_out) ? 1 : 0;
	if (scan->normalize && in.n > DATA_WINDOW)
		limit = in.p + DATA_WINDOW;
	stop = scan_text(scan, in.p, limit);
	*content_out = (struct ph_slice){ in.p, (size_t)(stop - in.p) };
	if (scan->state == DATA_CR)
		stop++; /* the CR itself is held back */
	return (size_t)(stop - in.p);
}

struct ph_slice
data_scan_finish(struct data_scan *scan)
{
	const enum data_state state = scan->state;

	if (scan->binary)
		return PH_LIT("");
	scan->state = DATA_LINE;
	if (state == DATA_CR) {
		scan->bare = true;
		return PH_LIT("\r\n");
	}
	return state == DATA_TEXT ? PH_LIT("\r\n") : PH_LIT("");
}
