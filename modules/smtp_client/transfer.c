/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.c - transactions: MAIL, RCPT, DATA or BDAT, the content (RFC 5321
 * s3.3), with PIPELINING as one write (RFC 2920).
 *
 * A recipient is delivered by the 2xx to the end of data and by nothing else.
 * When that reply does not come, the message may or may not have been taken:
 * it is deferred, and may arrive twice.
 */
#include "session.h"

#include <posthouse/mail.h>
#include <stdio.h>

enum {
	RECIPIENTS_MAX = 100, /* in a transaction, RFC 5321 s4.5.3.1.8 */
	RESET_MS = 5000, /* on a kept connection */
};

enum rcpt_state { RCPT_ASKED, RCPT_ACCEPTED, RCPT_REFUSED };

struct refusal {
	enum ph_delivery result;
	struct smtp_reply reply;
};

struct transaction {
	size_t recipient[RECIPIENTS_MAX]; /* indexes in the attempt */
	enum rcpt_state state[RECIPIENTS_MAX];
	/* counts when all replies to the transaction turned out to fit: with
	 * one too many it would be another recipient's */
	const struct refusal *refusal[RECIPIENTS_MAX];
	size_t count, accepted;
	bool with_utf8;
	bool mail_failed;
};

static const char *
host_of(const struct session *session)
{
	return session->peer->name;
}

/* --- what can go to this host at all --- */

/* As this host may read it; absent: it may not (RFC 6531 s3.2). */
static struct ph_slice
address_for(const struct session *session, struct ph_slice address)
{
	return session->offer.smtputf8 ? address :
	    ph_address_to_ascii(session->arena, address);
}

static struct ph_slice
recipient_for(const struct session *session, size_t i)
{
	return address_for(session,
	    ph_attempt_recipient(session->delivery->attempt, i));
}

static bool
utf8_is_refused(struct session *session, size_t i)
{
	struct delivery *delivery = session->delivery;

	if (session->offer.smtputf8)
		return false;
	if (recipient_for(session, i).p == NULL ||
	    address_for(session, delivery->envelope.sender).p == NULL)
		delivery_refuse(delivery, i, "5.6.7", host_of(session),
		    "the host does not take addresses outside ASCII");
	else if (delivery->envelope.has_utf8_header)
		delivery_refuse(delivery, i, "5.6.9", host_of(session),
		    "the host does not take header fields in UTF-8");
	else
		return false;
	return true;
}

static bool
size_is_refused(struct session *session, size_t i)
{
	uint64_t limit = session->offer.size_limit_bytes;

	if (limit == 0 || session_envelope(session).size_bytes <= limit)
		return false;
	delivery_refuse(session->delivery, i, "5.3.4", host_of(session),
	    "the message is larger than the %llu octets that the host takes",
	    (unsigned long long)limit);
	return true;
}

/* RFC 6152 s3: what the host does not take, in no form that we know. */
static bool
form_is_refused(struct session *session, size_t i, const char *why)
{
	if (why == NULL)
		return false;
	delivery_refuse(session->delivery, i, "5.6.3", host_of(session),
	    "the message is %s, which the host does not take%s%s",
	    session->delivery->envelope.is_binary ? "binary" :
	                                            "in 8 bits",
	    why[0] != '\0' ? "; " : "", why);
	return true;
}

/* The next recipients without a result; false when there are none. */
static bool
gather(struct session *session, struct transaction *transaction)
{
	struct delivery *delivery = session->delivery;
	size_t all = ph_attempt_recipient_count(delivery->attempt);
	const char *why = NULL;

	session_find_utf8(session);
	session_choose_form(session, &why);
	memset(transaction, 0, sizeof(*transaction));
	transaction->with_utf8 = session->offer.smtputf8 &&
	    envelope_needs_utf8(&delivery->envelope);
	for (size_t i = 0; i < all && transaction->count < RECIPIENTS_MAX;
	    i++) {
		if (delivery->has_result[i] || utf8_is_refused(session, i) ||
		    form_is_refused(session, i, why) ||
		    size_is_refused(session, i))
			continue;
		if (session->offer.smtputf8 &&
		    !is_ascii(ph_attempt_recipient(delivery->attempt, i)))
			transaction->with_utf8 = true;
		transaction->recipient[transaction->count++] = i;
	}
	return transaction->count > 0;
}

