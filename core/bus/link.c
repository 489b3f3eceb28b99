/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c - one socket between two processes.
 *
 * Descriptors travel in order beside the octets: those of a message are sent
 * with its first octet, so that at the receiver they wait in a queue when the
 * message is complete. Whole messages are handed on straight from the one
 * receive buffer of the process; only a cut one is kept with its link.
 */
#include "bus/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "loop/fiber.h"

enum {
	RECEIVE_SIZE = 256 << 10,
	WAITING_FDS = 64, /* received and not yet claimed by a message */
	KEEP_CAPACITY = 64 << 10,
};

/* Descriptors that leave with the octet at `offset`. */
struct fd_group {
	struct fd_group *next;
	uint64_t offset;
	uint8_t count;
	bool duplicated; /* ours to close */
	int fds[BUS_FDS];
};

struct link {
	uv_poll_t poll;
	int fd;
	const struct link_events *events;
	void *owner;
	bool dead;
	bool is_writing; /* UV_WRITABLE is asked for */
	bool over_soft;
	bool in_dirty;
	struct link *dirty_next;

	char *out; /* queued octets: [out_head, out_end) */
	size_t out_head, out_end, out_capacity;
	uint64_t out_offset; /* of out_head in the stream */
	struct fd_group *groups, **groups_end;

	char *in; /* the cut message */
	size_t in_n, in_capacity;
	int waiting[WAITING_FDS];
	size_t waiting_count;
};

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * WAITING_FDS)];
};

/* One loop, one thread: the receive buffer and the links to flush. */
static char receive_buffer[RECEIVE_SIZE];
static struct link *dirty_links;

const char link_closed[] = "the peer closed";

static void link_fail(struct link *link, const char *reason);
static void on_poll(uv_poll_t *poll, int status, int events);

static void
close_group(struct fd_group *group)
{
	for (unsigned i = 0; group->duplicated && i < group->count; i++)
		close(group->fds[i]);
	free(group);
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Release all but the struct, which libuv still holds for a turn. */
static void
link_release(struct link *link)
{
	link->dead = true;
	for (struct link **at = &dirty_links; *at != NULL;
	    at = &(*at)->dirty_next) {
		if (*at == link) {
			*at = link->dirty_next;
			break;
		}
	}
	uv_poll_stop(&link->poll);
	close(link->fd);
	while (link->groups != NULL) {
		struct fd_group *group = link->groups;

		link->groups = group->next;
		close_group(group);
	}
	for (size_t i = 0; i < link->waiting_count; i++)
		close(link->waiting[i]);
	link->waiting_count = 0;
	free(link->out);
	free(link->in);
	link->out = link->in = NULL;
	link->out_head = link->out_end = link->in_n = 0;
	uv_close((uv_handle_t *)&link->poll, on_closed);
}

/* --- sending --- */

size_t
link_queued(const struct link *link)
{
	return link->out_end - link->out_head;
}

static void
want_events(struct link *link, bool writing)
{
	if (link->is_writing == writing)
		return;
	link->is_writing = writing;
	uv_poll_start(&link->poll, UV_READABLE | (writing ? UV_WRITABLE : 0),
	    on_poll);
}

/*
 * What goes with the next sendmsg: the descriptors of the message that begins
 * at its first octet into *control, and octets up to the next message that has
 * some. So no descriptor runs ahead of its message, and the receiver, who keeps
 * few waiting, sees them in order.
 */
static size_t
prepare_control(struct link *link, struct msghdr *msg, union control *control,
    size_t *fds_out)
{
	struct fd_group *group = link->groups, *next = group;
	struct cmsghdr *cmsg = &control->align;

	*fds_out = 0;
	if (group != NULL && group->offset == link->out_offset) {
		size_t size = group->count * sizeof(int);

		memset(control, 0, sizeof(*control));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(cmsg), group->fds, size);
		msg->msg_control = control;
		msg->msg_controllen = CMSG_SPACE(size);
		*fds_out = group->count;
		next = group->next;
	}
	return next != NULL ? (size_t)(next->offset - link->out_offset) :
	                      link_queued(link);
}

static void
forget_groups(struct link *link, size_t fds)
{
	while (fds > 0) {
		struct fd_group *group = link->groups;

		fds -= group->count;
		link->groups = group->next;
		close_group(group);
	}
	if (link->groups == NULL)
		link->groups_end = &link->groups;
}

static void
forget_octets(struct link *link, size_t n)
{
	link->out_head += n;
	link->out_offset += n;
	if (link->out_head < link->out_end)
		return;
	link->out_head = link->out_end = 0;
	if (link->out_capacity > KEEP_CAPACITY) {
		free(link->out);
		link->out = NULL;
		link->out_capacity = 0;
	}
}

