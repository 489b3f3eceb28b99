/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the life of a session and what others may ask about it. */
#include "session/session.h"

#include "bus/bus.h"
#include "loop/fiber.h"
#include "net/stream.h"
#include "net/tls_peer.h"
#include "role/clients.h"

enum {
	TRACE_LIMIT = 64 << 10,
	NOTES_LIMIT = 16 << 10,
	HEADERS_LIMIT = 64 << 10,
	HANDSHAKE_MS = 60000,
};

struct ph_session *
session_create(struct generation *generation,
    const struct module_instance *instance)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_session *session = ph_arena_alloc(arena, sizeof(*session));

	session->arena = arena;
	session->generation = generation_get(generation);
	session->instance = instance;
	session->relay_fd = -1;
	if (instance != NULL) {
		session->listener = instance->name;
		session->service = instance->module->listener->service;
	}
	ph_buf_init(&session->trace, arena, TRACE_LIMIT);
	ph_buf_init(&session->notes, arena, NOTES_LIMIT);
	ph_buf_init(&session->headers, arena, HEADERS_LIMIT);
	return session;
}

void
session_free(struct ph_session *session)
{
	struct generation *generation = session->generation;

	ph_arena_free(session->arena);
	generation_put(generation);
}

void
session_enter_log(struct ph_session *session)
{
	session->log.session = session->id;
	fiber_context_set(&session->log);
}

const struct module_instance *
session_instance(const struct generation *generation, struct ph_slice section)
{
	const struct module_instance *at = generation->modules.first;

	while (at != NULL && ((at->module->kinds & PH_KIND_LISTENER) == 0 ||
	    !ph_slice_eq(ph_slice_str(at->name), section)))
		at = at->next;
	return at;
}

/* --- <posthouse/session.h> --- */

const char *
ph_session_id(const struct ph_session *session)
{
	return session->id;
}

const char *
ph_session_listener(const struct ph_session *session)
{
	return session->listener;
}

const struct ph_addr *
ph_session_client(const struct ph_session *session)
{
	return &session->client;
}

uint16_t
ph_session_client_port(const struct ph_session *session)
{
	return session->client_port;
}

const struct ph_addr *
ph_session_local(const struct ph_session *session)
{
	return &session->local;
}

uint16_t
ph_session_local_port(const struct ph_session *session)
{
	return session->local_port;
}

const char *
ph_session_service(const struct ph_session *session)
{
	return session->service;
}

struct ph_slice
ph_session_helo(const struct ph_session *session)
{
	return session->helo;
}

const char *
ph_session_tls(const struct ph_session *session)
{
	return session->tls;
}

const char *
ph_session_certificate(const struct ph_session *session)
{
	return session->tls_peer != NULL ? session->tls_peer->fingerprint :
	                                   NULL;
}

const char *
ph_session_certificate_subject(const struct ph_session *session)
{
	return session->tls_peer != NULL ? session->tls_peer->subject : NULL;
}

const char *
ph_session_certificate_issuer(const struct ph_session *session)
{
	return session->tls_peer != NULL ? session->tls_peer->issuer : NULL;
}

bool
ph_session_certificate_is_verified(const struct ph_session *session)
{
	return session->tls_peer != NULL && session->tls_peer->is_verified;
}

const char *
ph_session_user(const struct ph_session *session)
{
	return session->user;
}

const char *
ph_session_hostname(const struct ph_session *session)
{
	return session->generation->core.hostname;
}

const char *
ph_stage_name(enum ph_stage stage)
{
	static const char *const names[PH_STAGES_ALL] = { "connect", "tls",
		"helo", "auth", "mail", "rcpt", "data", "message", "route",
		"deliver", "delivered", "deferred", "bounced" };

	return (unsigned)stage < PH_STAGES_ALL ? names[stage] : "unknown";
}

const char *
ph_verdict_name(enum ph_verdict verdict)
{
	static const char *const names[] = { "next", "accept", "defer",
		"reject", "discard", "quarantine" };

	return (unsigned)verdict <= PH_QUARANTINE ? names[verdict] :
	    "unknown";
}

/* --- <posthouse/listener.h>: the connection --- */

struct ph_stream *
ph_session_stream(struct ph_session *session)
{
	return session->stream;
}

struct ph_arena *
ph_session_arena(struct ph_session *session)
{
	return session->arena;
}

void
ph_session_set_helo(struct ph_session *session, struct ph_slice name)
{
	session->helo = ph_arena_slice(session->arena, name);
}

int
ph_session_set_client(struct ph_session *session, const struct ph_addr *client,
    uint16_t port)
{
	const struct core_limits *limits = &session->generation->core.limits;

	session->client = *client;
	session->client_port = port;
	return session->place == NULL || client_place_take(session->place,
	    client, limits->connections_per_client) ? PH_OK : PH_BUSY;
}

bool
ph_session_has_tls(const struct ph_session *session)
{
	return session->tls_server != NULL && session->tls == NULL;
}

int
session_secure(struct ph_session *session)
{
	const struct module_instance *instance = session->instance;
	const struct tls_wish wish = {
		.alpn = instance->module->listener->alpn,
		.ask_client = instance->common.client_certificate !=
		    CLIENT_CERTIFICATE_NO,
		.timeout_ms = HANDSHAKE_MS,
	};
	int status = session->tls_server == NULL ? PH_UNAVAILABLE :
	    stream_tls_server(session->stream, session->tls_server, &wish);

	if (status != PH_OK) {
		ph_log(PH_INFO, "tls_failed",
		    ph_f_str("reason", ph_status_name(status)));
		return status;
	}
	session->tls = ph_stream_tls_name(session->stream);
	session->tls_peer = stream_tls_peer(session->stream);
	return PH_OK;
}

int
ph_session_starttls(struct ph_session *session)
{
	int status = ph_stream_flush(session->stream);

	if (session->tls_server == NULL || session->tls != NULL)
		return PH_INVALID;
	if (status == PH_OK)
		status = session_secure(session);
	if (status == PH_OK)
		session->helo = (struct ph_slice){ NULL, 0 };
	return status;
}

bool
ph_session_lacks_certificate(const struct ph_session *session)
{
	return session->instance->common.client_certificate ==
	        CLIENT_CERTIFICATE_REQUIRE &&
	    !ph_session_certificate_is_verified(session);
}

bool
ph_session_is_local_domain(const struct ph_session *session,
    struct ph_slice domain)
{
	return core_is_local_domain(&session->generation->core, domain);
}

bool
ph_session_may_relay(const struct ph_session *session)
{
	return core_may_relay(&session->generation->core, &session->peer,
	    &session->client);
}
