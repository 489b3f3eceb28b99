/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extensions.c - what EHLO offers, as a table: a keyword, when it is offered,
 * and what stands behind it. A new extension is a row here, perhaps a row in
 * commands.c or a parameter in args.c, and a file for what it does.
 */
#include "conversation.h"

struct extension {
	const char *keyword;
	bool (*is_offered)(const struct smtp *c);      /* NULL: always */
	void (*value)(struct smtp *c, struct ph_buf *out); /* NULL: none */
};

static void
size_value(struct smtp *c, struct ph_buf *out)
{
	ph_buf_printf(out, "%llu", (unsigned long long)smtp_size_limit(c));
}

static bool
starttls_is_offered(const struct smtp *c)
{
	return ph_session_has_tls(c->session) &&
	    ph_session_tls(c->session) == NULL;
}

static void
auth_value(struct smtp *c, struct ph_buf *out)
{
	ph_buf_str(out,
	    ph_sasl_mechanisms(c->session, c->conf->allow_plain_auth));
}

static bool
xclient_is_offered(const struct smtp *c)
{
	return c->may_xclient;
}

static void
xclient_value(struct smtp *c, struct ph_buf *out)
{
	(void)c;
	ph_buf_str(out, "NAME ADDR PORT PROTO HELO");
}

static const struct extension extensions[] = {
	{ "PIPELINING", NULL, NULL },              /* RFC 2920 */
	{ "SIZE", NULL, size_value },              /* RFC 1870 */
	{ "8BITMIME", NULL, NULL },                /* RFC 6152 */
	{ "SMTPUTF8", NULL, NULL },                /* RFC 6531 */
	{ "ENHANCEDSTATUSCODES", NULL, NULL },     /* RFC 2034 */
	{ "CHUNKING", NULL, NULL },                /* RFC 3030 */
	{ "BINARYMIME", NULL, NULL },              /* RFC 3030 */
	{ "DSN", NULL, NULL },                     /* RFC 3461 */
	{ "STARTTLS", starttls_is_offered, NULL }, /* RFC 3207 */
	{ "AUTH", smtp_auth_is_offered, auth_value }, /* RFC 4954 */
	{ "FUTURERELEASE", smtp_future_release_is_offered,
	    smtp_future_release_value }, /* RFC 4865 */
	{ "XCLIENT", xclient_is_offered, xclient_value },
};

void
smtp_do_ehlo(struct smtp *c)
{
	struct ph_buf text;

	c->extended = true;
	ph_buf_init(&text, smtp_scratch(c), 2048);
	ph_buf_str(&text, ph_session_hostname(c->session));
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]);
	     i++) {
		const struct extension *e = &extensions[i];

		if (e->is_offered != NULL && !e->is_offered(c))
			continue;
		ph_buf_char(&text, '\n');
		ph_buf_str(&text, e->keyword);
		if (e->value == NULL)
			continue;
		ph_buf_char(&text, ' ');
		e->value(c, &text);
	}
	ph_buf_char(&text, '\0');
	smtp_say(c, 250, NULL, ph_buf_content(&text).p);
}
