/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_text.c - the multipart/report that tells what became of recipients
 * (RFC 3464) as their sender wished (RFC 3461): words from a template, a part
 * that programs read, and what was sent or its header.
 *
 * Outside ASCII, RFC 6533 decides: a message that came with SMTPUTF8 has its
 * report in UTF-8, under the names of types that say so; to everybody else an
 * address is written in ASCII.
 */
#include "queue/queue.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include <posthouse/mail.h>
#include <posthouse/transport.h>

#include "mail/octet.h"
#include "queue/notice.h"

enum {
	HEADER_READ = 64 << 10,
	RETURN_HEADER_MAX = 16 << 10,
	REPORT_MAX = QUEUE_DB_INLINE_MAX,
	/* Everybody is in the report that programs read, with what was said
	 * while there is room: 100 addresses of 320 octets fit behind these. */
	WORDS_MAX = 12 << 10,
	DETAILS_MAX = 20 << 10,
	END_MAX = 256, /* the last part's header and the last boundary */
	ENCODED_WORD = 45, /* octets in one, RFC 2047 s2 */
};

static const enum notice_kind notice_of[] = {
	[REPORT_FAILED] = NOTICE_FAILURE,
	[REPORT_DELIVERED] = NOTICE_SUCCESS,
	[REPORT_DELAYED] = NOTICE_DELAY,
	[REPORT_EXPANDED] = NOTICE_SUCCESS,
};

/* A report under way. */
struct text {
	const struct report *report;
	struct ph_arena *arena;
	const char *hostname;
	bool is_utf8; /* RFC 6533: the sender understands it */
	char boundary[64];
	struct ph_buf buf;
};

/* --- the words --- */

static const char *
outcome_of(const struct report *report, size_t i)
{
	if (report->action == REPORT_EXPANDED)
		return "expanded";
	if (report->action != REPORT_DELIVERED)
		return report->action == REPORT_FAILED ? "failed" : "delayed";
	return report->onward != NULL &&
	    report->onward[i] == PH_ONWARD_SILENT ? "relayed" : "delivered";
}

static void
put_recipient_line(const struct report *report, size_t i, struct ph_buf *buf)
{
	const struct queue_recipient *r = &report->about->recipients[i];

	ph_buf_printf(buf, "  <%s>", r->address);
	if (report->action == REPORT_DELIVERED ||
	    report->action == REPORT_EXPANDED)
		ph_buf_printf(buf, ": %s", outcome_of(report, i));
	if (r->said->has_host && r->user == NULL)
		ph_buf_printf(buf, ": host %s said", r->said->host);
	if (r->said->reply->reason != NULL)
		ph_buf_printf(buf, ":\r\n    %s", r->said->reply->reason);
	ph_buf_str(buf, "\r\n\r\n");
}

static void
put_recipients(const struct report *report, struct ph_buf *buf)
{
	size_t end = buf->n + WORDS_MAX;

	for (size_t i = 0; i < report->about->recipient_count; i++) {
		if (!report->concerned[i])
			continue;
		if (buf->n > end) {
			ph_buf_str(buf, "  and others; all are named in the "
			    "next part.\r\n\r\n");
			return;
		}
		put_recipient_line(report, i, buf);
	}
}

/* What the template is filled with. */
struct values {
	const char *of[NOTICE_VARIABLES];
	char arrival[PH_DATE_MAX], expiry[PH_DATE_MAX], hours[24], days[24];
};