/* Send what the socket takes. False: the peer is gone; errno is set. */
static bool
link_push(struct link *link)
{
	while (link_queued(link) > 0) {
		union control control;
		struct iovec iov = { link->out + link->out_head, 0 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		size_t fds;
		ssize_t n;

		iov.iov_len = prepare_control(link, &msg, &control, &fds);
		n = sendmsg(link->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		forget_groups(link, fds);
		forget_octets(link, (size_t)n);
	}
	return true;
}

/* A peer that has ended may have answered before: what came is read first. */
static void
give_up_sending(struct link *link)
{
	forget_octets(link, link_queued(link));
	while (link->groups != NULL) {
		struct fd_group *group = link->groups;

		link->groups = group->next;
		close_group(group);
	}
	link->groups_end = &link->groups;
	shutdown(link->fd, SHUT_RDWR);
}

static void
link_flush(struct link *link)
{
	if (!link_push(link))
		give_up_sending(link);
	want_events(link, link_queued(link) > 0);
	if (link->over_soft && link_queued(link) < LINK_OUT_SOFT) {
		link->over_soft = false;
		link->events->drained(link->owner);
	}
}

static void
on_turn_end(void)
{
	while (dirty_links != NULL) {
		struct link *link = dirty_links;

		dirty_links = link->dirty_next;
		link->in_dirty = false;
		link_flush(link);
	}
}

static void
mark_dirty(struct link *link)
{
	if (link->in_dirty || link->is_writing || link->dead)
		return;
	link->in_dirty = true;
	link->dirty_next = dirty_links;
	dirty_links = link;
	fiber_at_turn_end(on_turn_end);
}

static char *
reserve_out(struct link *link, size_t n)
{
	size_t used = link_queued(link);

	if (link->out_end + n > link->out_capacity) {
		size_t capacity = link->out_capacity;
		char *fresh;

		capacity = capacity < 4096 ? 4096 : capacity;
		while (capacity < used + n)
			capacity *= 2;
		fresh = malloc(capacity);
		ph_assert(fresh != NULL);
		if (used > 0)
			memcpy(fresh, link->out + link->out_head, used);
		free(link->out);
		link->out = fresh;
		link->out_capacity = capacity;
		link->out_head = 0;
		link->out_end = used;
	}
	return link->out + link->out_end;
}

static struct fd_group *
add_group(struct link *link, const int *fds, uint8_t count)
{
	struct fd_group *group = calloc(1, sizeof(*group));

	ph_assert(group != NULL);
	group->offset = link->out_offset + link_queued(link);
	group->count = count;
	memcpy(group->fds, fds, count * sizeof(int));
	*link->groups_end = group;
	link->groups_end = &group->next;
	return group;
}

/* What could not leave at once outlives the caller's descriptors. */
static bool
duplicate_groups(struct link *link)
{
	struct fd_group *group;

	for (group = link->groups; group != NULL; group = group->next) {
		if (group->duplicated)
			continue;
		group->duplicated = true;
		for (unsigned i = 0; i < group->count; i++) {
			group->fds[i] = fcntl(group->fds[i], F_DUPFD_CLOEXEC,
			    3);
			if (group->fds[i] < 0) {
				group->count = (uint8_t)i;
				return false;
			}
		}
	}
	return true;
}

/* A send never calls `down`: what fails shuts the socket, and the loop sees
 * its end. */
void
link_send(struct link *link, const struct link_header *header,
    struct ph_slice record, const int *fds)
{
	size_t n = LINK_HEADER + record.n;
	char *at;

	if (link->dead)
		return;
	ph_assert(record.n == header->length);
	if (link_queued(link) + n > LINK_OUT_HARD) {
		shutdown(link->fd, SHUT_RDWR);
		return;
	}
	if (header->fd_count > 0)
		add_group(link, fds, header->fd_count);
	at = reserve_out(link, n);
	link_header_format(header, (uint8_t *)at);
	if (record.n > 0)
		memcpy(at + LINK_HEADER, record.p, record.n);
	link->out_end += n;
	if (link_queued(link) >= LINK_OUT_SOFT)
		link->over_soft = true;
	if (header->fd_count == 0) {
		mark_dirty(link);
		return;
	}
	if ((!link->is_writing && !link_push(link)) || !duplicate_groups(link))
		shutdown(link->fd, SHUT_RDWR);
	else if (link_queued(link) > 0 || link->over_soft)
		mark_dirty(link);
}

/* --- receiving --- */

static bool
take_control(struct link *link, struct msghdr *msg)
{
	bool ok = !(msg->msg_flags & MSG_CTRUNC);
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	    cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(fd));
			if (link->waiting_count < WAITING_FDS) {
				link->waiting[link->waiting_count++] = fd;
			} else {
				close(fd);
				ok = false;
			}
		}
	}
	return ok;
}

