/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - <posthouse/dns.h> on libudns: who is asked, when again, and what is
 * done about what udns leaves out (aliases that leave the packet, truncation).
 *
 * Each question has a udns context of its own, so a socket and a source port
 * of its own (RFC 5452 s9.2), and ends by closing it: nothing is shared, a
 * canceled fiber leaves nothing behind. udns counts in seconds of a time_t that
 * we give it; ours are ticks of 20 ms. Answers are not taken by udns's parsers
 * but by dns_packet.c. There is no cache: a resolver on loopback has one.
 */
#include "net/dns.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <udns.h>

#include "loop/fiber.h"
#include "net/dns_packet.h"
#include "net/dns_tcp.h"
#include "net/poll.h"

enum {
	TICK_MS = 20,
	TICKS_MIN = 5,        /* before a question is asked again */
	TICKS_MAX = 300,      /* the most that udns takes */
	OPEN_MAX = 256,       /* sockets at a time; more questions wait */
	UDP_OCTETS = 1232,    /* never fragmented, dnsflagday.net/2020 */
	WAIT_TICKS = 50,      /* longest nap between looks at the clock */
};

static struct {
	bool ready;
	unsigned timeout_ms;
	unsigned open;
	struct ph_event closed; /* a socket became free */
} resolver;

/* --- settings --- */

/* "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353" */
static bool
server_parse(const char *text, struct ph_addr *addr_out, uint16_t *port_out)
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
	} else if (!ph_addr_parse(host, addr_out)) {
		host = ph_slice_cut(&rest, ':');
		if (!ph_slice_number(rest, 65535, &port))
			return false;
	}
	*port_out = (uint16_t)port;
	return port > 0 && ph_addr_parse(host, addr_out);
}

static void
add_server(const char *text)
{
	struct ph_addr addr;
	uint16_t port;

	if (!server_parse(text, &addr, &port))
		return;
	if (addr.family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET,
			.sin_port = htons(port) };

		memcpy(&in.sin_addr, addr.octet, 4);
		dns_add_serv_s(NULL, (struct sockaddr *)&in);
	} else {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
			.sin6_port = htons(port) };

		memcpy(&in6.sin6_addr, addr.octet, 16);
		dns_add_serv_s(NULL, (struct sockaddr *)&in6);
	}
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
resolver_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, struct ph_err *err)
{
	size_t count = 0;

	if (check_servers(servers, &count, err) != PH_OK)
		return PH_INVALID;
	dns_reset(NULL);
	resolver.ready = false;
	if (count == 0 && dns_init(NULL, 0) < 0)
		return ph_err_set(err, PH_INVALID, 0,
		    "resolv.conf can't be used");
	if (count > 0)
		dns_add_serv(NULL, NULL);
	for (size_t i = 0; i < count; i++)
		add_server(servers[i]);
	if (attempts < 1)
		attempts = 1;
	if (attempts > 10)
		attempts = 10;
	dns_set_opt(NULL, DNS_OPT_NTRIES, (int)attempts);
	dns_set_opt(NULL, DNS_OPT_TIMEOUT,
	    first_wait_ticks(count, timeout_ms, attempts));
	dns_set_opt(NULL, DNS_OPT_UDPSIZE, UDP_OCTETS);
	dns_set_dbgfn(NULL, on_packet);
	resolver.timeout_ms = timeout_ms;
	resolver.ready = true;
	return PH_OK;
}

void
resolver_fini(void)
{
	dns_reset(NULL);
	resolver.ready = false;
}

unsigned
resolver_open_questions(void)
{
	return resolver.open;
}

/* --- one question over UDP --- */

struct question {
	const char *name;
	enum dns_kind kind;
	uint64_t end_ms;
	bool answered;
	int status;             /* enum dns_status, or the packet's octets */
	uint8_t *packet;        /* malloc'ed by udns */
	bool truncated;         /* ask this server over TCP */
	uint32_t negative_s;    /* how long there may be nothing */
	struct ph_addr server;
	uint16_t port;
};

