/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.h - one descriptor's readiness, for a reading and a writing fiber.
 *
 * The loop stays armed for input between waits, so a request that comes after
 * its reply costs one epoll_wait and nothing to prepare it. Input that comes
 * while nobody waits disarms it.
 */
#ifndef CORE_NET_POLL_H
#define CORE_NET_POLL_H

#include <stdbool.h>

struct poll_watch;
enum poll_side { POLL_INPUT, POLL_OUTPUT };

/* fd is borrowed, non-blocking or not. */
struct poll_watch *poll_open(int fd);
/* Before the descriptor is closed or given away; NULL is fine. */
void poll_close(struct poll_watch *watch);

/*
 * In two steps, so that something else may be waited for too: prepare arms the
 * side for the calling fiber, which then parks; done tells whether it came and
 * disarms what it must. poll_wait does all: 0, PH_TIMEOUT, PH_CANCELED.
 */
void poll_prepare(struct poll_watch *watch, enum poll_side side);
bool poll_done(struct poll_watch *watch, enum poll_side side);
int poll_wait(struct poll_watch *watch, enum poll_side side, unsigned ms);

#endif
