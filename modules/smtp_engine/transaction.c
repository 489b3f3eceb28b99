/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transaction.c - MAIL and RCPT: who may send, to whom, how much; and the end
 * of a transaction. What the pipeline says comes after our own rules, so that
 * checks are not asked about mail that is refused anyway.
 */
#include "conversation.h"
#include "recipient.h"

static const char *
need_tls_or_auth(const struct smtp *c)
{
	const char *need = smtp_need_certificate(c);

	if (need != NULL)
		return need;
	if (!c->policy->submission || ph_session_user(c->session) != NULL)
		return NULL;
	if (ph_session_tls(c->session) == NULL && !c->conf->allow_plain_auth)
		return "STARTTLS comes first";
	return "log in first";
}

/* RFC 1870 s6: what can't be taken is said before it is sent. */
uint64_t
smtp_size_limit(const struct smtp *c)
{
	const uint64_t all = ph_mail_size_limit(c->session);

	return c->conf->message_size_bytes < all ?
	    c->conf->message_size_bytes : all;
}

static bool
has_room(struct smtp *c)
{
	const uint64_t size = c->mail_args.size;
	int status;

	if (size > smtp_size_limit(c)) {
		smtp_say(c, 552, "5.3.4", "the message is too big");
		return false;
	}
	status = ph_mail_room(c->session, size);
	if (status == PH_OK)
		return true;
	if (status == PH_FULL)
		smtp_say(c, 452, "4.3.1", "no room now, try again later");
	else
		smtp_say(c, 451, "4.3.0", "not possible now, try again later");
	return false;
}

static void
begin(struct smtp *c)
{
	const struct smtp_mail_args *args = &c->mail_args;

	c->mail = ph_mail_begin(c->session, args->path.address);
	ph_mail_limit(c->mail,
	    c->conf->message_size_bytes + c->conf->header_limit_bytes);
	c->sender = ph_arena_slice(ph_mail_arena(c->mail), args->path.address);
	c->smtputf8 = args->smtputf8;
	c->binary = ph_slice_eq(args->body, PH_LIT("BINARYMIME"));
	if (args->body.p != NULL)
		ph_mail_set(c->mail, "body", args->body);
	if (args->smtputf8)
		ph_mail_set(c->mail, "smtputf8", PH_LIT("1"));
	/* A bounce is text: binary content can't be returned in it. */
	if (args->ret.p != NULL || c->binary)
		ph_mail_set(c->mail, "ret",
		    c->binary ? PH_LIT("HDRS") : args->ret);
	if (args->envid.p != NULL)
		ph_mail_set(c->mail, "envid", args->envid);
	smtp_begin_future_release(c);
	c->recipients = NULL;
	c->recipients_end = &c->recipients;
	c->recipient_count = 0;
}

static bool
may_send_as(struct smtp *c, struct ph_slice sender)
{
	enum ph_ownership owned = PH_OWNED;

	if (c->policy->submission && c->conf->sender_check != SMTP_SENDER_OFF)
		owned = smtp_owns(c, sender);
	if (owned == PH_NOT_OWNED)
		smtp_say(c, 553, "5.7.1", "the sender address is not yours");
	else if (owned == PH_OWNED_UNSURE)
		smtp_say(c, 451, "4.4.3", "whose address that is could not be "
		                          "looked up, try again later");
	return owned == PH_OWNED;
}

void
smtp_allow_mail(struct smtp *c)
{
	const struct smtp_mail_args *args = &c->mail_args;
	const char *need = need_tls_or_auth(c);

	if (need != NULL)
		smtp_say(c, 530, "5.7.0", need);
	else if (args->has_params && !c->extended)
		smtp_say(c, 555, "5.5.4", "parameters need EHLO");
	else if (args->path.has_utf8 && !args->smtputf8)
		smtp_say(c, 550, "5.6.7", "the address needs SMTPUTF8");
	else if (smtp_allow_future_release(c) &&
	    may_send_as(c, args->path.address) && has_room(c) &&
	    smtp_message_rate(c))
		begin(c);
}

void
smtp_do_mail(struct smtp *c)
{
	smtp_say(c, 250, "2.1.0", "sender ok");
}

/* --- RCPT --- */

/* The address the queue will know: literals of ours become our host name. */
static struct ph_slice
lookup_address(struct smtp *c, bool own_literal)
{
	const struct ph_path *path = &c->rcpt_args.path;

	if (!own_literal)
		return path->address;
	if (ph_slice_eq_nocase(path->local, PH_LIT("postmaster")))
		return PH_LIT("postmaster");
	return ph_slice_str(ph_arena_printf(smtp_scratch(c),
	    PH_SLICE_FMT "@%s", PH_SLICE_ARG(path->local),
	    ph_session_hostname(c->session)));
}

static void
check_recipient(struct smtp *c)
{
	const struct smtp_reply *wrong;
	struct smtp_rcpt_facts facts = {
		.path = &c->rcpt_args.path,
		.may_relay = ph_session_user(c->session) != NULL ||
		    ph_session_may_relay(c->session),
	};

	if (facts.path->is_literal)
		facts.is_own_literal = smtp_literal_is_own(facts.path->domain,
		    ph_session_local(c->session));
	c->rcpt_address = lookup_address(c, facts.is_own_literal);
	facts.found = ph_recipient_lookup(c->session, c->rcpt_address);
	c->rcpt_is_local = facts.found == PH_RCPT_LOCAL;
	wrong = smtp_rcpt_decide(&facts);
	if (wrong != NULL)
		c->reply = *wrong;
	else
		(void)smtp_recipient_rate(c);
}

static bool
is_known_recipient(const struct smtp *c)
{
	for (const struct smtp_recipient *r = c->recipients; r != NULL;
	     r = r->next)
		if (ph_slice_eq(r->address, c->rcpt_address))
			return true;
	return false;
}

void
smtp_allow_rcpt(struct smtp *c)
{
	const struct smtp_rcpt_args *args = &c->rcpt_args;

	c->rcpt_address = args->path.address;
	if (args->has_params && !c->extended)
		smtp_say(c, 555, "5.5.4", "parameters need EHLO");
	else if (args->path.has_utf8 && !c->smtputf8)
		smtp_say(c, 553, "5.6.7", "the address needs SMTPUTF8");
	else if (c->recipient_count >= c->conf->max_recipients)
		smtp_say(c, 452, "4.5.3", "too many recipients");
	else
		check_recipient(c);
}

void
smtp_do_rcpt(struct smtp *c)
{
	struct smtp_recipient *r;

	smtp_say(c, 250, "2.1.5", "recipient ok");
	if (is_known_recipient(c))
		return;
	r = ph_arena_alloc(ph_mail_arena(c->mail), sizeof(*r));
	r->address = ph_arena_slice(ph_mail_arena(c->mail), c->rcpt_address);
	r->is_local = c->rcpt_is_local;
	*c->recipients_end = r;
	c->recipients_end = &r->next;
	c->recipient_count++;
	if (c->verdict != PH_DISCARD)
		ph_mail_add_recipient(c->mail, r->address,
		    c->rcpt_args.notify, c->rcpt_args.orcpt);
}

void
smtp_transaction_end(struct smtp *c)
{
	if (c->mail != NULL)
		ph_mail_abort(c->mail);
	c->mail = NULL;
	c->sender = (struct ph_slice){ NULL, 0 };
	c->smtputf8 = c->binary = false;
	c->recipients = NULL;
	c->recipient_count = 0;
	c->content = (struct smtp_content){ 0 };
}