static void
on_answer(struct dns_ctx *ctx, void *result, void *data)
{
	struct question *question = data;

	question->answered = true;
	question->status = dns_status(ctx);
	question->packet = result;
}

static void
take_server(struct question *question, const struct sockaddr *from)
{
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in =
		    (const struct sockaddr_in *)(const void *)from;

		question->server.family = 4;
		memcpy(question->server.octet, &in->sin_addr, 4);
		question->port = ntohs(in->sin_port);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 =
		    (const struct sockaddr_in6 *)(const void *)from;
		char text[PH_ADDR_TEXT_MAX];

		question->server.family = 6;
		memcpy(question->server.octet, &in6->sin6_addr, 16);
		question->port = ntohs(in6->sin6_port);
		/* mapped IPv4 becomes IPv4 */
		ph_addr_format(&question->server, text);
		ph_addr_parse(ph_slice_str(text), &question->server);
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
	question->negative_s = dns_packet_negative_ttl((struct ph_slice){
	    (const char *)packet, (size_t)n });
	if (!dns_tc(packet) || dns_rcode(packet) != DNS_R_NOERROR)
		return;
	question->truncated = true;
	take_server(question, from);
}

/* Never 0, which udns would replace by the time of day. */
static time_t
tick_now(void)
{
	return (time_t)(ph_now_ms() / TICK_MS + 1);
}

static void
await(struct dns_ctx *ctx, struct poll_watch *watch, struct question *question)
{
	while (!question->answered && !question->truncated) {
		int ticks = dns_timeouts(ctx, WAIT_TICKS, tick_now());
		uint64_t now = ph_now_ms();
		uint64_t ms = (uint64_t)(ticks > 0 ? ticks : 1) * TICK_MS;
		int status;

		if (question->answered || now >= question->end_ms)
			break;
		if (ms > question->end_ms - now)
			ms = question->end_ms - now;
		status = poll_wait(watch, POLL_INPUT, (unsigned)ms);
		if (status == PH_OK)
			dns_ioevent(ctx, tick_now());
		else if (status != PH_TIMEOUT || ph_now_ms() >= fiber_deadline())
			break;
	}
}

static void
ask_udp(struct question *question)
{
	uint8_t wire[DNS_NAME_WIRE];
	struct poll_watch *watch = NULL;
	struct dns_ctx *ctx = dns_new(NULL);
	int fd = ctx != NULL ? dns_open(ctx) : -1;

	if (fd >= 0)
		watch = poll_open(fd);
	if (watch != NULL) {
		dns_name_encode(question->name, wire);
		if (dns_submit_dn(ctx, wire, DNS_C_IN, (int)question->kind,
		        DNS_NOSRCH, NULL, on_answer, question) != NULL)
			await(ctx, watch, question);
		poll_close(watch);
	}
	if (ctx != NULL)
		dns_free(ctx);
}

/* --- one question, whatever it takes --- */

/* Ask once, over UDP and if need be TCP; sets *alias_out as dns_packet_parse. */
static void
ask_once(struct ph_arena *arena, struct question *question, unsigned *cnames,
    struct ph_dns_answer *answer, const char **alias_out)
{
	struct ph_slice packet = { NULL, 0 };

	*alias_out = NULL;
	answer->result = PH_DNS_NO_ANSWER;
	ask_udp(question);
	if (question->truncated) {
		dns_tcp_ask(arena, &question->server, question->port,
		    question->name, question->kind, question->end_ms,
		    &packet);
	} else if (question->answered && question->packet != NULL) {
		packet.p = (const char *)question->packet;
		packet.n = (size_t)question->status;
	} else if (question->answered) {
		if (question->status == DNS_E_NXDOMAIN)
			answer->result = PH_DNS_NO_NAME;
		else if (question->status == DNS_E_NODATA)
			answer->result = PH_DNS_NO_DATA;
		if (question->negative_s < answer->ttl_s)
			answer->ttl_s = question->negative_s;
	}
	if (packet.p != NULL)
		dns_packet_parse(arena, packet, question->name,
		    question->kind, cnames, answer, alias_out);
	free(question->packet);
}

