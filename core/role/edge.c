/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge.c - the role that strangers talk to: it accepts on the sockets that the
 * master bound, gives each connection a fiber, and the listener module its
 * session. It opens no file and no connection.
 */
#include "role/role.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/peer.h"
#include "net/proxy.h"
#include "net/stream.h"
#include "net/tls_tickets.h"
#include "role/client_counts.h"
#include "role/clients.h"
#include "session/mail.h"
#include "session/session.h"

enum {
	ACCEPT_AT_ONCE = 16,
	ACCEPT_PAUSE_MS = 100,    /* after the system refused one */
	PROXY_MS = 10000,
	RELAY_IDLE_MS = 2100000,  /* over any time-out behind it */
	FAREWELL_MS = 2000,
	TRIM_FROM = 128,          /* connections at once */
	FIBERS_SPARE = 4000,      /* for what the connections there are do */
};

/* A bound socket, until MSG_UNLISTEN. */
struct listening {
	struct listening *next;
	uv_poll_t poll;
	uv_timer_t pause;
	int fd;
	unsigned closing; /* handles still to be closed */
	bool implicit_tls;
	char section[64], address[64];
};

struct connection {
	struct connection *next, *prev;
	struct fiber *fiber;
	struct generation *generation;
	const struct module_instance *instance;
	int fd;
	bool implicit_tls, is_over_limit, is_relayed;
	struct client_place place;
	struct ph_addr client;
	uint16_t client_port;
};

static struct {
	struct listening *listening;
	struct connection *connections;
	unsigned count, most; /* now; since memory was given back */
	uint64_t accepted, refused;
	struct tls_server *tls;
	bool is_stopping;
	struct ph_event ended;
} edge;

/* --- a connection --- */

static void
say_farewell(void *arg)
{
	struct ph_session *session = arg;
	const struct ph_listener_ops *ops = session->instance->module->listener;

	fiber_deadline_set(ph_now_ms() + FAREWELL_MS);
	ph_stream_write_timeout(session->stream, FAREWELL_MS);
	if (ops->farewell != NULL)
		ops->farewell(session->stream, session->instance->conf,
		    ph_session_hostname(session),
		    edge.is_stopping ? PH_CANCELED : PH_BUSY);
	stream_end(session->stream);
}

static void
put_tls(void *object)
{
	tls_server_free(object);
}

/* A reload frees edge's; the session may still begin TLS with what it offers. */
static void
lend_tls(struct ph_session *session)
{
	if (edge.tls == NULL)
		return;
	tls_server_get(edge.tls);
	session->tls_server = edge.tls;
	ph_arena_on_end(session->arena, put_tls, edge.tls);
}

static struct ph_session *
open_session(struct connection *connection)
{
	struct ph_session *session = session_create(connection->generation,
	    connection->instance);
	struct sockaddr_storage local = { 0 };
	socklen_t n = sizeof(local);

	session->client = session->peer = connection->client;
	session->client_port = connection->client_port;
	session->place = &connection->place;
	getsockname(connection->fd, (struct sockaddr *)&local, &n);
	peer_of_sockaddr(&local, &session->local, &session->local_port);
	id_format(id_create(), session->id);
	lend_tls(session);
	session->stream = stream_create(session->arena, connection->fd);
	session->log.module = connection->instance->name;
	session->log.hook = "session";
	session_enter_log(session);
	return session;
}

static bool
begins_with_proxy(const struct connection *connection)
{
	return ph_net_list_has(&connection->instance->common.proxy_from,
	    &connection->client);
}

/* Whether it may be there for others, who then count in its place. */
static bool
is_front_end(const struct connection *connection)
{
	const struct module_instance *instance = connection->instance;
	const struct ph_listener_ops *ops = instance->module->listener;

	return begins_with_proxy(connection) ||
	    (instance->module->abi.minor >= 2 && ops->is_front_end != NULL &&
	        ops->is_front_end(instance->conf, &connection->client));
}