/* --- the envelope --- */

static void
send_mail(struct session *session, const struct transaction *transaction)
{
	struct smtp_envelope envelope = session_envelope(session);

	envelope.sender = address_for(session, envelope.sender);
	session_send(session, command_mail(session->arena, &envelope,
	    &session->offer,
	    transaction->with_utf8));
}

static void
send_rcpt(struct session *session, const struct transaction *transaction,
    size_t k)
{
	const struct ph_attempt *attempt = session->delivery->attempt;
	size_t i = transaction->recipient[k];

	session_send(session, command_rcpt(session->arena,
	    recipient_for(session, i), ph_attempt_notify(attempt, i),
	    ph_attempt_orcpt(attempt, i), &session->offer,
	    transaction->with_utf8));
}

/* Every recipient of the transaction has this refusal, but those that have one
 * of their own. */
static void
refuse_all(struct session *session, const struct transaction *transaction)
{
	const struct smtp_reply *reply = &session->reply;

	for (size_t k = 0; k < transaction->count; k++)
		if (transaction->state[k] != RCPT_REFUSED)
			delivery_result(session->delivery,
			    transaction->recipient[k],
			    reply->code >= 500 ? PH_FAILED : PH_DEFERRED,
			    reply, host_of(session));
}

static enum step
read_mail(struct session *session, struct transaction *transaction)
{
	session->stage = "MAIL";
	if (session_read(session, session->delivery->conf->mail_timeout_ms,
	        NULL) != PH_OK)
		return STOP;
	if (session->reply.code / 100 == 2) {
		session->is_unproved = false;
		return GO_ON;
	}
	if (session->reply.code / 100 == 3)
		return session_confused(session);
	if (session->reply.code == 421)
		return session_fail_reply(session);
	transaction->mail_failed = true;
	if (session->reply.code >= 500)
		refuse_all(session, transaction);
	else
		session_fail_reply(session); /* another host may take it */
	return GO_ON;
}

static void
keep_refusal(struct session *session, struct transaction *transaction,
    size_t k, enum ph_delivery result)
{
	struct refusal *refusal = ph_arena_alloc(session->arena,
	    sizeof(*refusal));

	refusal->result = result;
	refusal->reply = session->reply;
	transaction->state[k] = RCPT_REFUSED;
	transaction->refusal[k] = refusal;
}

static void
settle_refusals(struct session *session,
    const struct transaction *transaction)
{
	for (size_t k = 0; k < transaction->count; k++)
		if (transaction->state[k] == RCPT_REFUSED)
			delivery_result(session->delivery,
			    transaction->recipient[k],
			    transaction->refusal[k]->result,
			    &transaction->refusal[k]->reply,
			    host_of(session));
}

/* All that was asked is answered, and there is more. A host may say 421 at any
 * time: it hangs up. */
static bool
is_out_of_step(struct session *session)
{
	return ph_stream_look(session->stream) == PH_OK &&
	    !ph_slice_starts_nocase(ph_stream_buffered(session->stream),
	        "421");
}

/*
 * RFC 5321 s4.5.3.1.10: 552 was once said for "too many recipients", so after
 * an accepted one it is no reason to give up on this one.
 */
static bool
is_temporary(const struct transaction *transaction,
    const struct smtp_reply *reply)
{
	return reply->code < 500 ||
	    (reply->code == 552 && transaction->accepted > 0);
}

static enum step
read_rcpt(struct session *session, struct transaction *transaction, size_t k)
{
	const struct smtp_reply *reply = &session->reply;

	session->stage = "RCPT";
	if (session_read(session, session->delivery->conf->rcpt_timeout_ms,
	        NULL) != PH_OK)
		return STOP;
	if (transaction->mail_failed)
		return GO_ON; /* it answers the MAIL that is missing */
	if (reply->code == 421)
		return session_fail_reply(session);
	if (reply->code / 100 == 3)
		return session_confused(session);
	if (reply->code / 100 == 2) {
		transaction->state[k] = RCPT_ACCEPTED;
		transaction->accepted++;
	} else {
		keep_refusal(session, transaction, k,
		    is_temporary(transaction, reply) ? PH_DEFERRED :
		                                       PH_FAILED);
	}
	return GO_ON;
}

