/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xclient.c - XCLIENT (Postfix's XCLIENT_README): a front end that we trust
 * says whose connection it passes on. The session begins anew as that client's;
 * who may say so is decided by the true client, once.
 *
 * LOGIN is not offered: a login is proved, not claimed. NAME and PROTO are
 * taken and not used.
 */
#include "conversation.h"

static const struct smtp_reply bad = { 501, "5.5.4",
	"syntax error in an XCLIENT attribute", false };

enum { VALUE_MAX = 255 };

static int
hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'A' && c <= 'F'    ? c - 'A' + 10 :
	                              -1;
}

/* RFC 3461 s4 xtext, decoded; absent when it is none or has controls. */
static struct ph_slice
decode(struct smtp *c, struct ph_slice text)
{
	struct ph_buf out;
	char octet;

	if (text.n > VALUE_MAX || !smtp_xtext_is_valid(text))
		return (struct ph_slice){ NULL, 0 };
	ph_buf_init(&out, smtp_scratch(c), VALUE_MAX + 1);
	for (size_t i = 0; i < text.n; i++) {
		octet = text.p[i];
		if (octet == '+') {
			octet = (char)(hex(text.p[i + 1]) * 16 +
			    hex(text.p[i + 2]));
			i += 2;
		}
		if ((unsigned char)octet < 0x20 || octet == 0x7f)
			return (struct ph_slice){ NULL, 0 };
		ph_buf_char(&out, octet);
	}
	return ph_buf_content(&out);
}

static bool
is_unavailable(struct ph_slice value)
{
	return ph_slice_eq_nocase(value, PH_LIT("[UNAVAILABLE]")) ||
	    ph_slice_eq_nocase(value, PH_LIT("[TEMPUNAVAIL]"));
}

/* "192.0.2.1", "IPV6:2001:db8::1". One that the front end does not know is
 * nobody's, 0.0.0.0: never the front end's, who may do more than strangers. */
static bool
take_addr(struct ph_slice value, struct smtp_xclient_args *args)
{
	if (is_unavailable(value))
		return ph_addr_parse(PH_LIT("0.0.0.0"), &args->addr);
	if (ph_slice_starts_nocase(value, "IPV6:")) {
		value.p += 5;
		value.n -= 5;
	}
	return ph_addr_parse(value, &args->addr);
}

static bool
take_attribute(struct ph_slice name, struct ph_slice value,
    struct smtp_xclient_args *args)
{
	uint64_t port;

	if (ph_slice_eq_nocase(name, PH_LIT("ADDR")))
		return take_addr(value, args);
	if (ph_slice_eq_nocase(name, PH_LIT("PORT"))) {
		if (is_unavailable(value))
			return true;
		if (!ph_slice_number(value, UINT16_MAX, &port))
			return false;
		args->port = (uint16_t)port;
		return true;
	}
	if (ph_slice_eq_nocase(name, PH_LIT("HELO")))
		return is_unavailable(value) ||
		    smtp_helo_parse(value, &args->helo) == NULL;
	return ph_slice_eq_nocase(name, PH_LIT("NAME")) ||
	    ph_slice_eq_nocase(name, PH_LIT("PROTO"));
}

const struct smtp_reply *
smtp_xclient_parse(struct smtp *c, struct ph_slice text,
    struct smtp_xclient_args *args_out)
{
	struct smtp_xclient_args args = { 0 };
	struct ph_slice word, name, value;

	if (text.n == 0)
		return &bad;
	while (text.p != NULL && text.n > 0) {
		word = ph_slice_cut(&text, ' ');
		if (word.n == 0)
			continue;
		name = ph_slice_cut(&word, '=');
		if (word.n == 0)
			return &bad;
		value = decode(c, word);
		if (value.p == NULL || !take_attribute(name, value, &args))
			return &bad;
	}
	*args_out = args;
	return NULL;
}

void
smtp_allow_xclient(struct smtp *c)
{
	if (!c->may_xclient)
		smtp_say(c, 550, "5.7.0", "XCLIENT is not for you");
	else if (ph_session_user(c->session) != NULL) /* can't be forgotten */
		smtp_say(c, 503, "5.5.1", "too late after a login");
}

bool
smtp_is_front_end(const void *conf, const struct ph_addr *client)
{
	const struct smtp_conf *c = conf;

	return ph_net_list_has(&c->xclient_networks, client);
}

/* What was counted so far was another's doing. False: it has too many. */
static bool
become(struct smtp *c, const struct smtp_xclient_args *args)
{
	char text[PH_ADDR_TEXT_MAX];

	ph_log(PH_INFO, "client_named", ph_f_str("client",
	    ph_addr_format(&args->addr, text)));
	c->tally.errors = c->tally.unknown = c->tally.idle_commands = 0;
	if (ph_session_set_client(c->session, &args->addr, args->port) == PH_OK)
		return true;
	c->tally.end = "refused";
	smtp_say(c, 421, "4.7.0", "too many connections");
	return false;
}

void
smtp_do_xclient(struct smtp *c)
{
	const struct smtp_xclient_args *args = &c->xclient_args;

	smtp_transaction_end(c);
	c->extended = false;
	if (args->addr.family != 0 && !become(c, args))
		return;
	smtp_meet_client(c);
	ph_session_set_helo(c->session, args->helo);
	if (!smtp_ask(c, PH_AT_CONNECT)) {
		/* As after STARTTLS: it answers what comes next. */
		c->refusal = c->reply;
		c->next = SMTP_REFUSED;
	}
	smtp_sayf(c, 220, NULL, "%s ESMTP posthouse",
	    ph_session_hostname(c->session));
}
