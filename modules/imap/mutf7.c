/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutf7.c - modified UTF-7. A decoded name is encoded again and must be what
 * came: so there is one spelling for each name, and no second way to say "/".
 */
#include "mutf7.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool
is_plain(unsigned char c)
{
	return c >= ' ' && c <= 0x7e;
}

/* The character at p (n > 0) and its octets; 0 octets: malformed. */
static size_t
take_utf8(const char *p, size_t n, uint32_t *c_out)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char lead = (unsigned char)p[0];
	size_t length = lead < 0x80 ? 1 :
	    lead >= 0xc0 && lead < 0xe0 ? 2 :
	    lead >= 0xe0 && lead < 0xf0 ? 3 :
	    lead >= 0xf0 && lead < 0xf8 ? 4 : 0;
	uint32_t c;

	if (length == 0 || length > n)
		return 0;
	c = length == 1 ? lead : lead & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*c_out = c;
	return length;
}

static void
put_utf8(struct ph_buf *buf, uint32_t c)
{
	if (c < 0x80) {
		ph_buf_char(buf, (char)c);
		return;
	}
	if (c < 0x800) {
		ph_buf_char(buf, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		ph_buf_char(buf, (char)(0xe0 | c >> 12));
		ph_buf_char(buf, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		ph_buf_char(buf, (char)(0xf0 | c >> 18));
		ph_buf_char(buf, (char)(0x80 | (c >> 12 & 0x3f)));
		ph_buf_char(buf, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	ph_buf_char(buf, (char)(0x80 | (c & 0x3f)));
}

/* 16-bit units going to base64 and the bits not yet written. */
struct shift {
	struct ph_buf *buf;
	uint32_t bits;
	unsigned held;
	bool open;
};

static void
shift_put(struct shift *s, uint32_t unit)
{
	if (!s->open)
		ph_buf_char(s->buf, '&');
	s->open = true;
	s->bits = s->bits << 16 | unit;
	s->held += 16;
	while (s->held >= 6) {
		s->held -= 6;
		ph_buf_char(s->buf, alphabet[s->bits >> s->held & 0x3f]);
	}
	s->bits &= 0x3f;
}

static void
shift_close(struct shift *s)
{
	if (!s->open)
		return;
	if (s->held > 0)
		ph_buf_char(s->buf, alphabet[s->bits << (6 - s->held) & 0x3f]);
	ph_buf_char(s->buf, '-');
	*s = (struct shift){ .buf = s->buf };
}

struct ph_slice
mutf7_encode(struct ph_arena *arena, struct ph_slice name)
{
	struct ph_buf buf;
	struct shift shift = { .buf = &buf };

	ph_buf_init(&buf, arena, 8 * name.n + 8);
	for (size_t i = 0; i < name.n;) {
		uint32_t c = '?';
		size_t n = take_utf8(name.p + i, name.n - i, &c);

		i += n > 0 ? n : 1;
		if (c < 0x80 && is_plain((unsigned char)c)) {
			shift_close(&shift);
			ph_buf_char(&buf, (char)c);
			if (c == '&')
				ph_buf_char(&buf, '-');
		} else if (c < 0x10000) {
			shift_put(&shift, c);
		} else {
			shift_put(&shift, 0xd800 + ((c - 0x10000) >> 10));
			shift_put(&shift, 0xdc00 + ((c - 0x10000) & 0x3ff));
		}
	}
	shift_close(&shift);
	return ph_buf_content(&buf);
}

/* One 16-bit unit; *high holds a first surrogate that waits for its second. */
static bool
put_unit(struct ph_buf *buf, uint32_t unit, uint32_t *high)
{
	if (*high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		put_utf8(buf, 0x10000 + ((*high - 0xd800) << 10) +
		        (unit - 0xdc00));
		*high = 0;
		return true;
	}
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return false;
	if (unit >= 0xd800 && unit <= 0xdbff)
		*high = unit;
	else
		put_utf8(buf, unit);
	return true;
}

/* "&" base64 "-" with at behind the "&"; the octets used, 0: malformed. */
static size_t
take_shifted(struct ph_buf *buf, struct ph_slice wire, size_t at)
{
	uint32_t bits = 0, high = 0;
	unsigned held = 0;

	for (size_t i = at; i < wire.n; i++) {
		const char *digit;

		if (wire.p[i] == '-')
			return high == 0 ? i + 1 - at : 0;
		digit = memchr(alphabet, wire.p[i], 64);
		if (digit == NULL)
			return 0;
		bits = bits << 6 | (uint32_t)(digit - alphabet);
		held += 6;
		if (held < 16)
			continue;
		held -= 16;
		if (!put_unit(buf, bits >> held & 0xffff, &high))
			return 0;
		bits &= (1u << held) - 1;
	}
	return 0;
}

static bool
decode_shifts(struct ph_buf *buf, struct ph_slice wire)
{
	for (size_t i = 0; i < wire.n;) {
		size_t n;

		if (wire.p[i] != '&') {
			ph_buf_char(buf, wire.p[i++]);
			continue;
		}
		if (i + 1 < wire.n && wire.p[i + 1] == '-') {
			ph_buf_char(buf, '&');
			i += 2;
			continue;
		}
		n = take_shifted(buf, wire, i + 1);
		if (n == 0)
			return false;
		i += 1 + n;
	}
	return true;
}

static bool
is_clean_utf8(struct ph_slice name)
{
	for (size_t i = 0; i < name.n;) {
		uint32_t c;
		size_t n = take_utf8(name.p + i, name.n - i, &c);

		if (n == 0 || c < ' ' || (c >= 0x7f && c < 0xa0))
			return false;
		i += n;
	}
	return true;
}

bool
mutf7_decode(struct ph_arena *arena, struct ph_slice wire,
    struct ph_slice *name_out)
{
	struct ph_slice name;
	bool raw = false;
	struct ph_buf buf;

	if (wire.n > MAILBOX_NAME_MAX)
		return false;
	for (size_t i = 0; i < wire.n; i++)
		raw = raw || (unsigned char)wire.p[i] >= 0x80;
	ph_buf_init(&buf, arena, MAILBOX_NAME_MAX);
	if (raw && memchr(wire.p, '&', wire.n) != NULL)
		return false;
	if (!decode_shifts(&buf, wire) || buf.full)
		return false;
	name = ph_buf_content(&buf);
	if (!is_clean_utf8(name))
		return false;
	if (!raw && !ph_slice_eq(mutf7_encode(arena, name), wire))
		return false;
	if (ph_slice_eq_nocase(name, PH_LIT("INBOX")))
		name = PH_LIT("INBOX");
	*name_out = name;
	return true;
}