/* A free place among the sockets; false when the time is over first. */
static bool
open_enter(uint64_t end_ms)
{
	while (resolver.open >= OPEN_MAX) {
		uint64_t now = ph_now_ms();

		if (now >= end_ms || ph_event_wait(&resolver.closed,
		        (unsigned)(end_ms - now)) != PH_OK)
			return false;
	}
	resolver.open++;
	return true;
}

static void
open_leave(void)
{
	resolver.open--;
	ph_event_signal(&resolver.closed);
}

/* Aliases are followed over packets as within one, DNS_CNAMES_MAX in all. */
static void
resolve(struct ph_arena *arena, const char *name, enum dns_kind kind,
    uint64_t end_ms, struct ph_dns_answer *answer)
{
	unsigned cnames = 0;
	const char *alias = name;

	answer->ttl_s = UINT32_MAX;
	while (alias != NULL) {
		struct question question = { .name = alias, .kind = kind,
			.end_ms = end_ms };

		answer->result = PH_DNS_NO_ANSWER;
		answer->count = 0;
		if (cnames > DNS_CNAMES_MAX || !open_enter(end_ms))
			break;
		ask_once(arena, &question, &cnames, answer, &alias);
		open_leave();
	}
	if (answer->result == PH_DNS_NO_ANSWER)
		answer->ttl_s = 0;
}

static uint64_t
end_of_question(unsigned timeout_ms)
{
	unsigned ms = timeout_ms < resolver.timeout_ms ? timeout_ms :
	                                                 resolver.timeout_ms;
	uint64_t end_ms = ph_now_ms() + ms;

	return end_ms < fiber_deadline() ? end_ms : fiber_deadline();
}

/* False, and the answer is there, when there is nothing to ask. */
static bool
is_askable(const char *name, char text[DNS_NAME_TEXT],
    struct ph_dns_answer *answer)
{
	answer->result = PH_DNS_NO_ANSWER;
	if (!resolver.ready)
		return false;
	if (!dns_name_canonical(name, text)) {
		answer->result = PH_DNS_NO_NAME;
		return false;
	}
	return true;
}

static const struct ph_dns_answer *
ask(struct ph_arena *arena, const char *name, enum dns_kind kind)
{
	struct ph_dns_answer *answer = ph_arena_alloc(arena, sizeof(*answer));
	char text[DNS_NAME_TEXT];

	answer->name = ph_arena_strdup(arena, name);
	if (is_askable(name, text, answer))
		resolve(arena, text, kind, end_of_question(PH_NO_LIMIT_MS),
		    answer);
	return answer;
}

const struct ph_dns_answer *
ph_dns_a(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_A);
}

const struct ph_dns_answer *
ph_dns_aaaa(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_AAAA);
}

const struct ph_dns_answer *
ph_dns_mx(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_MX);
}

const struct ph_dns_answer *
ph_dns_txt(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_TXT);
}

static const char *
reverse_name(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ph_dns_reverse(arena, addr,
	    addr->family == 4 ? "in-addr.arpa" : "ip6.arpa");
}

const struct ph_dns_answer *
ph_dns_ptr(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ask(arena, reverse_name(arena, addr), DNS_KIND_PTR);
}

/* --- several at once --- */

/*
 * A question of a batch is a fiber with an arena of its own, so that a batch
 * that ends first just forgets it: the fiber is canceled and cleans up alone.
 */
struct asked {
	struct asked *next, *prev;  /* open ones of the batch */
	struct asked *next_ready;
	struct ph_dns_batch *batch; /* NULL: it ended */
	struct ph_arena *arena;
	struct fiber *fiber;
	const char *name;
	char text[DNS_NAME_TEXT];
	enum dns_kind kind;
	uint64_t end_ms;
	struct ph_dns_answer answer;
};

struct answered {
	struct answered *next;
	struct ph_dns_answer answer;
	enum dns_kind kind;
};

struct ph_dns_batch {
	struct ph_arena *arena;
	uint64_t end_ms;
	unsigned timeout_ms;
	struct asked *open;
	struct answered *first, *last; /* come and not taken */
	struct ph_event came;
};

