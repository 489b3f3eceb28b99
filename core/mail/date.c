/* SPDX-License-Identifier: Apache-2.0 */
/*
 * date.c - dates of header fields, RFC 5322 s3.3 with s4.3. Own arithmetic:
 * no locale, no time zone of the machine.
 */
#include <posthouse/mail.h>

#include <stdio.h>

#include "mail/octet.h"

static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
	"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };

/* RFC 5322 s4.3; single letters are "-0000" in effect. */
static const struct {
	char name[4];
	int hours;
} zone_names[] = { { "UT", 0 }, { "UTC", 0 }, { "GMT", 0 }, { "EST", -5 },
	{ "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 },
	{ "MDT", -6 }, { "PST", -8 }, { "PDT", -7 } };

static const int64_t year_1 = -62135596800, year_9999 = 253402300799;

/* Days from 1970-01-01 of a date of the Gregorian calendar, year 0 and up. */
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

void
ph_date_format(int64_t wall_time, char text[PH_DATE_MAX])
{
	int64_t days, seconds, z, era, in_era, y, in_year, m;
	int day, month, year;

	if (wall_time < year_1)
		wall_time = year_1;
	if (wall_time > year_9999)
		wall_time = year_9999;
	days = wall_time / 86400;
	seconds = wall_time % 86400;
	if (seconds < 0) {
		seconds += 86400;
		days--;
	}
	z = days + 719468;
	era = z / 146097;
	in_era = z - era * 146097;
	y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	in_year = in_era - (365 * y + y / 4 - y / 100);
	m = (5 * in_year + 2) / 153;
	day = (int)(in_year - (153 * m + 2) / 5) + 1;
	month = (int)(m < 10 ? m + 3 : m - 9);
	year = (int)(y + era * 400 + (month <= 2));
	snprintf(text, PH_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d +0000",
	    day_names[((days + 4) % 7 + 7) % 7], day, month_names[month - 1],
	    year, (int)(seconds / 3600), (int)(seconds / 60 % 60),
	    (int)(seconds % 60));
}

struct date_parser {
	struct ph_slice text;
	size_t at;
};

static int
peek(const struct date_parser *p)
{
	return p->at < p->text.n ? (unsigned char)p->text.p[p->at] : -1;
}

static void
skip_cfws(struct date_parser *p)
{
	size_t depth = 0;

	for (; p->at < p->text.n; p->at++) {
		int c = peek(p);

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0)
			p->at++;
		else if (depth == 0 && !octet_is_blank(c))
			break;
	}
	if (p->at > p->text.n)
		p->at = p->text.n;
}

static bool
skip_char(struct date_parser *p, char c)
{
	skip_cfws(p);
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

/* min..max digits; the count of digits, or 0. */
static size_t
take_number(struct date_parser *p, size_t min, size_t max, int *number_out)
{
	size_t n = 0;
	int number = 0;

	skip_cfws(p);
	while (n < max && octet_is_digit(peek(p))) {
		number = number * 10 + peek(p) - '0';
		p->at++;
		n++;
	}
	if (n < min || octet_is_digit(peek(p)))
		return 0;
	*number_out = number;
	return n;
}

static struct ph_slice
take_word(struct date_parser *p)
{
	size_t start;

	skip_cfws(p);
	start = p->at;
	while (octet_is_alpha(peek(p)))
		p->at++;
	return (struct ph_slice){ p->text.p + start, p->at - start };
}

static bool
take_month(struct date_parser *p, int *month_out)
{
	struct ph_slice word = take_word(p);

	for (int i = 0; i < 12; i++) {
		if (ph_slice_eq_nocase(word, ph_slice_str(month_names[i]))) {
			*month_out = i + 1;
			return true;
		}
	}
	return false;
}

/* zone = ( "+" / "-" ) 4DIGIT / obs-zone; none at all counts as UTC. */
static bool
take_zone(struct date_parser *p, int *minutes_out)
{
	struct ph_slice word;
	int number, sign;

	skip_cfws(p);
	if (peek(p) == '+' || peek(p) == '-') {
		sign = peek(p) == '-' ? -1 : 1;
		p->at++;
		if (!octet_is_digit(peek(p)) ||
		    take_number(p, 4, 4, &number) == 0 || number % 100 > 59)
			return false;
		*minutes_out = sign * (number / 100 * 60 + number % 100);
		return true;
	}
	*minutes_out = 0;
	word = take_word(p);
	for (size_t i = 0; i < sizeof(zone_names) / sizeof(zone_names[0]); i++)
		if (ph_slice_eq_nocase(word, ph_slice_str(zone_names[i].name)))
			*minutes_out = zone_names[i].hours * 60;
	return true;
}

static int
full_year(int year, size_t digits)
{
	if (digits == 2)
		return year + (year < 50 ? 2000 : 1900);
	return digits == 3 ? year + 1900 : year;
}

static int
month_days(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

bool
ph_date_parse(struct ph_slice text, int64_t *wall_time_out,
    int *zone_minutes_out)
{
	struct date_parser p = { text, 0 };
	int day, month, year, hour, minute, second = 0, zone;
	size_t digits;

	skip_cfws(&p);
	if (octet_is_alpha(peek(&p))) {
		take_word(&p);
		skip_char(&p, ',');
	}
	if (take_number(&p, 1, 2, &day) == 0 || !take_month(&p, &month))
		return false;
	digits = take_number(&p, 2, 4, &year);
	if (digits == 0 || take_number(&p, 1, 2, &hour) == 0 ||
	    !skip_char(&p, ':') || take_number(&p, 1, 2, &minute) == 0)
		return false;
	if (skip_char(&p, ':') && take_number(&p, 1, 2, &second) == 0)
		return false;
	if (!take_zone(&p, &zone))
		return false;
	year = full_year(year, digits);
	if (day < 1 || day > month_days(year, month) || hour > 23 ||
	    minute > 59 || second > 60)
		return false;
	*wall_time_out = days_from_date(year, month, day) * 86400 +
	    hour * 3600 + minute * 60 + second - zone * 60;
	*zone_minutes_out = zone;
	return true;
}
