/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - requests between the processes of one server.
 *
 * Every pair of processes that may talk has a socket pair made by the master,
 * who tells each end which role sits at the other: identity can't be forged. A
 * message is a header (length, type, request number, descriptor count) and a
 * record (core/base/record.h). Both ends may ask. A message that breaks the
 * framing closes the link; an unknown type or one that the peer's role may not
 * send is answered PH_DENIED and logged.
 */
#ifndef CORE_BUS_BUS_H
#define CORE_BUS_BUS_H

#include <posthouse/fiber.h>

enum role {
	ROLE_MASTER,
	ROLE_EDGE,
	ROLE_CHECK,
	ROLE_AUTH,
	ROLE_QUEUE,
	ROLE_MAIL,
	ROLE_RELAY,
	ROLES,
};
#define ROLE_BIT(r) (1u << (r))
const char *role_name(enum role role);
bool role_parse(struct ph_slice name, enum role *role_out);

#define BUS_MESSAGE_LIMIT (512u << 10) /* octets of one record */
#define BUS_FDS 4                      /* descriptors in one message */

/* Message types: role/messages.h names them, with the tags of their fields. */

struct bus_message {
	uint16_t type;
	struct ph_slice record;
	int fds[BUS_FDS]; /* -1: none; the receiver owns them */
	int status;       /* of a reply: enum ph_status, 0 good */
};

/* --- asking --- */

#define BUS_ANY_SHARD 0xffffffffu
/*
 * Ask a process of the role: the one with index shard % count, or, with
 * BUS_ANY_SHARD, the one with the fewest requests open. Suspends for at most
 * timeout_ms and the fiber's deadline. The reply's record lives in the arena;
 * descriptors in it are the caller's. Descriptors given are sent, not closed.
 * Returns the reply's status, or PH_UNAVAILABLE (nobody there, or it died
 * before it answered), PH_BUSY (it had not begun: ask again), PH_TIMEOUT,
 * PH_CANCELED. When nobody is there yet it waits for a process to come within
 * the time, unless none is to come.
 */
int bus_call(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record, const int *fds, size_t fd_count,
    unsigned timeout_ms, struct ph_arena *arena, struct bus_message *reply_out);
/* Send without an answer. False: dropped, nobody is there or who is there does
 * not keep up. Never suspends. */
bool bus_notify(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record);
/* The same with a descriptor, sent and not closed; -1: none. */
bool bus_notify_fd(enum role role, uint32_t shard, uint16_t type,
    struct ph_slice record, int fd);
/* How many processes of the role are linked now, and their configured count. */
unsigned bus_peers(enum role role);
unsigned bus_role_size(enum role role);
void bus_set_role_size(enum role role, unsigned count);
/* The server ends: nobody who went comes back. Ends the waits for such a one. */
void bus_expect_nobody(void);
bool bus_is_ending(void);
/* Tell all but the master that nothing is begun here any more: what they have
 * asked and get no answer to is PH_BUSY, and they ask nobody until another
 * process is here. What was begun must be answered. */
void bus_leave(void);
/* Call fn in a fiber whenever the link to a process went down (calls on it
 * have failed by then); a few functions may be added. */
void bus_on_peer_down(void (*fn)(enum role role, unsigned index));

/* --- answering --- */

struct bus_request {
	enum role from;
	unsigned from_index;
	struct bus_message message;
	struct ph_arena *arena; /* ends after the handler returned */
};
/*
 * Serve a type: handler runs in a fiber of its own with the request, and may
 * suspend. A handler that returns without bus_reply answers PH_DEFECT. The
 * roles mask says who may send the type.
 */
void bus_serve(uint16_t type, unsigned roles,
    void (*handler)(struct bus_request *request));
/* How many descriptors a type may carry (default BUS_FDS); what comes beyond
 * is closed, and the handler or caller sees none. */
#define BUS_TYPE_LIMIT 128 /* types are below */
void bus_limit_fds(uint16_t type, unsigned request, unsigned reply);
/* Descriptors are sent, not closed. Once per request. Never suspends. */
void bus_reply(struct bus_request *request, int status, struct ph_slice record,
    const int *fds, size_t fd_count);

/* --- links: used by master and the role's start --- */

/* Add a link whose other end is process `index` of `role`, in the place of the
 * one before; fd given. */
void bus_link(enum role role, unsigned index, int fd);
void bus_unlink(enum role role, unsigned index);
void bus_init(enum role self, unsigned index);
void bus_fini(void);

#endif
