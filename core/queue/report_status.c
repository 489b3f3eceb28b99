/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_status.c - the part of a report that programs read (RFC 3464 s2.1,
 * RFC 6533 s4.1): fields of the message, then a group for each recipient.
 *
 * Everybody concerned is named, with what became of him. What was said of him
 * is there while it leaves room for those that follow.
 */
#include <stdio.h>

#include <posthouse/transport.h>

#include "mail/octet.h"
#include "queue/report_text.h"

enum {
	RECIPIENT_MAX = 4096, /* octets of a group */
	STATUS_NUMBER_MAX = 999,
	STATUS_TEXT_MAX = 16,
};

const char *
report_outcome(const struct report *report, size_t i)
{
	if (report->action == REPORT_EXPANDED)
		return "expanded";
	if (report->action != REPORT_DELIVERED)
		return report->action == REPORT_FAILED ? "failed" : "delayed";
	return report->onward != NULL &&
	    report->onward[i] == PH_ONWARD_SILENT ? "relayed" : "delivered";
}

void
report_put_in_charset(struct ph_slice words, bool is_utf8, struct ph_buf *buf)
{
	bool as_it_is = is_utf8 && utf8_is_valid(words);

	for (size_t i = 0; i < words.n; i++)
		ph_buf_char(buf, !as_it_is &&
		    (unsigned char)words.p[i] >= 0x80 ? '?' : words.p[i]);
}

/* --- what was said --- */

void
report_put_said(const struct queue_recipient *r, bool is_utf8,
    struct ph_buf *buf)
{
	const struct reply *said = r->said->reply;

	if (said->code != 0 && r->user == NULL)
		ph_buf_printf(buf, "%d ", said->code);
	if (said->code != 0 && r->user == NULL && said->enhanced != NULL)
		ph_buf_printf(buf, "%s ", said->enhanced);
	report_put_in_charset(ph_slice_str(said->reason), is_utf8, buf);
}

/* RFC 3464 s2.3.5, s9.1: who took part as an MTA, and has a name in DNS or an
 * address. Programs, sockets and mailboxes are none. */
static void
put_remote(const struct queue_recipient *r, struct ph_buf *buf)
{
	struct ph_slice host = ph_slice_str(said_host(r->said));
	struct ph_addr addr;

	if (host.p == NULL || r->user != NULL)
		return;
	if (ph_addr_parse(host, &addr))
		ph_buf_printf(buf, "Remote-MTA: dns; [%s" PH_SLICE_FMT "]\r\n",
		    addr.family == 6 ? "IPv6:" : "", PH_SLICE_ARG(host));
	else if (ph_domain_is_valid(host))
		ph_buf_printf(buf, "Remote-MTA: dns; " PH_SLICE_FMT "\r\n",
		    PH_SLICE_ARG(host));
}

/* RFC 3464 s2.3.6: "smtp" is what a server said, in its own words. */
static void
put_diagnostic(const struct text *text, const struct queue_recipient *r,
    struct ph_buf *buf)
{
	const struct reply *said = r->said->reply;

	if (said->reason == NULL)
		return;
	ph_buf_printf(buf, "Diagnostic-Code: %s; ",
	    said->code != 0 && r->user == NULL ? "smtp" : "X-Posthouse");
	report_put_said(r, text->is_utf8, buf);
	ph_buf_str(buf, "\r\n");
}

/* --- status --- */

/* status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT, without leading zeros, though
 * servers say them. False: it is none. */
static bool
format_status(const char *enhanced, char text[STATUS_TEXT_MAX])
{
	struct ph_slice rest = ph_slice_str(enhanced);
	struct ph_slice part[2];
	uint64_t number[2];

	if (rest.n < 5 || rest.p[0] < '2' || rest.p[0] > '5' ||
	    rest.p[1] != '.')
		return false;
	rest.p += 2;
	rest.n -= 2;
	part[0] = ph_slice_cut(&rest, '.');
	part[1] = rest;
	for (unsigned i = 0; i < 2; i++)
		if (part[i].p == NULL || !ph_slice_number(part[i],
		        STATUS_NUMBER_MAX, &number[i]))
			return false;
	snprintf(text, STATUS_TEXT_MAX, "%c.%u.%u", enhanced[0],
	    (unsigned)number[0], (unsigned)number[1]);
	return true;
}

/*
 * RFC 3464 s2.3.4, RFC 3461 s6.3: what fits the action, and where nothing is
 * known but a class, that alone. What failed after a reply for now was tried
 * long enough (4.4.7); what is delayed without any reached nobody (4.4.1).
 */
static const char *
status_of(const struct report *report, const struct queue_recipient *r,
    char room[STATUS_TEXT_MAX])
{
	const struct reply *said = r->said->reply;
	char class = said->enhanced != NULL &&
	    format_status(said->enhanced, room) ? room[0] : '\0';

	switch (report->action) {
	case REPORT_DELIVERED:
	case REPORT_EXPANDED:
		return class == '2' ? room : "2.0.0";
	case REPORT_DELAYED:
		return class == '4' ? room :
		    said->code == 0 ? "4.4.1" : "4.0.0";
	default:
		return class == '4' || class == '5' ? room :
		    said->code / 100 == 4 ? "4.4.7" : "5.0.0";
	}
}

/* --- addresses --- */

static void
put_utf8_address(const struct text *text, const char *field,
    struct ph_slice address, struct ph_buf *buf)
{
	struct ph_slice shown = text->is_utf8 && utf8_is_valid(address) ?
	    address : ph_unitext_encode(text->arena, address, false);

