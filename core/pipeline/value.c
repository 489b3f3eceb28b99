/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - see value.h. */
#include "pipeline/value.h"

#include <openssl/evp.h>

#include "mail/octet.h"

enum { CHUNK = 45 }; /* octets of one encoded word: 60 of base64, RFC 2047 s2 */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Octets of the blanks that text begins with; *is_fold_out: a line ends. */
static size_t
blanks(struct ph_slice text, bool *is_fold_out)
{
	size_t n = 0;

	*is_fold_out = false;
	for (; n < text.n && is_blank(text.p[n]); n++)
		*is_fold_out |= text.p[n] == '\n';
	return n;
}

static struct ph_slice
skip(struct ph_slice text, size_t n)
{
	return (struct ph_slice){ text.p + n, text.n - n };
}

static size_t
word_length(struct ph_slice text)
{
	size_t n = 0;

	while (n < text.n && !is_blank(text.p[n]))
		n++;
	return n;
}

/* Whether a word must be written as an encoded one. */
static bool
is_wide(struct ph_slice word)
{
	bool any = false;

	for (size_t i = 0; i < word.n; i++)
		any |= (unsigned char)word.p[i] >= 0x80;
	return any && utf8_is_valid(word);
}

/* The words from here on that are wide, with the blank between each two of
 * them, which is lost where encoded words meet. */
static size_t
wide_length(struct ph_slice text)
{
	size_t n = word_length(text), next;

	while (n + 1 < text.n && text.p[n] == ' ' &&
	    (next = word_length(skip(text, n + 1))) > 0 &&
	    is_wide((struct ph_slice){ text.p + n + 1, next }))
		n += 1 + next;
	return n;
}

static void
put_wide(struct ph_buf *buf, struct ph_slice text)
{
	unsigned char coded[CHUNK / 3 * 4 + 1];

	while (text.n > 0) {
		size_t n = text.n < CHUNK ? text.n : CHUNK;

		while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n--; /* no character is cut */
		EVP_EncodeBlock(coded, (const unsigned char *)text.p, (int)n);
		text = skip(text, n);
		ph_buf_printf(buf, "=?UTF-8?B?%s?=%s", (const char *)coded,
		    text.n > 0 ? " " : "");
	}
}

static void
put_plain(struct ph_buf *buf, struct ph_slice word)
{
	for (size_t i = 0; i < word.n; i++)
		ph_buf_char(buf, (unsigned char)word.p[i] < 0x20 ||
		    (unsigned char)word.p[i] >= 0x7f ? '?' : word.p[i]);
}

const char *
value_clean(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_buf buf;

	if (text.n > VALUE_MAX)
		text.n = VALUE_MAX;
	ph_buf_init(&buf, arena, 2 * VALUE_MAX);
	while (text.n > 0 && !buf.full) {
		bool is_fold;
		size_t n = blanks(text, &is_fold);

		for (size_t i = 0; i < (is_fold ? 1 : n); i++)
			ph_buf_char(&buf, ' ');
		text = skip(text, n);
		n = word_length(text);
		if (is_wide((struct ph_slice){ text.p, n })) {
			n = wide_length(text);
			put_wide(&buf, (struct ph_slice){ text.p, n });
		} else {
			put_plain(&buf, (struct ph_slice){ text.p, n });
		}
		text = skip(text, n);
	}
	/* when it is full there is no room for its end */
	return ph_arena_printf(arena, PH_SLICE_FMT,
	    PH_SLICE_ARG(ph_buf_content(&buf)));
}
