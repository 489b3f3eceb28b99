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
#include "queue/report_text.h"

#include <openssl/evp.h>
#include <posthouse/mime.h>
#include <stdio.h>
#include <unistd.h>

#include "mail/octet.h"

enum {
	HEADER_READ = 64 << 10,
	RETURN_HEADER_MAX = 16 << 10,
	/* A report is one row of the queue: of its octets so many at most. */
	REPORT_MAX = QUEUE_DB_INLINE_MAX,
	HEADER_MAX = 7 << 10,
	VALUE_MAX = 1000,        /* of From and Subject, filled in */
	TEMPLATE_MAX = 10 << 10, /* filled in */
	WORDS_MAX = 8 << 10,     /* of recipients, the last one may be over it */
	WORDS_OVER = 2 << 10,
	PARTS_MAX = 1 << 10,     /* boundaries, and headers of parts */
	LINE_OCTETS_MAX = 900,   /* 998, RFC 5322 s2.1.1 */
	ENCODED_WORD_MAX = 64,   /* 75 with no more than 76 a line, RFC 2047 s2 */
	ENCODED_WORD_FRAME = 7,  /* "=??B??=" */
	ID_MAX = 250,
};

static const enum notice_kind notice_of[] = {
	[REPORT_FAILED] = NOTICE_FAILURE,
	[REPORT_DELIVERED] = NOTICE_SUCCESS,
	[REPORT_DELAYED] = NOTICE_DELAY,
	[REPORT_EXPANDED] = NOTICE_SUCCESS,
};

/* --- the words --- */

/* A refusal for now that was the last word needs another one. */
static void
put_given_up(const struct entry *about, const struct queue_recipient *r,
    struct ph_buf *buf)
{
	const char *why = recipient_given_up(about, r);

	if (why == NULL)
		return;
	if (strcmp(why, "operator") == 0)
		ph_buf_str(buf, "\r\n    (given up by the postmaster)");
	else
		ph_buf_printf(buf, "\r\n    (given up for its age after %u "
		    "attempt%s)", r->attempts, r->attempts == 1 ? "" : "s");
}

static void
put_recipient_line(const struct text *text, size_t i, bool is_utf8,
    struct ph_buf *buf)
{
	const struct report *report = text->report;
	const struct queue_recipient *r = &report->about->recipients[i];
	const struct reply *said = r->said->reply;

	ph_buf_str(buf, "  <");
	report_put_in_charset(ph_path_format(text->arena,
	    ph_slice_str(r->address)), is_utf8, buf);
	ph_buf_char(buf, '>');
	if (report->action == REPORT_DELIVERED ||
	    report->action == REPORT_EXPANDED)
		ph_buf_printf(buf, ": %s", report_outcome(report, i));
	if (r->said->has_host && r->user == NULL)
		ph_buf_printf(buf, ": host %s%s", r->said->host,
		    said->code != 0 ? " said" : "");
	if (said->reason != NULL) {
		ph_buf_str(buf, ":\r\n    ");
		report_put_said(r, is_utf8, buf);
	}
	put_given_up(report->about, r, buf);
	ph_buf_str(buf, "\r\n\r\n");
}

static void
put_recipients(const struct text *text, bool is_utf8, struct ph_buf *buf)
{
	const struct report *report = text->report;
	size_t end = buf->n + WORDS_MAX;

	for (size_t i = 0; i < report->about->recipient_count; i++) {
		if (!report->concerned[i])
			continue;
		if (buf->n > end) {
			ph_buf_str(buf, "  and others; all are named in the "
			    "next part.\r\n\r\n");
			return;
		}
		put_recipient_line(text, i, is_utf8, buf);
	}
}

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

/* Variables make lines longer than a template may have them. */
static void
put_lines(struct ph_slice words, struct ph_buf *buf)
{
	while (words.n > 0) {
		const char *lf = memchr(words.p, '\n', words.n);
		size_t n = lf != NULL ? (size_t)(lf - words.p) + 1 : words.n;

		if (n > LINE_OCTETS_MAX) {
			n = LINE_OCTETS_MAX;
			while (n > 1 &&
			    ((unsigned char)words.p[n] & 0xc0) == 0x80)
				n--;
			ph_buf_add(buf, words.p, n);
			ph_buf_str(buf, "\r\n");
		} else {
			ph_buf_add(buf, words.p, n);
		}
		words.p += n;
		words.n -= n;
	}
}

/* The template's text with values in it; in another charset than ours, a value
 * that is not ASCII can't stand. */
