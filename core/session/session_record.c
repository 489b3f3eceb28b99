/* SPDX-License-Identifier: Apache-2.0 */
/* session_record.c - a session's facts on the bus. What comes in is hostile. */
#include "session/session.h"

#include "base/record.h"
#include "net/tls_peer.h"

static void
put_peer(const struct tls_peer *peer, struct ph_buf *buf)
{
	record_put_str(buf, F_TLS_PEER, peer->fingerprint);
	record_put_str(buf, F_TLS_SUBJECT, peer->subject);
	record_put_str(buf, F_TLS_ISSUER, peer->issuer);
	record_put_u64(buf, F_TLS_VERIFIED, peer->is_verified);
}

void
session_put(const struct ph_session *session, struct ph_buf *buf)
{
	char text[PH_ADDR_TEXT_MAX];

	record_put_str(buf, F_SESSION, session->id);
	record_put_str(buf, F_LISTENER, session->listener);
	record_put_str(buf, F_SERVICE, session->service);
	record_put_str(buf, F_CLIENT, ph_addr_format(&session->client, text));
	if (!ph_addr_eq(&session->peer, &session->client))
		record_put_str(buf, F_PEER, ph_addr_format(&session->peer,
		    text));
	record_put_u64(buf, F_CLIENT_PORT, session->client_port);
	record_put_str(buf, F_LOCAL, ph_addr_format(&session->local, text));
	record_put_u64(buf, F_LOCAL_PORT, session->local_port);
	if (session->helo.p != NULL)
		record_put(buf, F_HELO, session->helo);
	if (session->tls != NULL)
		record_put_str(buf, F_TLS, session->tls);
	if (session->tls_peer != NULL)
		put_peer(session->tls_peer, buf);
	if (session->user != NULL)
		record_put_str(buf, F_USER, session->user);
}

/* A short text without control octets, or NULL. */
static const char *
take_text(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice text = record_get(record, tag);

	if (text.p == NULL || text.n > 1024)
		return NULL;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return NULL;
	return ph_arena_slice(arena, text).p;
}

static const struct tls_peer *
take_peer(struct ph_arena *arena, struct ph_slice record)
{
	struct tls_peer *peer = ph_arena_alloc(arena, sizeof(*peer));

	peer->fingerprint = take_text(arena, record, F_TLS_PEER);
	peer->subject = take_text(arena, record, F_TLS_SUBJECT);
	peer->issuer = take_text(arena, record, F_TLS_ISSUER);
	peer->is_verified = record_get_u64(record, F_TLS_VERIFIED, 0) == 1;
	return peer->fingerprint != NULL && peer->subject != NULL &&
	        peer->issuer != NULL ? peer : NULL;
}

int
session_take(struct ph_session *session, struct ph_slice record)
{
	struct ph_arena *arena = session->arena;
	const char *id = take_text(arena, record, F_SESSION);
	uint64_t number;

	if (id == NULL || strlen(id) >= sizeof(session->id) ||
	    !id_parse(ph_slice_str(id), &number))
		return PH_DEFECT;
	memcpy(session->id, id, strlen(id) + 1);
	if (!ph_addr_parse(record_get(record, F_CLIENT), &session->client))
		session->client = (struct ph_addr){ 0 };
	session->peer = session->client;
	if (record_get(record, F_PEER).p != NULL &&
	    !ph_addr_parse(record_get(record, F_PEER), &session->peer))
		session->peer = (struct ph_addr){ 0 };
	if (!ph_addr_parse(record_get(record, F_LOCAL), &session->local))
		session->local = (struct ph_addr){ 0 };
	session->client_port = (uint16_t)record_get_u64(record, F_CLIENT_PORT,
	    0);
	session->local_port = (uint16_t)record_get_u64(record, F_LOCAL_PORT,
	    0);
	session->listener = take_text(arena, record, F_LISTENER);
	session->service = take_text(arena, record, F_SERVICE);
	session->tls = take_text(arena, record, F_TLS);
	session->tls_peer = take_peer(arena, record);
	session->user = take_text(arena, record, F_USER);
	session->helo = ph_slice_str(take_text(arena, record, F_HELO));
	return session->listener == NULL || session->service == NULL ?
	    PH_DEFECT : PH_OK;
}
