/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notice.c - templates of notifications, read and filled in.
 *
 * Everything that can be wrong with a template is found when it is read, so
 * that `posthouse -t` tells and a report never fails for its words.
 */
#include "queue/notice.h"

#include <posthouse/mail.h>

#include "mail/octet.h"

enum { LINE_MAX_OCTETS = 900, TEXT_MAX = 8 << 10, CHARSET_MAX = 20,
	FILLED_MAX = 4096 };

const char notices_shipped[] =
    "failure_template = <<END\n"
    "Charset: utf-8\n"
    "From: Mail system <MAILER-DAEMON@$hostname>\n"
    "Subject: Undelivered mail returned to sender\n"
    "\n"
    "This is the mail system at $hostname.\n"
    "\n"
    "Your message could not be delivered to one or more recipients. It is\n"
    "returned below. Please ask the recipients by another way, or show this\n"
    "report to your postmaster.\n"
    "END\n"
    "\n"
    "delay_template = <<END\n"
    "Charset: utf-8\n"
    "From: Mail system <MAILER-DAEMON@$hostname>\n"
    "Subject: Your message is delayed\n"
    "\n"
    "This is the mail system at $hostname.\n"
    "\n"
    "Your message could not be delivered yet to the recipients below. You need\n"
    "do nothing: it is tried again until $expiry_date, and if it\n"
    "is not delivered then, you are told.\n"
    "END\n"
    "\n"
    "success_template = <<END\n"
    "Charset: utf-8\n"
    "From: Mail system <MAILER-DAEMON@$hostname>\n"
    "Subject: Your message was delivered\n"
    "\n"
    "This is the mail system at $hostname.\n"
    "\n"
    "Your message reached the recipients below: it was delivered, or passed on\n"
    "to addresses or servers that may not report about it. This report was\n"
    "asked for by the sender of the message.\n"
    "END\n";

static const char *const kinds[NOTICE_KINDS] = {
	[NOTICE_FAILURE] = "failure_template",
	[NOTICE_DELAY] = "delay_template",
	[NOTICE_SUCCESS] = "success_template",
};

/* The second column is what Postfix calls it. */
static const char *const variables[NOTICE_VARIABLES][2] = {
	[NOTICE_HOSTNAME] = { "hostname", "myhostname" },
	[NOTICE_QUEUE_ID] = { "queue_id", NULL },
	[NOTICE_SENDER] = { "sender", NULL },
	[NOTICE_ARRIVAL] = { "arrival_date", NULL },
	[NOTICE_EXPIRY] = { "expiry_date", NULL },
	[NOTICE_DELAY_HOURS] = { "delay_hours", "delay_warning_time_hours" },
	[NOTICE_LIFETIME_DAYS] = { "lifetime_days",
	    "maximal_queue_lifetime_days" },
};

/* --- variables --- */

static bool
is_name(char c)
{
	return octet_is_alnum((unsigned char)c) || c == '_';
}

/*
 * What stands behind a "$": "$", a name, or a name in braces or parentheses.
 * Its length; *name_out is absent for "$$". 0: it is none of these.
 */
static size_t
take_variable(struct ph_slice at, struct ph_slice *name_out)
{
	char close = at.n == 0 ? '\0' : at.p[0] == '{' ? '}' :
	    at.p[0] == '(' ? ')' : '\0';
	size_t start = close != '\0', n = start;

	if (at.n > 0 && at.p[0] == '$') {
		*name_out = (struct ph_slice){ NULL, 0 };
		return 1;
	}
	while (n < at.n && is_name(at.p[n]))
		n++;
	*name_out = (struct ph_slice){ at.p + start, n - start };
	if (n == start || (close != '\0' && (n == at.n || at.p[n] != close)))
		return 0;
	return n + start;
}

static bool
find_variable(struct ph_slice name, enum notice_variable *which_out)
{
	for (unsigned i = 0; i < NOTICE_VARIABLES; i++)
		for (unsigned k = 0; k < 2; k++)
			if (variables[i][k] != NULL && ph_slice_eq(name,
			        ph_slice_str(variables[i][k]))) {
				*which_out = (enum notice_variable)i;
				return true;
			}
	return false;
}

void
notice_expand(struct ph_slice text,
    const char *const values[NOTICE_VARIABLES], struct ph_buf *buf)
{
	for (size_t i = 0; i < text.n; i++) {
		struct ph_slice name;
		enum notice_variable which;

		if (text.p[i] == '\r') {
			; /* of a line end, in a file from elsewhere */
		} else if (text.p[i] == '\n') {
			ph_buf_str(buf, "\r\n");
		} else if (text.p[i] != '$') {
			ph_buf_char(buf, text.p[i]);
		} else {
			i += take_variable((struct ph_slice){ text.p + i + 1,
			    text.n - i - 1 }, &name);
			if (name.p == NULL)
				ph_buf_char(buf, '$');
			else if (find_variable(name, &which))
				ph_buf_str(buf, values[which]);
		}
	}
}

/* --- reading --- */

