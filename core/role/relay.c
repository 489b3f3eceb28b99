/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - the role that speaks to other servers: each MSG_ATTEMPT of the
 * queue is a fiber in which a transport module runs.
 *
 * The queue decides what is tried and when; here it is only tried. An attempt
 * ends at the deadline that came with it, when the queue is gone (it will ask
 * for the same again, so what was not sent yet must not be sent twice), and
 * when the server stops; whatever has no result then is deferred.
 */
#include "role/dns_status.h"
#include "role/role.h"

#include <unistd.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "net/stream.h"
#include "role/attempt.h"
#include "role/kept.h"

enum {
	ATTEMPT_MS = 3300 * 1000, /* less than the queue waits: an hour */
	UNWIND_MS = 5000,         /* for canceled attempts to return */
};

/* In the frame of the fiber that serves the attempt. */
struct running {
	struct running *next, *prev;
	struct fiber *fiber;
};

static struct {
	struct running *first;
	size_t running;
	uint64_t delivered, deferred, failed; /* recipients */
	bool is_stopping;
	struct ph_event ended; /* an attempt did */
} relay;

static void
running_enter(struct running *running)
{
	running->fiber = fiber_self();
	running->prev = NULL;
	running->next = relay.first;
	if (relay.first != NULL)
		relay.first->prev = running;
	relay.first = running;
	relay.running++;
}

static void
running_leave(struct running *running)
{
	if (running->prev != NULL)
		running->prev->next = running->next;
	else
		relay.first = running->next;
	if (running->next != NULL)
		running->next->prev = running->prev;
	relay.running--;
	ph_event_signal(&relay.ended);
}

static void
cancel_all(void)
{
	for (struct running *r = relay.first; r != NULL; r = r->next)
		fiber_cancel(r->fiber);
}

/* The section named, or the first in order. */
static const struct module_instance *
choose_transport(const struct generation *generation, struct ph_slice name)
{
	const struct module_instance *at = generation->modules.first;

	for (; at != NULL; at = at->next)
		if ((at->module->kinds & PH_KIND_TRANSPORT) &&
		    (name.p == NULL ||
		        ph_slice_eq(name, ph_slice_str(at->name))))
			return at;
	return NULL;
}

static void
count_results(const struct ph_attempt *attempt)
{
	for (size_t i = 0; i < attempt->recipient_count; i++) {
		switch (attempt->recipients[i].result.delivery) {
		case PH_DELIVERED:
			relay.delivered++;
			break;
		case PH_DEFERRED:
			relay.deferred++;
			break;
		case PH_FAILED:
			relay.failed++;
			break;
		}
	}
}

/* Returns why recipients have no result, should some have none. */
static const char *
run_transport(struct ph_attempt *attempt, const struct generation *generation,
    unsigned timeout_ms)
{
	const struct module_instance *transport = choose_transport(generation,
	    attempt->transport);
	struct log_context context = { .queue = attempt->queue_id };
	void *outer = fiber_context();
	uint64_t deadline_ms, start;

	if (transport == NULL)
		return "no transport is configured";
	if (role_module_is_out(transport->name))
		return "the transport was taken out";
	context.module = attempt->section = transport->name;
	fiber_context_set(&context);
	deadline_ms = ph_deadline_push(timeout_ms);
	role_note(transport->name, "attempt");
	start = tally_micros();
	tally_begin(transport->tally);
	transport->module->transport->attempt(attempt, transport->conf);
	tally_end(transport->tally, TALLY_WORK, tally_micros() - start,
	    TALLY_WORKED);
	role_note(NULL, NULL);
	ph_deadline_restore(deadline_ms);
	fiber_context_set(outer);
	return fiber_is_canceled() ? "the attempt was cut short" :
	                             "the attempt came to no result";
}

