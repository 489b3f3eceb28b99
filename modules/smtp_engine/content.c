/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - DATA and BDAT: from the wire to the queue. The header section is
 * gathered first, because Received, the hop limit, submission's rules and the
 * data stage all need it whole; the rest streams. Whatever goes wrong, the
 * content is read to its end before the reply: an early reply would let its
 * rest be taken for commands.
 */
#include "conversation.h"
#include "trace.h"

enum {
	TRACE_MAX = 4096,
	RUN_MAX = 65536,      /* a stream buffers no more */
	LOG_RECIPIENTS = 5,   /* named in the log line */
};

/*
 * Which of several faults is told, the last one first: how the input was cut
 * decides which is seen first, and must not decide the reply.
 */
static void
fail(struct smtp *c, enum smtp_fault fault, const struct smtp_reply *reply)
{
	if (fault <= c->content.fault)
		return;
	c->content.fault = fault;
	c->content.failure = *reply;
}

static const struct smtp_reply too_big = { 552, "5.3.4",
	"the message is too big", false };
static const struct smtp_reply bare = { 550, "5.6.11",
	"CR and LF must come as CRLF only", false };

static void
fail_status(struct smtp *c, int status)
{
	static const struct smtp_reply no_room = { 452, "4.3.1",
		"no room now, try again later", false };
	static const struct smtp_reply denied = { 550, "5.7.1", "not allowed",
		false };
	static const struct smtp_reply not_now = { 451, "4.3.0",
		"not possible now, try again later", false };

	switch (status) {
	case PH_FULL:
		fail(c, SMTP_FAULT_QUEUE, &no_room);
		break;
	case PH_TOO_BIG:
		fail(c, SMTP_FAULT_QUEUE, &too_big);
		break;
	case PH_DENIED:
		fail(c, SMTP_FAULT_QUEUE, &denied);
		break;
	default:
		fail(c, SMTP_FAULT_QUEUE, &not_now);
		break;
	}
}

static bool
is_kept(const struct smtp *c)
{
	return c->content.failure.code == 0 && !c->content.discard;
}

static void
keep(struct smtp *c, struct ph_slice octets)
{
	int status;

	if (octets.n == 0 || !is_kept(c))
		return;
	status = ph_mail_write(c->mail, octets.p, octets.n);
	if (status != PH_OK)
		fail_status(c, status);
}

static void
ask(struct smtp *c, enum ph_stage stage)
{
	if (!is_kept(c))
		return;
	if (!smtp_ask(c, stage)) {
		fail(c, SMTP_FAULT_VERDICT, &c->reply);
		c->reply.code = 0;
	} else if (c->verdict == PH_DISCARD) {
		c->content.discard = true;
	}
}

const char *
smtp_message_id(const struct smtp *c, struct ph_arena *arena)
{
	return ph_arena_printf(arena, "%s.%u", ph_session_id(c->session),
	    c->tally.messages + 1);
}

static void
add_trace(struct smtp *c, struct ph_buf *out)
{
	struct ph_arena *arena = ph_mail_arena(c->mail);
	struct ph_slice to = { NULL, 0 };
	struct smtp_trace trace = {
		.helo = ph_session_helo(c->session),
		.client = ph_session_client(c->session),
		.hostname = ph_session_hostname(c->session),
		.id = smtp_message_id(c, smtp_scratch(c)),
		.tls = ph_session_tls(c->session),
		.certificate_subject =
		    ph_session_certificate_subject(c->session),
		.certificate_issuer =
		    ph_session_certificate_issuer(c->session),
		.is_verified =
		    ph_session_certificate_is_verified(c->session),
		.wall_time = ph_wall_time(),
		.extended = c->extended,
		.authenticated = ph_session_user(c->session) != NULL,
		.smtputf8 = c->smtputf8,
		.hide_client = c->conf->hide_client,
	};

	/* in ASCII or not at all: a trace must not be why a message that could
	 * do without it needs SMTPUTF8 on its way */
	if (c->recipient_count == 1)
		to = ph_address_to_ascii(arena, c->recipients->address);
	if (to.p != NULL)
		trace.rcpt = ph_path_format(arena, to);
	smtp_trace_format(&trace, out);
}

