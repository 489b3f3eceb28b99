/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.c - the supervisor's life: prepare, start, be ready, wait for
 * signals, stop in order.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "master/clients.h"
#include "master/daemon.h"
#include "master/programs.h"
#include "master/sockets.h"
#include "master/tickets.h"
#include "role/confine.h"

enum { FILES_WANTED = 65536 };

struct master master = { .log_fd = -1, .pid_fd = -1 };

static int exit_status;

/* --- signals --- */

static void
reload_fiber(void *arg)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };

	(void)arg;
	master_reload(&errors);
	ph_arena_free(arena);
}

static void
stop_fiber(void *arg)
{
	(void)arg;
	master_stop();
}

static void
reopen_fiber(void *arg)
{
	(void)arg;
	if (master.plan != NULL)
		logs_reopen();
}

static void
on_signal(uv_signal_t *handle, int number)
{
	(void)handle;
	fiber_start(number == SIGHUP ? reload_fiber :
	        number == SIGUSR1    ? reopen_fiber :
	                               stop_fiber,
	    NULL);
}

static void
watch_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	static uv_signal_t handles[sizeof(numbers) / sizeof(numbers[0])];

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(fiber_loop(), &handles[i]);
		uv_signal_start(&handles[i], on_signal, numbers[i]);
		uv_unref((uv_handle_t *)&handles[i]);
	}
}

/* --- stopping --- */

struct stop_order {
	struct process *process;
	uint64_t deadline_ms;
};

static void
stop_one(void *arg)
{
	const struct stop_order *order = arg;

	process_stop(order->process, order->deadline_ms);
}

/* The processes of the roles in this set of ROLE_BITs, all at once. */
static void
stop_set(unsigned set, unsigned timeout_ms)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_scope scope;

	ph_scope_begin(&scope);
	for (size_t i = 0; i < master.process_count; i++) {
		struct stop_order *order = ph_arena_alloc(arena, sizeof(*order));

		order->process = &master.processes[i];
		order->deadline_ms = ph_now_ms() + timeout_ms;
		if ((ROLE_BIT(order->process->role) & set) != 0 &&
		    child_is_running(&order->process->child))
			ph_scope_spawn(&scope, stop_one, order);
	}
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	ph_arena_free(arena);
}

/* Nobody takes new work before those who would have to do it are gone; the
 * queue, which may still learn how deliveries ended, is last. Edge waits for
 * the connections whose TLS it relays to mail, and mail ends them with a word
 * of farewell: so these two stop together. Each step has half of the time that
 * is left. */
static void
stop_roles(void)
{
	static const unsigned order[] = {
		ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_MAIL),
		ROLE_BIT(ROLE_RELAY), ROLE_BIT(ROLE_CHECK), ROLE_BIT(ROLE_AUTH),
		ROLE_BIT(ROLE_QUEUE),
	};
	uint64_t end_ms = ph_now_ms() + master.plan->core.shutdown_timeout_ms;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		uint64_t now = ph_now_ms();
		uint64_t left_ms = end_ms > now ? end_ms - now : 0;
		bool is_last = order[i] == ROLE_BIT(ROLE_QUEUE);

		stop_set(order[i],
		    (unsigned)(is_last ? left_ms : left_ms / 2) + 100);
	}
}

void
master_stop(void)
{
	if (master.is_stopping)
		return;
	master.is_stopping = true;
	ph_event_signal(&master.changed);
	for (size_t i = 0; i < master.process_count; i++)
		ph_event_signal(&master.processes[i].changed);
	if (master.plan == NULL || master.process_count == 0)
		return; /* still preparing: that sees it and ends */
	ph_log(PH_INFO, "stopping");
	daemon_notify("STOPPING=1");
	stop_roles();
	control_close();
	ph_log(PH_INFO, "stopped");
	fiber_runtime_stop();
}

/* --- starting --- */

static void
complain(const char *text)
{
	fprintf(stderr, "posthouse: %s\n", text);
	if (master.log_fd >= 0)
		ph_log(PH_ERROR, "not_started", ph_f_str("reason", text));
}

static void
complain_all(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		if (e->file != NULL)
			fprintf(stderr, "%s:%u: %s\n", e->file, e->line,
			    e->text);
		else
			fprintf(stderr, "posthouse: %s\n", e->text);
		if (master.log_fd >= 0)
			ph_log(PH_ERROR, "not_started",
			    ph_f_str("file", e->file),
			    ph_f_int("line", e->line),
			    ph_f_str("reason", e->text));
	}
}

/* As many open files as we may have; the roles inherit it. */
static void
raise_limits(void)
{
	struct rlimit files, wanted = { FILES_WANTED, FILES_WANTED };

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	if (files.rlim_max < FILES_WANTED &&
	    setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < FILES_WANTED)
		ph_log(PH_INFO, "few_files",
		    ph_f_int("open_files", (int64_t)files.rlim_max),
		    ph_f_int("wanted", FILES_WANTED));
}

