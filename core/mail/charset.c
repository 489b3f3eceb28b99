/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charset.c - any charset to UTF-8, through iconv. UTF-8 and ASCII are done
 * here: they are nearly all of it, and iconv would stop at each bad octet.
 */
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>

#include <posthouse/mime.h>

#include "mail/octet.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static bool
is_utf8_name(struct ph_slice name)
{
	return name.n == 0 || ph_slice_eq_nocase(name, PH_LIT("utf-8")) ||
	    ph_slice_eq_nocase(name, PH_LIT("utf8")) ||
	    ph_slice_eq_nocase(name, PH_LIT("us-ascii")) ||
	    ph_slice_eq_nocase(name, PH_LIT("ascii"));
}

static void
copy_utf8(struct ph_slice text, struct ph_buf *buf)
{
	size_t i = 0, start = 0;

	while (i < text.n) {
		size_t n = utf8_length(text.p + i, text.n - i);

		if (n > 0) {
			i += n;
			continue;
		}
		ph_buf_add(buf, text.p + start, i - start);
		ph_buf_str(buf, REPLACEMENT);
		start = ++i;
	}
	ph_buf_add(buf, text.p + start, i - start);
}

/* Names reach iconv only when they are plain: "/" starts its options. */
static bool
name_is_plain(struct ph_slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		int c = (unsigned char)name.p[i];

		if (!octet_is_alnum(c) && (c == 0 || c >= 0x80 ||
		                              strchr("-_.:+()", c) == NULL))
			return false;
	}
	return true;
}

static bool
charset_select(struct charset *charset, struct ph_slice name)
{
	iconv_t opened;

	if (name.n >= sizeof(charset->name) || !name_is_plain(name))
		return false;
	if (ph_slice_eq_nocase(ph_slice_str(charset->name), name))
		return charset->iconv != NULL;
	if (charset->changes++ >= CHARSET_CHANGES_MAX)
		return false;
	charset_fini(charset);
	memcpy(charset->name, name.p, name.n);
	charset->name[name.n] = '\0';
	opened = iconv_open("UTF-8", charset->name);
	charset->iconv = opened != (iconv_t)-1 ? opened : NULL;
	return charset->iconv != NULL;
}

bool
charset_convert(struct charset *charset, struct ph_slice name,
    struct ph_slice text, struct ph_buf *buf)
{
	char out[1024], *in = (char *)(uintptr_t)text.p;
	size_t left = text.n;

	if (is_utf8_name(name)) {
		copy_utf8(text, buf);
		return true;
	}
	if (!charset_select(charset, name))
		return false;
	iconv(charset->iconv, NULL, NULL, NULL, NULL);
	while (left > 0 && !buf->full) {
		char *to = out;
		size_t room = sizeof(out), before = left;
		size_t rc = iconv(charset->iconv, &in, &left, &to, &room);
		int error = errno;

		ph_buf_add(buf, out, (size_t)(to - out));
		if (rc != (size_t)-1)
			break;
		if (error == E2BIG && (left < before || to > out))
			continue;
		ph_buf_str(buf, REPLACEMENT);
		if (error != EILSEQ)
			break;
		in++;
		left--;
	}
	return true;
}

void
charset_fini(struct charset *charset)
{
	if (charset->iconv != NULL)
		iconv_close(charset->iconv);
	charset->iconv = NULL;
	charset->name[0] = '\0';
}

struct ph_slice
ph_charset_to_utf8(struct ph_arena *arena, struct ph_slice name,
    struct ph_slice text, size_t limit)
{
	struct charset charset = { 0 };
	struct ph_buf buf;
	bool known;

	if (text.n > limit)
		text.n = limit;
	if (is_utf8_name(name) && utf8_is_valid(text))
		return text;
	ph_buf_init(&buf, arena, limit);
	known = charset_convert(&charset, name, text, &buf);
	charset_fini(&charset);
	return known ? ph_buf_content(&buf) : text;
}
