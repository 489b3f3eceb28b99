/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c - readiness of a descriptor, on libuv's poll handle. */
#include "net/poll.h"

#include <stdlib.h>
#include <uv.h>

#include "loop/fiber.h"

struct poll_watch {
	uv_poll_t handle;
	int armed; /* what libuv watches: UV_READABLE, UV_WRITABLE */
	struct fiber *fiber[2];
	bool ready[2];
};

static void on_ready(uv_poll_t *handle, int status, int events);

static void
poll_arm(struct poll_watch *watch, int events)
{
	if (events == watch->armed)
		return;
	watch->armed = events;
	if (events == 0)
		uv_poll_stop(&watch->handle);
	else
		uv_poll_start(&watch->handle, events, on_ready);
}

static void
tell(struct poll_watch *watch, enum poll_side side)
{
	watch->ready[side] = true;
	if (watch->fiber[side] != NULL)
		fiber_wake(watch->fiber[side]);
}

static void
on_ready(uv_poll_t *handle, int status, int events)
{
	struct poll_watch *watch = handle->data;
	int keep = watch->armed;

	if (status < 0 || (events & UV_READABLE) != 0) {
		tell(watch, POLL_INPUT);
		if (watch->fiber[POLL_INPUT] == NULL)
			keep &= ~UV_READABLE;
	}
	if (status < 0 || (events & UV_WRITABLE) != 0) {
		tell(watch, POLL_OUTPUT);
		keep &= ~UV_WRITABLE;
	}
	poll_arm(watch, status < 0 ? 0 : keep);
}

struct poll_watch *
poll_open(int fd)
{
	struct poll_watch *watch = calloc(1, sizeof(*watch));

	ph_assert(watch != NULL);
	if (uv_poll_init(fiber_loop(), &watch->handle, fd) != 0) {
		free(watch);
		return NULL;
	}
	watch->handle.data = watch;
	return watch;
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void
poll_close(struct poll_watch *watch)
{
	if (watch != NULL)
		uv_close((uv_handle_t *)&watch->handle, on_closed);
}

void
poll_prepare(struct poll_watch *watch, enum poll_side side)
{
	int bit = side == POLL_INPUT ? UV_READABLE : UV_WRITABLE;

	watch->fiber[side] = fiber_self();
	watch->ready[side] = false;
	poll_arm(watch, watch->armed | bit);
}

bool
poll_done(struct poll_watch *watch, enum poll_side side)
{
	watch->fiber[side] = NULL;
	return watch->ready[side];
}

int
poll_wait(struct poll_watch *watch, enum poll_side side, unsigned ms)
{
	uint64_t end = ms == PH_NO_LIMIT_MS ? UINT64_MAX : ph_now_ms() + ms;
	int status = PH_OK;

	poll_prepare(watch, side);
	while (!watch->ready[side] && status == PH_OK) {
		uint64_t now = ph_now_ms();

		if (now >= end)
			status = PH_TIMEOUT;
		else
			status = fiber_park(end == UINT64_MAX ?
			    PH_NO_LIMIT_MS : (unsigned)(end - now));
	}
	return poll_done(watch, side) && status != PH_CANCELED ? PH_OK : status;
}
