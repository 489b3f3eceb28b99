/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_gate.c - a queue from which the client with the least at work is taken,
 * the longest waiting among equals.
 */
#include "role/auth_gate.h"

#include <posthouse/fiber.h>

/* In the frame of the fiber that waits. */
struct auth_gate_waiter {
	uint64_t client;
	bool is_in;
	struct ph_event let_in;
	struct auth_gate_waiter *next, *prev;
};

static unsigned
count_running(const struct auth_gate *gate, uint64_t client)
{
	unsigned count = 0;

	for (unsigned i = 0; i < gate->running_count; i++)
		count += gate->running[i] == client;
	return count;
}

static unsigned
count_waiting(const struct auth_gate *gate, uint64_t client)
{
	const struct auth_gate_waiter *w;
	unsigned count = 0;

	for (w = gate->first; w != NULL; w = w->next)
		count += w->client == client;
	return count;
}

static void
append(struct auth_gate *gate, struct auth_gate_waiter *waiter)
{
	waiter->prev = gate->last;
	if (gate->last != NULL)
		gate->last->next = waiter;
	else
		gate->first = waiter;
	gate->last = waiter;
	gate->waiting++;
}

static void
unlink_waiter(struct auth_gate *gate, struct auth_gate_waiter *waiter)
{
	if (waiter->prev != NULL)
		waiter->prev->next = waiter->next;
	else
		gate->first = waiter->next;
	if (waiter->next != NULL)
		waiter->next->prev = waiter->prev;
	else
		gate->last = waiter->prev;
	gate->waiting--;
}

static void
let_next_in(struct auth_gate *gate)
{
	struct auth_gate_waiter *w, *best = NULL;
	unsigned least = AUTH_GATE_SLOTS + 1;

	for (w = gate->first; w != NULL && least > 0; w = w->next) {
		unsigned running = count_running(gate, w->client);

		if (running < least) {
			least = running;
			best = w;
		}
	}
	if (best == NULL)
		return;
	unlink_waiter(gate, best);
	gate->running[gate->running_count++] = best->client;
	best->is_in = true;
	ph_event_signal(&best->let_in);
}

int
auth_gate_enter(struct auth_gate *gate, uint64_t client, unsigned timeout_ms)
{
	struct auth_gate_waiter waiter = { .client = client };
	int status;

	if (gate->running_count < AUTH_GATE_SLOTS) {
		gate->running[gate->running_count++] = client;
		return PH_OK;
	}
	if (gate->waiting >= AUTH_GATE_WAITING ||
	    count_waiting(gate, client) >= AUTH_GATE_CLIENT)
		return PH_FULL;
	append(gate, &waiter);
	status = ph_event_wait(&waiter.let_in, timeout_ms);
	if (waiter.is_in) /* also when the time was over just then */
		return PH_OK;
	unlink_waiter(gate, &waiter);
	return status != PH_OK ? status : PH_TIMEOUT;
}

void
auth_gate_leave(struct auth_gate *gate, uint64_t client)
{
	for (unsigned i = 0; i < gate->running_count; i++) {
		if (gate->running[i] != client)
			continue;
		gate->running[i] = gate->running[--gate->running_count];
		let_next_in(gate);
		return;
	}
}