struct reading {
	struct ph_arena *arena;
	struct ph_slice rest;
	unsigned line;
	const char *why; /* NULL: all is well */
};

static int
wrong(struct reading *reading, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	reading->why = ph_arena_vprintf(reading->arena, fmt, args);
	va_end(args);
	return PH_INVALID;
}

/* Without its line end. False: there is none. */
static bool
next_line(struct reading *reading, struct ph_slice *line_out)
{
	struct ph_slice line;

	if (reading->rest.p == NULL || reading->rest.n == 0)
		return false;
	line = ph_slice_cut(&reading->rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	reading->line++;
	*line_out = line;
	return true;
}

static int
check_line(struct reading *reading, struct ph_slice line)
{
	if (line.n > LINE_MAX_OCTETS)
		return wrong(reading, "the line is longer than %d octets",
		    LINE_MAX_OCTETS);
	for (size_t i = 0; i < line.n; i++)
		if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') ||
		    line.p[i] == 0x7f)
			return wrong(reading,
			    "the line holds a control character");
	return PH_OK;
}

static int
unknown_variable(struct reading *reading, struct ph_slice name)
{
	struct ph_buf known;

	ph_buf_init(&known, reading->arena, 400);
	for (unsigned i = 0; i < NOTICE_VARIABLES; i++)
		ph_buf_printf(&known, "%s$%s", i > 0 ? ", " : "",
		    variables[i][0]);
	ph_buf_char(&known, '\0');
	return wrong(reading, "unknown variable $" PH_SLICE_FMT
	    "; there are %s", PH_SLICE_ARG(name), ph_buf_content(&known).p);
}

static int
check_variables(struct reading *reading, struct ph_slice line,
    bool is_header)
{
	for (size_t i = 0; i < line.n; i++) {
		enum notice_variable which;
		struct ph_slice name;
		size_t n;

		if (line.p[i] != '$')
			continue;
		n = take_variable((struct ph_slice){ line.p + i + 1,
		    line.n - i - 1 }, &name);
		if (n == 0)
			return wrong(reading, "\"$\" without a variable; "
			    "write \"$$\" for a dollar sign");
		i += n;
		if (name.p == NULL || (find_variable(name, &which) &&
		        (!is_header || which <= NOTICE_QUEUE_ID)))
			continue;
		return find_variable(name, &which) ?
		    wrong(reading, "$" PH_SLICE_FMT
		        " can't stand in a header", PH_SLICE_ARG(name)) :
		    unknown_variable(reading, name);
	}
	return PH_OK;
}

static int
check_charset(struct reading *reading, struct ph_slice charset)
{
	for (size_t i = 0; i < charset.n; i++)
		if (!is_name(charset.p[i]) && charset.p[i] != '-')
			return wrong(reading, "that is no charset");
	if (ph_slice_eq_nocase(charset, PH_LIT("utf8")))
		return wrong(reading, "that is no charset; it is called utf-8");
	return charset.n == 0 || charset.n > CHARSET_MAX ?
	    wrong(reading, "that is no charset") : PH_OK;
}

/* RFC 5322 s3.6.2: one mailbox, for the report is by one; in ASCII, for any host
 * may have to take it. Postfix's has a name alone and a comment. */
static int
check_from(struct reading *reading, struct ph_slice value)
{
	static const char *const sample[NOTICE_VARIABLES] = { "host.example",
		"id", "a@b.example", "date", "date", "1", "1" };
	const struct ph_mailbox_addr *list;
	struct ph_buf buf;
	size_t count = 0;

	ph_buf_init(&buf, reading->arena, FILLED_MAX);
	notice_expand(value, sample, &buf);
	if (!ph_address_list_strict(reading->arena, ph_buf_content(&buf), 2,
	        &list, &count) || count != 1 || list[0].local.n == 0 ||
	    list[0].domain.p == NULL)
		return wrong(reading, "From needs one address, \"Name "
		    "<name@$hostname>\"; a name with a comma or a dot stands "
		    "in quotes");
	return octet_any_high(list[0].local) || octet_any_high(list[0].domain) ?
	    wrong(reading, "the address must be in ASCII; the name before it "
	        "need not") : PH_OK;
}

static int
check_value(struct reading *reading, struct ph_slice value,
    const struct notice *notice, const struct ph_slice *to)
{
	int status;

	if (to == &notice->charset)
		return check_charset(reading, value);
	status = check_variables(reading, value, true);
	return status == PH_OK && to == &notice->from ?
	    check_from(reading, value) : status;
}

static int
take_header(struct reading *reading, struct ph_slice line,
    struct notice *notice)
{
	struct ph_slice value = line, name = ph_slice_cut(&value, ':');
	const struct {
		struct ph_slice name;
		struct ph_slice *to;
	} headers[] = {
		{ PH_LIT("Charset"), &notice->charset },
		{ PH_LIT("From"), &notice->from },
		{ PH_LIT("Subject"), &notice->subject },
		{ PH_LIT("Postmaster-Subject"), NULL }, /* Postfix's */
	};