	if (shown.p != NULL)
		ph_buf_printf(buf, "%s: utf-8; " PH_SLICE_FMT "\r\n", field,
		    PH_SLICE_ARG(shown));
	else
		ph_buf_printf(buf, "%s: x-unknown; ?\r\n", field);
}

/* The value of ORCPT, without the encoding that it travelled in. */
static void
put_original(const struct text *text, const char *orcpt, struct ph_buf *buf)
{
	struct ph_slice rest = ph_slice_str(orcpt);
	struct ph_slice type = ph_slice_cut(&rest, ';');

	if (rest.p == NULL)
		return;
	if (ph_slice_eq_nocase(type, PH_LIT("utf-8"))) {
		put_utf8_address(text, "Original-Recipient",
		    ph_unitext_decode(text->arena, rest), buf);
		return;
	}
	rest = ph_xtext_decode(text->arena, rest);
	if (!octet_any_high(rest))
		ph_buf_printf(buf, "Original-Recipient: " PH_SLICE_FMT "; "
		    PH_SLICE_FMT "\r\n", PH_SLICE_ARG(type),
		    PH_SLICE_ARG(rest));
}

/* --- a recipient --- */

/* Without the fields that may be left out where there is no room for them. */
static void
put_least(const struct text *text, size_t i, struct ph_buf *buf)
{
	const struct queue_recipient *r = &text->report->about->recipients[i];
	struct ph_slice address = ph_path_format(text->arena,
	    ph_slice_str(r->address));
	char room[STATUS_TEXT_MAX];

	if (!octet_any_high(address))
		ph_buf_printf(buf, "Final-Recipient: rfc822; " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(address));
	else
		put_utf8_address(text, "Final-Recipient", address, buf);
	ph_buf_printf(buf, "Action: %s\r\nStatus: %s\r\n",
	    report_outcome(text->report, i),
	    status_of(text->report, r, room));
}

static void
put_all(const struct text *text, size_t i, const struct values *values,
    struct ph_buf *buf)
{
	const struct report *report = text->report;
	const struct queue_recipient *r = &report->about->recipients[i];
	char date[PH_DATE_MAX];

	if (r->more->orcpt != NULL)
		put_original(text, r->more->orcpt, buf);
	put_least(text, i, buf);
	put_remote(r, buf);
	put_diagnostic(text, r, buf);
	if (report->attempted != NULL && report->attempted[i]) {
		ph_date_format(ph_wall_time(), date);
		ph_buf_printf(buf, "Last-Attempt-Date: %s\r\n", date);
	}
	if (report->action == REPORT_DELAYED)
		ph_buf_printf(buf, "Will-Retry-Until: %s\r\n",
		    values->expiry);
}

/* Octets that are kept free for the recipients from this one on. */
static size_t
reserve_for(const struct text *text, size_t from)
{
	const struct entry *about = text->report->about;
	size_t reserve = 0;

	for (size_t i = from; i < about->recipient_count; i++) {
		struct ph_buf buf;

		if (!text->report->concerned[i])
			continue;
		ph_buf_init(&buf, text->arena, RECIPIENT_MAX);
		put_least(text, i, &buf);
		reserve += buf.n + 2;
	}
	return reserve;
}

static void
put_recipients(const struct text *text, const struct values *values,
    size_t limit, struct ph_buf *buf)
{
	const struct report *report = text->report;
	size_t reserve = reserve_for(text, 0);

	for (size_t i = 0; i < report->about->recipient_count; i++) {
		struct ph_buf all, least;

		if (!report->concerned[i])
			continue;
		ph_buf_init(&all, text->arena, RECIPIENT_MAX);
		ph_buf_init(&least, text->arena, RECIPIENT_MAX);
		put_all(text, i, values, &all);
		put_least(text, i, &least);
		reserve -= least.n + 2;
		if (buf->n + all.n + 2 + reserve <= limit && !all.full)
			ph_buf_slice(buf, ph_buf_content(&all));
		else if (buf->n + least.n + 2 <= limit)
			ph_buf_slice(buf, ph_buf_content(&least));
		else
			return; /* 100 times 320 octets, written as \x{..} */
		ph_buf_str(buf, "\r\n");
	}
}

/* --- the message --- */

static void
put_message(const struct text *text, const struct values *values,
    struct ph_buf *buf)
{
	const struct report *report = text->report;
	struct ph_slice envid = fact_of(report->facts, "envid");
	struct ph_slice release = fact_of(report->facts, "future_release");

	if (envid.p != NULL)
		envid = ph_xtext_decode(text->arena, envid);
	if (envid.p != NULL && !octet_any_high(envid))
		ph_buf_printf(buf, "Original-Envelope-Id: " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(envid));
	ph_buf_printf(buf, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n",
	    text->hostname, values->arrival);
	if (release.p != NULL && !octet_any_high(release)) /* RFC 4865 */
		ph_buf_printf(buf, "Future-Release-Request: " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(release));
	ph_buf_printf(buf, "X-Posthouse-Queue-Id: %s\r\n\r\n",
	    entry_name(report->about));
}

void
report_put_status(struct text *text, const struct values *values, size_t limit)
{
	struct ph_slice all;
	struct ph_buf buf;
	bool is_global;

	ph_buf_init(&buf, text->arena, limit);
	put_message(text, values, &buf);
	put_recipients(text, values, limit, &buf);
	all = ph_buf_content(&buf);
	is_global = octet_any_high(all);
	ph_buf_printf(&text->body, "--%s\r\nContent-Type: message/%s\r\n%s"
	    "\r\n", text->boundary,
	    is_global ? "global-delivery-status" : "delivery-status",
	    is_global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	ph_buf_slice(&text->body, all);
}
