/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - what the shared pages tell: a heartbeat that stopped, the module a
 * process was in when it died. They are believed only about modules that exist.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "master/breaker.h"
#include "master/page.h"
#include "master/tickets.h"
#include "role/activity.h"
#include "role/memory.h"

enum {
	LOOK_EVERY_MS = 500,
	STALE_MS = 10000,
	STALE_LEAST_MS = 3000, /* the heart beats every second */
	KILLED_AGAIN_MS = 60000, /* as long as crashes count */
	LATE_MS = 3000, /* we did not run ourselves: judge nobody */
};

/* --- deaths --- */

/* Not when somebody outside sent the signal. */
static bool
is_own_fault(const struct process *process)
{
	int signal_sent = process->child.signal;

	return process->is_hung || process->is_over || process->is_deaf ||
	    (signal_sent != SIGKILL && signal_sent != SIGTERM &&
	        signal_sent != SIGINT && signal_sent != SIGHUP);
}

/*
 * The kernel does not tell who sent SIGKILL. No module can (confine.h), so it was
 * an administrator, or the kernel, whose memory the module may have eaten. Who
 * was killed at the same code twice in a row had a hand in it.
 */
static bool
is_killed_again(const struct process *process, struct ph_slice module)
{
	static char last[sizeof(process->page->module)];
	static uint64_t last_ms;
	bool is_kill = process->child.signal == SIGKILL && module.p != NULL;
	bool again = is_kill &&
	    ph_slice_eq(module, ph_slice_str(last)) &&
	    ph_now_ms() - last_ms < KILLED_AGAIN_MS;

	snprintf(last, sizeof(last), PH_SLICE_FMT,
	    PH_SLICE_ARG(is_kill ? module : PH_LIT("")));
	last_ms = ph_now_ms();
	return again;
}

static bool
is_to_blame(const struct process *process, struct ph_slice module)
{
	if (is_own_fault(process))
		return true;
	return process->role == ROLE_CHECK &&
	       is_killed_again(process, module);
}

static const char *
reason_of(const struct process *process)
{
	const struct child *child = &process->child;

	if (process->is_hung)
		return "hung, killed";
	if (process->is_deaf)
		return "closed its link, killed";
	if (process->is_over)
		return "too much memory, killed";
	if (child->signal != 0)
		return strsignal(child->signal);
	return child->status == ROLE_GAVE_UP ? "made way" : NULL;
}

static struct ph_slice
last_module_of(const struct process *process, struct ph_slice *hook_out)
{
	if (process->page != NULL)
		return page_module(process->page, hook_out);
	return *hook_out = (struct ph_slice){ NULL, 0 };
}

/* The module that a process is in. */
static struct ph_slice
module_of(const struct process *process, struct ph_slice *hook_out)
{
	if (process->page != NULL && process->page->is_inside)
		return last_module_of(process, hook_out);
	return *hook_out = (struct ph_slice){ NULL, 0 };
}

/* What closed the descriptors of its process, wrote into the pipes of the loop
 * or over its memory had returned before that told. */
static struct ph_slice
culprit_of(const struct process *process, struct ph_slice *hook_out)
{
	struct ph_slice module = module_of(process, hook_out);

	if (module.p == NULL && process->role == ROLE_CHECK)
		return last_module_of(process, hook_out);
	return module;
}

bool
watch_is_renewed(const struct process *process)
{
	return process->is_outgrown && process->child.signal == 0 &&
	    process->child.status == ROLE_MADE_WAY;
}

bool
watch_note_death(const struct process *process)
{
	const struct child *child = &process->child;
	struct ph_slice hook, module = is_own_fault(process) ?
	    culprit_of(process, &hook) : module_of(process, &hook);
	const struct module_facts *facts = module.p != NULL ?
	    plan_module(master.plan, module) : NULL;
	struct ph_field how = child->signal != 0 ?
	    ph_f_int("signal", child->signal) :
	    ph_f_int("status", child->status);
	bool blamed;

	if (watch_is_renewed(process)) {
		ph_log(PH_INFO, "role_renewed",
		    ph_f_str("role", role_name(process->role)),
		    ph_f_int("index", process->index),
		    ph_f_int("pid", child->last_pid));
		return true;
	}
	blamed = is_to_blame(process, module) && facts != NULL;
	ph_log(PH_ERROR, "role_died",
	    ph_f_str("role", role_name(process->role)),
	    ph_f_int("index", process->index),
	    ph_f_int("pid", child->last_pid), how,
	    ph_f_str("reason", reason_of(process)),
	    ph_f_slice("module", module), ph_f_slice("hook", hook),
	    ph_f_str("blamed", facts == NULL ? NULL : blamed ? "yes" : "no"));
	return blamed && breaker_blame(facts);
}

