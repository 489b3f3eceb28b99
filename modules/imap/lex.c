/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex.c - see lex.h. Strict where the grammar protects us (controls, NUL,
 * brackets), lenient where clients are known to be careless (UTF-8 in strings,
 * blanks at the end).
 */
#include "lex.h"

#include <posthouse/mailbox.h>

#include "mutf7.h"

enum { TAG_MAX = 64 };

int
lex_peek(const struct lex *lex)
{
	return lex->at < lex->text.n ? (unsigned char)lex->text.p[lex->at] :
	                               -1;
}

bool
lex_char(struct lex *lex, char c)
{
	if (lex_peek(lex) != (unsigned char)c)
		return false;
	lex->at++;
	return true;
}

bool
lex_space(struct lex *lex)
{
	return lex_char(lex, ' ');
}

bool
lex_end(struct lex *lex)
{
	while (lex_peek(lex) == ' ')
		lex->at++;
	return lex->at >= lex->text.n;
}

/* atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards /
 * quoted-specials / resp-specials */
static bool
is_atom_char(int c)
{
	return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

static bool
is_astring_char(int c)
{
	return is_atom_char(c) || c == ']' || c >= 0x80;
}

static bool
is_list_char(int c)
{
	return is_astring_char(c) || c == '%' || c == '*';
}

static bool
is_tag_char(int c)
{
	return (is_atom_char(c) || c == ']') && c != '+';
}

static bool
is_set_char(int c)
{
	return (c >= '0' && c <= '9') || c == ':' || c == ',' || c == '*';
}

static bool
take_while(struct lex *lex, bool (*is_in)(int), struct ph_slice *out)
{
	size_t start = lex->at;

	while (is_in(lex_peek(lex)))
		lex->at++;
	if (lex->at == start)
		return false;
	*out = (struct ph_slice){ lex->text.p + start, lex->at - start };
	return true;
}

bool
lex_tag(struct lex *lex, struct ph_slice *tag_out)
{
	size_t start = lex->at;

	if (take_while(lex, is_tag_char, tag_out) && tag_out->n <= TAG_MAX)
		return true;
	lex->at = start;
	return false;
}

bool
lex_atom(struct lex *lex, struct ph_slice *atom_out)
{
	return take_while(lex, is_atom_char, atom_out);
}

static bool
is_item_char(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z') || c == '.';
}

bool
lex_item(struct lex *lex, struct ph_slice *item_out)
{
	return take_while(lex, is_item_char, item_out);
}

bool
lex_word(struct lex *lex, const char *word)
{
	size_t start = lex->at;
	struct ph_slice atom;

	if (lex_atom(lex, &atom) &&
	    ph_slice_eq_nocase(atom, ph_slice_str(word)))
		return true;
	lex->at = start;
	return false;
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE */
static bool
take_quoted(struct lex *lex, struct ph_slice *out)
{
	size_t start = lex->at, end = start + 1, n = 0;
	char *p;

	for (;; end++) {
		char c;

		if (end >= lex->text.n)
			return false;
		c = lex->text.p[end];
		if (c == '"')
			break;
		if (c == '\\' && (++end >= lex->text.n ||
		                     (lex->text.p[end] != '"' &&
		                         lex->text.p[end] != '\\')))
			return false;
		if (c == '\0' || c == '\r' || c == '\n')
			return false;
	}
	p = ph_arena_alloc(lex->arena, end - start);
	for (size_t i = start + 1; i < end; i++) {
		i += lex->text.p[i] == '\\';
		p[n++] = lex->text.p[i];
	}
	lex->at = end + 1;
	*out = (struct ph_slice){ p, n };
	return true;
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8 */
static bool
take_literal(struct lex *lex, struct ph_slice *out)
{
	size_t start = lex->at;
	uint64_t n;

	lex->at++;
	if (!lex_number(lex, UINT32_MAX, &n))
		goto no;
	lex_char(lex, '+');
	if (!lex_char(lex, '}') || !lex_char(lex, '\r') || !lex_char(lex, '\n'))
		goto no;
	if (n > lex->text.n - lex->at ||
	    memchr(lex->text.p + lex->at, '\0', n) != NULL)
		goto no;
	*out = (struct ph_slice){ lex->text.p + lex->at, n };
	lex->at += n;
	return true;
no:
	lex->at = start;
	return false;
}

bool
lex_string(struct lex *lex, struct ph_slice *string_out)
{
	if (lex_peek(lex) == '"')
		return take_quoted(lex, string_out);
	if (lex_peek(lex) == '{')
		return take_literal(lex, string_out);
	return false;
}

bool
lex_astring(struct lex *lex, struct ph_slice *string_out)
{
	return lex_string(lex, string_out) ||
	    take_while(lex, is_astring_char, string_out);
}

bool
lex_nil(struct lex *lex)
{
	return lex_word(lex, "NIL");
}

bool
lex_pattern(struct lex *lex, struct ph_slice *pattern_out)
{
	return lex_string(lex, pattern_out) ||
	    take_while(lex, is_list_char, pattern_out);
}

bool
lex_mailbox(struct lex *lex, struct ph_slice *name_out)
{
	size_t start = lex->at;
	struct ph_slice wire;

	if (lex_astring(lex, &wire) &&
	    mutf7_decode(lex->arena, wire, name_out))
		return true;
	lex->at = start;
	return false;
}

bool
lex_number(struct lex *lex, uint64_t max, uint64_t *number_out)
{
	size_t end = lex->at;
	struct ph_slice digits;

	while (end < lex->text.n && lex->text.p[end] >= '0' &&
	    lex->text.p[end] <= '9')
		end++;
	digits = (struct ph_slice){ lex->text.p + lex->at, end - lex->at };
	if (!ph_slice_number(digits, max, number_out))
		return false;
	lex->at = end;
	return true;
}

bool
lex_set_text(struct lex *lex, struct ph_slice *text_out)
{
	return take_while(lex, is_set_char, text_out);
}

/* --- dates --- */

static bool
take_month(struct lex *lex, int64_t *month_out)
{
	static const char names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	for (int i = 0; i < 12; i++) {
		struct ph_slice word = { lex->text.p + lex->at, 3 };

		if (lex->text.n - lex->at < 3)
			return false;
		if (ph_slice_eq_nocase(word, ph_slice_str(names[i]))) {
			lex->at += 3;
			*month_out = i + 1;
			return true;
		}
	}
	return false;
}

static bool
date_is_valid(int64_t year, int64_t month, int64_t day)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static int64_t
days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day -
	    1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 +
	    in_year - 719468;
}

/* [SP] 1*2DIGIT "-" 3ALPHA "-" 4DIGIT */
static bool
take_date(struct lex *lex, int64_t *day_out)
{
	uint64_t day, year;
	int64_t month;

	lex_space(lex);
	if (!lex_number(lex, 31, &day) || !lex_char(lex, '-') ||
	    !take_month(lex, &month) || !lex_char(lex, '-') ||
	    !lex_number(lex, 9999, &year) ||
	    !date_is_valid((int64_t)year, month, (int64_t)day))
		return false;
	*day_out = days_from_date((int64_t)year, month, (int64_t)day);
	return true;
}

bool
lex_date(struct lex *lex, int64_t *day_out)
{
	size_t start = lex->at;
	bool quoted = lex_char(lex, '"');
	int64_t day;

	if (take_date(lex, &day) && (!quoted || lex_char(lex, '"'))) {
		*day_out = day;
		return true;
	}
	lex->at = start;
	return false;
}

/* time SP zone: 2DIGIT ":" 2DIGIT ":" 2DIGIT SP ("+" / "-") 4DIGIT */
static bool
take_time(struct lex *lex, int64_t *seconds_out)
{
	uint64_t hour, minute, second, zone;
	int64_t offset;
	bool west;

	if (!lex_number(lex, 23, &hour) || !lex_char(lex, ':') ||
	    !lex_number(lex, 59, &minute) || !lex_char(lex, ':') ||
	    !lex_number(lex, 60, &second) || !lex_space(lex))
		return false;
	west = lex_peek(lex) == '-';
	if ((!west && lex_peek(lex) != '+') || lex->text.n - lex->at < 5)
		return false;
	lex->at++;
	if (!lex_number(lex, 9959, &zone) || zone % 100 > 59)
		return false;
	offset = (int64_t)(zone / 100 * 3600 + zone % 100 * 60);
	*seconds_out = (int64_t)(hour * 3600 + minute * 60 + second) -
	    (west ? -offset : offset);
	return true;
}

bool
lex_date_time(struct lex *lex, int64_t *time_out)
{
	size_t start = lex->at;
	int64_t day, seconds;

	if (lex_char(lex, '"') && take_date(lex, &day) && lex_space(lex) &&
	    take_time(lex, &seconds) && lex_char(lex, '"')) {
		*time_out = day * 86400 + seconds;
		return true;
	}
	lex->at = start;
	return false;
}

/* --- flags --- */

static bool
system_flag(struct ph_slice name, uint32_t *flag_out)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} flags[] = { { "Seen", PH_SEEN }, { "Answered", PH_ANSWERED },
		{ "Flagged", PH_FLAGGED }, { "Deleted", PH_DELETED },
		{ "Draft", PH_DRAFT }, { "Recent", 0 } };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (ph_slice_eq_nocase(name, ph_slice_str(flags[i].name))) {
			*flag_out = flags[i].flag;
			return true;
		}
	}
	return false;
}

