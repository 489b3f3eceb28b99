/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c - from one generation to the next, whole or not at all.
 *
 * Everything that can be wrong is found before anything changes: files, module
 * options, addresses in use, the log. Then each process is told; one that
 * refuses takes the others back to the generation before. One that can't take
 * it as it is, since it is confined, makes way for another at the end.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <unistd.h>

#include "log/log.h"
#include "master/breaker.h"
#include "master/daemon.h"
#include "master/sockets.h"

enum { RENEWED_MS = 10000 }; /* hooks that run are waited for */

/* --- what can't change while we run --- */

static void
keep_text(const struct plan *plan, const char *setting, const char *was,
    const char *is, struct conf_errors *errors)
{
	if (strcmp(was, is) == 0)
		return;
	plan_error_at(errors, plan->conf, "", setting,
	    ph_arena_printf(errors->arena,
	        "%s can't change while the server runs (it is %s): restart it",
	        setting, was));
}

static int
check_fixed(const struct plan *plan, struct conf_errors *errors)
{
	const struct core_conf *was = &master.plan->core, *is = &plan->core;
	size_t before = errors->count;

	keep_text(plan, "data_dir", was->data_dir, is->data_dir, errors);
	keep_text(plan, "run_dir", was->run_dir, is->run_dir, errors);
	keep_text(plan, "user_prefix", was->user_prefix, is->user_prefix,
	    errors);
	if (was->mail.partitions != is->mail.partitions)
		plan_error_at(errors, plan->conf, "mail", "partitions",
		    "partitions can't change: mail is spread over them");
	return errors->count == before ? PH_OK : PH_INVALID;
}

static void
note_sizes(const struct plan *plan)
{
	unsigned sizes[ROLES];

	plan_role_sizes(&plan->core, sizes);
	for (unsigned role = ROLE_EDGE; role < ROLES; role++)
		if (sizes[role] != master.sizes[role])
			ph_log(PH_WARN, "needs_restart",
			    ph_f_str("setting", "processes"),
			    ph_f_str("role", role_name((enum role)role)),
			    ph_f_int("running", master.sizes[role]),
			    ph_f_int("configured", sizes[role]));
}

/* --- telling the processes --- */

static void
roll_back(struct conf_errors *errors)
{
	for (size_t i = 0; i < master.process_count; i++) {
		struct process *process = &master.processes[i];

		process->is_outgrown = false;
		if (process->state == PROCESS_READY &&
		    process->generation != master.plan->number &&
		    process_configure(process, master.plan, errors) != PH_OK)
			child_kill(&process->child); /* starts with the old */
	}
}

/* One that dies meanwhile starts again with the plan that is current then. One
 * that hangs in a module's load would do so again. */
static int
tell(struct process *process, struct plan *plan, struct conf_errors *errors)
{
	struct conf_errors gone = { .arena = errors->arena };
	int status;

	if (process->state != PROCESS_READY)
		return PH_OK;
	status = process_configure(process, plan, &gone);
	if (status == PH_OK || (status != PH_TIMEOUT &&
	    (status == PH_UNAVAILABLE || process->state != PROCESS_READY)))
		return PH_OK;
	for (size_t n = 0; n < gone.count; n++)
		conf_error_add(errors, NULL, 0, "%s", gone.error[n].text);
	return PH_INVALID;
}

/* The queue is the last: what waits is asked about anew then, and those who are
 * asked must know the new routes. */
static int
tell_all(struct plan *plan, struct conf_errors *errors)
{
	int status = PH_OK;

	for (unsigned turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < master.process_count &&
		     status == PH_OK; i++)
			if ((master.processes[i].role == ROLE_QUEUE) ==
			    (turn == 1))
				status = tell(&master.processes[i], plan,
				    errors);
	return status;
}

/* Those that came up between with the former plan, and those that a new process
 * follows. */
static void
tell_late_ones(struct conf_errors *errors)
{
	for (size_t i = 0; i < master.process_count; i++) {
		struct process *process = &master.processes[i];

		if (process->state == PROCESS_READY &&
		    process->generation != master.plan->number &&
		    !process->is_outgrown &&
		    process_configure(process, master.plan, errors) != PH_OK)
			child_kill(&process->child);
		if (process->state == PROCESS_READY && process->is_outgrown)
			process_renew(process);
	}
}

/* Who reloads may count on the new configuration from then on. */
static void
await_renewed(void)
{
	uint64_t end = ph_now_ms() + RENEWED_MS;

	for (size_t i = 0; i < master.process_count; i++)
		while (master.processes[i].is_renewing &&
		    !master.is_stopping && ph_now_ms() < end)
			if (ph_event_wait(&master.changed,
			        (unsigned)(end - ph_now_ms())) == PH_CANCELED)
				return;
}

static void
become(struct plan *plan, int log_fd)
{
	struct plan *old = master.plan;

	master.plan = plan;
	sockets_commit(plan);
	logs_use(log_fd);
	breaker_reload();
	process_forgive();
	plan_put(old);
}

static int
change_to(struct plan *plan, struct conf_errors *errors)
{
	struct ph_err err;
	int log_fd;

	if (check_fixed(plan, errors) != PH_OK ||
	    sockets_prepare(plan, errors) != PH_OK)
		return PH_INVALID;
	if (logs_open(&plan->core, &log_fd, &err) != PH_OK) {
		plan_error_at(errors, plan->conf, "log", "target", err.text);
		sockets_abandon();
		return PH_INVALID;
	}
	if (tell_all(plan, errors) != PH_OK) {
		roll_back(errors);
		sockets_abandon();
		close(log_fd);
		return PH_INVALID;
	}
	become(plan, log_fd);
	tell_late_ones(errors);
	await_renewed();
	return PH_OK;
}

static void
log_errors(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		ph_log(PH_ERROR, "reload_refused", ph_f_str("file", e->file),
		    e->file != NULL ? ph_f_int("line", e->line) :
		                      ph_f_str("line", NULL),
		    ph_f_str("reason", e->text));
	}
}

int
master_reload(struct conf_errors *errors)
{
	static struct ph_event turn;
	static bool is_busy;
	struct plan *plan;
	int status;

	while (is_busy)
		if (ph_event_wait(&turn, PH_NO_LIMIT_MS) != PH_OK)
			return PH_CANCELED;
	if (master.is_starting || master.is_stopping) {
		conf_error_add(errors, NULL, 0, "the server is %s",
		    master.is_starting ? "starting" : "stopping");
		return PH_INVALID;
	}
	is_busy = true;
	daemon_notify("RELOADING=1");
	status = plan_make(master.main_file, master.plan->number + 1, &plan,
	    errors);
	if (status == PH_OK) {
		status = change_to(plan, errors);
		if (status != PH_OK)
			plan_put(plan);
	}
	if (status == PH_OK) {
		note_sizes(plan);
		ph_log(PH_INFO, "reloaded",
		    ph_f_int("generation", (int64_t)plan->number));
	} else {
		log_errors(errors);
	}
	daemon_notify("READY=1");
	is_busy = false;
	ph_event_signal(&turn);
	return status;
}
