/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - waiting for an event and for something else at once: enter, park,
 * look at `signalled`, leave. ph_event_wait is made of it.
 */
#ifndef CORE_LOOP_EVENT_H
#define CORE_LOOP_EVENT_H

#include "loop/fiber.h"

/* On the stack of the fiber that waits. */
struct event_waiter {
	struct event_waiter *next;
	struct fiber *fiber;
	bool signalled;
};

/* The calling fiber is woken when the event is signalled. */
void event_enter(struct ph_event *event, struct event_waiter *waiter);
/* Always after event_enter, signalled or not. */
void event_leave(struct ph_event *event, struct event_waiter *waiter);

#endif
