/* SPDX-License-Identifier: Apache-2.0 */
/* stream_line.c - lines from a stream, with a limit that an attacker meets. */
#include "net/stream_inner.h"

/* Throw octets away up to and including the next LF. */
static int
swallow_line(struct ph_stream *stream, uint64_t start, unsigned timeout_ms)
{
	for (;;) {
		struct ph_slice have = ph_stream_buffered(stream);
		const char *lf = have.n > 0 ? memchr(have.p, '\n', have.n) :
		    NULL;
		unsigned left = stream_time_left(start, timeout_ms);
		int status;

		if (lf != NULL) {
			ph_stream_consume(stream, (size_t)(lf - have.p) + 1);
			return PH_TOO_BIG;
		}
		ph_stream_consume(stream, have.n);
		status = left == 0 ? PH_TIMEOUT : ph_stream_fill(stream, left);
		if (status != PH_OK)
			return status;
	}
}

int
ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out)
{
	uint64_t start = ph_now_ms();
	size_t looked = 0;

	for (;;) {
		struct ph_slice have = ph_stream_buffered(stream);
		const char *lf = have.n > looked ? memchr(have.p + looked,
		    '\n', have.n - looked) : NULL;
		size_t n = lf != NULL ? (size_t)(lf - have.p) + 1 : have.n;
		unsigned left = stream_time_left(start, timeout_ms);
		int status;

		if (n > limit || (lf == NULL && n == limit))
			return swallow_line(stream, start, timeout_ms);
		if (lf != NULL) {
			bool bare = n < 2 || lf[-1] != '\r';

			ph_stream_consume(stream, n);
			*line_out = (struct ph_slice){ have.p,
				n - (bare ? 1 : 2) };
			if (bare_lf_out != NULL)
				*bare_lf_out = bare;
			return PH_OK;
		}
		looked = have.n;
		status = left == 0 ? PH_TIMEOUT : ph_stream_fill(stream, left);
		if (status != PH_OK)
			return status;
	}
}
