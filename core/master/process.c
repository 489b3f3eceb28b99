/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - the life of one role's process, again and again: start it, tell
 * it the plan, link it with its peers, wait for its end, think about why.
 *
 * Each place is a fiber that reads so from top to bottom. A process gets work
 * (peers, sockets) only after it confirmed its configuration.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "master/breaker.h"
#include "master/clients.h"
#include "master/page.h"
#include "master/tickets.h"
#include "master/sockets.h"
#include "role/messages.h"

enum {
	CONFIGURE_MS = 300000,   /* the queue may have to recover */
	LINK_GRACE_MS = 5000,    /* from the end of the link to that of the process */
	CHECK_GRACE_MS = 300,    /* nothing durable to finish */
	KILL_WAIT_MS = 500,      /* after MSG_STOP was answered */
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 10000,
	LONG_LIFE_MS = 30000,
	START_ATTEMPTS = 3,      /* of the server's start */
	DATA_FAILURES_MAX = 1,   /* restarts after a failed fsync */
};

const char *
process_state_name(enum process_state state)
{
	static const char *const names[] = { "down", "starting", "ready",
		"stopping" };

	return names[state];
}

void
process_set_state(struct process *process, enum process_state state)
{
	process->state = state;
	ph_event_signal(&process->changed);
	ph_event_signal(&master.changed);
}

struct process *
process_of(enum role role, unsigned index)
{
	for (size_t i = 0; i < master.process_count; i++)
		if (master.processes[i].role == role &&
		    master.processes[i].index == index)
			return &master.processes[i];
	return NULL;
}

/* --- starting --- */

static void
drop_page(struct process *process)
{
	if (process->page == NULL)
		return;
	breaker_take_page(process->page);
	munmap(process->page, sizeof(struct activity));
	process->page = NULL;
}

static int
exec_role(struct process *process, int link_fd, int page_fd,
    struct ph_err *err)
{
	const struct role_user *user = &master.users[process->role];
	const int fds[] = { link_fd, master.log_fd, page_fd };
	char role[32], index[32], uid[32], gid[32];
	const char *argv[] = { "posthouse", role, index, NULL, NULL, NULL };

	snprintf(role, sizeof(role), "--role=%s", role_name(process->role));
	snprintf(index, sizeof(index), "--index=%u", process->index);
	if (user->drop) {
		snprintf(uid, sizeof(uid), "--uid=%u", user->uid);
		snprintf(gid, sizeof(gid), "--gid=%u", user->gid);
		argv[3] = uid;
		argv[4] = gid;
	}
	return child_start(&process->child, argv, fds, 3, err);
}

static int
start(struct process *process, struct ph_err *err)
{
	int pair[2], page, status = child_socket_pair(pair, err);

	if (status != PH_OK)
		return status;
	page = page_make_activity(&process->page, err);
	status = page < 0 ? PH_IO : exec_role(process, pair[1], page, err);
	if (page >= 0)
		close(page);
	close(pair[1]);
	if (status != PH_OK) {
		close(pair[0]);
		drop_page(process);
		return status;
	}
	process->started_ms = ph_now_ms();
	process->is_hung = process->is_over = process->is_deaf = false;
	process->is_refused = process->is_outgrown = false;
	process->generation = 0;
	process->links_opened++;
	bus_link(process->role, process->index, pair[0]);
	process_set_state(process, PROCESS_STARTING);
	return PH_OK;
}

static bool
has_link(const struct process *process)
{
	return process->links_opened != process->links_closed;
}

static void
on_peer_down(enum role role, unsigned index)
{
	struct process *process = process_of(role, index);

	if (process == NULL)
		return;
	process->links_closed++;
	ph_event_signal(&process->changed);
	ph_event_signal(&process->child.ended);
}

/* --- configuring --- */

static void
take_refusal(const struct process *process, int status, struct ph_slice record,
    struct conf_errors *errors)
{
	struct record_field field;
	size_t before = errors->count;

	while (record_next(&record, &field))
		if (field.tag == F_TEXT)
			conf_error_add(errors, NULL, 0,
			    "%s[%u]: " PH_SLICE_FMT, role_name(process->role),
			    process->index, PH_SLICE_ARG(field.value));
	if (errors->count == before)
		conf_error_add(errors, NULL, 0, "%s[%u]: %s",
		    role_name(process->role), process->index,
		    status == PH_UNAVAILABLE ? "it ended" :
		                               ph_status_name(status));
}

int
process_configure(struct process *process, struct plan *plan,
    struct conf_errors *errors)
{
	const struct plan_secrets secrets = { master.key, tickets_keys() };
	const int pid = process->child.pid;
	struct bus_message reply;
	struct ph_buf record;
	int status;

