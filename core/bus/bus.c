/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.c - requests and replies over links.
 *
 * A caller is a fiber parked with its call in a slot of the peer; the slot and
 * a counter are the request's number, so that a late reply finds nobody. When
 * a link goes down every call in its slots fails at once. Each request that
 * comes in runs in a fiber of its own; how many may be open at a time is
 * bounded, since the peer may be hostile.
 */
#include "bus/bus.h"

#include <posthouse/log.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/record.h"
#include "bus/link.h"
#include "loop/fiber.h"

enum {
	BUS_INDEXES = 64,    /* processes of one role */
	BUS_OPEN_MAX = 8192, /* requests of one peer being answered */
	BUS_OPEN_OCTETS = 128 << 20, /* in them */
	FIBERS_SPARE = 500,  /* for what answering them takes */
	BUS_COMPLAINTS = 16, /* log lines about one peer's bad requests */
	BUS_DOWN_FNS = 4,
	NO_SLOT = 0xffff,
};

/* A fiber that waits for its reply; lives in its frame. */
struct call {
	struct fiber *fiber;
	struct ph_arena *arena;
	struct bus_message *reply;
	bool is_done;
	int status;
};

struct slot {
	struct call *call; /* NULL: free */
	uint16_t serial;
	uint16_t next_free;
};

struct peer {
	enum role role;
	unsigned index;
	struct link *link; /* NULL: down */
	unsigned references;
	struct slot *slots;
	uint16_t slot_count, first_free;
	unsigned calls; /* slots in use */
	unsigned open;  /* requests of the peer being answered */
	size_t open_octets;
	unsigned complaints;
	bool is_leaving; /* it begins nothing any more */
};

struct incoming {
	struct bus_request request; /* first: bus_reply finds us by it */
	struct peer *peer;
	uint32_t number;
	size_t octets;
	bool is_notify;
	bool is_replied;
	void (*handler)(struct bus_request *request);
};

struct service {
	unsigned roles;
	void (*handler)(struct bus_request *request);
};

static struct {
	enum role self;
	unsigned self_index;
	unsigned sizes[ROLES];
	struct peer *peers[ROLES][BUS_INDEXES];
	unsigned turn; /* where the search for the least busy begins */
	struct ph_event changed; /* a peer came, or has room again */
	bool expects_nobody;     /* the server ends */
	struct service services[BUS_TYPE_LIMIT];
	uint8_t fd_limit[BUS_TYPE_LIMIT][2]; /* of requests, of replies */
	void (*down_fns[BUS_DOWN_FNS])(enum role role, unsigned index);
} bus;