/* flag = "\Answered" ... / flag-keyword; \Recent is taken and ignored: some
 * clients store back what they were shown. */
static bool
take_flag(struct lex *lex, struct flag_list *list, struct ph_slice *keywords)
{
	bool is_system = lex_char(lex, '\\');
	struct ph_slice atom;
	uint32_t flag;

	if (!lex_atom(lex, &atom))
		return false;
	if (is_system) {
		if (!system_flag(atom, &flag))
			return false;
		list->flags |= flag;
		return true;
	}
	if (atom.n > KEYWORD_LENGTH_MAX)
		return false;
	for (size_t i = 0; i < list->keyword_count; i++)
		if (ph_slice_eq_nocase(keywords[i], atom))
			return true;
	if (list->keyword_count == KEYWORDS_MAX)
		return false;
	keywords[list->keyword_count++] = atom;
	return true;
}

bool
lex_flags(struct lex *lex, bool bare, struct flag_list *flags_out)
{
	struct ph_slice *keywords = ph_arena_array(lex->arena, KEYWORDS_MAX,
	    sizeof(*keywords));
	struct flag_list list = { .keywords = keywords };
	size_t start = lex->at;
	bool bracket = lex_char(lex, '(');

	if (!bracket && !bare)
		return false;
	if (bracket && lex_char(lex, ')')) {
		*flags_out = list;
		return true;
	}
	do {
		if (!take_flag(lex, &list, keywords))
			goto no;
	} while (lex_space(lex));
	if (bracket && !lex_char(lex, ')'))
		goto no;
	*flags_out = list;
	return true;
no:
	lex->at = start;
	return false;
}