	ph_buf_init(&record, NULL, BUS_MESSAGE_LIMIT);
	ph_buf_reserve(&record, BUS_MESSAGE_LIMIT / 2); /* one copy to wipe */
	plan_encode(plan, process->role, master.sizes, &secrets, &record);
	if (record.full) {
		conf_error_add(errors, NULL, 0,
		    "the configuration of %s is over 512 KiB",
		    role_name(process->role));
		status = PH_TOO_BIG;
	} else {
		status = bus_call(process->role, process->index, MSG_CONFIGURE,
		    ph_buf_content(&record), NULL, 0, CONFIGURE_MS,
		    errors->arena, &reply);
		if (status != PH_OK)
			take_refusal(process, status, reply.record, errors);
	}
	ph_wipe(record.p, record.n);
	ph_buf_fini(&record);
	if (status == PH_UNAVAILABLE && process->stuck_pid == pid) {
		conf_error_add(errors, NULL, 0,
		    "%s[%u]: the module of section %s hangs while it is loaded",
		    role_name(process->role), process->index,
		    process->stuck_in);
		status = PH_TIMEOUT;
	}
	process->is_outgrown = status == PH_OK &&
	    record_get_u64(reply.record, F_FLAG, 0) == 1;
	if (status == PH_OK && !process->is_outgrown)
		process->generation = plan->number;
	return status;
}

void
process_renew(struct process *process)
{
	process->is_renewing = true;
	bus_notify(process->role, process->index, MSG_RENEW, PH_LIT(""));
}

/* It goes, and starts again later; the server's own start fails with it. */
static void
note_refusal(struct process *process, const struct conf_errors *errors)
{
	process->is_refused = true;
	for (size_t i = 0; i < errors->count; i++) {
		ph_log(PH_ERROR, "not_started",
		    ph_f_str("role", role_name(process->role)),
		    ph_f_int("index", process->index),
		    ph_f_str("reason", errors->error[i].text));
		if (master.is_starting)
			fprintf(stderr, "posthouse: %s\n",
			    errors->error[i].text);
	}
}

/* Until it has the plan that is current when it answers. */
static int
configure_first(struct process *process)
{
	int status = PH_OK;

	while (status == PH_OK && process->generation != master.plan->number) {
		struct ph_arena *arena = ph_arena_create(NULL);
		struct conf_errors errors = { .arena = arena };
		struct plan *plan = plan_get(master.plan);

		status = process_configure(process, plan, &errors);
		if (status != PH_OK && status != PH_UNAVAILABLE)
			note_refusal(process, &errors);
		if (process->is_outgrown) /* before it had any work */
			status = PH_UNAVAILABLE;
		plan_put(plan);
		ph_arena_free(arena);
	}
	return status;
}

static void
give_work(struct process *process)
{
	breaker_tell(process);
	tickets_tell(process);
	process->is_renewing = false;
	process_set_state(process, PROCESS_READY);
	peers_link(process);
	if (process->role == ROLE_EDGE) {
		clients_tell(process->index);
		sockets_give(process->index);
	}
	ph_log(PH_INFO, "role_ready",
	    ph_f_str("role", role_name(process->role)),
	    ph_f_int("index", process->index),
	    ph_f_int("pid", process->child.pid),
	    ph_f_int("generation", (int64_t)process->generation));
}

/* --- ending --- */

/* A process whose link is down is of no use any more. */
static void
wait_end(struct process *process)
{
	while (child_is_running(&process->child)) {
		bool linked = has_link(process);
		unsigned grace_ms = process->role == ROLE_CHECK ?
		    CHECK_GRACE_MS : LINK_GRACE_MS;
		int status = ph_event_wait(&process->child.ended,
		    linked ? PH_NO_LIMIT_MS : grace_ms);

		if (status != PH_TIMEOUT || has_link(process))
			continue;
		process->is_deaf = true;
		child_kill(&process->child);
	}
}