/* Whose connection does the front end pass on? False: it did not say. */
static bool
meet_client(struct connection *connection, struct ph_session *session)
{
	struct proxy_header header;
	char client[PH_ADDR_TEXT_MAX];
	int status = proxy_read(session->stream, PROXY_MS, &header);

	if (status != PH_OK) {
		ph_log(PH_NOTICE, "refused", ph_f_str("stage", "proxy"),
		    ph_f_str("client",
		        ph_addr_format(&connection->client, client)),
		    ph_f_str("reason", ph_status_name(status)));
		return false;
	}
	if (!header.is_known)
		return true;
	session->local = header.local;
	session->local_port = header.local_port;
	connection->is_over_limit = ph_session_set_client(session,
	    &header.client, header.client_port) != PH_OK;
	edge.refused += connection->is_over_limit;
	return true;
}

/* After the module returned: relay behind TLS, or the end. */
static void
finish_session(struct connection *connection, struct ph_session *session)
{
	if (session->is_handed_over) {
		if (session->relay_fd >= 0) {
			connection->is_relayed = true;
			stream_relay(session->stream, session->relay_fd,
			    RELAY_IDLE_MS);
			stream_end(session->stream);
		}
	} else if (fiber_is_canceled()) {
		fiber_join(fiber_start_joinable(say_farewell, session));
	} else {
		stream_end(session->stream);
	}
}

static void
serve(struct connection *connection)
{
	struct ph_session *session = open_session(connection);
	const struct module_instance *instance = connection->instance;
	char client[PH_ADDR_TEXT_MAX];

	if (!connection->is_over_limit && begins_with_proxy(connection) &&
	    !meet_client(connection, session)) {
		fiber_context_set(NULL);
		session_free(session);
		return;
	}
	ph_log(PH_DEBUG, "connected",
	    ph_f_str("client", ph_addr_format(&session->client, client)),
	    ph_f_int("port", session->client_port));
	if (connection->is_over_limit) {
		ph_log(PH_NOTICE, "refused", ph_f_str("stage", "connect"),
		    ph_f_str("client", client),
		    ph_f_str("reason", "too many connections"));
		if (!connection->implicit_tls) /* it would be no TLS */
			say_farewell(session);
	} else if (!connection->implicit_tls ||
	    session_secure(session) == PH_OK) {
		instance->module->listener->session(session, instance->conf);
		finish_session(connection, session);
		session_end_checks(session);
	}
	fiber_context_set(NULL);
	session_free(session);
}

/* What many connections took lies in pieces between what is still in use, and
 * the allocator gives none of it back by itself. Looked at when half of them
 * are gone, so that it costs each connection next to nothing. */
static void
give_back_memory(void)
{
	if (edge.most < TRIM_FROM || edge.count > edge.most / 2)
		return;
	malloc_trim(0);
	edge.most = edge.count;
}

static void
count_connections(int more)
{
	edge.count += (unsigned)more;
	if (edge.count > edge.most)
		edge.most = edge.count;
	client_counts_set_all(edge.count);
}

static void
connection_main(void *arg)
{
	struct connection *connection = arg;

	connection->fiber = fiber_self();
	if (edge.is_stopping)
		fiber_cancel(fiber_self());
	serve(connection);
	client_place_leave(&connection->place);
	generation_put(connection->generation);
	if (connection->prev != NULL)
		connection->prev->next = connection->next;
	else
		edge.connections = connection->next;
	if (connection->next != NULL)
		connection->next->prev = connection->prev;
	free(connection);
	count_connections(-1);
	give_back_memory();
	ph_event_signal(&edge.ended);
}

/* --- accepting --- */