static void
make_attempt(struct bus_request *request, struct ph_attempt *attempt, int fd)
{
	struct generation *generation = generation_get(generation_current());
	uint64_t timeout_ms = record_get_u64(request->message.record,
	    F_TIMEOUT, ATTEMPT_MS);
	struct running running;
	struct ph_err err = { 0 };
	const char *reason = err.text;
	struct ph_buf buf;

	running_enter(&running);
	attempt->hostname = generation->core.hostname;
	/* The queue keeps header fields of its own beside the content. */
	if (attempt_open(attempt, fd,
	        generation->core.message_limit_bytes + BUS_MESSAGE_LIMIT,
	        &err) == PH_OK)
		reason = run_transport(attempt, generation,
		    timeout_ms < ATTEMPT_MS ? (unsigned)timeout_ms :
		                              ATTEMPT_MS);
	else
		ph_log(PH_ERROR, "attempt_not_made",
		    ph_f_str("queue", attempt->queue_id),
		    ph_f_str("reason", err.text));
	ph_buf_init(&buf, request->arena, BUS_MESSAGE_LIMIT);
	attempt_reply(attempt, reason, &buf);
	count_results(attempt);
	bus_reply(request, buf.full ? PH_TOO_BIG : PH_OK,
	    buf.full ? PH_LIT("") : ph_buf_content(&buf), NULL, 0);
	running_leave(&running);
	generation_put(generation);
}

static void
on_attempt(struct bus_request *request)
{
	struct ph_attempt *attempt;
	int fd = request->message.fds[0], status;

	if (fd >= 0)
		ph_arena_own_fd(request->arena, fd);
	status = relay.is_stopping ? PH_UNAVAILABLE :
	    attempt_parse(request->arena, request->message.record, &attempt);
	if (status != PH_OK)
		bus_reply(request, status, PH_LIT(""), NULL, 0);
	else
		make_attempt(request, attempt, fd);
}

static void
on_peer_down(enum role role, unsigned index)
{
	(void)index;
	if (role == ROLE_QUEUE)
		cancel_all();
}

/* --- the role --- */

static int
use_configuration(const struct core_conf *core, struct ph_err *err)
{
	int status = resolver_init(core->dns.servers, core->dns.timeout_ms,
	    core->dns.attempts, core->dns.cache_bytes, err);

	return status != PH_OK ? status :
	                         tls_client_init(core->tls.ca_file, err);
}

static int
relay_start(struct generation *generation, struct ph_err *err)
{
	int status = use_configuration(&generation->core, err);

	if (status != PH_OK)
		return status;
	bus_serve(MSG_ATTEMPT, ROLE_BIT(ROLE_QUEUE), on_attempt);
	bus_on_peer_down(on_peer_down);
	return PH_OK;
}

static void
relay_reload(struct generation *generation)
{
	struct ph_err err = { 0 };

	if (use_configuration(&generation->core, &err) != PH_OK)
		ph_log(PH_ERROR, "reload_incomplete",
		    ph_f_str("reason", err.text));
}

/* Until no attempt runs; false when the time is over first. */
static bool
wait_for_all(unsigned ms)
{
	uint64_t end = ph_now_ms() + ms;

	while (relay.running > 0) {
		uint64_t now = ph_now_ms();

		if (now >= end || ph_event_wait(&relay.ended,
		        (unsigned)(end - now)) != PH_OK)
			return false;
	}
	return true;
}

static void
relay_stop(unsigned timeout_ms)
{
	relay.is_stopping = true;
	if (!wait_for_all(timeout_ms)) {
		cancel_all();
		wait_for_all(UNWIND_MS);
	}
	kept_end_all(UNWIND_MS);
	ph_sleep_ms(1); /* the turn ends, and with it the last replies leave */
}

static void
relay_status(struct ph_buf *items)
{
	role_status_item(items, "attempts_running", "%zu", relay.running);
	role_status_item(items, "delivered", "%llu",
	    (unsigned long long)relay.delivered);
	role_status_item(items, "deferred", "%llu",
	    (unsigned long long)relay.deferred);
	role_status_item(items, "failed", "%llu",
	    (unsigned long long)relay.failed);
	role_status_item(items, "connections_kept", "%zu", kept_count());
	role_status_dns(items);
}

const struct role_ops role_relay = {
	.role = ROLE_RELAY,
	.kinds = PH_KIND_TRANSPORT,
	.start = relay_start,
	.reload = relay_reload,
	.stop = relay_stop,
	.status = relay_status,
};
