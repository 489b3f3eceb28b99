/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_udp.c - libudns: who is asked over UDP, when again, and on which socket.
 *
 * A udns context is a socket, so a source port. To servers beyond this machine
 * each question has one of its own: who forges answers without seeing the
 * questions must guess port and id (RFC 5452 s9.2). Nobody can forge a packet
 * from a loopback address, so that a resolver there is asked over sockets that
 * are kept for a second; that saves ten system calls a question.
 * udns counts in seconds of a time_t that we give it; ours are ticks of 20 ms.
 * It seeds its ids with the clock, which is why the ports matter.
 */
#include "net/dns_udp.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <udns.h>
#include <uv.h>

#include "loop/fiber.h"

enum {
	TICK_MS = 20,
	TICKS_MIN = 5,        /* before a question is asked again */
	TICKS_MAX = 300,      /* the most that udns takes */
	WAIT_TICKS = 50,      /* longest nap between looks at the clock */
	UDP_OCTETS = 1232,    /* never fragmented, dnsflagday.net/2020 */
	SOCKETS_MAX = 256,
	OPEN_MAX = 1024,      /* questions at a time; more wait */
	SOCKET_OPEN_MAX = 32, /* their answers fit into its buffer */
	SOCKET_ASKED_MAX = 1000,
	SOCKET_LIFE_MS = 1000,
};

struct dns_socket {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;  /* of these two that libuv still has */
	struct dns_ctx *ctx;
	struct dns_socket *next, *prev;
	uint64_t end_ms;   /* it takes no questions from then on */
	unsigned asked;    /* so far */
	unsigned limit;    /* of those */
};

static struct {
	bool ready;
	bool is_local;          /* all servers are on this machine */
	struct dns_socket *sockets;
	unsigned socket_count;
	unsigned open;
	struct ph_event closed; /* there is room for a question */
} udp;

/* --- settings --- */

/* "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353" */
static bool
server_parse(const char *text, struct ph_addr *addr, uint16_t *port_out)
{
	struct ph_slice rest = ph_slice_str(text), host = rest;
	uint64_t port = DNS_PORT;

	if (rest.n > 0 && rest.p[0] == '[') {
		host = ph_slice_cut(&rest, ']');
		host.p++;
		host.n--;
		if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':'))
			return false;
		if (rest.n > 0 && !ph_slice_number((struct ph_slice){
		        rest.p + 1, rest.n - 1 }, 65535, &port))
			return false;
	} else if (!ph_addr_parse(host, addr)) {
		host = ph_slice_cut(&rest, ':');
		if (!ph_slice_number(rest, 65535, &port))
			return false;
	}
	*port_out = (uint16_t)port;
	return port > 0 && ph_addr_parse(host, addr);
}

static bool
add_server(const char *text)
{
	struct ph_addr addr;
	uint16_t port;

	if (!server_parse(text, &addr, &port))
		return false;
	udp.is_local = udp.is_local && ph_addr_is_loopback(&addr);
	if (addr.family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET,
			.sin_port = htons(port) };

		memcpy(&in.sin_addr, addr.octet, 4);
		return dns_add_serv_s(NULL, (struct sockaddr *)&in) > 0;
	}
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };

	memcpy(&in6.sin6_addr, addr.octet, 16);
	return dns_add_serv_s(NULL, (struct sockaddr *)&in6) > 0;
}

static int
check_servers(const char *const *servers, size_t *count_out,
    struct ph_err *err)
{
	struct ph_addr addr;
	uint16_t port;
	size_t count = 0;

	for (; servers != NULL && servers[count] != NULL; count++)
		if (count >= DNS_MAXSERV ||
		    !server_parse(servers[count], &addr, &port))
			return ph_err_set(err, PH_INVALID, 0,
			    "dns.servers: \"%s\" is no address, or one too "
			    "many", servers[count]);
	*count_out = count;
	return PH_OK;
}

/* Those of resolv.conf(5); as there, without any it is the local one. udns
 * would read the file as well, but not tell whom it found. */
static size_t
add_system_servers(void)
{
	static const char word[] = "nameserver";
	FILE *file = fopen("/etc/resolv.conf", "re");
	char line[512], text[PH_ADDR_TEXT_MAX];
	size_t count = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, word, sizeof(word) - 1) == 0 &&
		    count < DNS_MAXSERV &&
		    sscanf(line + sizeof(word) - 1, " %45s", text) == 1 &&
		    add_server(text))
			count++;
	if (file != NULL)
		fclose(file);
	if (count == 0 && add_server("127.0.0.1"))
		count = 1;
	return count;
}

/*
 * The first wait for one server, so that all attempts fit into the time: each
 * server waits once that long, later rounds double together.
 */
static int
first_wait_ticks(size_t servers, unsigned timeout_ms, unsigned attempts)
{
	uint64_t waits = (servers > 0 ? servers : 1) + (1ull << attempts) - 2;
	uint64_t ticks = timeout_ms / waits / TICK_MS;

	return (int)(ticks < TICKS_MIN ? TICKS_MIN :
	    ticks > TICKS_MAX ? TICKS_MAX : ticks);
}