void
watch_tell_askers(const struct process *process)
{
	struct ph_slice hook, module = { NULL, 0 }, subject = { NULL, 0 };
	struct ph_buf record;

	if (process->role != ROLE_CHECK)
		return;
	/* one that had returned, or that nobody heard of for a while, may not
	 * be the one */
	if (is_own_fault(process) && !process->is_deaf)
		module = module_of(process, &hook);
	if (module.p != NULL)
		subject = page_subject(process->page);
	ph_buf_init(&record, NULL, 256);
	record_put_u64(&record, F_INDEX, process->index);
	if (subject.p != NULL) {
		record_put(&record, F_MODULE, module);
		record_put(&record, F_SUBJECT, subject);
	}
	for (size_t i = 0; i < master.process_count; i++) {
		const struct process *asker = &master.processes[i];

		if (asker->state == PROCESS_READY &&
		    (asker->role == ROLE_EDGE || asker->role == ROLE_QUEUE))
			bus_notify(asker->role, asker->index, MSG_CRASH,
			    ph_buf_content(&record));
	}
	ph_buf_fini(&record);
}

/* --- heartbeats --- */

/* Auth and queue may be busy for long, but not with the loading of a module. */
static bool
is_watched(const struct process *process)
{
	const unsigned roles = ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_CHECK) |
	    ROLE_BIT(ROLE_MAIL) | ROLE_BIT(ROLE_RELAY);

	if (process->page == NULL || process->state == PROCESS_DOWN)
		return false;
	return page_loading(process->page).p != NULL ||
	    (process->state == PROCESS_READY &&
	        (ROLE_BIT(process->role) & roles) != 0);
}

/* A check that holds its process longer than its hooks may take has no excuse;
 * a machine that is short of time for a moment has one. */
static uint64_t
stale_after(struct ph_slice module, bool is_loading)
{
	const struct module_facts *facts = module.p != NULL ?
	    plan_module(master.plan, module) : NULL;
	uint64_t ms = STALE_MS;

	if (!is_loading && facts != NULL && (facts->kinds & PH_KIND_CHECK) &&
	    facts->timeout_ms < ms)
		ms = facts->timeout_ms;
	return ms > STALE_LEAST_MS ? ms : STALE_LEAST_MS;
}

static bool
is_stale(const struct process *process, uint64_t now, uint64_t after_ms)
{
	uint64_t beat = __atomic_load_n(&process->page->heartbeat_ms,
	    __ATOMIC_RELAXED);

	if (beat > now)
		return beat - now > STALE_MS; /* no clock of ours */
	return now - beat > after_ms;
}

/* It should have made way by itself, but had no time for that. */
static bool
is_over_memory(const struct process *process)
{
	uint64_t limit = master.plan->core.processes.check_memory_bytes;

	return process->role == ROLE_CHECK && limit > 0 &&
	    memory_of_process(process->child.pid) > 2 * limit;
}

static void
end_process(struct process *process, const char *event)
{
	struct ph_slice hook, module = module_of(process, &hook);
	struct ph_slice loading = page_loading(process->page);

	if (loading.p != NULL) {
		process->stuck_pid = process->child.pid;
		snprintf(process->stuck_in, sizeof(process->stuck_in),
		    PH_SLICE_FMT, PH_SLICE_ARG(loading));
	}
	ph_log(PH_ERROR, event, ph_f_str("role", role_name(process->role)),
	    ph_f_int("index", process->index),
	    ph_f_int("pid", process->child.pid), ph_f_slice("module", module),
	    ph_f_slice("hook", hook));
	child_kill(&process->child);
}

static void
look(void)
{
	uint64_t now = ph_now_ms();

	for (size_t i = 0; i < master.process_count; i++) {
		struct process *process = &master.processes[i];
		struct ph_slice hook;

		if (!is_watched(process) || process->is_hung ||
		    process->is_over)
			continue;
		if (is_stale(process, now, stale_after(module_of(process,
		        &hook), page_loading(process->page).p != NULL))) {
			process->is_hung = true;
			end_process(process, "role_hangs");
		} else if (is_over_memory(process)) {
			process->is_over = true;
			end_process(process, "memory_over");
		}
	}
}

static void
watch(void *arg)
{
	(void)arg;
	while (!master.is_stopping) {
		uint64_t before = ph_now_ms();

		if (ph_sleep_ms(LOOK_EVERY_MS) != PH_OK)
			return;
		if (master.is_stopping)
			return;
		if (ph_now_ms() - before < LATE_MS)
			look();
		breaker_try_again();
		tickets_look();
	}
}

void
watch_start(void)
{
	fiber_start(watch, NULL);
}