/* Binary content may hold anything, its header section may not. */
static bool
has_bare_newline(struct ph_slice header)
{
	for (size_t i = 0; i < header.n; i++) {
		if (header.p[i] == '\n' &&
		    (i == 0 || header.p[i - 1] != '\r'))
			return true;
		if (header.p[i] == '\r' &&
		    (i + 1 == header.n || header.p[i + 1] != '\n'))
			return true;
	}
	return false;
}

/* It was delivered to one of its recipients before (RFC 9228). */
static bool
came_back(struct smtp *c, struct ph_slice header)
{
	struct ph_header_field field;
	struct ph_path to;
	struct ph_slice rest;
	unsigned seen = 0;

	while (ph_header_next(&header, &field)) {
		if (field.name.p == NULL || !ph_slice_eq_nocase(
		        ph_slice_trim(field.name), PH_LIT("Delivered-To")))
			continue;
		if (++seen > c->conf->max_hops)
			return true;
		/* as we write it ourselves, perhaps quoted */
		rest = ph_slice_str(ph_arena_printf(smtp_scratch(c),
		    "<" PH_SLICE_FMT ">",
		    PH_SLICE_ARG(ph_slice_trim(field.value))));
		if (ph_path_parse(smtp_scratch(c), rest, &to, &rest, NULL) !=
		    PH_OK)
			continue;
		for (const struct smtp_recipient *r = c->recipients; r != NULL;
		     r = r->next)
			if (r->is_local &&
			    ph_slice_eq_nocase(to.address, r->address))
				return true;
	}
	return false;
}

/* The header section without what a submission server drops. */
static void
keep_header(struct smtp *c, struct ph_slice header)
{
	struct ph_slice run = { header.p, 0 }, rest = header;
	struct ph_header_field field;

	while (c->policy->submission && ph_header_next(&rest, &field)) {
		if (smtp_submit_keeps(c, &field))
			continue;
		run.n = (size_t)(field.whole.p - run.p);
		keep(c, run);
		run.p = field.whole.p + field.whole.n;
	}
	run.n = (size_t)(header.p + header.n - run.p);
	keep(c, run);
}

/* The header section is in: content[0, end), but for an mbox's line. */
static void
header_complete(struct smtp *c, size_t end, bool add_empty_line)
{
	const struct ph_slice all = ph_buf_content(&c->content.header);
	const size_t mbox = c->content.header_scan.mbox;
	const struct ph_slice header = { all.p + mbox, end - mbox };
	static const struct smtp_reply looping = { 554, "5.4.6",
		"too many hops, the message is looping", false };
	static const struct smtp_reply delivered = { 554, "5.4.6",
		"delivered to this recipient before, the message is looping",
		false };
	const struct smtp_reply *wrong;
	struct ph_buf first;

	c->content.in_body = true;
	if (c->binary && has_bare_newline(header))
		fail(c, SMTP_FAULT_NEWLINE, &bare);
	if (c->content.header_scan.hops > c->conf->max_hops)
		fail(c, SMTP_FAULT_HEADER, &looping);
	if (came_back(c, header))
		fail(c, SMTP_FAULT_HEADER, &delivered);
	wrong = smtp_submit_check(c, header);
	if (wrong != NULL)
		fail(c, SMTP_FAULT_HEADER, wrong);
	if (!is_kept(c))
		return;
	ph_buf_init(&first, ph_mail_arena(c->mail), TRACE_MAX);
	add_trace(c, &first);
	smtp_submit_complete(c, header, &first);
	keep(c, ph_buf_content(&first));
	keep_header(c, header);
	if (add_empty_line)
		keep(c, PH_LIT("\r\n"));
	ask(c, PH_AT_DATA);
	keep(c, (struct ph_slice){ all.p + end, all.n - end });
}

static void
take_header(struct smtp *c, struct ph_slice run)
{
	static const struct smtp_reply big_header = { 552, "5.3.4",
		"the header section is too big", false };
	struct smtp_content *content = &c->content;
	enum header_answer answer;
	size_t needed;

	ph_buf_slice(&content->header, run);
	answer = header_scan_next(&content->header_scan,
	    ph_buf_content(&content->header));
	needed = answer == HEADER_COMPLETE ? content->header_scan.at :
	    answer == HEADER_BROKEN        ? content->header_scan.seen :
	                                     content->header.n;
	if (content->header.full || needed > c->conf->header_limit_bytes)
		fail(c, SMTP_FAULT_BIG_HEADER, &big_header);
	else if (answer != HEADER_MORE)
		header_complete(c, content->header_scan.at,
		    answer == HEADER_BROKEN);
}