static void
find_values(const struct text *text, struct values *values)
{
	const struct core_queue *conf = &generation_current()->core.queue;
	const struct entry *about = text->report->about;

	ph_date_format(about->received_at, values->arrival);
	ph_date_format((int64_t)about->begun_at + conf->lifetime_ms / 1000,
	    values->expiry);
	snprintf(values->hours, sizeof(values->hours), "%.4g",
	    conf->delay_warning_ms / 3600e3);
	snprintf(values->days, sizeof(values->days), "%.4g",
	    conf->lifetime_ms / 86400e3);
	values->of[NOTICE_HOSTNAME] = text->hostname;
	values->of[NOTICE_QUEUE_ID] = ph_arena_strdup(text->arena,
	    entry_name(about));
	values->of[NOTICE_SENDER] = about->sender;
	values->of[NOTICE_ARRIVAL] = values->arrival;
	values->of[NOTICE_EXPIRY] = values->expiry;
	values->of[NOTICE_DELAY_HOURS] = values->hours;
	values->of[NOTICE_LIFETIME_DAYS] = values->days;
}

/* What is not the charset's own can't stand beside it. */
static void
put_in_charset(struct ph_slice words, bool is_utf8, struct ph_buf *buf)
{
	for (size_t i = 0; i < words.n; i++)
		ph_buf_char(buf, !is_utf8 &&
		    (unsigned char)words.p[i] >= 0x80 ? '?' : words.p[i]);
}

static void
put_words(struct text *text, const struct notice *notice,
    const struct values *values)
{
	bool is_ours = ph_slice_eq_nocase(notice->charset, PH_LIT("utf-8")) ||
	    ph_slice_eq_nocase(notice->charset, PH_LIT("us-ascii"));
	struct ph_buf words, list;

	ph_buf_init(&words, text->arena, REPORT_MAX);
	ph_buf_init(&list, text->arena, REPORT_MAX);
	notice_expand(notice->text, values->of, &words);
	put_recipients(text->report, &list);
	ph_buf_str(&words, "\r\n");
	put_in_charset(ph_buf_content(&list), is_ours, &words);
	ph_buf_printf(&text->buf, "--%s\r\nContent-Type: text/plain; charset="
	    PH_SLICE_FMT "\r\nContent-Transfer-Encoding: %s\r\n\r\n",
	    text->boundary, PH_SLICE_ARG(is_ours ? PH_LIT("utf-8") :
	                                           notice->charset),
	    !octet_any_high(ph_buf_content(&words)) ? "7bit" : "8bit");
	ph_buf_slice(&text->buf, ph_buf_content(&words));
}

/* --- what programs read --- */

/* RFC 3464 s2.3.4: a delivered message's status is 2.x.x. */
static const char *
status_of(const struct report *report, const struct queue_recipient *r)
{
	const char *enhanced = r->said->reply->enhanced;
	char class = enhanced != NULL ? enhanced[0] : '\0';

	switch (report->action) {
	case REPORT_DELIVERED:
	case REPORT_EXPANDED:
		return class == '2' ? enhanced : "2.0.0";
	case REPORT_DELAYED:
		return class == '4' ? enhanced : "4.4.1";
	default: /* 4.4.7: it was tried long enough */
		return class == '4' || class == '5' ? enhanced : "5.0.0";
	}
}

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
put_details(const struct queue_recipient *r, struct ph_buf *buf)
{
	const struct reply *said = r->said->reply;

	put_remote(r, buf);
	if (said->reason != NULL && said->code != 0 && r->user == NULL)
		ph_buf_printf(buf, "Diagnostic-Code: smtp; %d %s %s\r\n",
		    said->code, said->enhanced != NULL ? said->enhanced : "",
		    said->reason);
	else if (said->reason != NULL)
		ph_buf_printf(buf, "Diagnostic-Code: X-Posthouse; %s\r\n",
		    said->reason);
}

static void
put_recipient(const struct text *text, size_t i, const struct values *values,
    struct ph_buf *buf)
{
	const struct report *report = text->report;
	const struct queue_recipient *r = &report->about->recipients[i];
	struct ph_slice address = ph_path_format(text->arena,
	    ph_slice_str(r->address));

