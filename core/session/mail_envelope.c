/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail_envelope.c - what checks change of an envelope at the end of a message.
 * A module is trusted with whom mail goes to, but not with the right to relay:
 * that is the session's, and the queue will see no other.
 */
#include "session/mail_inner.h"

#include "base/record.h"
#include "pipeline/envelope_edit.h"

static void
tell(const char *event, const struct envelope_edit *edit, const char *why)
{
	ph_log(why != NULL ? PH_WARN : PH_INFO, event,
	    ph_f_slice("by", edit->module),
	    ph_f_slice(edit->op == ENVELOPE_SENDER ? "from" : "to",
	        edit->address),
	    ph_f_str("reason", why));
}

static bool
is_recipient(const struct ph_mail *mail, struct ph_slice address)
{
	for (size_t i = 0; i < mail->recipient_count; i++)
		if (ph_slice_eq_nocase(mail->addresses[i], address))
			return true;
	return false;
}

static const char *
why_not(struct ph_mail *mail, struct ph_slice address)
{
	struct ph_session *session = mail->session;
	struct ph_slice facts = ph_buf_content(&mail->facts);
	struct record_field field;
	bool is_utf8 = false;

	while (record_next(&facts, &field))
		is_utf8 |= ph_slice_eq(record_get(field.value, F_NAME),
		    PH_LIT("smtputf8"));
	for (size_t i = 0; i < address.n && !is_utf8; i++)
		if ((unsigned char)address.p[i] >= 0x80)
			return "the message is not SMTPUTF8";
	switch (ph_recipient_lookup(session, address)) {
	case PH_RCPT_LOCAL:
		return NULL;
	case PH_RCPT_REMOTE:
		return session->user != NULL || ph_session_may_relay(session) ?
		    NULL : "the session may not relay";
	case PH_RCPT_NO_USER:
		return "no such user";
	default:
		mail->failed = PH_UNAVAILABLE; /* the client tries again */
		return "could not be looked up";
	}
}

static void
add(struct ph_mail *mail, const struct envelope_edit *edit)
{
	const char *why;

	if (is_recipient(mail, edit->address))
		return;
	why = why_not(mail, edit->address);
	tell(why == NULL ? "recipient_added" : "recipient_not_added", edit,
	    why);
	if (why == NULL)
		ph_mail_add_recipient(mail, edit->address, edit->notify,
		    edit->orcpt);
}

/* The recipients' records stand in the order of their addresses. */
static void
take_out(struct ph_mail *mail, const struct envelope_edit *edit)
{
	struct ph_slice rest = ph_buf_content(&mail->recipients);
	char *kept = mail->recipients.p;
	const char *from = rest.p;
	struct record_field field;
	size_t n = 0;

	mail->is_going_out = false;
	for (size_t i = 0; record_next(&rest, &field); from = rest.p, i++) {
		size_t octets = (size_t)(rest.p - from);

		if (ph_slice_eq_nocase(mail->addresses[i], edit->address))
			continue;
		mail->is_going_out |= record_get(field.value, F_USER).p ==
		    NULL;
		memmove(kept, from, octets);
		kept += octets;
		mail->addresses[n++] = mail->addresses[i];
	}
	mail->recipients.n = (size_t)(kept - mail->recipients.p);
	mail->recipient_count = n;
	tell("recipient_removed", edit, NULL);
}

void
mail_change_envelope(struct ph_mail *mail, struct ph_slice changes)
{
	struct record_field field;
	struct envelope_edit edit;
	unsigned count = 0;

	while (record_next(&changes, &field)) {
		if (field.tag != F_ENVELOPE)
			continue;
		if (++count > ENVELOPE_EDITS_MAX ||
		    envelope_edit_take(mail->arena, field.value, &edit) !=
		        PH_OK) {
			ph_log(PH_ERROR, "envelope_not_changed",
			    ph_f_str("reason", "check sent no sound change"));
			mail->failed = PH_UNAVAILABLE;
			return;
		}
		if (edit.op == ENVELOPE_ADD) {
			add(mail, &edit);
		} else if (edit.op == ENVELOPE_SENDER) {
			mail->sender = ph_arena_slice(mail->arena,
			    edit.address);
			tell("sender_changed", &edit, NULL);
		} else if (is_recipient(mail, edit.address)) {
			take_out(mail, &edit);
		}
	}
}
