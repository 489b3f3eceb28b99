/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/session.h - what is known about a client, and the stages and
 * verdicts of the pipeline. Shared by listeners and checks. Nothing suspends.
 */
#ifndef POSTHOUSE_SESSION_H
#define POSTHOUSE_SESSION_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_session;

/* Where a message or session stands when hooks are asked. */
enum ph_stage {
	PH_AT_CONNECT, /* before the greeting */
	PH_AT_TLS,     /* after a handshake */
	PH_AT_HELO,
	PH_AT_AUTH,    /* after a successful authentication */
	PH_AT_MAIL,    /* the sender is known */
	PH_AT_RCPT,    /* once for each recipient */
	PH_AT_DATA,    /* all header fields are in */
	PH_AT_MESSAGE, /* the whole content is in */
	PH_STAGES,     /* those for which a client waits */
	/* Behind the queue, since minor 4: hooks of struct ph_delivery_ops. */
	PH_AT_ROUTE = PH_STAGES, /* where a recipient's mail goes is known */
	PH_AT_DELIVER,   /* it is about to be delivered */
	PH_AT_DELIVERED, /* it was */
	PH_AT_DEFERRED,  /* it is tried again later */
	PH_AT_BOUNCED,   /* it never will be */
	PH_STAGES_ALL,
};
/* "connect" ...; never NULL. */
PH_EXPORT const char *ph_stage_name(enum ph_stage stage);

enum ph_verdict {
	PH_NEXT,       /* nothing to say; the next module decides */
	PH_ACCEPT,     /* skip the rest of this stage */
	PH_DEFER,      /* 4xx */
	PH_REJECT,     /* 5xx */
	PH_DISCARD,    /* answer 250 and drop; from rcpt on */
	PH_QUARANTINE, /* take it, hold it in the queue; from rcpt on */
};
/* "next", "reject" ...; never NULL. */
PH_EXPORT const char *ph_verdict_name(enum ph_verdict verdict);

/* --- what is known of a client; all borrowed for the session or call --- */
/* Unique over restarts, 13 characters of base 32; in every log line. */
PH_EXPORT const char *ph_session_id(const struct ph_session *session);
/* The section of the configuration whose socket took the connection. */
PH_EXPORT const char *ph_session_listener(const struct ph_session *session);
/* The address the client connects from; family 0 for none. */
PH_EXPORT const struct ph_addr *ph_session_client(
    const struct ph_session *session);
/* Its port. */
PH_EXPORT uint16_t ph_session_client_port(const struct ph_session *session);
/* The address of ours that it connected to. */
PH_EXPORT const struct ph_addr *ph_session_local(
    const struct ph_session *session);
/* The port of ours: 25, 587 ... */
PH_EXPORT uint16_t ph_session_local_port(const struct ph_session *session);
/* "smtp", "submission", "imap", "pop3": what the listener set. */
PH_EXPORT const char *ph_session_service(const struct ph_session *session);
/* The name given in HELO/EHLO/LHLO; absent before. */
PH_EXPORT struct ph_slice ph_session_helo(const struct ph_session *session);
/* NULL in the clear. */
PH_EXPORT const char *ph_session_tls(const struct ph_session *session);
/* SHA-256 in hex of the certificate that the client showed (where clients are
 * asked for one); NULL: none. That it has the key is proved. */
PH_EXPORT const char *ph_session_certificate(const struct ph_session *session);
/* Its common names, at most 64 octets of printable ASCII ("?" for all else),
 * "" when it has none; NULL: no certificate. Anybody may make one with any
 * name: see whether it is verified. */
PH_EXPORT const char *ph_session_certificate_subject(
    const struct ph_session *session);
/* The same of who signed it: a name, which proves nothing by itself. */
PH_EXPORT const char *ph_session_certificate_issuer(
    const struct ph_session *session);
/* Whether one of the CAs for clients (client_ca_file) vouches for it. */
PH_EXPORT bool ph_session_certificate_is_verified(
    const struct ph_session *session);
/* The canonical user ("alice@example.test"), NULL before authentication. */
PH_EXPORT const char *ph_session_user(const struct ph_session *session);
/* Whether the client's network is in relay_networks: one of our own. */
PH_EXPORT bool ph_session_may_relay(const struct ph_session *session);
/* The server's own name, from the configuration. */
PH_EXPORT const char *ph_session_hostname(const struct ph_session *session);
/* Whether the domain is one of the option domains; without its final dot. */
PH_EXPORT bool ph_session_is_local_domain(const struct ph_session *session,
    struct ph_slice domain);

#ifdef __cplusplus
}
#endif
#endif
