/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - what the shared pages tell: a heartbeat that stopped, the module a
 * process was in when it died.
 *
 * A page is written by the process it tells about, so it is read as hostile:
 * bounded, and believed only about modules that exist.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <signal.h>

#include "loop/fiber.h"
#include "master/breaker.h"

enum {
	LOOK_EVERY_MS = 1000,
	STALE_MS = 10000,
	LATE_MS = 3000, /* we did not run ourselves: judge nobody */
};

/* --- deaths --- */

static struct ph_slice
page_text(const char *p, size_t size)
{
	struct ph_slice text = { p, strnlen(p, size) };

	return text.n > 0 && text.n < size ? text :
	                                     (struct ph_slice){ NULL, 0 };
}

/* Not when somebody outside sent the signal. */
static bool
is_own_fault(const struct process *process)
{
	int signal_sent = process->child.signal;

	return process->is_hung ||
	    (signal_sent != SIGKILL && signal_sent != SIGTERM &&
	        signal_sent != SIGINT && signal_sent != SIGHUP);
}

void
watch_note_death(const struct process *process)
{
	const struct child *child = &process->child;
	struct ph_slice module = { NULL, 0 }, hook = { NULL, 0 };
	const struct activity *page = process->page; /* its writer is dead */

	if (page != NULL) {
		module = page_text(page->module, sizeof(page->module));
		hook = page_text(page->hook, sizeof(page->hook));
	}
	const struct module_facts *facts = module.p != NULL ?
	    plan_module(master.plan, module) : NULL;
	struct ph_field how = child->signal != 0 ?
	    ph_f_int("signal", child->signal) :
	    ph_f_int("status", child->status);

	ph_log(PH_ERROR, "role_died", ph_f_str("role", role_name(process->role)),
	    ph_f_int("index", process->index),
	    ph_f_int("pid", child->last_pid), how,
	    ph_f_str("reason", process->is_hung ? "hung, killed" :
	        child->signal != 0 ? strsignal(child->signal) : NULL),
	    ph_f_slice("module", module), ph_f_slice("hook", hook));
	if (facts != NULL && is_own_fault(process))
		breaker_blame(facts);
}

/* --- heartbeats --- */

static bool
is_watched(const struct process *process)
{
	const unsigned roles = ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_CHECK) |
	    ROLE_BIT(ROLE_MAIL) | ROLE_BIT(ROLE_RELAY);

	return process->state == PROCESS_READY &&
	    (ROLE_BIT(process->role) & roles) != 0 && process->page != NULL;
}

static bool
is_stale(const struct process *process, uint64_t now)
{
	uint64_t beat = __atomic_load_n(&process->page->heartbeat_ms,
	    __ATOMIC_RELAXED);

	if (beat > now)
		return beat - now > STALE_MS; /* no clock of ours */
	return now - beat > STALE_MS;
}

static void
look(void)
{
	uint64_t now = ph_now_ms();

	for (size_t i = 0; i < master.process_count; i++) {
		struct process *process = &master.processes[i];

		if (!is_watched(process) || process->is_hung ||
		    !is_stale(process, now))
			continue;
		process->is_hung = true;
		ph_log(PH_ERROR, "role_hangs",
		    ph_f_str("role", role_name(process->role)),
		    ph_f_int("index", process->index),
		    ph_f_int("pid", process->child.pid),
		    ph_f_slice("module", page_text(process->page->module,
		        sizeof(process->page->module))),
		    ph_f_slice("hook", page_text(process->page->hook,
		        sizeof(process->page->hook))));
		child_kill(&process->child);
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
	}
}

void
watch_start(void)
{
	fiber_start(watch, NULL);
}