static void
begin_connection(const struct listening *listening, int fd,
    const struct sockaddr_storage *from)
{
	struct generation *generation = generation_current();
	const struct core_limits *limits = &generation->core.limits;
	const struct module_instance *instance = session_instance(generation,
	    ph_slice_str(listening->section));
	struct connection *connection;
	const uint64_t others = client_counts_all_elsewhere();

	/* A word of farewell costs a fiber: not to a flood. */
	if (instance == NULL ||
	    (edge.count + others) / 2 >= limits->connections ||
	    !fiber_has_room(FIBERS_SPARE) ||
	    (listening->implicit_tls && edge.tls == NULL)) {
		edge.refused += instance != NULL;
		close(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	ph_assert(connection != NULL);
	connection->fd = fd;
	connection->implicit_tls = listening->implicit_tls;
	connection->generation = generation_get(generation);
	connection->instance = instance;
	peer_of_sockaddr(from, &connection->client, &connection->client_port);
	/* A front end counts as its clients, once they are known. */
	count_connections(1);
	connection->is_over_limit = edge.count +
	        client_counts_all_elsewhere() > limits->connections ||
	    !client_place_take(&connection->place, &connection->client,
	        is_front_end(connection) ? 0 : limits->connections_per_client);
	edge.accepted++;
	edge.refused += connection->is_over_limit;
	connection->next = edge.connections;
	if (edge.connections != NULL)
		edge.connections->prev = connection;
	edge.connections = connection;
	fiber_start(connection_main, connection);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void
on_pause_over(uv_timer_t *timer)
{
	struct listening *listening = timer->data;

	uv_poll_start(&listening->poll, UV_READABLE, on_acceptable);
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct listening *listening = poll->data;

	(void)status;
	(void)events;
	for (unsigned i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t n = sizeof(from);
		int fd = accept4(listening->fd, (struct sockaddr *)&from, &n,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			begin_connection(listening, fd, &from);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		ph_log(PH_ERROR, "accept_failed",
		    ph_f_str("listener", listening->section),
		    ph_f_str("reason", strerror(errno)));
		uv_poll_stop(poll);
		uv_timer_start(&listening->pause, on_pause_over,
		    ACCEPT_PAUSE_MS, 0);
		return;
	}
}

static void
on_handle_closed(uv_handle_t *handle)
{
	struct listening *listening = handle->data;

	if (--listening->closing > 0)
		return;
	close(listening->fd);
	free(listening);
}

static void
listening_close(struct listening *listening)
{
	listening->closing = 2;
	uv_close((uv_handle_t *)&listening->poll, on_handle_closed);
	uv_close((uv_handle_t *)&listening->pause, on_handle_closed);
}

static bool
take_text(char *to, size_t size, struct ph_slice text)
{
	if (text.p == NULL || text.n == 0 || text.n >= size)
		return false;
	memcpy(to, text.p, text.n);
	to[text.n] = '\0';
	return true;
}

static void
on_listen(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct listening *listening = calloc(1, sizeof(*listening));
	int fd = request->message.fds[0], yes = 1;

	ph_assert(listening != NULL);
	listening->fd = fd;
	listening->implicit_tls = record_get_u64(record, F_IMPLICIT_TLS, 0) !=
	    0;
	if (fd < 0 || edge.is_stopping ||
	    !take_text(listening->section, sizeof(listening->section),
	        record_get(record, F_SECTION)) ||
	    !take_text(listening->address, sizeof(listening->address),
	        record_get(record, F_ADDRESS)) ||
	    uv_poll_init(fiber_loop(), &listening->poll, fd) != 0) {
		if (fd >= 0)
			close(fd);
		free(listening);
		bus_reply(request, PH_INVALID, PH_LIT(""), NULL, 0);
		return;
	}
	/* What is accepted inherits it: replies leave at once. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	uv_timer_init(fiber_loop(), &listening->pause);
	listening->poll.data = listening->pause.data = listening;
	listening->next = edge.listening;
	edge.listening = listening;
	uv_poll_start(&listening->poll, UV_READABLE, on_acceptable);
	bus_reply(request, PH_OK, PH_LIT(""), NULL, 0);
}

static void
on_unlisten(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_slice section = record_get(record, F_SECTION);
	struct ph_slice address = record_get(record, F_ADDRESS);
	bool tls = record_get_u64(record, F_IMPLICIT_TLS, 0) != 0;
	int status = PH_NOT_FOUND;

	for (struct listening **at = &edge.listening; *at != NULL;) {
		struct listening *listening = *at;

		if (!ph_slice_eq(section, ph_slice_str(listening->section)) ||
		    !ph_slice_eq(address, ph_slice_str(listening->address)) ||
		    tls != listening->implicit_tls) {
			at = &listening->next;
			continue;
		}
		*at = listening->next;
		listening_close(listening);
		status = PH_OK;
	}
	bus_reply(request, status, PH_LIT(""), NULL, 0);
}

/* --- the role --- */

/* One that can't be used costs its own names only. */
static void
load_more(struct tls_server *tls, const struct generation *generation)
{
	struct ph_slice rest = generation->certificates;
	const char *const *path = generation->core.tls.more_certificates;
	struct record_field field;
	struct ph_err err = { 0 };

	for (; *path != NULL && record_next(&rest, &field); path++)
		if (tls_server_add(tls, field.value, &err) != PH_OK)
			ph_log(PH_ERROR, "tls_not_loaded",
			    ph_f_str("file", *path),
			    ph_f_str("reason", err.text));
}

static void
load_tls(const struct generation *generation)
{
	struct ph_err err = { 0 };
	struct tls_server *tls;

	if (generation->certificate.n == 0) {
		tls_server_free(edge.tls);
		edge.tls = NULL;
		ph_log(PH_WARN, "no_tls", ph_f_str("reason",
		    "the section tls names no certificate"));
		return;
	}
	tls = tls_server_create(generation->certificate,
	    generation->certificate_key, &err);
	if (tls == NULL) { /* the former one goes on */
		ph_log(PH_ERROR, "tls_not_loaded",
		    ph_f_str("reason", err.text));
		return;
	}
	load_more(tls, generation);
	if (generation->client_ca.n > 0 &&
	    tls_server_trust(tls, generation->client_ca, &err) != PH_OK)
		ph_log(PH_ERROR, "tls_not_loaded", ph_f_str("file",
		    generation->core.tls.client_ca_file),
		    ph_f_str("reason", err.text));
	tls_server_free(edge.tls);
	edge.tls = tls;
}

/* No more than a full handshake is lost without them. What they came in may
 * live longer than they shall. */
static void
use_tickets(struct ph_slice keys)
{
	if (tls_tickets_use(keys) != PH_OK)
		ph_log(PH_ERROR, "tickets_not_used",
		    ph_f_str("reason", "no ticket keys came"));
	ph_wipe((char *)(uintptr_t)keys.p, keys.n);
}

static void
on_tickets(struct bus_request *request)
{
	use_tickets(record_get(request->message.record, F_TICKETS));
}

/* Each counts for itself alone without it. */
static void
on_clients(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	int fd = request->message.fds[0];
	uint64_t self = record_get_u64(record, F_INDEX, UINT32_MAX);
	uint64_t processes = record_get_u64(record, F_NUMBER, 0);

	if (fd < 0 || self > UINT32_MAX || processes > UINT32_MAX ||
	    !client_counts_share(fd, (unsigned)self, (unsigned)processes))
		ph_log(PH_ERROR, "clients_not_shared", ph_f_str("reason",
		    "the page of connection counts can't be used"));
	if (fd >= 0)
		close(fd);
}

static int
edge_start(struct generation *generation, struct ph_err *err)
{
	(void)err;
	use_tickets(generation->tickets);
	load_tls(generation);
	bus_serve(MSG_TICKETS, ROLE_BIT(ROLE_MASTER), on_tickets);
	bus_serve(MSG_CLIENTS, ROLE_BIT(ROLE_MASTER), on_clients);
	bus_serve(MSG_LISTEN, ROLE_BIT(ROLE_MASTER), on_listen);
	bus_serve(MSG_UNLISTEN, ROLE_BIT(ROLE_MASTER), on_unlisten);
	mail_serve_room();
	return PH_OK;
}

static void
edge_reload(struct generation *generation)
{
	use_tickets(generation->tickets);
	load_tls(generation);
}

/* Relayed connections end when their mail process says so. */
static void
edge_stop(unsigned timeout_ms)
{
	uint64_t end = ph_now_ms() + timeout_ms;

	edge.is_stopping = true;
	while (edge.listening != NULL) {
		struct listening *listening = edge.listening;

		edge.listening = listening->next;
		listening_close(listening);
	}
	for (struct connection *at = edge.connections; at != NULL;
	     at = at->next)
		if (!at->is_relayed && at->fiber != NULL)
			fiber_cancel(at->fiber);
	while (edge.connections != NULL && ph_now_ms() < end)
		ph_event_wait(&edge.ended, (unsigned)(end - ph_now_ms()));
}

static void
edge_status(struct ph_buf *items)
{
	role_status_item(items, "connections", "%u", edge.count);
	role_status_item(items, "accepted", "%llu",
	    (unsigned long long)edge.accepted);
	role_status_item(items, "over_limit", "%llu",
	    (unsigned long long)edge.refused);
}

const struct role_ops role_edge = {
	.role = ROLE_EDGE,
	.kinds = PH_KIND_LISTENER,
	.start = edge_start,
	.reload = edge_reload,
	.stop = edge_stop,
	.status = edge_status,
};