static void
put_template(const struct text *text, const struct notice *notice,
    const struct values *values, bool is_utf8, struct ph_buf *buf)
{
	struct values copy = *values;
	struct ph_buf sender, words;

	ph_buf_init(&sender, text->arena, QUEUE_RCPT_MAX + 1);
	report_put_in_charset(ph_slice_str(values->of[NOTICE_SENDER]), is_utf8,
	    &sender);
	ph_buf_char(&sender, '\0');
	copy.of[NOTICE_SENDER] = sender.p;
	ph_buf_init(&words, text->arena, TEMPLATE_MAX - TEMPLATE_MAX / 16);
	notice_expand(notice->text, copy.of, &words);
	while (words.full && words.n > 0 && words.p[words.n - 1] != '\n')
		words.n--; /* variables made it too long: whole lines */
	put_lines(ph_buf_content(&words), buf);
	ph_buf_str(buf, "\r\n");
}

static void
put_words(struct text *text, const struct notice *notice,
    const struct values *values)
{
	bool is_ours = ph_slice_eq_nocase(notice->charset, PH_LIT("utf-8")) ||
	    ph_slice_eq_nocase(notice->charset, PH_LIT("us-ascii"));
	struct ph_buf words;

	ph_buf_init(&words, text->arena,
	    TEMPLATE_MAX + WORDS_MAX + WORDS_OVER);
	put_template(text, notice, values, is_ours, &words);
	put_recipients(text, is_ours, &words);
	ph_buf_printf(&text->body, "--%s\r\nContent-Type: text/plain; charset="
	    PH_SLICE_FMT "\r\nContent-Transfer-Encoding: %s\r\n\r\n",
	    text->boundary, PH_SLICE_ARG(is_ours ? PH_LIT("utf-8") :
	                                           notice->charset),
	    !octet_any_high(ph_buf_content(&words)) ? "7bit" : "8bit");
	ph_buf_slice(&text->body, ph_buf_content(&words));
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

/* RFC 6522 s4: fields, as many as fit, without the empty line. */
static struct ph_slice
whole_fields(struct ph_slice header, size_t limit)
{
	struct ph_slice rest = header;
	struct ph_header_field field;
	size_t n = 0;

	while (ph_header_next(&rest, &field)) {
		size_t end = (size_t)(field.whole.p - header.p) +
		    field.whole.n;

		if (end > limit)
			break;
		n = end;
	}
	return (struct ph_slice){ header.p, n };
}

/* RFC 6532 s3.7: it or a part of it. */
static bool
has_utf8_header(const struct text *text, struct ph_slice content)
{
	return octet_any_high(content) &&
	    !ph_mime_header_is_ascii(ph_mime_parse(text->arena, content),
	        content);
}

static void
put_returned(struct text *text, size_t limit)
{
	struct ph_slice content = text->report->content;
	struct ph_slice header = { content.p, ph_header_size(content) };
	bool whole = is_returned_whole(text) && content.n <= limit;
	bool is_global;
	const char *type;

	if (!whole)
		content = whole_fields(header, limit < RETURN_HEADER_MAX ?
		    limit : RETURN_HEADER_MAX);
	is_global = text->is_utf8 && utf8_is_valid(header) &&
	    (whole ? has_utf8_header(text, content) : octet_any_high(content));
	type = whole ? (is_global ? "message/global" : "message/rfc822") :
	    is_global ? "message/global-headers" : "text/rfc822-headers";
	ph_buf_printf(&text->body, "--%s\r\nContent-Type: %s\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n", text->boundary, type,
	    !octet_any_high(content) ? "7bit" : "8bit");
	ph_buf_slice(&text->body, content);
}

/* --- the header --- */

/* RFC 2047, in base64, without dividing a character of UTF-8. */
static void
put_encoded_words(struct ph_slice value, struct ph_slice charset,
    struct ph_buf *buf)
{
	bool is_utf8 = ph_slice_eq_nocase(charset, PH_LIT("utf-8"));
	size_t most = (ENCODED_WORD_MAX - ENCODED_WORD_FRAME - charset.n) / 4 *
	    3;

	while (value.n > 0) {
		size_t n = value.n < most ? value.n : most;
		unsigned char word[2 * ENCODED_WORD_MAX];

		while (is_utf8 && n > 1 && n < value.n &&
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

/* What stands before an address in angle brackets at the end; all, where there
 * is none. */
static size_t
words_of(struct ph_slice value)
{
	const char *open = value.n > 0 && value.p[value.n - 1] == '>' ?
	    memchr(value.p, '<', value.n) : NULL;
	size_t n = open != NULL ? (size_t)(open - value.p) : value.n;

	while (n > 0 && n < value.n && value.p[n - 1] == ' ')
		n--;
	return n;
}

/* Words that are not ASCII, or too long for a line, are encoded; an address
 * follows as it is. */
static void
put_value(struct ph_slice value, const struct notice *notice,
    struct ph_buf *buf)
{
	struct ph_slice words = { value.p, words_of(value) };

	if (octet_any_high(words) || words.n > LINE_OCTETS_MAX) {
		put_encoded_words(words, notice->charset, buf);
		if (words.n < value.n)
			ph_buf_str(buf, "\r\n");
		value.p += words.n;
		value.n -= words.n;
	}
	ph_buf_slice(buf, value);
}

static struct ph_slice
filled(const struct text *text, struct ph_slice template,
    const struct values *values)
{
	struct ph_buf buf;

	ph_buf_init(&buf, text->arena, VALUE_MAX);
	notice_expand(template, values->of, &buf);
	return ph_buf_content(&buf);
}

/* Postfix's templates have a name alone there, which is one of this host. */
static void
put_from(const struct text *text, const struct notice *notice,
    const struct values *values, struct ph_buf *buf)
{
	struct ph_slice value = filled(text, notice->from, values);

	if (memchr(value.p, '@', value.n) != NULL)
		put_value(value, notice, buf);
	else
		ph_buf_printf(buf, "Mail system <MAILER-DAEMON@%s>",
		    text->hostname);
}

/* RFC 3834 s3.1.5, where the message has an id that may stand here. */
static void
put_references(const struct text *text, struct ph_buf *buf)
{
	struct ph_header_field field;
	struct ph_slice id;

	if (!ph_header_find(text->report->content, "Message-ID", &field))
		return;
	id = ph_header_unfold(text->arena, field.value);
	if (id.n < 5 || id.n > ID_MAX || id.p[0] != '<' ||
	    id.p[id.n - 1] != '>')
		return;
	for (size_t i = 1; i + 1 < id.n; i++)
		if (id.p[i] <= ' ' || id.p[i] == '<' || id.p[i] == '>' ||
		    octet_is_control((unsigned char)id.p[i]))
			return;
	ph_buf_printf(buf, "In-Reply-To: " PH_SLICE_FMT "\r\nReferences: "
	    PH_SLICE_FMT "\r\n", PH_SLICE_ARG(id), PH_SLICE_ARG(id));
}

/* Behind the parts, for they decide what it says. */
static void
put_header(const struct text *text, const struct notice *notice,
    const struct values *values, const char *id, struct ph_buf *buf)
{
	struct ph_slice sender = ph_slice_str(text->report->about->sender), to;
	char date[PH_DATE_MAX];

	ph_date_format(ph_wall_time(), date);
	ph_buf_printf(buf, "Date: %s\r\nFrom: ", date);
	put_from(text, notice, values, buf);
	/* in ASCII if it can be: then any host may take the report */
	to = ph_address_to_ascii(text->arena, sender);
	ph_buf_printf(buf, "\r\nTo: <" PH_SLICE_FMT ">\r\nSubject: ",
	    PH_SLICE_ARG(ph_path_format(text->arena,
	        to.p != NULL ? to : sender)));
	put_value(filled(text, notice->subject, values), notice, buf);
	ph_buf_printf(buf, "\r\nMessage-ID: <%s@%s>\r\n", id,
	    text->hostname);
	put_references(text, buf);
	ph_buf_printf(buf, "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n%s\r\n", text->boundary,
	    octet_any_high(ph_buf_content(&text->body)) ?
	        "Content-Transfer-Encoding: 8bit\r\n" : "");
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

static void
put_parts(struct text *text, const struct notice *notice,
    const struct values *values)
{
	size_t most = REPORT_MAX - HEADER_MAX - PARTS_MAX;

	put_words(text, notice, values);
	report_put_status(text, values, most - text->body.n);
	put_returned(text, most > text->body.n ? most - text->body.n : 0);
	ph_buf_printf(&text->body, "\r\n--%s--\r\n", text->boundary);
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
	char id[ID_TEXT_MAX];
	struct ph_buf whole;

	id_format(id_create(), id);
	snprintf(text.boundary, sizeof(text.boundary), "=_%s_%s", id,
	    entry_name(report->about));
	ph_buf_init(&text.body, arena, REPORT_MAX - HEADER_MAX);
	ph_buf_init(&whole, arena, REPORT_MAX);
	find_values(&text, &values);
	put_parts(&text, notice, &values);
	put_header(&text, notice, &values, id, &whole);
	ph_buf_slice(&whole, ph_buf_content(&text.body));
	ph_assert(!whole.full && !text.body.full);
	return ph_buf_content(&whole);
}