static bool
is_log_stderr(void)
{
	return strcmp(master.plan->core.log.target, "stderr") == 0;
}

/* Folders, the lock, the log: what a second master must not get past. */
static int
prepare_places(struct ph_err *err)
{
	const struct core_conf *core = &master.plan->core;
	int fd, status = dirs_users(core, master.users, err);

	if (status == PH_OK)
		status = dirs_make_run(core, err);
	if (status == PH_OK)
		status = dirs_lock_pid(core, &master.pid_fd, err);
	if (status == PH_OK)
		status = logs_open(core, &fd, err);
	if (status != PH_OK)
		return status;
	master.log_fd = fd;
	log_init(fd, (enum ph_level)core->log.level, "master");
	if (!is_log_stderr() && daemon_error_fd() >= 0)
		child_set_error_fd(daemon_error_fd());
	if (!master.users[ROLE_EDGE].drop)
		ph_log(PH_WARN, "not_root",
		    ph_f_str("reason", "all roles run as the calling user: "
		                       "nothing but the process keeps them "
		                       "apart"));
	confine_dumps(core->allow_core_dumps);
	raise_limits();
	status = dirs_make_data(core, master.users, err);
	if (status == PH_OK &&
	    getrandom(master.key, sizeof(master.key), 0) !=
	        (ssize_t)sizeof(master.key))
		status = ph_err_set(err, PH_IO, errno, "no random octets");
	if (status == PH_OK)
		status = tickets_begin(err);
	return status == PH_OK ? control_open(core, err) : status;
}

static int
prepare(void)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	struct ph_err err = { 0 };
	int status = plan_make(master.main_file, 1, &master.plan, &errors);

	if (status == PH_OK) {
		status = prepare_places(&err);
		if (status != PH_OK)
			complain(err.text);
	}
	if (status == PH_OK)
		status = sockets_prepare(master.plan, &errors);
	complain_all(&errors);
	ph_arena_free(arena);
	return status;
}

static bool
are_ready(unsigned roles, bool *failed_out)
{
	bool all = true;

	for (size_t i = 0; i < master.process_count; i++) {
		const struct process *process = &master.processes[i];

		if (!(roles & ROLE_BIT(process->role)))
			continue;
		all = all && process->state == PROCESS_READY;
		*failed_out = *failed_out || process->has_failed;
	}
	return all;
}

static int
start_roles(unsigned roles)
{
	bool failed = false;

	for (size_t i = 0; i < master.process_count; i++)
		if (roles & ROLE_BIT(master.processes[i].role))
			process_keep(&master.processes[i]);
	while (!are_ready(roles, &failed) && !failed && !master.is_stopping)
		ph_event_wait(&master.changed, PH_NO_LIMIT_MS);
	if (failed)
		complain("a role does not start; the log tells why");
	return failed || master.is_stopping ? PH_UNAVAILABLE : PH_OK;
}

static int
start_all(void)
{
	struct ph_err err = { 0 };
	int status;

	plan_role_sizes(&master.plan->core, master.sizes);
	status = clients_begin(&err);
	if (status != PH_OK) {
		complain(err.text);
		return status;
	}
	process_table_create();
	watch_start();
	status = start_roles(~ROLE_BIT(ROLE_EDGE));
	if (status == PH_OK)
		status = start_roles(ROLE_BIT(ROLE_EDGE));
	if (status == PH_OK)
		sockets_commit(master.plan);
	return status;
}

static void
be_ready(void)
{
	master.is_starting = false;
	ph_log(PH_INFO, "ready", ph_f_str("version", PH_VERSION),
	    ph_f_int("generation", (int64_t)master.plan->number),
	    ph_f_int("processes", (int64_t)master.process_count));
	daemon_notify("READY=1");
	daemon_ready(is_log_stderr());
}

static void
begin(void *arg)
{
	(void)arg;
	if (prepare() != PH_OK || master.is_stopping) {
		exit_status = !master.is_stopping;
		fiber_runtime_stop();
		return;
	}
	if (start_all() == PH_OK) {
		be_ready();
		return;
	}
	if (master.is_stopping)
		return; /* by a signal: master_stop ends it */
	exit_status = 1;
	master_stop();
}

int
master_main(const char *main_file, bool is_daemon)
{
	/* Nothing of a core is for the roles' environment. */
	unsetenv("LTDL_LIBRARY_PATH");
	if (is_daemon)
		daemon_detach();
	master.main_file = main_file;
	master.is_starting = true;
	master.started_ms = ph_now_ms();
	fiber_runtime_init();
	bus_init(ROLE_MASTER, 0);
	for (uint16_t type = 0; type < BUS_TYPE_LIMIT; type++)
		bus_limit_fds(type, 0, 0);
	watch_signals();
	peers_serve();
	programs_serve();
	fiber_start(begin, NULL);
	fiber_runtime_run();
	log_flush();
	return exit_status;
}