/* --- the content --- */

/* RFC 3461 s5.2.2: who took NOTIFY over reports the success, too. */
static void
note_onward(const struct session *session, size_t i)
{
	struct ph_attempt *attempt = session->delivery->attempt;

	if (command_passes_notify(ph_attempt_notify(attempt, i),
	        &session->offer))
		ph_attempt_onward(attempt, i, PH_ONWARD_REPORTS);
	else if (session->peer->is_lmtp)
		ph_attempt_onward(attempt, i, PH_ONWARD_END);
}

/* Results for those accepted from k up to end. */
static void
finish(struct session *session, const struct transaction *transaction,
    size_t k, size_t end, enum ph_delivery result)
{
	for (; k < end; k++) {
		size_t i = transaction->recipient[k];

		if (transaction->state[k] != RCPT_ACCEPTED)
			continue;
		note_onward(session, i);
		delivery_result(session->delivery, i, result,
		    &session->reply, host_of(session));
	}
}

/* Those accepted from k on may have the message, or not: no other host is asked
 * for them now. */
static void
defer_rest(struct session *session, const struct transaction *transaction,
    size_t k)
{
	const struct failure *why = &session->delivery->failure;
	struct smtp_reply *reply = &session->reply;

	reply_init(reply);
	memcpy(reply->enhanced, why->enhanced, sizeof(reply->enhanced));
	snprintf(reply->text, sizeof(reply->text), "%s", why->text);
	finish(session, transaction, k, transaction->count, PH_DEFERRED);
}

static enum step
read_end_of_data(struct session *session,
    const struct transaction *transaction, int sent)
{
	const struct client_conf *conf = session->delivery->conf;
	struct smtp_reply *reply = &session->reply;

	session->stage = "end of data";
	for (size_t k = 0; k < transaction->count; k++) {
		/* RFC 2033 s4.2: LMTP has a reply for each accepted one */
		size_t until = session->peer->is_lmtp ? k + 1 :
		                                        transaction->count;

		if (transaction->state[k] != RCPT_ACCEPTED)
			continue;
		if (session_read(session, conf->data_done_timeout_ms, NULL) !=
		    PH_OK) {
			if (sent != PH_OK)
				return STOP; /* the end did not leave */
			defer_rest(session, transaction, k);
			return STOP;
		}
		if (reply->code / 100 == 3) {
			session_confused(session);
			defer_rest(session, transaction, k);
			return STOP;
		}
		finish(session, transaction, k, until,
		    reply->code / 100 == 2 && sent == PH_OK ? PH_DELIVERED :
		    reply->code >= 500 ? PH_FAILED : PH_DEFERRED);
		if (reply->code == 421)
			session->is_lost = true;
		if (until == transaction->count)
			break;
	}
	return session->is_lost || sent != PH_OK ? STOP : GO_ON;
}

static enum step
transfer_content(struct session *session,
    const struct transaction *transaction)
{
	int sent;

	session->stage = "content";
	ph_stream_write_timeout(session->stream,
	    session->delivery->conf->data_block_timeout_ms);
	if (!session_send_content(session))
		return session_confused(session);
	sent = ph_stream_flush(session->stream);
	return read_end_of_data(session, transaction, sent);
}

/* 354 though nobody was accepted (RFC 2920 s3.1): end it with nothing. LMTP has
 * no reply to that then (RFC 2033 s4.2). */
static enum step
end_empty_data(struct session *session)
{
	session_send(session, PH_LIT(".\r\n"));
	if (session->peer->is_lmtp)
		return STOP;
	return session_read(session,
	           session->delivery->conf->data_done_timeout_ms, NULL) ==
	    PH_OK ? GO_ON : STOP;
}

