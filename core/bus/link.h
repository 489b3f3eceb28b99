/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - one socket between two processes: framing, descriptors, buffers.
 *
 * A link knows messages as octets and descriptors; requests and replies are
 * bus.c's. What is sent in one turn of the loop leaves in one sendmsg at its
 * end; a message with descriptors leaves at once, so that they need not be
 * duplicated. What comes in is hostile: anything that breaks the framing
 * closes the link.
 */
#ifndef CORE_BUS_LINK_H
#define CORE_BUS_LINK_H

#include "bus/bus.h"

#define LINK_HEADER 16
#define LINK_OUT_SOFT (4u << 20)  /* octets queued: new requests wait */
#define LINK_OUT_HARD (64u << 20) /* octets queued: the peer is broken */

/* LEAVE: it has answered all that it began, and begins nothing any more. */
enum link_kind {
	LINK_REQUEST,
	LINK_REPLY,
	LINK_NOTIFY,
	LINK_LEAVE,
	LINK_KINDS,
};

struct link_header {
	uint8_t kind; /* enum link_kind */
	uint8_t fd_count;
	uint16_t type;
	int16_t status;
	uint32_t number; /* the request's, given by its sender */
	uint32_t length; /* of the record */
};

struct link;
extern const char link_closed[];
struct link_events {
	/* A whole message; record is borrowed for the call, descriptors (-1
	 * behind the last) are given. Must not suspend. */
	void (*message)(void *owner, const struct link_header *header,
	    struct ph_slice record, const int fds[BUS_FDS]);
	/* The link is down; it frees itself after the call. Called once. The
	 * reason is link_closed, or that what came is no message. */
	void (*down)(void *owner, const char *reason);
	/* The queue fell under LINK_OUT_SOFT again. */
	void (*drained)(void *owner);
};

/* fd: a stream socket, given. */
struct link *link_open(int fd, const struct link_events *events, void *owner);
/* Close without calling down. What is queued is tried once. */
void link_close(struct link *link);
/* Queue a message (copied). Descriptors are sent or duplicated, never closed.
 * Over LINK_OUT_HARD the link goes down. Never suspends. */
void link_send(struct link *link, const struct link_header *header,
    struct ph_slice record, const int *fds);
size_t link_queued(const struct link *link);

/* The header on the wire; parse is false when it breaks a rule. Pure. */
void link_header_format(const struct link_header *header,
    uint8_t octets[LINK_HEADER]);
bool link_header_parse(const uint8_t octets[LINK_HEADER],
    struct link_header *header_out);

#endif
