/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - AUTH PLAIN and LOGIN (RFC 4954) towards a host that wants a password.
 *
 * The password leaves through TLS and in no other way. A refusal is temporary:
 * it is the administrator who must act, and no sender's message is to blame.
 */
#include <openssl/evp.h>
#include <stdio.h>

#include "session.h"

enum { SECRET_MAX = 600 }; /* octets of user or password */

static void
send_encoded(struct session *session, const char *verb, const void *p,
    size_t n)
{
	unsigned char text[4 * (2 * SECRET_MAX + 4) / 3 + 8];
	int text_n = EVP_EncodeBlock(text, p, (int)n);

	session_send(session, ph_slice_str(verb));
	session_send(session, (struct ph_slice){ (char *)text,
	    (size_t)text_n });
	session_send(session, PH_LIT("\r\n"));
	ph_wipe(text, sizeof(text));
}

static int
read_auth(struct session *session)
{
	return session_read(session,
	    session->delivery->conf->helo_timeout_ms, NULL);
}

/* RFC 4616: authzid NUL authcid NUL password, the first empty. */
static int
plain(struct session *session)
{
	const struct client_peer *peer = session->peer;
	char message[2 * SECRET_MAX + 3];
	size_t user_n = strlen(peer->user), n = strlen(peer->password);

	message[0] = '\0';
	memcpy(message + 1, peer->user, user_n + 1);
	memcpy(message + user_n + 2, peer->password, n);
	send_encoded(session, "AUTH PLAIN ", message, user_n + n + 2);
	ph_wipe(message, sizeof(message));
	return read_auth(session);
}

static int
login(struct session *session)
{
	const struct client_peer *peer = session->peer;
	int status;

	session_send(session, PH_LIT("AUTH LOGIN\r\n"));
	status = read_auth(session);
	if (status != PH_OK || session->reply.code != 334)
		return status;
	send_encoded(session, "", peer->user, strlen(peer->user));
	status = read_auth(session);
	if (status != PH_OK || session->reply.code != 334)
		return status;
	send_encoded(session, "", peer->password, strlen(peer->password));
	return read_auth(session);
}

enum step
session_auth(struct session *session)
{
	const struct client_peer *peer = session->peer;

	if (peer->user == NULL)
		return GO_ON;
	session->stage = "AUTH";
	if (!ph_stream_is_tls(session->stream))
		return session_fail(session, "4.7.0",
		    "the password is not sent without TLS");
	if (strlen(peer->user) > SECRET_MAX ||
	    strlen(peer->password) > SECRET_MAX)
		return session_fail(session, "4.7.0",
		    "the user or the password is too long");
	if (!session->offer.auth_plain && !session->offer.auth_login)
		return session_fail(session, "4.7.0",
		    "the host offers neither AUTH PLAIN nor AUTH LOGIN");
	if ((session->offer.auth_plain ? plain(session) : login(session)) !=
	    PH_OK)
		return STOP;
	if (session->reply.code == 235)
		return GO_ON;
	return session_fail(session, "4.7.8", "AUTH was refused: %d %s",
	    session->reply.code, session->reply.text);
}