static enum step
read_data(struct session *session, struct transaction *transaction)
{
	session->stage = "DATA";
	if (session_read(session,
	        session->delivery->conf->data_init_timeout_ms, NULL) != PH_OK)
		return STOP;
	if (session->reply.code != 354 && (session->reply.code < 400 ||
	        is_out_of_step(session)))
		return session_confused(session);
	if (transaction->accepted == 0 || transaction->mail_failed)
		return session->reply.code != 354 ? GO_ON :
		    transaction->mail_failed ? STOP : end_empty_data(session);
	if (session->reply.code == 354)
		return transfer_content(session, transaction);
	if (session->reply.code == 421)
		return session_fail_reply(session);
	refuse_all(session, transaction);
	return GO_ON;
}

/* --- a transaction --- */

static enum step
read_reset(struct session *session)
{
	unsigned timeout_ms = session->delivery->conf->mail_timeout_ms;

	if (session->is_unproved && timeout_ms > RESET_MS)
		timeout_ms = RESET_MS; /* a new connection is at hand */
	session->stage = "RSET";
	if (session_read(session, timeout_ms, NULL) != PH_OK)
		return STOP;
	return session->reply.code == 250 ? GO_ON :
	    session_fail(session, "4.5.0", "RSET was answered with %s",
	        session->reply.text);
}

static enum step
run_pipelined(struct session *session, struct transaction *transaction,
    bool is_reset)
{
	if (is_reset)
		session_send(session, PH_LIT("RSET\r\n"));
	send_mail(session, transaction);
	for (size_t k = 0; k < transaction->count; k++)
		send_rcpt(session, transaction, k);
	if (!session_uses_chunks(session))
		session_send(session, PH_LIT("DATA\r\n"));
	if (is_reset && read_reset(session) != GO_ON)
		return STOP;
	if (read_mail(session, transaction) != GO_ON)
		return STOP;
	for (size_t k = 0; k < transaction->count; k++)
		if (read_rcpt(session, transaction, k) != GO_ON)
			return STOP;
	if (!session_uses_chunks(session))
		return read_data(session, transaction);
	if (is_out_of_step(session))
		return session_confused(session);
	return transaction->accepted == 0 || transaction->mail_failed ?
	    GO_ON : transfer_content(session, transaction);
}

static enum step
run_stepwise(struct session *session, struct transaction *transaction,
    bool is_reset)
{
	if (is_reset) {
		session_send(session, PH_LIT("RSET\r\n"));
		if (read_reset(session) != GO_ON)
			return STOP;
	}
	send_mail(session, transaction);
	if (read_mail(session, transaction) != GO_ON ||
	    transaction->mail_failed)
		return STOP;
	if (is_out_of_step(session))
		return session_confused(session);
	for (size_t k = 0; k < transaction->count; k++) {
		send_rcpt(session, transaction, k);
		if (read_rcpt(session, transaction, k) != GO_ON)
			return STOP;
		if (is_out_of_step(session))
			return session_confused(session);
	}
	if (transaction->accepted == 0)
		return GO_ON;
	if (session_uses_chunks(session))
		return transfer_content(session, transaction);
	session_send(session, PH_LIT("DATA\r\n"));
	return read_data(session, transaction);
}

enum step
session_transfer(struct session *session)
{
	struct transaction *transaction = ph_arena_alloc(session->arena,
	    sizeof(*transaction));
	enum step step;

	while (gather(session, transaction)) {
		/* what was said before is over: also on a kept connection,
		 * whose host may have hung up in the meantime */
		bool is_reset = session->had_transaction ||
		    session->is_unproved;

		/* nothing was asked: it hung up, or has one reply too many */
		if (is_reset && ph_stream_look(session->stream) != PH_TIMEOUT)
			return session_confused(session);
		session->had_transaction = true;
		step = session->offer.pipelining ?
		    run_pipelined(session, transaction, is_reset) :
		    run_stepwise(session, transaction, is_reset);
		if (!session->is_confused)
			settle_refusals(session, transaction);
		if (step != GO_ON || transaction->mail_failed)
			return STOP;
	}
	return GO_ON;
}