static const void *
copy_array(struct ph_arena *arena, const void *p, size_t count, size_t size)
{
	void *copy;

	if (p == NULL || count == 0)
		return NULL;
	copy = ph_arena_array(arena, count, size);
	return memcpy(copy, p, count * size);
}

/* The records of an answer, in another arena. */
static void
copy_records(struct ph_arena *arena, struct ph_dns_answer *to,
    const struct ph_dns_answer *from)
{
	const size_t count = from->count;
	struct ph_slice *txt;
	struct ph_dns_mx *mx;
	const char **ptr;

	to->addr = copy_array(arena, from->addr, count, sizeof(*from->addr));
	to->txt = txt = (struct ph_slice *)(uintptr_t)copy_array(arena,
	    from->txt, count, sizeof(*txt));
	to->mx = mx = (struct ph_dns_mx *)(uintptr_t)copy_array(arena,
	    from->mx, count, sizeof(*mx));
	ptr = (const char **)(uintptr_t)copy_array(arena, from->ptr, count,
	    sizeof(*ptr));
	to->ptr = ptr;
	for (size_t i = 0; i < count; i++) {
		if (txt != NULL)
			txt[i] = ph_arena_slice(arena, txt[i]);
		if (mx != NULL)
			mx[i].host = ph_arena_strdup(arena, mx[i].host);
		if (ptr != NULL)
			ptr[i] = ph_arena_strdup(arena, ptr[i]);
	}
}

static void
batch_put(struct ph_dns_batch *batch, const char *name, enum dns_kind kind,
    const struct ph_dns_answer *answer)
{
	struct answered *to = ph_arena_alloc(batch->arena, sizeof(*to));

	to->kind = kind;
	to->answer.result = answer->result;
	to->answer.count = answer->count;
	to->answer.ttl_s = answer->ttl_s;
	to->answer.name = name;
	copy_records(batch->arena, &to->answer, answer);
	if (batch->last != NULL)
		batch->last->next = to;
	else
		batch->first = to;
	batch->last = to;
	ph_event_signal(&batch->came);
}

static void
asked_leave(struct asked *asked)
{
	struct ph_dns_batch *batch = asked->batch;

	if (asked->prev != NULL)
		asked->prev->next = asked->next;
	else
		batch->open = asked->next;
	if (asked->next != NULL)
		asked->next->prev = asked->prev;
}

static void
asked_run(void *arg)
{
	struct asked *asked = arg;

	fiber_context_set(NULL); /* the caller's may end before us */
	resolve(asked->arena, asked->text, asked->kind, asked->end_ms,
	    &asked->answer);
	if (asked->batch != NULL) {
		asked_leave(asked);
		batch_put(asked->batch, asked->name, asked->kind,
		    &asked->answer);
	}
	ph_arena_free(asked->arena);
}

static void
batch_drop(void *object)
{
	struct ph_dns_batch *batch = object;

	for (struct asked *asked = batch->open; asked != NULL;
	    asked = asked->next) {
		asked->batch = NULL;
		fiber_cancel(asked->fiber);
	}
	batch->open = NULL;
}

struct ph_dns_batch *
ph_dns_batch(struct ph_arena *arena, unsigned timeout_ms)
{
	struct ph_dns_batch *batch = ph_arena_alloc(arena, sizeof(*batch));

	batch->arena = arena;
	batch->end_ms = end_of_question(timeout_ms);
	ph_arena_on_end(arena, batch_drop, batch);
	return batch;
}

static void
batch_ask(struct ph_dns_batch *batch, const char *name, enum dns_kind kind)
{
	struct ph_dns_answer answer = { .result = PH_DNS_NO_ANSWER };
	char text[DNS_NAME_TEXT];
	const char *copy = ph_arena_strdup(batch->arena, name);
	struct ph_arena *arena;
	struct asked *asked;

	if (!is_askable(name, text, &answer)) {
		batch_put(batch, copy, kind, &answer);
		return;
	}
	arena = ph_arena_create(NULL);
	asked = ph_arena_alloc(arena, sizeof(*asked));
	asked->arena = arena;
	asked->batch = batch;
	asked->name = copy;
	memcpy(asked->text, text, sizeof(text));
	asked->kind = kind;
	asked->end_ms = batch->end_ms;
	asked->next = batch->open;
	if (batch->open != NULL)
		batch->open->prev = asked;
	batch->open = asked;
	asked->fiber = fiber_start(asked_run, asked);
}

