/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.c - files that edge writes large bodies into: made by the store, named by
 * a number, and its edge's alone until a commit takes them.
 */
#include "queue/accept.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/record.h"

enum {
	SPOOLS_MAX = 4096,
	SPOOL_LIFE_MS = 4 * 3600 * 1000, /* of one that nobody commits */
};

/* A file for a large body that edge writes now. */
struct spool {
	struct spool *next;
	uint64_t number, made_ms;
	unsigned edge;
	int fd;
};

static struct {
	struct spool *spools;
	unsigned count;
	uint64_t number; /* of the last */
} self;

struct spooling {
	int status, fd;
};

/* An edge whose question was cut short never learns the number. */
static void
drop_old_spools(void)
{
	for (struct spool **at = &self.spools; *at != NULL;) {
		struct spool *spool = *at;

		if (spool->made_ms + SPOOL_LIFE_MS > ph_now_ms()) {
			at = &spool->next;
			continue;
		}
		*at = spool->next;
		close(spool->fd);
		free(spool);
		self.count--;
	}
}

static void
make_spool(void *arg)
{
	struct spooling *s = arg;

	s->status = queue_db_spool(queue.db, &s->fd);
}

static void
on_spool(struct bus_request *request)
{
	struct spooling s = { PH_UNAVAILABLE, -1 };
	struct spool *spool;
	struct ph_buf buf;

	if (self.count >= SPOOLS_MAX)
		drop_old_spools();
	if (!queue.is_stopping && self.count < SPOOLS_MAX) {
		queue.users++;
		ph_work(make_spool, &s);
		queue.users--;
		ph_event_signal(&queue.moved);
	}
	if (s.status != PH_OK) {
		bus_reply(request, s.status, PH_LIT(""), NULL, 0);
		return;
	}
	spool = calloc(1, sizeof(*spool));
	ph_assert(spool != NULL);
	spool->number = ++self.number;
	spool->made_ms = ph_now_ms();
	spool->edge = request->from_index;
	spool->fd = s.fd;
	spool->next = self.spools;
	self.spools = spool;
	self.count++;
	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_SPOOL, spool->number);
	bus_reply(request, PH_OK, ph_buf_content(&buf), &s.fd, 1);
}

int
spool_take(uint64_t number, unsigned edge)
{
	for (struct spool **at = &self.spools; *at != NULL;
	     at = &(*at)->next) {
		struct spool *spool = *at;
		int fd = spool->fd;

		if (spool->number != number || spool->edge != edge)
			continue;
		*at = spool->next;
		free(spool);
		self.count--;
		return fd;
	}
	return -1;
}

static void
on_spool_drop(struct bus_request *request)
{
	int fd = spool_take(record_get_u64(request->message.record, F_SPOOL,
	    0), request->from_index);

	if (fd >= 0)
		close(fd);
}

static void
on_peer_down(enum role role, unsigned index)
{
	for (struct spool **at = &self.spools; *at != NULL;) {
		struct spool *spool = *at;

		if (role != ROLE_EDGE || spool->edge != index) {
			at = &spool->next;
			continue;
		}
		*at = spool->next;
		close(spool->fd);
		free(spool);
		self.count--;
	}
}

void
spool_serve(void)
{
	bus_serve(MSG_SPOOL, ROLE_BIT(ROLE_EDGE), on_spool);
	bus_serve(MSG_SPOOL_DROP, ROLE_BIT(ROLE_EDGE), on_spool_drop);
	bus_on_peer_down(on_peer_down);
}
