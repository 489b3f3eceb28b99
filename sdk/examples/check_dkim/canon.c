/* SPDX-License-Identifier: Apache-2.0 */
/* canon.c - see canon.h. */
#include "canon.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* text with each run of blanks and folds as one blank, none at the ends. */
static void
put_squeezed(EVP_MD_CTX *md, struct ph_slice text)
{
	bool is_open = false;

	text = ph_slice_trim(text);
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\r' || c == '\n')
			continue;
		if (is_blank(c)) {
			is_open = true;
			continue;
		}
		if (is_open)
			EVP_DigestUpdate(md, " ", 1);
		is_open = false;
		EVP_DigestUpdate(md, &c, 1);
	}
}

void
canon_field(EVP_MD_CTX *md, const struct ph_header_field *field,
    bool is_relaxed, bool is_last)
{
	struct ph_slice name = ph_slice_trim(field->name);
	struct ph_slice whole = field->whole;

	if (is_relaxed) { /* s3.4.2 */
		for (size_t i = 0; i < name.n; i++) {
			char c = ph_lower(name.p[i]);

			EVP_DigestUpdate(md, &c, 1);
		}
		EVP_DigestUpdate(md, ":", 1);
		put_squeezed(md, field->value);
	} else {
		while (whole.n > 0 && (whole.p[whole.n - 1] == '\n' ||
		    whole.p[whole.n - 1] == '\r'))
			whole.n--;
		EVP_DigestUpdate(md, whole.p, whole.n);
	}
	if (!is_last)
		EVP_DigestUpdate(md, "\r\n", 2);
}

/* What of a body is hashed: no more than a signature's l= says. */
struct sink {
	EVP_MD_CTX *md;
	uint64_t left, all;
};

static void
put(struct sink *sink, const char *p, size_t n)
{
	size_t room = n < sink->left ? n : (size_t)sink->left;

	EVP_DigestUpdate(sink->md, p, room);
	sink->left -= room;
	sink->all += n;
}

static void
put_line(struct sink *sink, struct ph_slice line, bool is_relaxed)
{
	size_t from = 0;

	if (!is_relaxed) {
		put(sink, line.p, line.n);
		return;
	}
	while (line.n > 0 && is_blank(line.p[line.n - 1]))
		line.n--;
	for (size_t i = 0; i < line.n; i++) {
		if (!is_blank(line.p[i]))
			continue;
		put(sink, line.p + from, i - from);
		put(sink, " ", 1);
		while (is_blank(line.p[i + 1])) /* the last is none */
			i++;
		from = i + 1;
	}
	put(sink, line.p + from, line.n - from);
}

static bool
is_empty(struct ph_slice line, bool is_relaxed)
{
	for (size_t i = 0; i < line.n; i++)
		if (!is_relaxed || !is_blank(line.p[i]))
			return false;
	return true;
}

uint64_t
canon_body(EVP_MD_CTX *md, struct ph_slice body, bool is_relaxed,
    uint64_t limit)
{
	struct sink sink = { md, limit, 0 };
	uint64_t empty = 0; /* lines that are left out when they are the last */
	bool any = false;

	while (body.p != NULL && body.n > 0) {
		struct ph_slice line = ph_slice_cut(&body, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (is_empty(line, is_relaxed)) {
			empty++;
			continue;
		}
		for (; empty > 0; empty--)
			put(&sink, "\r\n", 2);
		put_line(&sink, line, is_relaxed);
		put(&sink, "\r\n", 2);
		any = true;
	}
	if (!any && !is_relaxed) /* s3.4.3: never nothing */
		put(&sink, "\r\n", 2);
	return sink.all;
}
