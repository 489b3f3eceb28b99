/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_smtp_data.c - the end of data and the content are the same however the
 * input is cut; nothing that was normalized has a bare CR or LF.
 */
#include <stdlib.h>

#include <posthouse/arena.h>

#include "data_scan.h"

struct outcome {
	struct ph_buf content;
	bool ended;
	size_t used;
};

static void
run(const uint8_t *data, size_t size, bool normalize, size_t step,
    struct outcome *out)
{
	struct data_scan scan;

	*out = (struct outcome){ 0 };
	ph_buf_init(&out->content, NULL, 2 * size + 16);
	data_scan_init(&scan, true, normalize);
	while (out->used < size && !out->ended) {
		const size_t n = size - out->used < step ? size - out->used :
		                                           step;
		struct ph_slice piece = { (const char *)data + out->used, n };
		struct ph_slice content;

		out->used += data_scan_next(&scan, piece, &content,
		    &out->ended);
		ph_buf_slice(&out->content, content);
	}
}

static void
check_clean(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n'))
			abort();
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;
	bool normalize;

	if (size < 2)
		return 0;
	normalize = data[0] & 1;
	run(data + 2, size - 2, normalize, size, &whole);
	run(data + 2, size - 2, normalize, data[1] % 7u + 1, &cut);
	if (whole.ended != cut.ended || whole.used != cut.used ||
	    !ph_slice_eq(ph_buf_content(&whole.content),
	        ph_buf_content(&cut.content)))
		abort();
	if (whole.ended && normalize)
		check_clean(ph_buf_content(&whole.content));
	ph_buf_fini(&whole.content);
	ph_buf_fini(&cut.content);
	return 0;
}
