/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - Maildir++ names. A mailbox A/B is the folder ".A.B"; what would be
 * read otherwise is written %XX, so that every name we take has one folder and
 * no name leads out of the Maildir.
 */
#include "names.h"

static const char hex_digits[] = "0123456789ABCDEF";

/* --- UTF-8, RFC 3629 --- */

static size_t
utf8_length(struct ph_slice s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

	for (size_t n = 1; n <= 4; n++) {
		unsigned char first = (unsigned char)s.p[0];
		uint32_t code;

		if ((first & forms[n - 1].mask) != forms[n - 1].lead)
			continue;
		if (n > s.n)
			return 0;
		code = first & (uint32_t)(unsigned char)~forms[n - 1].mask;
		for (size_t i = 1; i < n; i++) {
			if (((unsigned char)s.p[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
		}
		return code < forms[n - 1].least || code > 0x10ffff ||
		        (code >= 0xd800 && code <= 0xdfff) ?
		    0 : n;
	}
	return 0;
}

static bool
is_utf8(struct ph_slice s)
{
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

/* --- mailboxes --- */

static bool
component_is_sound(struct ph_slice part)
{
	return part.n > 0 && !ph_slice_eq(part, PH_LIT(".")) &&
	    !ph_slice_eq(part, PH_LIT(".."));
}

int
name_canonical(struct ph_arena *arena, struct ph_slice name,
    struct ph_slice *name_out)
{
	struct ph_slice rest = name, first = { NULL, 0 }, copy;

	if (name.n == 0 || name.n > NAME_OCTETS_MAX ||
	    memchr(name.p, '\0', name.n) != NULL || !is_utf8(name))
		return PH_INVALID;
	while (rest.p != NULL) {
		struct ph_slice part = ph_slice_cut(&rest, '/');

		if (!component_is_sound(part))
			return PH_INVALID;
		if (first.p == NULL)
			first = part;
	}
	copy = ph_arena_slice(arena, name);
	if (ph_slice_eq_nocase(first, PH_LIT("INBOX")))
		memcpy((char *)(uintptr_t)copy.p, "INBOX", 5);
	*name_out = copy;
	return PH_OK;
}

bool
name_is_inbox(struct ph_slice name)
{
	return ph_slice_eq_nocase(name, PH_LIT("INBOX"));
}

static void
add_escaped(struct ph_buf *buf, unsigned char c)
{
	ph_buf_char(buf, '%');
	ph_buf_char(buf, hex_digits[c >> 4]);
	ph_buf_char(buf, hex_digits[c & 15]);
}

int
name_to_folder(struct ph_arena *arena, struct ph_slice name,
    const char **folder_out)
{
	struct ph_buf buf;
	bool at_start = true;

	if (ph_slice_eq(name, PH_LIT("INBOX"))) {
		*folder_out = "";
		return PH_OK;
	}
	ph_buf_init(&buf, arena, FOLDER_OCTETS_MAX + 1);
	ph_buf_char(&buf, '.');
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == '/')
			ph_buf_char(&buf, '.');
		else if (c == '.' || c == '%' || c < ' ' || c == 0x7f ||
		    (c == '~' && at_start))
			add_escaped(&buf, c);
		else
			ph_buf_char(&buf, (char)c);
		at_start = c == '/';
	}
	ph_buf_char(&buf, '\0');
	if (buf.full)
		return PH_INVALID;
	*folder_out = buf.p;
	return PH_OK;
}

static int
hex_value(char c)
{
	const char *at = c != '\0' ? strchr(hex_digits, c) : NULL;

	return at != NULL ? (int)(at - hex_digits) : -1;
}

int
name_from_folder(struct ph_arena *arena, const char *folder,
    struct ph_slice *name_out)
{
	struct ph_slice name;
	const char *back;
	struct ph_buf buf;

	if (folder[0] != '.' || strlen(folder) > FOLDER_OCTETS_MAX)
		return PH_INVALID;
	ph_buf_init(&buf, arena, FOLDER_OCTETS_MAX);
	for (const char *at = folder + 1; *at != '\0'; at++) {
		if (*at == '%') {
			int high = hex_value(at[1]);
			int low = high >= 0 ? hex_value(at[2]) : -1;

			if (low < 0)
				return PH_INVALID;
			ph_buf_char(&buf, (char)(high << 4 | low));
			at += 2;
		} else {
			ph_buf_char(&buf, *at == '.' ? '/' : *at);
		}
	}
	if (name_canonical(arena, ph_buf_content(&buf), &name) != PH_OK ||
	    name_to_folder(arena, name, &back) != PH_OK ||
	    strcmp(back, folder) != 0)
		return PH_INVALID;
	*name_out = name;
	return PH_OK;
}

/* --- users --- */

/* One folder of a user's path: no way up, nothing hidden, no separator. */
static int
add_user_part(struct ph_buf *path, struct ph_slice part)
{
	size_t start = path->n;

	if (part.n == 0 || memchr(part.p, '\0', part.n) != NULL)
		return PH_INVALID;
	for (size_t i = 0; i < part.n; i++) {
		unsigned char c = (unsigned char)part.p[i];

		if (c == '/' || c == '%' || c < ' ' || c == 0x7f ||
		    ((c == '.' || c == '~') && i == 0))
			add_escaped(path, c);
		else
			ph_buf_char(path, (char)c);
	}
	return path->n - start > FOLDER_OCTETS_MAX ? PH_INVALID : PH_OK;
}

int
name_user_folder(struct ph_arena *arena, struct ph_slice user,
    const char **folder_out)
{
	const char *at = user.n > 0 ? memrchr(user.p, '@', user.n) : NULL;
	struct ph_slice local, domain;
	struct ph_buf path;
	int status;

	if (at == NULL)
		return PH_INVALID;
	local = (struct ph_slice){ user.p, (size_t)(at - user.p) };
	domain = (struct ph_slice){ at + 1, user.n - local.n - 1 };
	ph_buf_init(&path, arena, 2 * (FOLDER_OCTETS_MAX + 8));
	status = add_user_part(&path, domain);
	ph_buf_char(&path, '/');
	if (status == PH_OK)
		status = add_user_part(&path, local);
	ph_buf_add(&path, "/Maildir", sizeof("/Maildir"));
	if (status == PH_OK && path.full)
		status = PH_INVALID;
	if (status == PH_OK)
		*folder_out = path.p;
	return status;
}

unsigned
name_partition(struct ph_slice user, unsigned partitions)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < user.n; i++) {
		hash ^= (uint8_t)user.p[i];
		hash *= 16777619u;
	}
	return partitions > 0 ? hash % partitions : 0;
}

