/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charset.h - conversion to UTF-8 that remembers its last converter, so that
 * a hostile header pays for each change of charset and only for so many.
 */
#ifndef CORE_MAIL_CHARSET_H
#define CORE_MAIL_CHARSET_H

#include <posthouse/arena.h>

enum { CHARSET_CHANGES_MAX = 64 };

struct charset {
	void *iconv; /* iconv_t, NULL: none */
	char name[48];
	unsigned changes; /* converters opened so far */
};

/* text, in the charset of that name, to the end of buf; false (and buf as it
 * was) when the charset is not known. What is malformed becomes U+FFFD. */
bool charset_convert(struct charset *charset, struct ph_slice name,
    struct ph_slice text, struct ph_buf *buf);
void charset_fini(struct charset *charset);

#endif
