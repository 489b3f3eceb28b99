/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/delivery.h - hooks behind the queue: what becomes of a message
 * that was taken, recipient by recipient.
 *
 * A check module has them beside, or instead of, those of <posthouse/check.h>,
 * and all that is said there of hooks holds: one is a fiber with a deadline,
 * what it can't answer counts as on_failure, a shadow changes nothing. The
 * client is gone: ph_call_session tells what was known of it when the message
 * was taken, ph_call_note what modules noted until then, while one of these
 * modules was on. A session state or message state lasts for the recipient's
 * hooks of one attempt. Header changes are not made here.
 */
#ifndef POSTHOUSE_DELIVERY_H
#define POSTHOUSE_DELIVERY_H

#include <posthouse/check.h>
#include <posthouse/mailbox.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * NULL where the module has nothing to say. Before an attempt, once for each
 * recipient, with the whole content (ph_call_content): route first, when it was
 * decided where his mail goes, that is before the first attempt and again after
 * it deferred, after a restart or when routes changed; deliver before every attempt. Their
 * verdicts are about that recipient alone: reject returns the message to its
 * sender with this reply (RFC 3464), defer tries it again later, discard is done
 * with it and tells nobody, quarantine moves it into a message of its own that
 * is held; what was held once and released is not held again. A crash of the
 * server before the outcome is on disk repeats the hook.
 *
 * The other three hear of an outcome when it is on disk, without the content.
 * They are not waited for, decide nothing (any verdict but PH_NEXT is a fault),
 * and may be missed, or told twice, where a process dies.
 */
struct ph_delivery_ops {
	ph_hook *route;
	ph_hook *deliver;
	ph_hook *delivered; /* a mailbox has it, or the next server */
	ph_hook *deferred;  /* it is tried again */
	ph_hook *bounced;   /* for good; its sender is told, if he wants it */
};

/*
 * At deliver: send the message on to another address, as well (copied). It goes
 * as a message of its own with the same sender and content, made durable with
 * the outcome of this recipient, when he has the message or, with PH_DISCARD, is
 * done with it: then nothing stays here. An address to which it was sent on
 * before, or where nobody is, gets nothing, and the message is delivered after
 * all; the log says so. Sending on ends after ten times. Where the addresses
 * lead to more than 2,000 recipients it is deferred, nobody is left out.
 * False: not at deliver, no address, or more than eight of them.
 */
PH_EXPORT bool ph_redirect(struct ph_call *call, struct ph_slice address);

/*
 * At deliver, for a mailbox here (user of the facts): put the message into this
 * mailbox of his and not the INBOX; said again, into that one, too (sixteen at
 * most, of all modules; "INBOX" is among them when it is said). The name is
 * UTF-8 with "/" between its parts; a mailbox that is missing is made, and where
 * it can't be, the INBOX has the message. flags are those of
 * <posthouse/mailbox.h>, keywords (NULL-terminated; NULL: none; at most 16 of 64
 * octets) atoms of IMAP. All copied. A verdict other than PH_NEXT puts it nowhere.
 * A repeated delivery is there once, in each.
 * False: not at deliver, it goes on to another server, no such name or keyword,
 * or too many.
 */
PH_EXPORT bool ph_file_into(struct ph_call *call, struct ph_slice mailbox,
    uint32_t flags, const char *const *keywords);

/*
 * At deliver: send a message of the module's own to one address: an answer
 * (vacation), a notice. content is header and body, lines of at most 1000 octets
 * that end in CRLF; copied. It must have From, and Auto-Submitted with another
 * word than "no" (RFC 3834); Date and Message-ID are added where they are
 * missing. It goes with the null sender, so that no report answers it, and is
 * made durable as what is sent on: once, when the recipient has the message or a
 * check is done with it. Whom to answer, and how often, is the module's to know.
 * False: not at deliver, no address, no such content, more than four or than
 * 16 KiB in all; and always when the message has the null sender or says itself
 * that no person sent it.
 */
PH_EXPORT bool ph_send_reply(struct ph_call *call, struct ph_slice address,
    struct ph_slice content);

/* What is known of a recipient's delivery; made by the core, grows at its end.
 * All borrowed for the call. */
struct ph_delivery_facts {
	const char *queue_id;        /* as in the log */
	struct ph_slice user;        /* whose mailbox; absent: it goes on */
	struct ph_slice destination; /* of a remote one: a domain, or what a
	                              * router said; else absent */
	int64_t received_at;         /* seconds since 1970 */
	unsigned attempts;           /* so far; when told: with this one */
	/* The reply of the last attempt; when told: of this one. */
	int code;                    /* 0: nobody replied */
	struct ph_slice enhanced, host, text; /* absent: not known */
};
/* NULL at the stages before the queue. */
PH_EXPORT const struct ph_delivery_facts *ph_call_delivery(
    const struct ph_call *call);

#ifdef __cplusplus
}
#endif
#endif