static void
close_fds(const int *fds)
{
	for (unsigned i = 0; i < BUS_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* --- peers and their slots --- */

static void
peer_put(struct peer *peer)
{
	if (--peer->references > 0)
		return;
	free(peer->slots);
	free(peer);
}

static bool
slots_grow(struct peer *peer)
{
	unsigned count = peer->slot_count == 0 ? 16 : peer->slot_count * 2u;
	struct slot *slots;

	if (count > NO_SLOT - 1)
		return false;
	slots = realloc(peer->slots, count * sizeof(*slots));
	ph_assert(slots != NULL);
	for (unsigned i = peer->slot_count; i < count; i++) {
		slots[i] = (struct slot){ NULL, 0, (uint16_t)(i + 1) };
		if (i + 1 == count)
			slots[i].next_free = NO_SLOT;
	}
	peer->first_free = peer->slot_count;
	peer->slots = slots;
	peer->slot_count = (uint16_t)count;
	return true;
}

static bool
slot_take(struct peer *peer, struct call *call, uint32_t *number_out)
{
	struct slot *slot;
	uint16_t i;

	if (peer->first_free == NO_SLOT && !slots_grow(peer))
		return false;
	i = peer->first_free;
	slot = &peer->slots[i];
	peer->first_free = slot->next_free;
	slot->call = call;
	slot->serial++;
	peer->calls++;
	*number_out = (uint32_t)slot->serial << 16 | i;
	return true;
}

/* The call with the number, its slot freed; NULL when it gave up. */
static struct call *
slot_release(struct peer *peer, uint32_t number)
{
	uint16_t i = (uint16_t)number;
	struct slot *slot;
	struct call *call;

	if (i >= peer->slot_count)
		return NULL;
	slot = &peer->slots[i];
	if (slot->call == NULL || slot->serial != number >> 16)
		return NULL;
	call = slot->call;
	slot->call = NULL;
	slot->next_free = peer->first_free;
	peer->first_free = i;
	peer->calls--;
	return call;
}

static void
call_finish(struct call *call, int status)
{
	call->is_done = true;
	call->status = status;
	fiber_wake(call->fiber);
}

/* --- what comes in --- */

static void
send_reply(struct peer *peer, uint32_t number, uint16_t type, int status,
    struct ph_slice record, const int *fds, size_t fd_count)
{
	const struct link_header header = {
		.kind = LINK_REPLY,
		.fd_count = (uint8_t)fd_count,
		.type = type,
		.status = (int16_t)status,
		.number = number,
		.length = (uint32_t)record.n,
	};

	if (peer->link != NULL)
		link_send(peer->link, &header, record, fds);
}

static void
run_handler(void *arg)
{
	struct incoming *in = arg;
	struct ph_arena *arena = in->request.arena;

	in->handler(&in->request);
	if (!in->is_replied && !in->is_notify)
		bus_reply(&in->request, PH_DEFECT, PH_LIT(""), NULL, 0);
	in->peer->open--;
	in->peer->open_octets -= in->octets;
	peer_put(in->peer);
	ph_arena_free(arena);
}

static void
complain(struct peer *peer, const struct link_header *header, const char *why)
{
	if (peer->complaints++ >= BUS_COMPLAINTS)
		return;
	ph_log(PH_ERROR, "bus_denied", ph_f_str("from", role_name(peer->role)),
	    ph_f_int("index", peer->index), ph_f_int("type", header->type),
	    ph_f_str("reason", why));
}

/* Whether the peer may send this now; else the status to answer. */
static int
admit(struct peer *peer, const struct link_header *header,
    struct ph_slice record)
{
	const struct service *service;

	if (header->type >= BUS_TYPE_LIMIT ||
	    bus.services[header->type].handler == NULL) {
		complain(peer, header, "unknown type");
		return PH_DENIED;
	}
	service = &bus.services[header->type];
	if (!(service->roles & ROLE_BIT(peer->role))) {
		complain(peer, header, "not allowed to this role");
		return PH_DENIED;
	}
	if (!record_is_sound(record)) {
		complain(peer, header, "damaged record");
		return PH_INVALID;
	}
	if (peer->role == ROLE_MASTER)
		return PH_OK;
	return peer->open < BUS_OPEN_MAX &&
	    peer->open_octets + record.n <= BUS_OPEN_OCTETS &&
	    fiber_has_room(FIBERS_SPARE) ? PH_OK : PH_BUSY;
}

static void
take_request(struct peer *peer, const struct link_header *header,
    struct ph_slice record, const int fds[BUS_FDS])
{
	int status = admit(peer, header, record);
	struct ph_arena *arena;
	struct incoming *in;

	if (status != PH_OK) {
		close_fds(fds);
		if (header->kind == LINK_REQUEST)
			send_reply(peer, header->number, header->type, status,
			    PH_LIT(""), NULL, 0);
		return;
	}
	arena = ph_arena_create(NULL);
	in = ph_arena_alloc(arena, sizeof(*in));
	in->request.from = peer->role;
	in->request.from_index = peer->index;
	in->request.arena = arena;
	in->request.message.type = header->type;
	in->request.message.record = ph_arena_slice(arena, record);
	memcpy(in->request.message.fds, fds, sizeof(int) * BUS_FDS);
	in->peer = peer;
	in->number = header->number;
	in->octets = record.n;
	in->is_notify = header->kind == LINK_NOTIFY;
	in->handler = bus.services[header->type].handler;
	peer->references++;
	peer->open++;
	peer->open_octets += in->octets;
	fiber_start(run_handler, in);
}

static void
take_reply(struct peer *peer, const struct link_header *header,
    struct ph_slice record, const int fds[BUS_FDS])
{
	struct call *call = slot_release(peer, header->number);

	if (call == NULL) {
		close_fds(fds);
		return;
	}
	if (!record_is_sound(record)) {
		complain(peer, header, "damaged reply");
		close_fds(fds);
		call_finish(call, PH_DEFECT);
		return;
	}
	call->reply->type = header->type;
	call->reply->status = header->status;
	call->reply->record = ph_arena_slice(call->arena, record);
	memcpy(call->reply->fds, fds, sizeof(int) * BUS_FDS);
	call_finish(call, header->status);
}

/* A peer that is broken into could fill our table of descriptors. */
static bool
fds_fit(const struct link_header *header)
{
	return header->type < BUS_TYPE_LIMIT ?
	    header->fd_count <=
	        bus.fd_limit[header->type][header->kind == LINK_REPLY] :
	    header->fd_count == 0;
}

static void
on_message(void *owner, const struct link_header *header,
    struct ph_slice record, const int fds[BUS_FDS])
{
	static const int none[BUS_FDS] = { -1, -1, -1, -1 };
	struct peer *peer = owner;

	if (!fds_fit(header)) {
		complain(peer, header, "descriptors that nobody expects");
		close_fds(fds);
		fds = none;
	}
	if (header->kind == LINK_REPLY)
		take_reply(peer, header, record, fds);
	else if (header->kind == LINK_LEAVE)
		peer->is_leaving = true;
	else
		take_request(peer, header, record, fds);
}

/* --- up and down --- */

struct down_notice {
	enum role role;
	unsigned index;
};

static void
tell_down(void *arg)
{
	struct down_notice *notice = arg;

	for (unsigned i = 0; i < BUS_DOWN_FNS; i++)
		if (bus.down_fns[i] != NULL)
			bus.down_fns[i](notice->role, notice->index);
	free(notice);
}

/* Take the peer out: every call on it fails now. */
static void
peer_drop(struct peer *peer)
{
	peer->link = NULL;
	for (unsigned i = 0; i < peer->slot_count; i++) {
		struct slot *slot = &peer->slots[i];

		if (slot->call != NULL)
			call_finish(slot_release(peer,
			                (uint32_t)slot->serial << 16 | i),
			    peer->is_leaving ? PH_BUSY : PH_UNAVAILABLE);
	}
	if (bus.peers[peer->role][peer->index] == peer)
		bus.peers[peer->role][peer->index] = NULL;
	ph_event_signal(&bus.changed);
	peer_put(peer);
}

static void
peer_gone(struct peer *peer)
{
	struct down_notice *notice = malloc(sizeof(*notice));

	ph_assert(notice != NULL);
	*notice = (struct down_notice){ peer->role, peer->index };
	peer_drop(peer);
	fiber_start(tell_down, notice);
}

static void
on_down(void *owner, const char *reason)
{
	struct peer *peer = owner;

	ph_log(reason == link_closed ? PH_DEBUG : PH_ERROR, "bus_down",
	    ph_f_str("peer", role_name(peer->role)),
	    ph_f_int("index", peer->index), ph_f_str("reason", reason));
	peer_gone(peer);
}

static void
on_drained(void *owner)
{
	(void)owner;
	ph_event_signal(&bus.changed);
}

static const struct link_events peer_events = {
	.message = on_message,
	.down = on_down,
	.drained = on_drained,
};

void
bus_link(enum role role, unsigned index, int fd)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	ph_assert(peer != NULL && role < ROLES && index < BUS_INDEXES);
	bus_unlink(role, index);
	peer->role = role;
	peer->index = index;
	peer->references = 1;
	peer->first_free = NO_SLOT;
	peer->link = link_open(fd, &peer_events, peer);
	bus.peers[role][index] = peer;
	ph_event_signal(&bus.changed);
}

void
bus_unlink(enum role role, unsigned index)
{
	struct peer *peer = index < BUS_INDEXES ? bus.peers[role][index] : NULL;

	if (peer == NULL)
		return;
	link_close(peer->link);
	peer_gone(peer);
}

void
bus_init(enum role self, unsigned index)
{
	memset(&bus, 0, sizeof(bus));
	bus.self = self;
	bus.self_index = index;
	memset(bus.fd_limit, BUS_FDS, sizeof(bus.fd_limit));
}

void
bus_limit_fds(uint16_t type, unsigned request, unsigned reply)
{
	ph_assert(type < BUS_TYPE_LIMIT && request <= BUS_FDS && reply <= BUS_FDS);
	bus.fd_limit[type][0] = (uint8_t)request;
	bus.fd_limit[type][1] = (uint8_t)reply;
}

void
bus_fini(void)
{
	for (unsigned role = 0; role < ROLES; role++) {
		for (unsigned i = 0; i < BUS_INDEXES; i++) {
			struct peer *peer = bus.peers[role][i];

			if (peer == NULL)
				continue;
			link_close(peer->link);
			peer_drop(peer);
		}
	}
}

void
bus_expect_nobody(void)
{
	bus.expects_nobody = true;
	ph_event_signal(&bus.changed);
}

bool
bus_is_ending(void)
{
	return bus.expects_nobody;
}

void
bus_on_peer_down(void (*fn)(enum role role, unsigned index))
{
	for (unsigned i = 0; i < BUS_DOWN_FNS; i++) {
		if (bus.down_fns[i] == NULL || bus.down_fns[i] == fn) {
			bus.down_fns[i] = fn;
			return;
		}
	}
	ph_assert(false && "too many functions for bus_on_peer_down");
}

/* --- asking --- */

unsigned
bus_peers(enum role role)
{
	unsigned count = 0;

	for (unsigned i = 0; i < BUS_INDEXES; i++)
		count += bus.peers[role][i] != NULL;
	return count;
}

unsigned
bus_role_size(enum role role)
{
	return bus.sizes[role];
}

void
bus_set_role_size(enum role role, unsigned count)
{
	ph_assert(role < ROLES);
	bus.sizes[role] = count < BUS_INDEXES ? count : BUS_INDEXES;
}

static struct peer *
can_be_asked(struct peer *peer)
{
	return peer != NULL && !peer->is_leaving ? peer : NULL;
}

/* The process for a shard, or the one with the fewest open calls; NULL. */
static struct peer *
choose(enum role role, uint32_t shard)
{
	unsigned size = bus.sizes[role] > 0 ? bus.sizes[role] : 1;
	struct peer *best = NULL;

	if (shard != BUS_ANY_SHARD)
		return can_be_asked(bus.peers[role][shard % size]);
	bus.turn++;
	for (unsigned i = 0; i < BUS_INDEXES; i++) {
		struct peer *peer =
		    bus.peers[role][(bus.turn + i) % BUS_INDEXES];

		if (can_be_asked(peer) != NULL && (best == NULL || peer->calls < best->calls))
			best = peer;
	}
	return best;
}

static unsigned
left_until(uint64_t deadline_ms)
{
	uint64_t now = ph_now_ms();

	return deadline_ms > now ? (unsigned)(deadline_ms - now) : 0;
}

/* Wait until a process with room for a request is there. */
static int
find_peer(enum role role, uint32_t shard, uint64_t deadline_ms,
    struct peer **peer_out)
{
	for (;;) {
		struct peer *peer = choose(role, shard);
		int status;

		if (peer != NULL && link_queued(peer->link) < LINK_OUT_SOFT) {
			*peer_out = peer;
			return PH_OK;
		}
		if (peer == NULL && bus.expects_nobody)
			return PH_UNAVAILABLE;
		status = left_until(deadline_ms) == 0 ? PH_TIMEOUT :
		    ph_event_wait(&bus.changed, left_until(deadline_ms));
		if (status == PH_TIMEOUT)
			return peer == NULL ? PH_UNAVAILABLE : PH_TIMEOUT;
		if (status != PH_OK)
			return status;
	}
}

static int
await_reply(struct call *call, struct peer *peer, uint32_t number,
    uint64_t deadline_ms)
{
	while (!call->is_done) {
		int status = fiber_park(left_until(deadline_ms));

		if (status != PH_OK && !call->is_done) {
			slot_release(peer, number);
			return status;
		}
	}
	return call->status;
}

int
bus_call(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record, const int *fds, size_t fd_count,
    unsigned timeout_ms, struct ph_arena *arena, struct bus_message *reply_out)
{
	uint64_t deadline_ms = ph_now_ms() + timeout_ms;
	struct call call = { fiber_self(), arena, reply_out, false, 0 };
	struct link_header header = {
		.kind = LINK_REQUEST,
		.fd_count = (uint8_t)fd_count,
		.type = type,
		.length = (uint32_t)record.n,
	};
	struct peer *peer;
	int status;

	ph_assert(call.fiber != NULL && fd_count <= BUS_FDS);
	*reply_out = (struct bus_message){ .type = type,
		.record = PH_LIT(""), .fds = { -1, -1, -1, -1 } };
	if (record.n > BUS_MESSAGE_LIMIT)
		return reply_out->status = PH_TOO_BIG;
	status = find_peer(role, shard, deadline_ms, &peer);
	if (status == PH_OK && !slot_take(peer, &call, &header.number))
		status = PH_BUSY;
	if (status != PH_OK)
		return reply_out->status = status;
	peer->references++;
	link_send(peer->link, &header, record, fds);
	status = await_reply(&call, peer, header.number, deadline_ms);
	peer_put(peer);
	return reply_out->status = status;
}

bool
bus_notify(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record)
{
	return bus_notify_fd(role, shard, type, record, -1);
}

bool
bus_notify_fd(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record, int fd)
{
	struct peer *peer = choose(role, shard);
	const struct link_header header = {
		.kind = LINK_NOTIFY,
		.fd_count = fd >= 0,
		.type = type,
		.length = (uint32_t)record.n,
	};

	if (peer == NULL || record.n > BUS_MESSAGE_LIMIT ||
	    link_queued(peer->link) >= LINK_OUT_SOFT)
		return false;
	link_send(peer->link, &header, record, &fd);
	return true;
}

void
bus_leave(void)
{
	const struct link_header header = { .kind = LINK_LEAVE };

	for (unsigned role = ROLE_MASTER + 1; role < ROLES; role++)
		for (unsigned i = 0; i < BUS_INDEXES; i++)
			if (bus.peers[role][i] != NULL)
				link_send(bus.peers[role][i]->link, &header,
				    PH_LIT(""), NULL);
}

/* --- answering --- */

void
bus_serve(uint16_t type, unsigned roles,
    void (*handler)(struct bus_request *request))
{
	ph_assert(type < BUS_TYPE_LIMIT);
	bus.services[type] = (struct service){ roles, handler };
}

void
bus_reply(struct bus_request *request, int status, struct ph_slice record,
    const int *fds, size_t fd_count)
{
	struct incoming *in = (struct incoming *)request;

	ph_assert(!in->is_replied && fd_count <= BUS_FDS);
	in->is_replied = true;
	if (in->is_notify)
		return;
	if (record.n > BUS_MESSAGE_LIMIT) {
		status = PH_TOO_BIG;
		record = PH_LIT("");
		fd_count = 0;
	}
	send_reply(in->peer, in->number, request->message.type, status, record,
	    fds, fd_count);
}