	value = value.p != NULL ? ph_slice_trim(value) : value;
	if (value.n == 0)
		return wrong(reading, "a header \"Name: value\" or an empty "
		    "line is expected");
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (!ph_slice_eq_nocase(name, headers[i].name))
			continue;
		if (headers[i].to != NULL)
			*headers[i].to = value;
		return check_value(reading, value, notice, headers[i].to);
	}
	return wrong(reading, "unknown header; there are Charset, From and "
	    "Subject");
}

static bool
is_in_charset(struct ph_slice line, struct ph_slice charset)
{
	if (ph_slice_eq_nocase(charset, PH_LIT("utf-8")))
		return utf8_is_valid(line);
	if (!ph_slice_eq_nocase(charset, PH_LIT("us-ascii")))
		return true;
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] >= 0x80)
			return false;
	return true;
}

/* From behind its first line to its last. */
static int
take_template(struct reading *reading, struct ph_slice end,
    struct notice *notice)
{
	unsigned began = reading->line;
	bool in_text = false;
	const char *text = NULL;
	struct ph_slice line;
	int status = PH_OK;

	while (next_line(reading, &line)) {
		if (ph_slice_eq(line, end)) {
			notice->text = (struct ph_slice){ text, text != NULL ?
			    (size_t)(line.p - text) : 0 };
			return notice->text.n == 0 ?
			    wrong(reading, "the template has no text") :
			    notice->text.n > TEXT_MAX ? wrong(reading,
			        "the template is longer than %d octets",
			        TEXT_MAX) : PH_OK;
		}
		status = check_line(reading, line);
		if (status == PH_OK && in_text)
			status = check_variables(reading, line, false);
		else if (status == PH_OK && line.n > 0)
			status = take_header(reading, line, notice);
		if (status == PH_OK && !is_in_charset(line, notice->charset))
			status = wrong(reading, "the line is not in the "
			    "template's charset");
		if (status != PH_OK)
			return status;
		if (!in_text && line.n == 0) {
			in_text = true;
			text = reading->rest.p;
		}
	}
	reading->line = began;
	return wrong(reading, "the template has no end: a line \"" PH_SLICE_FMT
	    "\"", PH_SLICE_ARG(end));
}

/* NAME "=" "<<" WORD */
static int
take_start(struct reading *reading, struct ph_slice line,
    struct notices *notices)
{
	struct ph_slice rest = line;
	struct ph_slice name = ph_slice_trim(ph_slice_cut(&rest, '='));
	struct notice other; /* Postfix has a fourth one */

	if (rest.p != NULL)
		rest = ph_slice_trim(rest);
	if (rest.n < 3 || memcmp(rest.p, "<<", 2) != 0)
		return wrong(reading, "\"NAME_template = <<END\" is expected");
	rest = ph_slice_trim((struct ph_slice){ rest.p + 2, rest.n - 2 });
	for (unsigned i = 0; i < NOTICE_KINDS; i++) {
		if (!ph_slice_eq(name, ph_slice_str(kinds[i])))
			continue;
		return take_template(reading, rest, &notices->kind[i]);
	}
	if (ph_slice_eq(name, PH_LIT("verify_template"))) {
		other = notices->kind[NOTICE_FAILURE];
		return take_template(reading, rest, &other);
	}
	return wrong(reading, "unknown template \"" PH_SLICE_FMT
	    "\"; there are %s, %s and %s", PH_SLICE_ARG(name), kinds[0],
	    kinds[1], kinds[2]);
}

static int
take_file(struct reading *reading, struct notices *notices)
{
	struct ph_slice line;
	int status = PH_OK;

	while (status == PH_OK && next_line(reading, &line)) {
		struct ph_slice words = ph_slice_trim(line);

		if (words.n > 0 && words.p[0] != '#')
			status = take_start(reading, words, notices);
	}
	return status;
}

/* Some editors begin UTF-8 with a mark of it. */
static struct ph_slice
without_mark(struct ph_slice file)
{
	static const char mark[] = "\357\273\277";

	if (file.n < 3 || memcmp(file.p, mark, 3) != 0)
		return file;
	return (struct ph_slice){ file.p + 3, file.n - 3 };
}

int
notices_parse(struct ph_arena *arena, struct ph_slice file,
    struct notices *notices_out, unsigned *line_out, const char **why_out)
{
	struct reading shipped = { .arena = arena,
		.rest = ph_slice_str(notices_shipped) };
	struct reading reading = { .arena = arena, .rest = without_mark(file) };
	struct notices notices;
	int status;

	for (unsigned i = 0; i < NOTICE_KINDS; i++)
		notices.kind[i].charset = PH_LIT("utf-8");
	status = take_file(&shipped, &notices);
	ph_assert(status == PH_OK);
	status = take_file(&reading, &notices);
	if (status == PH_OK) {
		*notices_out = notices;
		return PH_OK;
	}
	*line_out = reading.line;
	*why_out = reading.why;
	return status;
}
