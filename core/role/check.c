/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - the role that hosts check modules: takes a stage's facts from edge,
 * runs the pipeline, answers. A crash in here costs no session.
 */
#include "role/dns_status.h"
#include "role/role.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "pipeline/pipeline.h"
#include "role/check.h"
#include "role/descriptors.h"
#include "role/kept.h"
#include "role/memory.h"
#include "role/route.h"

enum {
	LEAVE_MS = 2000, /* for what still runs */
	LOOK_MS = 500,
	UNWIND_MS = 500,
	WORK_GRACE_MS = 2000, /* beyond the time of a hook */
};

static struct {
	uint64_t stages;
	unsigned running;
	bool is_leaving, is_renewed;
	struct ph_event ended;
	char culprit[48];
	const char *why;
} check;

/* --- what only a fresh process mends --- */

static void
leave(void *arg)
{
	uint64_t end = ph_now_ms() + LEAVE_MS;

	(void)arg;
	while (check.running > 0 && ph_now_ms() < end)
		ph_event_wait(&check.ended, (unsigned)(end - ph_now_ms()));
	if (check.running == 0)
		bus_leave();
	ph_sleep_ms(1); /* the last replies leave */
	if (check.is_renewed)
		role_make_way();
	else
		role_give_up(check.culprit, check.why);
}

static void
make_way(const char *module, const char *why)
{
	check.is_leaving = true;
	snprintf(check.culprit, sizeof(check.culprit), "%s", module);
	check.why = why;
	fiber_start(leave, NULL);
}

/* A configuration is beyond us. */
static void
check_renew(void)
{
	if (check.is_leaving)
		return;
	check.is_renewed = true;
	make_way("", NULL);
}

static void
look_at_memory(void)
{
	const char *module;

	if (check.is_leaving || !memory_is_over(&module))
		return;
	ph_log(PH_ERROR, "memory_over", ph_f_str("module", module),
	    ph_f_int("bytes", (int64_t)memory_seen()),
	    ph_f_int("limit", (int64_t)generation_current()->core.processes.
	        check_memory_bytes));
	make_way(module, "memory");
}

static void
look_at_descriptors(void)
{
	const char *module;

	if (check.is_leaving || !descriptors_are_over(&module))
		return;
	ph_log(PH_ERROR, "descriptors_over", ph_f_str("module", module),
	    ph_f_int("open", descriptors_seen()));
	make_way(module, "descriptors");
}

/* A hook that waits for a thread can't be cut short, and a thread that is stuck
 * is lost: some of them, and no work is done any more. */
static void
look_at_work(const void *context, uint64_t ms, void *arg)
{
	const struct log_context *log = context;
	const struct module_instance *at =
	    generation_current()->modules.first;

	(void)arg;
	if (check.is_leaving || log == NULL || log->module == NULL)
		return;
	while (at != NULL && strcmp(at->name, log->module) != 0)
		at = at->next;
	if (at == NULL || ms <= at->common.timeout_ms + WORK_GRACE_MS)
		return;
	ph_log(PH_ERROR, "work_hangs", ph_f_str("module", log->module),
	    ph_f_str("hook", log->hook), ph_f_int("ms", (int64_t)ms));
	make_way(log->module, log->hook);
}

bool
check_begin(void)
{
	look_at_memory();
	check.running += !check.is_leaving;
	return !check.is_leaving;
}

void
check_end(void)
{
	check.running--;
	ph_event_signal(&check.ended);
}

static void
on_look(uv_timer_t *timer)
{
	(void)timer;
	look_at_memory();
	look_at_descriptors();
	fiber_each_work(look_at_work, NULL);
}

static void
watch_self(void)
{
	static uv_timer_t timer;

	uv_timer_init(fiber_loop(), &timer);
	uv_timer_start(&timer, on_look, LOOK_MS, LOOK_MS);
	uv_unref((uv_handle_t *)&timer);
}

/* --- stages --- */

static struct ph_slice *
take_recipients(struct ph_arena *arena, struct ph_slice record, size_t *count)
{
	struct ph_slice rest = record, *all;
	struct record_field field;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_RECIPIENT_ALL;
	all = ph_arena_array(arena, n, sizeof(*all));
	*count = n;
	n = 0;
	while (record_next(&record, &field))
		if (field.tag == F_RECIPIENT_ALL)
			all[n++] = field.value;
	return all;
}

struct mapping {
	void *p; /* NULL: none */
	size_t n;
	int fd;
};

static void
unmap(void *object)
{
	struct mapping *mapping = object;

	if (mapping->p != NULL)
		munmap(mapping->p, mapping->n);
	close(mapping->fd);
}

/* The content as a mapping that ends with the arena; absent: none. */
static struct ph_slice
map_content(struct ph_arena *arena, int fd)
{
	struct ph_slice content = { NULL, 0 };
	struct mapping *mapping;
	struct stat st;
	void *p;

	if (fd < 0)
		return content;
	mapping = ph_arena_alloc(arena, sizeof(*mapping));
	mapping->fd = fd;
	ph_arena_on_end(arena, unmap, mapping);
	if (fstat(fd, &st) != 0 || st.st_size <= 0)
		return content;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return content;
	mapping->p = p;
	mapping->n = (size_t)st.st_size;
	return (struct ph_slice){ p, mapping->n };
}