static void
take(struct smtp *c, struct ph_slice run)
{
	c->content.octets += run.n;
	if (c->content.octets > c->content.limit)
		fail(c, SMTP_FAULT_SIZE, &too_big);
	if (c->content.scan.bare && !c->normalize)
		fail(c, SMTP_FAULT_NEWLINE, &bare);
	if (run.n == 0 || !is_kept(c))
		return;
	if (c->content.in_body)
		keep(c, run);
	else
		take_header(c, run);
}

static void
content_open(struct smtp *c, bool dots)
{
	c->content = (struct smtp_content){ .open = true };
	c->content.limit = smtp_size_limit(c);
	data_scan_init(&c->content.scan, dots, c->normalize);
	c->content.scan.binary = c->binary;
	ph_buf_init(&c->content.header, ph_mail_arena(c->mail),
	    c->conf->header_limit_bytes + RUN_MAX);
	c->content.discard = ph_mail_recipient_count(c->mail) == 0;
}

/*
 * What is buffered, at least one octet. A client that drips is cut off: all
 * waiting together may take data_timeout and what min_rate grants.
 */
static int
wait_input(struct smtp *c, struct ph_slice *in_out)
{
	struct smtp_content *content = &c->content;
	unsigned wait_ms = c->conf->data_timeout_ms;
	uint64_t began_ms, grant_ms;
	int status;

	*in_out = ph_stream_buffered(c->stream);
	while (in_out->n == 0) {
		if (c->conf->min_rate_bytes > 0) {
			grant_ms = c->conf->data_timeout_ms +
			    content->wire_octets * 1000 /
			    c->conf->min_rate_bytes;
			if (content->waited_ms >= grant_ms)
				return PH_TIMEOUT;
			grant_ms -= content->waited_ms;
			if (grant_ms < wait_ms)
				wait_ms = (unsigned)grant_ms;
		}
		began_ms = ph_now_ms();
		status = ph_stream_fill(c->stream, wait_ms);
		content->waited_ms += ph_now_ms() - began_ms;
		if (status != PH_OK)
			return status;
		*in_out = ph_stream_buffered(c->stream);
	}
	return PH_OK;
}

/* Pass a piece through the scanner; returns the octets used. */
static size_t
scan_piece(struct smtp *c, struct ph_slice in, bool *end_out)
{
	struct ph_slice run;
	size_t used, total = 0;

	*end_out = false;
	while (total < in.n && !*end_out) {
		used = data_scan_next(&c->content.scan,
		    (struct ph_slice){ in.p + total, in.n - total }, &run,
		    end_out);
		total += used;
		take(c, run);
	}
	c->content.wire_octets += total;
	return total;
}

static struct ph_slice
name_recipients(struct smtp *c)
{
	struct ph_buf text;
	unsigned named = 0;

	ph_buf_init(&text, smtp_scratch(c), 2048);
	for (const struct smtp_recipient *r = c->recipients;
	     r != NULL && named < LOG_RECIPIENTS; r = r->next, named++) {
		if (named > 0)
			ph_buf_char(&text, ',');
		ph_buf_slice(&text, r->address);
	}
	return ph_buf_content(&text);
}

static void
log_taken(struct smtp *c, const char *event, const char *queue,
    struct ph_slice from, struct ph_slice to)
{
	char addr[PH_ADDR_TEXT_MAX];

	ph_log(PH_INFO, event, ph_f_str("queue", queue),
	    ph_f_slice("from", from), ph_f_slice("to", to),
	    ph_f_int("rcpts", c->recipient_count),
	    ph_f_int("size", (int64_t)c->content.octets),
	    ph_f_str("client",
	        ph_addr_format(ph_session_client(c->session), addr)),
	    ph_f_slice("helo", ph_session_helo(c->session)),
	    ph_f_str("tls", ph_session_tls(c->session)),
	    ph_f_str("user", ph_session_user(c->session)),
	    ph_f_str("received", smtp_message_id(c, smtp_scratch(c))));
	if (queue == NULL)
		c->tally.discarded++;
	c->tally.messages++;
	c->tally.recipients += c->recipient_count;
	c->tally.errors = c->tally.idle_commands = 0;
}

