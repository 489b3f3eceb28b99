/* SPDX-License-Identifier: Apache-2.0 */
/*
 * future_release.c - FUTURERELEASE (RFC 4865): a user hands in a message now
 * that is to leave later. The queue keeps it like any other, and its first
 * attempt waits.
 */
#include "future_release.h"

#include <stdio.h>
#include <time.h>

#include "conversation.h"

enum { UTC_TEXT = 32 };

bool
smtp_hold_for_parse(struct ph_slice text, int64_t *seconds_out)
{
	uint64_t seconds;

	if (text.n > 9 || !ph_slice_number(text, 999999999, &seconds) ||
	    seconds == 0)
		return false;
	*seconds_out = (int64_t)seconds;
	return true;
}

/* So many digits, then this octet (0: none). */
static bool
take_digits(struct ph_slice *text, size_t n, char behind, int *out)
{
	uint64_t number;

	if (text->n < n + (behind != '\0') ||
	    !ph_slice_number((struct ph_slice){ text->p, n }, 9999, &number) ||
	    (behind != '\0' && (text->p[n] | 0x20) != (behind | 0x20)))
		return false;
	n += behind != '\0';
	text->p += n;
	text->n -= n;
	*out = (int)number;
	return true;
}

/* time-offset = "Z" / ("+" / "-") time-hour ":" time-minute, to the end */
static bool
take_offset(struct ph_slice text, int64_t *seconds_out)
{
	int hours, minutes, sign;

	if (text.n == 1 && (text.p[0] | 0x20) == 'z') {
		*seconds_out = 0;
		return true;
	}
	if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-'))
		return false;
	sign = text.p[0] == '-' ? -1 : 1;
	text.p++;
	text.n--;
	if (!take_digits(&text, 2, ':', &hours) ||
	    !take_digits(&text, 2, '\0', &minutes) || hours > 23 ||
	    minutes > 59)
		return false;
	*seconds_out = sign * (hours * 3600 + minutes * 60);
	return true;
}

static void
skip_fraction(struct ph_slice *text)
{
	size_t n = 1;

	if (text->n < 2 || text->p[0] != '.')
		return;
	while (n < text->n && text->p[n] >= '0' && text->p[n] <= '9')
		n++;
	if (n == 1)
		return;
	text->p += n;
	text->n -= n;
}

bool
smtp_hold_until_parse(struct ph_slice text, int64_t *time_out)
{
	struct tm tm = { 0 }, same;
	int64_t offset;
	time_t at;

	if (!take_digits(&text, 4, '-', &tm.tm_year) ||
	    !take_digits(&text, 2, '-', &tm.tm_mon) ||
	    !take_digits(&text, 2, 'T', &tm.tm_mday) ||
	    !take_digits(&text, 2, ':', &tm.tm_hour) ||
	    !take_digits(&text, 2, ':', &tm.tm_min) ||
	    !take_digits(&text, 2, '\0', &tm.tm_sec))
		return false;
	skip_fraction(&text);
	if (!take_offset(text, &offset) || tm.tm_year < 1970 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	if (tm.tm_sec == 60) /* a leap second: no clock of ours has one */
		tm.tm_sec = 59;
	same = tm;
	at = timegm(&same);
	if (same.tm_mon != tm.tm_mon || same.tm_mday != tm.tm_mday)
		return false; /* there is no such day */
	*time_out = (int64_t)at - offset;
	return true;
}

/* --- */

bool
smtp_future_release_is_offered(const struct smtp *c)
{
	return c->policy->submission && c->conf->future_release_ms > 0;
}

static int64_t
longest(const struct smtp *c)
{
	return c->conf->future_release_ms / 1000;
}

static void
format_utc(int64_t wall_time, char text[UTC_TEXT])
{
	const time_t at = (time_t)wall_time;
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, UTC_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* s3: the longest interval and the latest time. */
void
smtp_future_release_value(struct smtp *c, struct ph_buf *out)
{
	char text[UTC_TEXT];

	format_utc(ph_wall_time() + longest(c), text);
	ph_buf_printf(out, "%lld %s", (long long)longest(c), text);
}

bool
smtp_allow_future_release(struct smtp *c)
{
	const struct smtp_mail_args *args = &c->mail_args;
	const int64_t now = ph_wall_time();

	if (args->hold_for == 0 && args->hold_until == 0)
		return true;
	if (!smtp_future_release_is_offered(c))
		smtp_say(c, 555, "5.5.4", "unknown parameter");
	else if (args->hold_for != 0 && args->hold_until != 0)
		smtp_say(c, 501, "5.5.4", "HOLDFOR and HOLDUNTIL at once");
	else if (args->hold_for > longest(c) ||
	    args->hold_until > now + longest(c))
		smtp_say(c, 501, "5.5.4", "that is too long to hold it");
	else if (args->hold_until != 0 && args->hold_until <= now)
		smtp_say(c, 501, "5.5.4", "that time is over");
	else
		return true;
	return false;
}

/* What was asked for, as reports of the message tell it. */
static void
keep_request(struct smtp *c, const char *how, const char *value)
{
	ph_mail_set(c->mail, "future_release", ph_slice_str(ph_arena_printf(
	    ph_mail_arena(c->mail), "%s;%s", how, value)));
}

void
smtp_begin_future_release(struct smtp *c)
{
	const struct smtp_mail_args *args = &c->mail_args;
	char text[UTC_TEXT];

	if (args->hold_for != 0) {
		ph_mail_hold_until(c->mail, ph_wall_time() + args->hold_for);
		snprintf(text, sizeof(text), "%lld",
		    (long long)args->hold_for);
		keep_request(c, "for", text);
	} else if (args->hold_until != 0) {
		ph_mail_hold_until(c->mail, args->hold_until);
		format_utc(args->hold_until, text);
		keep_request(c, "until", text);
	}
}