static void on_packet(int code, const struct sockaddr *from, unsigned from_n,
    dnscc_t *packet, int n, const struct dns_query *query, void *data);

int
dns_udp_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, struct ph_err *err)
{
	size_t count = 0;

	if (check_servers(servers, &count, err) != PH_OK)
		return PH_INVALID;
	dns_udp_close();
	dns_reset(NULL);
	udp.is_local = true;
	for (size_t i = 0; i < count; i++)
		add_server(servers[i]);
	if (count == 0)
		count = add_system_servers();
	if (attempts < 1)
		attempts = 1;
	if (attempts > 10)
		attempts = 10;
	dns_set_opt(NULL, DNS_OPT_NTRIES, (int)attempts);
	dns_set_opt(NULL, DNS_OPT_TIMEOUT,
	    first_wait_ticks(count, timeout_ms, attempts));
	dns_set_opt(NULL, DNS_OPT_UDPSIZE, UDP_OCTETS);
	dns_set_dbgfn(NULL, on_packet);
	udp.ready = true;
	return PH_OK;
}

void
dns_udp_fini(void)
{
	dns_udp_close();
	dns_reset(NULL);
	udp.ready = false;
}

unsigned
dns_udp_open_questions(void)
{
	return udp.open;
}

unsigned
dns_udp_sockets(void)
{
	return udp.socket_count;
}

/* --- sockets --- */

/* Never 0, which udns would replace by the time of day. */
static time_t
tick_now(void)
{
	return (time_t)(ph_now_ms() / TICK_MS + 1);
}

static void
on_handle_closed(uv_handle_t *handle)
{
	struct dns_socket *socket = handle->data;

	if (--socket->handles == 0)
		free(socket);
}

static void
socket_close(struct dns_socket *socket)
{
	if (socket->prev != NULL)
		socket->prev->next = socket->next;
	else
		udp.sockets = socket->next;
	if (socket->next != NULL)
		socket->next->prev = socket->prev;
	udp.socket_count--;
	uv_close((uv_handle_t *)&socket->poll, on_handle_closed);
	uv_close((uv_handle_t *)&socket->timer, on_handle_closed);
	dns_free(socket->ctx);
}

static bool
socket_is_spent(const struct dns_socket *socket)
{
	return socket->asked >= socket->limit ||
	       ph_now_ms() >= socket->end_ms;
}

static void on_timer(uv_timer_t *timer);

/* Send what is to be sent, and set when to look again; the socket may be gone
 * afterwards. */
static void
socket_turn(struct dns_socket *socket)
{
	int ticks = dns_timeouts(socket->ctx, WAIT_TICKS, tick_now());
	uint64_t now = ph_now_ms(), ms = SOCKET_LIFE_MS;

	if (dns_active(socket->ctx) > 0)
		ms = (uint64_t)(ticks > 0 ? ticks : 1) * TICK_MS;
	else if (socket_is_spent(socket)) {
		socket_close(socket);
		return;
	} else if (socket->end_ms > now) {
		ms = socket->end_ms - now;
	}
	uv_timer_start(&socket->timer, on_timer, ms, 0);
}

static void
on_timer(uv_timer_t *timer)
{
	socket_turn(timer->data);
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct dns_socket *socket = poll->data;

	(void)events;
	if (status < 0)
		socket->limit = 0; /* libuv stopped looking: what is open is late */
	else
		dns_ioevent(socket->ctx, tick_now());
	socket_turn(socket);
}

static struct dns_socket *
socket_open(void)
{
	struct dns_socket *socket = calloc(1, sizeof(*socket));
	struct dns_ctx *ctx = dns_new(NULL);
	int fd = ctx != NULL && socket != NULL ? dns_open(ctx) : -1;

	if (fd < 0 || uv_poll_init(fiber_loop(), &socket->poll, fd) != 0) {
		if (ctx != NULL)
			dns_free(ctx);
		free(socket);
		return NULL;
	}
	uv_timer_init(fiber_loop(), &socket->timer);
	socket->ctx = ctx;
	socket->handles = 2;
	socket->poll.data = socket->timer.data = socket;
	socket->limit = udp.is_local ? SOCKET_ASKED_MAX : 1;
	socket->end_ms = ph_now_ms() + SOCKET_LIFE_MS;
	socket->next = udp.sockets;
	if (udp.sockets != NULL)
		udp.sockets->prev = socket;
	udp.sockets = socket;
	udp.socket_count++;
	uv_poll_start(&socket->poll, UV_READABLE, on_readable);
	return socket;
}

/* One with room for a question, or NULL. */
static struct dns_socket *
socket_for_question(void)
{
	for (struct dns_socket *socket = udp.sockets; socket != NULL;
	    socket = socket->next)
		if (!socket_is_spent(socket) &&
		    dns_active(socket->ctx) < SOCKET_OPEN_MAX)
			return socket;
	return socket_open();
}