static bool
take_call(struct bus_request *request, struct ph_call *call)
{
	struct ph_slice record = request->message.record;
	uint64_t stage = record_get_u64(record, F_STAGE, PH_STAGES);

	call->content_fd = request->message.fds[0];
	call->content = map_content(request->arena, call->content_fd);
	if (stage >= PH_STAGES || !record_is_sound(record) ||
	    session_take(call->session, record) != PH_OK)
		return false;
	call->stage = (enum ph_stage)stage;
	call->sender = record_get(record, F_SENDER);
	call->recipient = record_get(record, F_RECIPIENT);
	call->header = record_get(record, F_HEADER);
	call->content_skip = call->header.n;
	call->recipient_count = (size_t)record_get_u64(record,
	    F_RECIPIENT_COUNT, 0);
	call->score_so_far = (int64_t)record_get_u64(record, F_SCORE, 0);
	call->recipients = take_recipients(request->arena, record,
	    &call->recipients_known);
	if (record_get(record, F_CRASHED).p != NULL)
		call->crashed = record;
	return true;
}

static void
on_stage(struct bus_request *request)
{
	struct generation *generation;
	struct ph_session *session;
	struct ph_call call = { .arena = request->arena };
	struct ph_buf reply;
	int body_fd;

	if (!check_begin()) {
		if (request->message.fds[0] >= 0)
			close(request->message.fds[0]);
		bus_reply(request, PH_BUSY, PH_LIT(""), NULL, 0);
		return;
	}
	generation = generation_get(generation_current());
	session = session_create(generation, NULL);
	call.session = session;
	if (take_call(request, &call)) {
		check.stages++;
		call.state = session_state_obtain(ph_slice_str(session->id));
		session_state_message(call.state, record_get_u64(
		    request->message.record, F_TRANSACTION, 0));
		session_state_get(call.state);
		ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT / 2);
		pipeline_run(generation, &call, &reply, &body_fd);
		session_state_put(call.state);
		bus_reply(request, reply.full ? PH_TOO_BIG : PH_OK,
		    ph_buf_content(&reply), &body_fd, body_fd >= 0);
	} else {
		bus_reply(request, PH_INVALID, PH_LIT(""), NULL, 0);
	}
	session_free(session);
	generation_put(generation);
	check_end();
}

/* For those who only observe: nobody waits. */
static void
on_observe(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_call call = { .arena = request->arena };
	struct generation *generation;
	struct ph_buf reply;

	if (!check_tell_begin(1u << (record_get_u64(record, F_STAGE, 0) & 31)))
		return;
	generation = generation_get(generation_current());
	call.session = session_create(generation, NULL);
	call.decision = check_decision(request->arena, record);
	if (take_call(request, &call) && call.decision != NULL) {
		call.state = session_state_obtain(
		    ph_slice_str(call.session->id));
		session_state_message(call.state, record_get_u64(record,
		    F_TRANSACTION, 0));
		session_state_get(call.state);
		ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT / 2);
		pipeline_run(generation, &call, &reply, NULL);
		session_state_put(call.state);
	}
	session_free(call.session);
	generation_put(generation);
	check_tell_end();
}

static void
on_session_end(struct bus_request *request)
{
	struct ph_slice id = record_get(request->message.record, F_SESSION);

	if (id.p != NULL)
		session_state_drop(id);
}

static int
check_start(struct generation *generation, struct ph_err *err)
{
	const struct core_dns *dns = &generation->core.dns;
	int status = resolver_init(dns->servers, dns->timeout_ms,
	    dns->attempts, dns->cache_bytes, err);

	if (status != PH_OK)
		return status;
	memory_limit(generation->core.processes.check_memory_bytes);
	watch_self();
	bus_serve(MSG_STAGE, ROLE_BIT(ROLE_EDGE), on_stage);
	route_serve();
	check_delivery_serve();
	bus_serve(MSG_OBSERVE, ROLE_BIT(ROLE_EDGE), on_observe);
	bus_serve(MSG_SESSION_END, ROLE_BIT(ROLE_EDGE), on_session_end);
	return PH_OK;
}

static void
check_reload(struct generation *generation)
{
	const struct core_dns *dns = &generation->core.dns;
	struct ph_err err = { 0 };

	memory_limit(generation->core.processes.check_memory_bytes);
	if (resolver_init(dns->servers, dns->timeout_ms, dns->attempts,
	        dns->cache_bytes, &err) != PH_OK)
		ph_log(PH_ERROR, "dns_not_reloaded",
		    ph_f_str("reason", err.text));
}

static void
check_stop(unsigned timeout_ms)
{
	kept_end_all(timeout_ms < UNWIND_MS ? timeout_ms : UNWIND_MS);
}

static void
check_status(struct ph_buf *items)
{
	role_status_item(items, "stages", "%llu",
	    (unsigned long long)check.stages);
	role_status_item(items, "running", "%u", check.running);
	role_status_item(items, "connections_kept", "%zu", kept_count());
	role_status_dns(items);
	check_delivery_status(items);
}

const struct role_ops role_check = {
	.role = ROLE_CHECK,
	.kinds = PH_KIND_CHECK | PH_KIND_ROUTER,
	.start = check_start,
	.reload = check_reload,
	.stop = check_stop,
	.renew = check_renew,
	.status = check_status,
};
