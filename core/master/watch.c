/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - what the shared pages tell: a heartbeat that stopped, the module a
 * process was in when it died, and which module has done so too often.
 *
 * A page is written by the process it tells about, so it is read as hostile:
 * bounded, and believed only about modules that exist.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <signal.h>
#include <stdlib.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "role/messages.h"

enum {
	LOOK_EVERY_MS = 1000,
	STALE_MS = 10000,
	LATE_MS = 3000, /* we did not run ourselves: judge nobody */
	CRASH_WINDOW_MS = 60000,
	CRASH_TIMES = 1000, /* crash_limit's range */
	MODULES = 64,
};

/* A module that crashed: when, newest last. */
struct suspect {
	char name[sizeof(((struct activity *)0)->module)];
	bool is_out;
	unsigned count;
	uint64_t *at_ms;
};

static struct suspect suspects[MODULES];

/* --- modules that crash --- */

static struct suspect *
suspect_of(const char *name, bool make)
{
	struct suspect *free_one = NULL;

	for (unsigned i = 0; i < MODULES; i++) {
		if (strcmp(suspects[i].name, name) == 0)
			return &suspects[i];
		if (free_one == NULL && suspects[i].name[0] == '\0')
			free_one = &suspects[i];
	}
	if (!make || free_one == NULL)
		return NULL;
	memcpy(free_one->name, name, strlen(name) + 1);
	free_one->at_ms = calloc(CRASH_TIMES, sizeof(uint64_t));
	ph_assert(free_one->at_ms != NULL);
	return free_one;
}

bool
watch_is_out(const char *module)
{
	const struct suspect *suspect =
	    strlen(module) < sizeof(suspect->name) ?
	    suspect_of(module, false) : NULL;

	return suspect != NULL && suspect->is_out;
}

static void
send_state(const struct process *to, const char *name, bool out)
{
	struct ph_buf record;

	ph_buf_init(&record, NULL, 256);
	record_put_str(&record, F_MODULE, name);
	record_put_u64(&record, F_FLAG, out);
	bus_notify(to->role, to->index, MSG_MODULE_STATE,
	    ph_buf_content(&record));
	ph_buf_fini(&record);
}

static void
send_state_to_all(const char *name, bool out)
{
	for (size_t i = 0; i < master.process_count; i++)
		if (master.processes[i].state == PROCESS_READY)
			send_state(&master.processes[i], name, out);
}

void
watch_tell(const struct process *process)
{
	for (unsigned i = 0; i < MODULES; i++)
		if (suspects[i].is_out)
			send_state(process, suspects[i].name, true);
}

void
watch_put_back(void)
{
	for (unsigned i = 0; i < MODULES; i++) {
		if (suspects[i].is_out)
			send_state_to_all(suspects[i].name, false);
		free(suspects[i].at_ms);
		suspects[i] = (struct suspect){ .name = "" };
	}
}

/* Forget crashes outside the window, note one more; how many are in it. */
static unsigned
count_crash(struct suspect *suspect)
{
	uint64_t now = ph_now_ms();
	unsigned kept = 0;

	for (unsigned i = 0; i < suspect->count; i++)
		if (now - suspect->at_ms[i] < CRASH_WINDOW_MS)
			suspect->at_ms[kept++] = suspect->at_ms[i];
	if (kept == CRASH_TIMES)
		memmove(suspect->at_ms, suspect->at_ms + 1,
		    --kept * sizeof(uint64_t));
	suspect->at_ms[kept++] = now;
	return suspect->count = kept;
}

/* A check can be done without, its on_failure says how; other modules are
 * what the server is for. */
static void
blame(const char *name, const struct module_facts *facts)
{
	struct suspect *suspect = suspect_of(name, true);

	if (suspect == NULL || suspect->is_out ||
	    count_crash(suspect) < master.plan->core.crash_limit)
		return;
	if (!(facts->kinds & PH_KIND_CHECK)) {
		ph_log(PH_ERROR, "module_crashes", ph_f_str("module", name),
		    ph_f_int("crashes", suspect->count));
		return;
	}
	suspect->is_out = true;
	ph_log(PH_ERROR, "module_out", ph_f_str("module", name),
	    ph_f_int("crashes", suspect->count),
	    ph_f_str("until", "the next reload"));
	send_state_to_all(name, true);
}

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
	struct activity copy;

	if (process->page != NULL) {
		memcpy(&copy, process->page, sizeof(copy));
		module = page_text(copy.module, sizeof(copy.module));
		hook = page_text(copy.hook, sizeof(copy.hook));
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
		blame(facts->section, facts);
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
		if (ph_now_ms() - before < LATE_MS && !master.is_stopping)
			look();
	}
}

void
watch_start(void)
{
	fiber_start(watch, NULL);
}