static void
commit(struct smtp *c)
{
	const struct ph_slice from = ph_arena_slice(smtp_scratch(c), c->sender);
	const struct ph_slice to = name_recipients(c);
	const char *id = "";
	int status = ph_mail_commit(c->mail, &id);

	c->mail = NULL;
	c->sender = from; /* the line about a refusal names it, too */
	if (status != PH_OK) {
		fail_status(c, status);
		c->reply = c->content.failure;
		ph_log(PH_WARN, "not_queued",
		    ph_f_str("status", ph_status_name(status)));
		return;
	}
	log_taken(c, "accepted", id, from, to);
	smtp_sayf(c, 250, "2.0.0", "accepted, queued as %s", id);
}

/* The whole content is in. */
static void
content_complete(struct smtp *c)
{
	size_t end;

	if (!c->content.in_body && is_kept(c)) {
		end = header_scan_end(&c->content.header_scan,
		    c->content.header.n);
		header_complete(c, end, end < c->content.header.n);
	}
	ask(c, PH_AT_MESSAGE);
	if (c->content.failure.code != 0) {
		c->reply = c->content.failure;
	} else if (c->content.discard) {
		log_taken(c, "discarded", NULL, c->sender, name_recipients(c));
		smtp_sayf(c, 250, "2.0.0", "accepted (%s)",
		    ph_session_id(c->session));
	} else {
		commit(c);
	}
}

/* RFC 3030 s3 */
void
smtp_allow_data(struct smtp *c)
{
	if (c->binary)
		smtp_say(c, 503, "5.5.1", "BINARYMIME needs BDAT");
}

void
smtp_do_data(struct smtp *c)
{
	static const struct smtp_reply go = { 354, NULL,
		"end with CRLF . CRLF", false };
	struct ph_slice in;
	bool end = false;
	int status;

	content_open(c, true);
	smtp_send(c, &go);
	while (!end) {
		status = wait_input(c, &in);
		if (status != PH_OK) {
			smtp_lost(c, status);
			return;
		}
		ph_stream_consume(c->stream, scan_piece(c, in, &end));
	}
	content_complete(c);
}

/* --- BDAT, RFC 3030 --- */

/* Swallowing is bounded: a chunk far over the limit costs the connection. */
static bool
is_absurd(struct smtp *c)
{
	if (c->bdat_args.size <= 2 * c->conf->message_size_bytes + 1048576)
		return false;
	c->hang_up = true;
	smtp_say(c, 552, "5.3.4", "the chunk is too big");
	return true;
}

/* Read the chunk, through the scanner or to nowhere; false: lost. */
static bool
read_chunk(struct smtp *c, bool scanned)
{
	uint64_t left = c->bdat_args.size;
	struct ph_slice in;
	bool end;
	int status;

	while (left > 0) {
		status = wait_input(c, &in);
		if (status != PH_OK) {
			smtp_lost(c, status);
			return false;
		}
		if (in.n > left)
			in.n = (size_t)left;
		if (scanned)
			scan_piece(c, in, &end);
		else
			c->content.wire_octets += in.n;
		ph_stream_consume(c->stream, in.n);
		left -= in.n;
	}
	return true;
}

void
smtp_do_bdat(struct smtp *c)
{
	if (!c->content.open)
		content_open(c, false);
	if (is_absurd(c) || !read_chunk(c, true))
		return;
	if (c->bdat_args.last) {
		take(c, data_scan_finish(&c->content.scan));
		content_complete(c);
	} else if (c->content.failure.code != 0) {
		c->reply = c->content.failure;
	} else {
		c->next = SMTP_BDAT;
		smtp_sayf(c, 250, "2.0.0", "%llu octets taken",
		    (unsigned long long)c->bdat_args.size);
	}
}

void
smtp_do_bdat_misplaced(struct smtp *c)
{
	if (is_absurd(c) || !read_chunk(c, false))
		return;
	c->content = (struct smtp_content){ 0 };
	if (c->state == SMTP_MAIL)
		smtp_say(c, 554, "5.5.1", "no valid recipients");
	else
		smtp_say(c, 503, "5.5.1", "MAIL and RCPT come first");
}