static unsigned
backoff_ms(unsigned deaths)
{
	unsigned ms = BACKOFF_FIRST_MS;

	if (deaths <= 1)
		return 0;
	for (unsigned i = 2; i < deaths && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* EX_SOFTWARE of the queue: an fsync failed, and what the kernel threw away
 * nobody knows. Once it may recover from the disk; when that fails, or it
 * happens again, a person must look. */
static bool
may_run(struct process *process)
{
	if (process->role != ROLE_QUEUE ||
	    process->data_failures <= DATA_FAILURES_MAX)
		return true;
	ph_log(PH_ERROR, "queue_stays_down",
	    ph_f_str("reason", "writing to the disk failed again; look at the "
	                       "disk, then reload"));
	process->has_failed = master.is_starting;
	ph_event_signal(&master.changed);
	while (!master.is_stopping &&
	    process->data_failures > DATA_FAILURES_MAX)
		ph_event_wait(&process->changed, PH_NO_LIMIT_MS);
	return !master.is_stopping;
}

void
process_forgive(void)
{
	for (size_t i = 0; i < master.process_count; i++) {
		master.processes[i].data_failures = 0;
		ph_event_signal(&master.processes[i].changed);
	}
}

/* While the server starts: whether to give up. */
static void
note_attempt(struct process *process)
{
	if (!master.is_starting || (!process->is_refused &&
	    process->deaths_in_row < START_ATTEMPTS))
		return;
	process->has_failed = true;
	ph_event_signal(&master.changed);
}

static void
after_death(struct process *process)
{
	const struct child *child = &process->child;
	uint64_t lived_ms = ph_now_ms() - process->started_ms;

	bus_unlink(process->role, process->index);
	process_set_state(process, PROCESS_DOWN);
	if (process->role == ROLE_EDGE)
		clients_gone(process->index);
	if (master.is_stopping) {
		drop_page(process);
		return;
	}
	watch_tell_askers(process);
	process->is_excused = !process->is_refused && watch_note_death(process);
	drop_page(process);
	if (process->role == ROLE_QUEUE && (child->status == EX_SOFTWARE ||
	    (process->is_refused && process->data_failures > 0)))
		process->data_failures++;
	if (lived_ms > LONG_LIFE_MS ||
	    (process->is_excused && !master.is_starting))
		process->deaths_in_row = 0;
	process->deaths_in_row++;
	process->restarts += !watch_is_renewed(process);
	note_attempt(process);
}

static void
pause_before_restart(struct process *process)
{
	unsigned pause_ms = process->is_excused ? 0 :
	    backoff_ms(process->deaths_in_row);
	uint64_t until_ms = ph_now_ms() + pause_ms;

	while (!master.is_stopping && ph_now_ms() < until_ms)
		ph_event_wait(&process->changed,
		    (unsigned)(until_ms - ph_now_ms()));
}

static void
live(void *arg)
{
	struct process *process = arg;

	while (!master.is_stopping && may_run(process)) {
		struct ph_err err = { 0 };

		if (start(process, &err) == PH_OK) {
			if (configure_first(process) != PH_OK) {
				child_kill(&process->child);
				wait_end(process);
			} else if (!master.is_stopping) {
				give_work(process);
			}
			wait_end(process);
			after_death(process);
		} else {
			process->deaths_in_row++;
			ph_log(PH_ERROR, "not_started",
			    ph_f_str("role", role_name(process->role)),
			    ph_f_str("reason", err.text));
			note_attempt(process);
		}
		pause_before_restart(process);
	}
}

void
process_keep(struct process *process)
{
	fiber_start(live, process);
}

void
process_table_create(void)
{
	/* The order in which they start; edge comes when all others are ready. */
	static const enum role order[] = { ROLE_QUEUE, ROLE_AUTH, ROLE_CHECK,
		ROLE_MAIL, ROLE_RELAY, ROLE_EDGE };
	struct process *process;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		bus_set_role_size(order[i], master.sizes[order[i]]);
		master.process_count += master.sizes[order[i]];
	}
	master.processes = calloc(master.process_count, sizeof(*process));
	ph_assert(master.processes != NULL);
	process = master.processes;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		for (unsigned n = 0; n < master.sizes[order[i]]; n++)
			*process++ = (struct process){ .role = order[i],
				.index = n };
	bus_on_peer_down(on_peer_down);
}

void
process_stop(struct process *process, uint64_t deadline_ms)
{
	struct child *child = &process->child;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct bus_message reply;
	struct ph_buf record;
	uint64_t now = ph_now_ms();
	unsigned left_ms = deadline_ms > now ? (unsigned)(deadline_ms - now) : 0;

	if (process->state != PROCESS_READY) {
		child_kill(child);
	} else {
		process_set_state(process, PROCESS_STOPPING);
		ph_buf_init(&record, arena, 64);
		record_put_u64(&record, F_TIMEOUT, left_ms);
		bus_call(process->role, process->index, MSG_STOP,
		    ph_buf_content(&record), NULL, 0, left_ms + KILL_WAIT_MS,
		    arena, &reply);
	}
	if (child_wait(child, KILL_WAIT_MS) != PH_OK) {
		ph_log(PH_WARN, "role_killed",
		    ph_f_str("role", role_name(process->role)),
		    ph_f_int("pid", child->pid),
		    ph_f_str("reason", "did not end in time"));
		child_kill(child);
		child_wait(child, PH_NO_LIMIT_MS);
	}
	ph_arena_free(arena);
}
