/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/listener.h - a protocol on a socket.
 *
 * The core binds the sockets (options `listen`, `listen_tls` of every listener
 * section), accepts, limits, does implicit TLS, and starts one fiber per
 * connection in the edge role. A listener speaks the protocol, asks the
 * pipeline, authenticates, and hands mail to the queue or the connection to
 * the mail role. All calls marked so suspend.
 */
#ifndef POSTHOUSE_LISTENER_H
#define POSTHOUSE_LISTENER_H

#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/module.h>
#include <posthouse/session.h>
#include <posthouse/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_listener_ops {
	const char *service; /* "smtp", "submission", "imap", "pop3" */
	const char *alpn;    /* protocol id for strict ALPN, or NULL */
	/* edge: the whole life of a connection; returning closes it. */
	void (*session)(struct ph_session *session, const void *conf);
	/*
	 * mail: goes on after ph_session_handover, same stream, user set, with
	 * the octets `state` that the edge side gave. NULL for SMTP.
	 */
	void (*user_session)(struct ph_session *session, const void *conf,
	    struct ph_slice state);
	/*
	 * Either role: too many connections, or the server stops. Write one
	 * line ("421 ...", "* BYE ...") and return; the core closes after it.
	 * Called in a fiber of its own while the session's is canceled or was
	 * never started.
	 */
	void (*farewell)(struct ph_stream *stream, const void *conf,
	    const char *hostname, enum ph_status why);
	/*
	 * edge: whether this client may name others in the session, so that
	 * the limit on its own connections does not hold. NULL: none may.
	 * Since minor 2.
	 */
	bool (*is_front_end)(const void *conf, const struct ph_addr *client);
};

/* The client's connection; ends with the session. */
PH_EXPORT struct ph_stream *ph_session_stream(struct ph_session *session);
/* Ends with the connection. */
PH_EXPORT struct ph_arena *ph_session_arena(struct ph_session *session);
/* The name that the client gave (copied), for checks and the log. */
PH_EXPORT void ph_session_set_helo(struct ph_session *session,
    struct ph_slice name);
/* A front end that the listener trusts named the client it speaks for: limits,
 * checks and logs are that client's from here on. PH_BUSY: it has too many
 * connections, end this one. */
PH_EXPORT int ph_session_set_client(struct ph_session *session,
    const struct ph_addr *client, uint16_t port);
/* Whether the listener requires a certificate of its clients, and this one has
 * not shown one that is verified: take no mail from it. Logins are refused by
 * the core. */
PH_EXPORT bool ph_session_lacks_certificate(const struct ph_session *session);
/* Whether a certificate is configured, so that STARTTLS may be offered. */
PH_EXPORT bool ph_session_has_tls(const struct ph_session *session);
/*
 * After the go-ahead reply was written: flush it, drop buffered input, do the
 * handshake. Suspends. On failure end the session.
 */
PH_EXPORT int ph_session_starttls(struct ph_session *session);

/* --- the pipeline --- */

/* What a stage decided; strings borrowed for the session or message. */
struct ph_outcome {
	enum ph_verdict verdict; /* never PH_NEXT: PH_ACCEPT when all passed */
	int code;                /* DEFER, REJECT */
	const char *enhanced;
	const char *text;        /* with the token for `posthousectl trace` */
	const char *module;      /* who decided, or NULL */
};
struct ph_mail;
/*
 * Ask the hooks of a stage. mail may be NULL before MAIL FROM; at rcpt,
 * recipient is the one asked about, else absent. Suspends. Costs nothing when
 * no module hooks the stage.
 */
PH_EXPORT struct ph_outcome ph_session_stage(struct ph_session *session,
    enum ph_stage stage, struct ph_mail *mail, struct ph_slice recipient);

/* --- who is the client --- */

enum ph_auth_result {
	PH_AUTH_OK,        /* the session's user is set */
	PH_AUTH_CONTINUE,  /* send `challenge`, call ph_sasl_step with the answer */
	PH_AUTH_REFUSED,   /* wrong user or password */
	PH_AUTH_UNKNOWN_MECHANISM,
	PH_AUTH_MALFORMED, /* not base64, or the exchange was broken */
	PH_AUTH_UNAVAILABLE, /* could not tell: answer temporary */
	PH_AUTH_LIMITED,   /* too many failures, come back later */
};
/* Space-separated mechanisms to offer now ("PLAIN LOGIN"); "" for none. The
 * ones in clear text are hidden without TLS unless allow_plain. */
PH_EXPORT const char *ph_sasl_mechanisms(struct ph_session *session,
    bool allow_plain);
/*
 * One exchange: initial and response are base64 as on the wire ("=" is the
 * empty initial response; absent: none given); challenge_out is base64, ""
 * when empty, borrowed till the next call. Suspends; failures are delayed by
 * the core. Response "*" is the caller's: call ph_sasl_abort.
 */