	if (r->more->orcpt != NULL && buf->n < DETAILS_MAX)
		put_original(text, r->more->orcpt, buf);
	if (!octet_any_high(address))
		ph_buf_printf(buf, "Final-Recipient: rfc822; " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(address));
	else
		put_utf8_address(text, "Final-Recipient", address, buf);
	ph_buf_printf(buf, "Action: %s\r\nStatus: %s\r\n",
	    outcome_of(report, i), status_of(report, r));
	if (buf->n < DETAILS_MAX)
		put_details(r, buf);
	if (report->action == REPORT_DELAYED)
		ph_buf_printf(buf, "Will-Retry-Until: %s\r\n",
		    values->expiry);
	ph_buf_str(buf, "\r\n");
}

static void
put_status(struct text *text, const struct values *values)
{
	const struct report *report = text->report;
	struct ph_slice envid = fact_of(report->facts, "envid"), all;
	struct ph_slice release = fact_of(report->facts, "future_release");
	struct ph_buf buf;
	bool is_global;

	ph_buf_init(&buf, text->arena, REPORT_MAX);
	if (envid.p != NULL)
		envid = ph_xtext_decode(text->arena, envid);
	if (envid.p != NULL && !octet_any_high(envid))
		ph_buf_printf(&buf, "Original-Envelope-Id: " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(envid));
	ph_buf_printf(&buf, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n",
	    text->hostname, values->arrival);
	if (release.p != NULL && !octet_any_high(release)) /* RFC 4865 */
		ph_buf_printf(&buf, "Future-Release-Request: " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(release));
	ph_buf_printf(&buf, "X-Queue-Id: %s\r\n\r\n",
	    entry_name(report->about));
	for (size_t i = 0; i < report->about->recipient_count; i++)
		if (report->concerned[i])
			put_recipient(text, i, values, &buf);
	all = ph_buf_content(&buf);
	is_global = text->is_utf8 && octet_any_high(all) && utf8_is_valid(all);
	ph_buf_printf(&text->buf, "--%s\r\nContent-Type: message/%s\r\n%s"
	    "\r\n", text->boundary,
	    is_global ? "global-delivery-status" : "delivery-status",
	    is_global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	put_in_charset(all, is_global, &text->buf);
}

/* --- what was sent --- */

static bool
is_returned_whole(const struct text *text)
{
	const struct report *report = text->report;

	return report->action == REPORT_FAILED &&
	    report->content.n <=
	        generation_current()->core.queue.bounce_limit_bytes &&
	    report->content.n == report->about->size_bytes &&
	    !ph_slice_eq_nocase(fact_of(report->facts, "ret"),
	        PH_LIT("HDRS")) &&
	    !ph_slice_eq(fact_of(report->facts, "body"),
	        PH_LIT("BINARYMIME"));
}

static void
put_returned(struct text *text)
{
	struct ph_slice content = text->report->content;
	struct ph_slice header = { content.p, ph_header_size(content) };
	size_t room = REPORT_MAX - END_MAX > text->buf.n ?
	    REPORT_MAX - END_MAX - text->buf.n : 0;
	bool whole = is_returned_whole(text) && content.n <= room;
	bool is_global = text->is_utf8 && octet_any_high(header) &&
	    utf8_is_valid(header);
	const char *type = is_global ?
	    (whole ? "message/global" : "message/global-headers") :
	    (whole ? "message/rfc822" : "text/rfc822-headers");

	if (!whole) {
		if (room > RETURN_HEADER_MAX)
			room = RETURN_HEADER_MAX;
		content.n = header.n < room ? header.n : room;
	}
	ph_buf_printf(&text->buf, "--%s\r\nContent-Type: %s\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n", text->boundary, type,
	    !octet_any_high(content) ? "7bit" : "8bit");
	ph_buf_slice(&text->buf, content);
	ph_buf_printf(&text->buf, "\r\n--%s--\r\n", text->boundary);
}

/* --- the header --- */

/* RFC 2047, in base64, without dividing a character of UTF-8. */
static void
put_encoded_words(struct ph_slice value, struct ph_slice charset,
    struct ph_buf *buf)
{
	while (value.n > 0) {
		size_t n = value.n < ENCODED_WORD ? value.n : ENCODED_WORD;
		unsigned char word[4 * ENCODED_WORD];

		while (n > 1 && n < value.n &&
		    ((unsigned char)value.p[n] & 0xc0) == 0x80)
			n--;
		EVP_EncodeBlock(word, (const unsigned char *)value.p, (int)n);
		ph_buf_printf(buf, "=?" PH_SLICE_FMT "?B?%s?=%s",
		    PH_SLICE_ARG(charset), (const char *)word,
		    n < value.n ? "\r\n " : "");
		value.p += n;
		value.n -= n;
	}
}

/* An address in angle brackets at the end is left as it is. */
static void
put_value(struct text *text, struct ph_slice template,
    const struct notice *notice, const struct values *values)
{
	struct ph_slice value;
	struct ph_buf buf;
	size_t words;

	ph_buf_init(&buf, text->arena, 4096);
	notice_expand(template, values->of, &buf);
	value = ph_buf_content(&buf);
	words = value.n;
	if (value.n > 0 && value.p[value.n - 1] == '>' &&
	    memchr(value.p, '<', value.n) != NULL)
		words = (size_t)((const char *)memchr(value.p, '<', value.n) -
		    value.p);
	while (words > 0 && words < value.n && value.p[words - 1] == ' ')
		words--;
	if (!octet_any_high((struct ph_slice){ value.p, words }))
		words = 0;
	put_encoded_words((struct ph_slice){ value.p, words },
	    notice->charset, &text->buf);
	ph_buf_slice(&text->buf, (struct ph_slice){ value.p + words,
	    value.n - words });
	ph_buf_str(&text->buf, "\r\n");
}

static void
put_header(struct text *text, const struct notice *notice,
    const struct values *values)
{
	char id[ID_TEXT_MAX], date[PH_DATE_MAX];
	struct ph_buf *buf = &text->buf;
	struct ph_slice sender = ph_slice_str(text->report->about->sender), to;

	id_format(id_create(), id);
	snprintf(text->boundary, sizeof(text->boundary), "=_%s_%s", id,
	    entry_name(text->report->about));
	ph_date_format(ph_wall_time(), date);
	ph_buf_printf(buf, "Date: %s\r\n", date);
	ph_buf_str(buf, "From: ");
	put_value(text, notice->from, notice, values);
	/* in ASCII if it can be: then any host may take the report */
	to = ph_address_to_ascii(text->arena, sender);
	ph_buf_printf(buf, "To: <" PH_SLICE_FMT ">\r\nSubject: ",
	    PH_SLICE_ARG(ph_path_format(text->arena,
	        to.p != NULL ? to : sender)));
	put_value(text, notice->subject, notice, values);
	ph_buf_printf(buf, "Message-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n\r\n", id, text->hostname, text->boundary);
}

/* --- the whole --- */

struct ph_slice
report_content(struct ph_arena *arena, struct ph_slice octets, int fd)
{
	char *p;
	ssize_t n;

	if (fd < 0)
		return octets;
	p = ph_arena_alloc(arena, octets.n + HEADER_READ);
	memcpy(p, octets.p, octets.n);
	n = pread(fd, p + octets.n, HEADER_READ, 0);
	return (struct ph_slice){ p, octets.n + (n > 0 ? (size_t)n : 0) };
}

struct ph_slice
report_text(const struct report *report, struct ph_arena *arena)
{
	const struct notice *notice =
	    &generation_current()->notices->kind[notice_of[report->action]];
	struct text text = { .report = report, .arena = arena,
		.hostname = generation_current()->core.hostname,
		.is_utf8 = fact_of(report->facts, "smtputf8").p != NULL };
	struct values values;

	ph_buf_init(&text.buf, arena, REPORT_MAX);
	find_values(&text, &values);
	put_header(&text, notice, &values);
	put_words(&text, notice, &values);
	put_status(&text, &values);
	put_returned(&text);
	return ph_buf_content(&text.buf);
}