/* One whole message; false when its descriptors are missing. */
static bool
deliver(struct link *link, const struct link_header *header, const char *record)
{
	int fds[BUS_FDS] = { -1, -1, -1, -1 };

	if (header->fd_count > link->waiting_count)
		return false;
	memcpy(fds, link->waiting, header->fd_count * sizeof(int));
	link->waiting_count -= header->fd_count;
	memmove(link->waiting, link->waiting + header->fd_count,
	    link->waiting_count * sizeof(int));
	link->events->message(link->owner, header,
	    (struct ph_slice){ record, header->length }, fds);
	return true;
}

/* Add octets to the cut message, up to `size` of it; how many were used. */
static size_t
keep_cut(struct link *link, const char *p, size_t n, size_t size)
{
	size_t use = size - link->in_n;

	if (use > n)
		use = n;
	if (link->in_capacity < size) {
		link->in = realloc(link->in, size);
		ph_assert(link->in != NULL);
		link->in_capacity = size;
	}
	memcpy(link->in + link->in_n, p, use);
	link->in_n += use;
	return use;
}

static void
drop_cut(struct link *link)
{
	free(link->in);
	link->in = NULL;
	link->in_n = link->in_capacity = 0;
}

/*
 * Take n octets apart into messages. False: the framing is broken. Each round
 * either hands a message on, or keeps octets of a cut one.
 */
static bool
link_feed(struct link *link, const char *p, size_t n)
{
	while (n > 0 && !link->dead) {
		struct link_header header;
		const char *at = p;
		size_t have = n, used = 0;

		if (link->in_n > 0 || n < LINK_HEADER) {
			if (link->in_n < LINK_HEADER)
				used = keep_cut(link, p, n, LINK_HEADER);
			if (link->in_n < LINK_HEADER)
				return true;
			at = link->in;
			have = link->in_n;
		}
		if (!link_header_parse((const uint8_t *)at, &header))
			return false;
		if (have < LINK_HEADER + header.length) {
			used += keep_cut(link, p + used, n - used,
			    LINK_HEADER + header.length);
			at = link->in;
			have = link->in_n;
		} else if (at == p) {
			used = LINK_HEADER + header.length;
		}
		p += used;
		n -= used;
		if (have < LINK_HEADER + header.length)
			return true;
		if (!deliver(link, &header, at + LINK_HEADER))
			return false;
		if (!link->dead && link->in_n > 0)
			drop_cut(link);
	}
	return true;
}

/* False: there was nothing. */
static bool
link_receive(struct link *link)
{
	union control control;
	struct iovec iov = { receive_buffer, sizeof(receive_buffer) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do
		n = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n <= 0)
		link_fail(link, link_closed);
	else if (!take_control(link, &msg))
		link_fail(link, "too many descriptors came");
	else if (!link_feed(link, receive_buffer, (size_t)n))
		link_fail(link, "the peer broke the framing");
	if (n > 0) /* the buffer is all links': passwords pass through it */
		ph_wipe(receive_buffer, (size_t)n);
	return true;
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *link = poll->data;

	if (status < 0) { /* an error stands behind what came before it */
		while (!link->dead && link_receive(link))
			;
		link_fail(link, link_closed);
		return;
	}
	if (events & UV_READABLE)
		(void)link_receive(link);
	if (!link->dead && (events & UV_WRITABLE))
		link_flush(link);
}

/* --- open and close --- */

static void
link_fail(struct link *link, const char *reason)
{
	if (link->dead)
		return;
	link_release(link);
	link->events->down(link->owner, reason);
}

struct link *
link_open(int fd, const struct link_events *events, void *owner)
{
	struct link *link = calloc(1, sizeof(*link));

	ph_assert(link != NULL);
	link->fd = fd;
	link->events = events;
	link->owner = owner;
	link->groups_end = &link->groups;
	link->poll.data = link;
	ph_assert(uv_poll_init(fiber_loop(), &link->poll, fd) == 0);
	ph_assert(uv_poll_start(&link->poll, UV_READABLE, on_poll) == 0);
	return link;
}

void
link_close(struct link *link)
{
	if (link->dead)
		return;
	(void)link_push(link);
	link_release(link);
}