PH_EXPORT enum ph_auth_result ph_sasl_start(struct ph_session *session,
    struct ph_slice mechanism, struct ph_slice initial,
    const char **challenge_out);
/* Go on with the client's response, see ph_sasl_start. Suspends. */
PH_EXPORT enum ph_auth_result ph_sasl_step(struct ph_session *session,
    struct ph_slice response, const char **challenge_out);
/* Give the exchange under way up; none is fine. */
PH_EXPORT void ph_sasl_abort(struct ph_session *session);
/* User and password in the clear (LOGIN, USER/PASS). Suspends. */
PH_EXPORT enum ph_auth_result ph_login(struct ph_session *session,
    struct ph_slice user, struct ph_slice password);

/* --- recipients --- */

enum ph_recipient {
	PH_RCPT_LOCAL,    /* our domain, the mailbox exists */
	PH_RCPT_NO_USER,  /* our domain, no such mailbox */
	PH_RCPT_REMOTE,   /* not our domain: needs the right to relay */
	PH_RCPT_UNSURE,   /* could not tell: 4xx */
};
/*
 * address is a parsed, unquoted local@domain, or "postmaster". Suspends.
 */
PH_EXPORT enum ph_recipient ph_recipient_lookup(struct ph_session *session,
    struct ph_slice address);
enum ph_ownership {
	PH_NOT_OWNED,
	PH_OWNED,
	PH_OWNED_UNSURE, /* could not tell: 4xx */
};
/*
 * Whether the logged-in user may send as this address: the own one, one that
 * the backend names for the user, one that a router leads to the user; the null
 * sender always. Suspends.
 */
PH_EXPORT enum ph_ownership ph_session_owns_address(struct ph_session *session,
    struct ph_slice address);

/* --- a message on its way to the queue --- */

/* A transaction in progress; ends with commit, abort or the session. */
PH_EXPORT struct ph_mail *ph_mail_begin(struct ph_session *session,
    struct ph_slice sender);
/* The arena of the transaction. */
PH_EXPORT struct ph_arena *ph_mail_arena(struct ph_mail *mail);
/* Facts kept with the message and shown to transports: "body" = "8BITMIME",
 * "smtputf8" = "1", "ret", "envid". Copied. */
PH_EXPORT void ph_mail_set(struct ph_mail *mail, const char *key,
    struct ph_slice value);
/* An accepted recipient; orcpt and notify as given (RFC 3461) or absent. */
PH_EXPORT void ph_mail_add_recipient(struct ph_mail *mail,
    struct ph_slice address, struct ph_slice notify, struct ph_slice orcpt);
/* How many were added. */
/* Its first attempt waits until this wall time, in seconds since 1970; how long
 * it is tried counts from then. Since minor 2. */
PH_EXPORT void ph_mail_hold_until(struct ph_mail *mail, int64_t wall_time);
/* How many were added so far. */
PH_EXPORT size_t ph_mail_recipient_count(const struct ph_mail *mail);
/*
 * Append content, as it is to be stored (CRLF line ends, unstuffed). Up to
 * 64 KiB stays in memory, more goes to a spool file of the queue. Suspends.
 * PH_FULL, PH_UNAVAILABLE, PH_IO: answer 452/451 after the end of data;
 * PH_TOO_BIG beyond limit_bytes: 552.
 */
PH_EXPORT int ph_mail_write(struct ph_mail *mail, const void *p, size_t n);
/* From now on content over limit_bytes is PH_TOO_BIG. */
PH_EXPORT void ph_mail_limit(struct ph_mail *mail, uint64_t limit_bytes);
/* Octets written so far. */
PH_EXPORT uint64_t ph_mail_size(const struct ph_mail *mail);
/* The largest message that the server takes anywhere, in octets: SIZE. */
PH_EXPORT uint64_t ph_mail_size_limit(const struct ph_session *session);
/* Whether the queue takes mail now (disk space); PH_FULL: 452 4.3.1. */
PH_EXPORT int ph_mail_room(struct ph_session *session, uint64_t bytes);
/*
 * Make it durable. 0: the 250 may be sent, id_out (borrowed for the session)
 * is the queue id. Else nothing was taken. Suspends. Header fields from checks
 * are prepended here.
 */
PH_EXPORT int ph_mail_commit(struct ph_mail *mail, const char **id_out);
/* Forget the message and all of its content. Does not suspend. */
PH_EXPORT void ph_mail_abort(struct ph_mail *mail);

/* --- to the mailbox --- */

/*
 * Give the authenticated connection to the mail role, with state for
 * user_session and all buffered input. On 0 the stream is no longer the
 * caller's: return. PH_UNAVAILABLE: still the caller's, answer temporary.
 * Suspends.
 */
PH_EXPORT int ph_session_handover(struct ph_session *session,
    struct ph_slice state);

#ifdef __cplusplus
}
#endif
#endif