void
ph_dns_batch_a(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_A);
}

void
ph_dns_batch_txt(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_TXT);
}

void
ph_dns_batch_aaaa(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_AAAA);
}

void
ph_dns_batch_mx(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_MX);
}

void
ph_dns_batch_ptr(struct ph_dns_batch *batch, const struct ph_addr *addr)
{
	batch_ask(batch, reverse_name(batch->arena, addr), DNS_KIND_PTR);
}

/* The grace lets fibers whose time is over say so. */
enum { GRACE_MS = 100 };

static struct answered *
batch_take(struct ph_dns_batch *batch)
{
	struct answered *taken;

	while (batch->first == NULL) {
		uint64_t now = ph_now_ms(), end = batch->end_ms + GRACE_MS;

		if (batch->open == NULL || now >= end ||
		    ph_event_wait(&batch->came, (unsigned)(end - now)) !=
		        PH_OK)
			return NULL;
	}
	taken = batch->first;
	batch->first = taken->next;
	if (batch->first == NULL)
		batch->last = NULL;
	return taken;
}

const struct ph_dns_answer *
ph_dns_batch_next(struct ph_dns_batch *batch)
{
	struct answered *taken = batch_take(batch);

	return taken != NULL ? &taken->answer : NULL;
}

/* --- both families --- */

static enum ph_dns_result
result_of_both(enum ph_dns_result a, enum ph_dns_result b)
{
	if (a == PH_DNS_NO_ANSWER || b == PH_DNS_NO_ANSWER)
		return PH_DNS_NO_ANSWER;
	return a == PH_DNS_NO_NAME && b == PH_DNS_NO_NAME ? PH_DNS_NO_NAME :
	                                                    PH_DNS_NO_DATA;
}

const struct ph_dns_answer *
ph_dns_host(struct ph_arena *arena, const char *name)
{
	struct ph_dns_answer *answer = ph_arena_alloc(arena, sizeof(*answer));
	struct ph_dns_batch *batch = ph_dns_batch(arena, PH_NO_LIMIT_MS);
	struct ph_dns_answer got[2] = { { .result = PH_DNS_NO_ANSWER },
		{ .result = PH_DNS_NO_ANSWER } };
	struct answered *taken;
	struct ph_addr *addr;

	batch_ask(batch, name, DNS_KIND_AAAA);
	batch_ask(batch, name, DNS_KIND_A);
	while ((taken = batch_take(batch)) != NULL)
		got[taken->kind == DNS_KIND_A] = taken->answer;
	batch_drop(batch); /* canceled: nothing goes on for the arena's life */
	answer->name = ph_arena_strdup(arena, name);
	answer->count = got[0].count + got[1].count;
	if (answer->count > DNS_RECORDS_MAX)
		answer->count = DNS_RECORDS_MAX;
	if (answer->count == 0) {
		answer->result = result_of_both(got[0].result, got[1].result);
		if (answer->result != PH_DNS_NO_ANSWER)
			answer->ttl_s = got[got[1].ttl_s < got[0].ttl_s].ttl_s;
		return answer;
	}
	addr = ph_arena_array(arena, answer->count, sizeof(*addr));
	for (size_t i = 0; i < answer->count; i++)
		addr[i] = i < got[0].count ? got[0].addr[i] :
		                             got[1].addr[i - got[0].count];
	answer->addr = addr;
	answer->ttl_s = got[0].count == 0 || (got[1].count > 0 &&
	    got[1].ttl_s < got[0].ttl_s) ? got[1].ttl_s : got[0].ttl_s;
	return answer;
}