void
dns_udp_close(void)
{
	struct dns_socket *next;

	for (struct dns_socket *socket = udp.sockets; socket != NULL;
	    socket = next) {
		next = socket->next;
		socket->limit = 0;
		if (dns_active(socket->ctx) == 0)
			socket_close(socket);
	}
}

/* --- a question --- */

struct question {
	struct dns_query *query; /* NULL: udns is done with it */
	int status;              /* enum dns_status, or the packet's octets */
	uint8_t *packet;         /* malloc'ed by udns */
	struct dns_udp_answer *answer;
	struct ph_event came;
};

static void
on_answer(struct dns_ctx *ctx, void *result, void *data)
{
	struct question *question = data;

	question->query = NULL;
	question->status = dns_status(ctx);
	question->packet = result;
	ph_event_signal(&question->came);
}

static void
take_server(struct dns_udp_answer *answer, const struct sockaddr *from)
{
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in =
		    (const struct sockaddr_in *)(const void *)from;

		answer->server.family = 4;
		memcpy(answer->server.octet, &in->sin_addr, 4);
		answer->port = ntohs(in->sin_port);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 =
		    (const struct sockaddr_in6 *)(const void *)from;
		char text[PH_ADDR_TEXT_MAX];

		answer->server.family = 6;
		memcpy(answer->server.octet, &in6->sin6_addr, 16);
		answer->port = ntohs(in6->sin6_port);
		/* mapped IPv4 becomes IPv4 */
		ph_addr_format(&answer->server, text);
		ph_addr_parse(ph_slice_str(text), &answer->server);
	}
}

/*
 * udns shows each packet it knows to answer a query of ours (code 0) before it
 * looks at it; a truncated one it would take for a failing server, and of one
 * without records it keeps nothing.
 */
static void
on_packet(int code, const struct sockaddr *from, unsigned from_n,
    dnscc_t *packet, int n, const struct dns_query *query, void *data)
{
	struct question *question = data;

	(void)from_n;
	if (code != 0 || query == NULL || question == NULL || n < DNS_HSIZE ||
	    !dns_qr(packet))
		return;
	question->answer->negative_s = dns_packet_negative_ttl(
	    (struct ph_slice){ (const char *)packet, (size_t)n });
	if (!dns_tc(packet) || dns_rcode(packet) != DNS_R_NOERROR)
		return;
	question->answer->truncated = true;
	take_server(question->answer, from);
	ph_event_signal(&question->came);
}

static void
await(struct question *question, const uint64_t *end_ms)
{
	while (question->query != NULL && !question->answer->truncated) {
		uint64_t now = ph_now_ms();

		if (now >= *end_ms ||
		    (ph_event_wait(&question->came,
		         (unsigned)(*end_ms - now)) != PH_OK &&
		     (fiber_is_canceled() || ph_now_ms() >= fiber_deadline())))
			break;
	}
}

static void
take_packet(struct ph_arena *arena, struct question *question)
{
	struct dns_udp_answer *answer = question->answer;

	if (question->packet != NULL) {
		answer->packet = ph_arena_slice(arena, (struct ph_slice){
		    (const char *)question->packet, (size_t)question->status });
		answer->result = PH_DNS_OK;
		free(question->packet);
	} else if (question->status == DNS_E_NXDOMAIN) {
		answer->result = PH_DNS_NO_NAME;
	} else if (question->status == DNS_E_NODATA) {
		answer->result = PH_DNS_NO_DATA;
	}
}

/* A free place; false when the time is over first. */
static bool
open_enter(const uint64_t *end_ms)
{
	while (udp.open >= (udp.is_local ? OPEN_MAX : SOCKETS_MAX)) {
		uint64_t now = ph_now_ms();

		if (now >= *end_ms ||
		    (ph_event_wait(&udp.closed, (unsigned)(*end_ms - now)) !=
		         PH_OK &&
		     (fiber_is_canceled() || ph_now_ms() >= fiber_deadline())))
			return false;
	}
	udp.open++;
	return true;
}

static void
open_leave(void)
{
	udp.open--;
	ph_event_signal(&udp.closed);
}

void
dns_udp_ask(struct ph_arena *arena, const char *name, enum dns_kind kind,
    const uint64_t *end_ms, struct dns_udp_answer *answer_out)
{
	struct question question = { .answer = answer_out };
	uint8_t wire[DNS_NAME_WIRE];
	struct dns_socket *socket;

	memset(answer_out, 0, sizeof(*answer_out));
	answer_out->result = PH_DNS_NO_ANSWER;
	if (!udp.ready || !open_enter(end_ms))
		return;
	socket = socket_for_question();
	if (socket != NULL) {
		dns_name_encode(name, wire);
		socket->asked++;
		question.query = dns_submit_dn(socket->ctx, wire, DNS_C_IN,
		    (int)kind, DNS_NOSRCH, NULL, on_answer, &question);
		socket_turn(socket);
		await(&question, end_ms);
		if (question.query != NULL) {
			dns_cancel(socket->ctx, question.query);
			free(question.query);
			socket_turn(socket);
		}
		take_packet(arena, &question);
	}
	open_leave();
}