/* --- message files --- */

static const struct {
	char letter;
	uint32_t flag;
} flag_letters[] = { { 'D', PH_DRAFT }, { 'F', PH_FLAGGED },
	{ 'R', PH_ANSWERED }, { 'S', PH_SEEN }, { 'T', PH_DELETED } };

enum { FLAG_LETTERS = sizeof(flag_letters) / sizeof(flag_letters[0]) };

size_t
file_base_n(struct ph_slice file)
{
	const char *colon = file.n > 0 ? memchr(file.p, ':', file.n) : NULL;

	return colon != NULL ? (size_t)(colon - file.p) : file.n;
}

/* The letters of ":2,letters"; empty when the name ends otherwise. */
static struct ph_slice
file_letters(struct ph_slice file)
{
	size_t base_n = file_base_n(file);

	if (file.n < base_n + 3 || memcmp(file.p + base_n, ":2,", 3) != 0)
		return PH_LIT("");
	return (struct ph_slice){ file.p + base_n + 3, file.n - base_n - 3 };
}

uint32_t
file_flags(struct ph_slice file)
{
	struct ph_slice letters = file_letters(file);
	uint32_t flags = 0;

	for (size_t i = 0; i < FLAG_LETTERS; i++)
		if (letters.n > 0 &&
		    memchr(letters.p, flag_letters[i].letter, letters.n))
			flags |= flag_letters[i].flag;
	return flags;
}

int
file_with_flags(struct ph_arena *arena, struct ph_slice base, uint32_t flags,
    struct ph_slice was, struct ph_slice *file_out)
{
	struct ph_slice letters = file_letters(was);
	bool set[128] = { false };
	struct ph_buf buf;

	for (size_t i = 0; i < letters.n; i++) {
		unsigned char c = (unsigned char)letters.p[i];

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
			set[c] = true;
	}
	for (size_t i = 0; i < FLAG_LETTERS; i++)
		set[(unsigned char)flag_letters[i].letter] =
		    (flags & flag_letters[i].flag) != 0;
	ph_buf_init(&buf, arena, FOLDER_OCTETS_MAX);
	ph_buf_slice(&buf, base);
	ph_buf_str(&buf, ":2,");
	for (char c = 'A'; c <= 'z'; c++)
		if (set[(unsigned char)c])
			ph_buf_char(&buf, c);
	if (buf.full)
		return PH_TOO_BIG;
	*file_out = ph_buf_content(&buf);
	return PH_OK;
}

bool
file_size_in_name(struct ph_slice file, uint64_t *size_out)
{
	struct ph_slice base = { file.p, file_base_n(file) };
	const char *at = memmem(base.p, base.n, ",S=", 3);
	struct ph_slice rest;

	if (at == NULL)
		return false;
	rest = (struct ph_slice){ at + 3,
		base.n - (size_t)(at + 3 - base.p) };
	return ph_slice_number(ph_slice_cut(&rest, ','), UINT64_MAX, size_out);
}

static const char ours_mark[] = ".posthouse,S=";

/* "<seconds>.Q..." or "<seconds>.E...", in the base. */
static bool
take_ours(struct ph_slice base, int64_t *time_out, char *kind_out)
{
	struct ph_slice rest = base, seconds = ph_slice_cut(&rest, '.');
	uint64_t number;

	if (rest.p == NULL || rest.n == 0 ||
	    (rest.p[0] != 'Q' && rest.p[0] != 'E') ||
	    memmem(rest.p, rest.n, ours_mark, sizeof(ours_mark) - 1) == NULL ||
	    !ph_slice_number(seconds, INT64_MAX, &number))
		return false;
	*time_out = (int64_t)number;
	*kind_out = rest.p[0];
	return true;
}

bool
file_is_ours(struct ph_slice file, int64_t *time_out)
{
	struct ph_slice base = { file.p, file_base_n(file) };
	char kind;

	return take_ours(base, time_out, &kind);
}

bool
file_is_delivery(struct ph_slice file)
{
	struct ph_slice base = { file.p, file_base_n(file) };
	int64_t time;
	char kind;

	return take_ours(base, &time, &kind) && kind == 'Q';
}

size_t
file_key_n(struct ph_slice file)
{
	size_t base_n = file_base_n(file);
	const char *mark = file_is_delivery(file) ?
	    memmem(file.p, base_n, ours_mark, sizeof(ours_mark) - 1) : NULL;

	return mark != NULL ?
	    (size_t)(mark - file.p) + sizeof(ours_mark) - sizeof(",S=") : base_n;
}
