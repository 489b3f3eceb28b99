/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c - encoded words of header fields to UTF-8 (RFC 2047).
 *
 * Neighbours of one charset are joined before conversion: many mailers cut
 * inside a character. A candidate is given up at the first "?" that can't be
 * its own, so that text full of "=?" costs its length.
 */
#include <posthouse/mail.h>

#include "mail/charset.h"
#include "mail/octet.h"
#include "mail/transfer.h"

struct word {
	struct ph_slice charset; /* without an RFC 2231 language */
	struct ph_slice text;
	bool is_base64;
	size_t size; /* of the whole, from "=?" to "?=" */
};

struct decoder {
	struct ph_buf out;
	struct ph_buf octets; /* decoded, charset not yet */
	struct ph_slice charset; /* of those */
	struct ph_slice source;  /* what they were, if the charset is unknown */
	struct charset converter;
};

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?=" */
static bool
word_parse(struct ph_slice text, struct word *word_out)
{
	struct ph_slice rest = text, charset, encoding, body;

	if (text.n < 8 || text.p[0] != '=' || text.p[1] != '?')
		return false;
	rest.p += 2;
	rest.n -= 2;
	charset = ph_slice_cut(&rest, '?');
	if (charset.n == 0 || rest.p == NULL || rest.n < 3 || rest.p[1] != '?')
		return false;
	encoding = ph_slice_cut(&rest, '?');
	body = ph_slice_cut(&rest, '?');
	if (rest.p == NULL || rest.n == 0 || rest.p[0] != '=')
		return false;
	if (encoding.p[0] != 'B' && encoding.p[0] != 'b' &&
	    encoding.p[0] != 'Q' && encoding.p[0] != 'q')
		return false;
	word_out->charset = ph_slice_cut(&charset, '*');
	word_out->text = body;
	word_out->is_base64 = encoding.p[0] == 'B' || encoding.p[0] == 'b';
	word_out->size = (size_t)(rest.p + 1 - text.p);
	return true;
}

/* Line ends that came out of an encoded word would forge header fields. */
static void
add_without_line_ends(struct ph_buf *out, struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++)
		ph_buf_char(out, text.p[i] == '\r' || text.p[i] == '\n' ||
		            text.p[i] == '\0' ? ' ' : text.p[i]);
}

static void
flush(struct decoder *d)
{
	size_t start = d->out.n;

	if (d->charset.p == NULL)
		return;
	if (charset_convert(&d->converter, d->charset,
	        ph_buf_content(&d->octets), &d->out)) {
		for (size_t i = start; i < d->out.n; i++)
			if (octet_is_control((unsigned char)d->out.p[i]) &&
			    d->out.p[i] != '\t')
				d->out.p[i] = ' ';
	} else {
		add_without_line_ends(&d->out, d->source);
	}
	d->charset = (struct ph_slice){ NULL, 0 };
	d->octets.n = 0;
}

static void
add_word(struct decoder *d, const struct word *word, struct ph_slice whole)
{
	if (d->charset.p != NULL &&
	    !ph_slice_eq_nocase(d->charset, word->charset))
		flush(d);
	if (d->charset.p == NULL) {
		d->charset = word->charset;
		d->source = whole;
	}
	d->source.n = (size_t)(whole.p + whole.n - d->source.p);
	if (word->is_base64)
		transfer_base64(word->text, &d->octets);
	else
		transfer_q(word->text, &d->octets);
}

static size_t
blanks(struct ph_slice text)
{
	size_t n = 0;

	while (n < text.n && octet_is_blank((unsigned char)text.p[n]))
		n++;
	return n;
}

struct ph_slice
ph_encoded_words(struct ph_arena *arena, struct ph_slice value)
{
	struct decoder d = { .charset = { NULL, 0 } };
	size_t i = 0;

	if (value.n == 0 || memmem(value.p, value.n, "=?", 2) == NULL)
		return value;
	/* one octet of a charset is at most 4 of UTF-8, and U+FFFD is 3 */
	ph_buf_init(&d.out, arena, value.n * 4 + 16);
	ph_buf_init(&d.octets, arena, value.n);
	while (i < value.n) {
		struct ph_slice rest = { value.p + i, value.n - i };
		struct ph_slice after = rest;
		size_t gap = d.charset.p != NULL ? blanks(rest) : 0;
		struct word word;

		after.p += gap;
		after.n -= gap;
		if (word_parse(after, &word)) {
			add_word(&d, &word,
			    (struct ph_slice){ after.p, word.size });
			i += gap + word.size;
			continue;
		}
		flush(&d);
		ph_buf_char(&d.out, value.p[i++]);
	}
	flush(&d);
	charset_fini(&d.converter);
	return ph_buf_content(&d.out);
}
