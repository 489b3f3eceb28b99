/* SPDX-License-Identifier: Apache-2.0 */
/* collect.c - see collect.h. Two states: in a line, in a literal. */
#include "collect.h"

void
collect_init(struct collect *c, size_t limit_bytes)
{
	*c = (struct collect){ .line_at = 0 };
	ph_buf_init(&c->buf, NULL, limit_bytes);
}

void
collect_fini(struct collect *c)
{
	collect_reset(c);
	ph_buf_fini(&c->buf);
}

void
collect_reset(struct collect *c)
{
	const size_t keep = 4096;

	ph_wipe(c->buf.p, c->buf.n);
	if (c->buf.capacity > keep)
		ph_buf_fini(&c->buf);
	c->buf.n = 0;
	c->buf.full = false;
	c->line_at = 0;
	c->literal_left = c->literal_size = 0;
	c->announced = false;
}

struct ph_slice
collect_text(const struct collect *c)
{
	return ph_buf_content(&c->buf);
}

/*
 * literal = "{" number ["+"] "}" CRLF. A number too large for 63 bits is
 * reported as the largest, which no limit allows.
 */
static bool
find_literal(struct collect *c)
{
	struct ph_slice line = { c->buf.p + c->line_at,
		c->buf.n - c->line_at };
	const char *open;
	struct ph_slice digits;

	if (line.n < 3 || line.p[line.n - 1] != '}')
		return false;
	open = memrchr(line.p, '{', line.n);
	if (open == NULL)
		return false;
	digits = (struct ph_slice){ open + 1,
		(size_t)(line.p + line.n - 1 - (open + 1)) };
	c->literal_is_sync = true;
	if (digits.n > 0 && digits.p[digits.n - 1] == '+') {
		c->literal_is_sync = false;
		digits.n--;
	}
	if (digits.n == 0)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
	if (!ph_slice_number(digits, INT64_MAX, &c->literal_size))
		c->literal_size = INT64_MAX;
	return true;
}

static enum collect_result
end_line(struct collect *c)
{
	c->buf.n--; /* the LF */
	if (c->buf.n > c->line_at && c->buf.p[c->buf.n - 1] == '\r')
		c->buf.n--;
	if (!find_literal(c))
		return COLLECT_DONE;
	c->announced = true;
	return COLLECT_LITERAL;
}

enum collect_result
collect_feed(struct collect *c, struct ph_slice in, size_t *taken_out)
{
	size_t taken = 0;

	if (c->literal_left > 0) {
		taken = in.n < c->literal_left ? in.n : (size_t)c->literal_left;
		ph_buf_add(&c->buf, in.p, taken);
		c->literal_left -= taken;
		c->line_at = c->buf.n;
	}
	*taken_out = taken;
	if (c->literal_left > 0)
		return COLLECT_MORE;
	if (taken < in.n) {
		const char *lf = memchr(in.p + taken, '\n', in.n - taken);
		size_t n = lf != NULL ? (size_t)(lf + 1 - (in.p + taken)) :
		                        in.n - taken;

		ph_buf_add(&c->buf, in.p + taken, n);
		*taken_out = taken + n;
		if (c->buf.full)
			return COLLECT_TOO_BIG;
		if (lf != NULL)
			return end_line(c);
	}
	return c->buf.full ? COLLECT_TOO_BIG : COLLECT_MORE;
}

bool
collect_accept(struct collect *c, uint64_t literal_limit)
{
	/* room for the literal and an ordinary rest of the command */
	if (!c->announced || c->literal_size > literal_limit ||
	    c->literal_size > c->buf.limit - c->buf.n)
		return false;
	c->announced = false;
	ph_buf_str(&c->buf, "\r\n");
	c->literal_left = c->literal_size;
	c->line_at = c->buf.n;
	return !c->buf.full;
}
