/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - what a client must put up with, and what we put up with from it:
 * the wait before the greeting, names in HELO, the wait before refusals, rates.
 * Clients that may relay are trusted with all of it but the limits of users and
 * recipients. Rates live in the store that all processes share; when it can't
 * be asked, nobody is refused for it.
 */
#include <posthouse/fiber.h>
#include <posthouse/kv.h>

#include "conversation.h"
#include "recipient.h"

static bool
is_trusted(const struct smtp *c)
{
	return ph_session_may_relay(c->session) ||
	    ph_session_user(c->session) != NULL;
}

/* --- early talkers: RFC 5321 s3.1, the server speaks first --- */

bool
smtp_talks_early(struct smtp *c)
{
	int status;

	if (c->conf->greet_delay_ms == 0 || is_trusted(c))
		return false;
	status = ph_stream_buffered(c->stream).n > 0 ? PH_OK :
	    ph_stream_fill(c->stream, c->conf->greet_delay_ms);
	if (status == PH_TIMEOUT)
		return false;
	if (status == PH_OK)
		smtp_say(c, 554, "5.5.1", "you spoke before the greeting");
	else
		smtp_lost(c, status);
	return true;
}

/* --- HELO --- */

static bool
is_this_machine(const struct smtp *c)
{
	return ph_addr_eq(ph_session_client(c->session),
	    ph_session_local(c->session));
}

/* Our name or address in somebody else's mouth. */
static bool
is_our_name(const struct smtp *c)
{
	const struct ph_addr *local = ph_session_local(c->session);
	struct ph_slice name = c->helo_arg;
	struct ph_addr addr;

	if (is_this_machine(c))
		return false;
	return ph_domain_eq(name,
	           ph_slice_str(ph_session_hostname(c->session))) ||
	    ((ph_addr_parse(name, &addr) ||
	         ph_address_literal_parse(name, &addr)) &&
	        ph_addr_eq(&addr, local));
}

void
smtp_check_helo(struct smtp *c)
{
	struct ph_addr addr;

	if (is_trusted(c))
		return;
	if (c->conf->helo_refuse_own && is_our_name(c))
		smtp_say(c, 550, "5.7.1", "this is my name, not yours");
	else if (c->conf->helo_refuse_address &&
	    ph_addr_parse(c->helo_arg, &addr))
		smtp_say(c, 550, "5.7.1",
		    "a host name or [address] is needed, not a bare address");
}

/* --- tarpit --- */

void
smtp_tarpit(struct smtp *c)
{
	if (c->conf->tarpit_ms == 0 || is_trusted(c))
		return;
	/* What came before the refusal need not wait. */
	if (ph_stream_flush(c->stream) == PH_OK)
		(void)ph_sleep_ms(c->conf->tarpit_ms);
}

/* --- rates --- */

enum { NET_OCTETS = 8 }; /* of an IPv6 client: its /64 */

static void
client_key(const struct smtp *c, char what, struct ph_buf *key)
{
	const struct ph_addr *client = ph_session_client(c->session);

	ph_buf_char(key, what);
	ph_buf_char(key, (char)client->family);
	ph_buf_add(key, client->octet, client->family == 4 ? 4 : NET_OCTETS);
}

static void
text_key(char what, struct ph_slice text, struct ph_buf *key)
{
	ph_buf_char(key, what);
	ph_buf_lower(key, text);
}

/* One more; false: refused, reply is filled. */
static bool
within(struct smtp *c, const struct ph_buf *key, unsigned limit,
    const char *text)
{
	bool over = false;

	if (ph_kv_rate(ph_buf_content(key), limit, c->conf->rate_window_ms,
	        &over) != PH_OK || !over)
		return true;
	smtp_say(c, 450, "4.7.1", text);
	return false;
}

static bool
client_within(struct smtp *c, char what, unsigned limit, const char *text)
{
	struct ph_buf key;

	if (limit == 0 || ph_session_may_relay(c->session))
		return true;
	ph_buf_init(&key, smtp_scratch(c), PH_KV_KEY_MAX);
	client_key(c, what, &key);
	return within(c, &key, limit, text);
}

static bool
text_within(struct smtp *c, char what, struct ph_slice of, unsigned limit,
    const char *text)
{
	struct ph_buf key;

	if (limit == 0 || of.p == NULL)
		return true;
	ph_buf_init(&key, smtp_scratch(c), PH_KV_KEY_MAX);
	text_key(what, of, &key);
	return within(c, &key, limit, text);
}

bool
smtp_message_rate(struct smtp *c)
{
	return client_within(c, 'm', c->conf->client_messages,
	           "too many messages from you, try again later") &&
	    text_within(c, 'M', ph_slice_str(ph_session_user(c->session)),
	        c->conf->user_messages,
	        "too many messages from this user, try again later");
}

bool
smtp_recipient_rate(struct smtp *c)
{
	return client_within(c, 'r', c->conf->client_recipients,
	           "too many recipients from you, try again later") &&
	    text_within(c, 'R', ph_slice_str(ph_session_user(c->session)),
	        c->conf->user_recipients,
	        "too many recipients from this user, try again later") &&
	    text_within(c, 't', c->rcpt_address, c->conf->recipient_messages,
	        "too many messages for this recipient, try again later");
}
