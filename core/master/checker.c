/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checker.c - both sides of the configuration checker.
 *
 * The child gets the parsed configuration and opens none of its files: so it
 * judges exactly what the master read, and may have become another user before
 * the first module's code runs.
 */
#include "master/checker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/record.h"
#include "master/child.h"
#include "master/dirs.h"
#include "master/frame.h"
#include "master/master.h"
#include "master/page.h"
#include "master/plan.h"
#include "net/stream.h"
#include "role/activity.h"
#include "role/confine.h"
#include "role/messages.h"

enum {
	FD_ASKER = 3,
	FD_PAGE = 4,
	CHECK_MS = 30000,
	CHECK_CPU_S = 20,
	CHECK_LIMIT = 1 << 20, /* octets of a configuration or an answer */
	ERRORS_MAX = 256,
};

/* --- the master's side --- */

static void
take_errors(struct ph_slice reply, struct conf_errors *errors)
{
	struct record_field field;
	unsigned count = 0;

	while (record_next(&reply, &field) && count < ERRORS_MAX) {
		struct ph_slice file, text;

		if (field.tag != F_RESULT)
			continue;
		count++;
		file = ph_arena_slice(errors->arena,
		    record_get(field.value, F_NAME));
		text = record_get(field.value, F_TEXT);
		conf_error_add(errors, file.n > 0 ? file.p : NULL,
		    (unsigned)record_get_u64(field.value, F_NUMBER, 0),
		    PH_SLICE_FMT, PH_SLICE_ARG(text));
	}
}

static int
take_reply(struct ph_arena *arena, struct ph_slice reply,
    struct module_facts **facts_out, struct conf_errors *errors)
{
	struct ph_slice facts = record_get(reply, F_CONTENT);
	size_t before = errors->count;

	take_errors(reply, errors);
	if (errors->count > before)
		return PH_INVALID;
	if (facts.p != NULL && facts_decode(arena, facts, facts_out) == PH_OK)
		return PH_OK;
	conf_error_add(errors, NULL, 0, "the checker's answer is damaged");
	return PH_INVALID;
}

static int
ask(int fd, struct ph_arena *arena, struct ph_slice request,
    struct ph_slice *reply_out)
{
	struct ph_arena *life = ph_arena_create(NULL);
	struct ph_stream *stream = stream_create(life, fd);
	int status;

	ph_stream_write_timeout(stream, CHECK_MS);
	status = frame_write(stream, request);
	if (status == PH_OK)
		status = frame_read(stream, arena, CHECK_LIMIT, CHECK_MS,
		    reply_out);
	ph_arena_free(life);
	return status;
}

/* Why there was no answer, once the child has ended. */
static void
explain(const struct child *child, int status, struct ph_slice module,
    struct conf_errors *errors)
{
	const char *of = module.p != NULL ? "the module of section " :
	                                    "a module";

	if (status == PH_TIMEOUT)
		conf_error_add(errors, NULL, 0,
		    "the checker did not answer within %d s: %s" PH_SLICE_FMT
		    " hangs", CHECK_MS / 1000, of, PH_SLICE_ARG(module));
	else if (child->signal != 0)
		conf_error_add(errors, NULL, 0,
		    "the checker ended by signal %d (%s): %s" PH_SLICE_FMT
		    " crashes", child->signal, strsignal(child->signal), of,
		    PH_SLICE_ARG(module));
	else
		conf_error_add(errors, NULL, 0,
		    "the checker ended with status %lld (%s)",
		    (long long)child->status, ph_status_name(status));
}

static int
start(struct child *child, const struct core_conf *core, int page_fd,
    int *fd_out, struct ph_err *err)
{
	struct role_user user;
	char uid[32], gid[32];
	const char *argv[] = { "posthouse", "--check-facts", NULL, NULL, NULL };
	int pair[2], fds[2], status = dirs_checker_user(core, &user, err);

	if (status == PH_OK)
		status = child_socket_pair(pair, err);
	if (status != PH_OK)
		return status;
	fds[0] = pair[1];
	fds[1] = page_fd;
	if (user.drop) {
		snprintf(uid, sizeof(uid), "--uid=%u", user.uid);
		snprintf(gid, sizeof(gid), "--gid=%u", user.gid);
		argv[2] = uid;
		argv[3] = gid;
	}
	status = child_start(child, argv, fds, 2, err);
	close(pair[1]);
	if (status == PH_OK)
		*fd_out = pair[0];
	else
		close(pair[0]);
	return status;
}

static int
run(struct ph_arena *arena, struct child *child, int fd,
    struct ph_slice request, struct ph_slice *reply_out)
{
	int status = ask(fd, arena, request, reply_out);

	if (status == PH_TIMEOUT)
		child_kill(child);
	if (child_wait(child, CHECK_MS) == PH_TIMEOUT)
		child_kill(child);
	child_wait(child, PH_NO_LIMIT_MS);
	return status;
}

int
checker_run(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct module_facts **facts_out,
    struct conf_errors *errors)
{
	struct child child = { .pid = 0 };
	struct activity *page = NULL;
	struct ph_err err = { 0 };
	struct ph_slice reply;
	struct ph_buf request;
	int fd, page_fd, status;

	ph_buf_init(&request, arena, CHECK_LIMIT);
	conf_encode(conf, NULL, NULL, &request);
	if (request.full) {
		conf_error_add(errors, NULL, 0,
		    "the configuration is over 1 MiB");
		return PH_INVALID;
	}
	page_fd = page_make_activity(&page, &err);
	status = page_fd < 0 ? PH_IO :
	    start(&child, core, page_fd, &fd, &err);
	if (page_fd >= 0)
		close(page_fd);
	if (status == PH_OK) {
		status = run(arena, &child, fd, ph_buf_content(&request),
		    &reply);
		if (status == PH_OK)
			status = take_reply(arena, reply, facts_out, errors);
		else
			explain(&child, status, page_loading(page), errors);
	} else {
		conf_error_add(errors, NULL, 0, "%s", err.text);
	}
	if (page != NULL)
		munmap(page, sizeof(*page));
	return status == PH_OK ? PH_OK : PH_INVALID;
}

/* --- the child --- */

static void
put_errors(struct ph_buf *reply, const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count && i < ERRORS_MAX; i++) {
		const struct conf_error *e = &errors->error[i];
		size_t mark = record_begin(reply, F_RESULT);

		if (e->file != NULL)
			record_put_str(reply, F_NAME, e->file);
		record_put_u64(reply, F_NUMBER, e->line);
		record_put_str(reply, F_TEXT, e->text);
		record_end(reply, mark);
	}
}

static int
judge(struct ph_arena *arena, struct ph_slice request, struct ph_buf *facts,
    struct conf_errors *errors)
{
	struct core_conf core = { 0 };
	struct conf *conf;

	if (conf_decode(arena, request, &conf) != PH_OK) {
		conf_error_add(errors, NULL, 0,
		    "the configuration came damaged");
		return PH_INVALID;
	}
	if (core_conf_fill(arena, conf, &core, errors) != PH_OK)
		return PH_INVALID;
	return facts_check(arena, conf, &core, facts, errors);
}

static void
limit_self(void)
{
	const struct rlimit cpu = { CHECK_CPU_S, CHECK_CPU_S };
	const struct rlimit core = { 0, 0 };

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

int
checker_main(const struct role_start *start_as)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	struct ph_buf facts, reply;
	struct ph_slice request;
	struct ph_err err = { 0 };
	int status;

	ph_buf_init(&facts, arena, CHECK_LIMIT);
	ph_buf_init(&reply, arena, 2 * CHECK_LIMIT);
	if (activity_map(FD_PAGE))
		module_set_on_load(activity_note_load);
	close(FD_PAGE);
	status = frame_receive(FD_ASKER, arena, CHECK_LIMIT, &request);
	if (status == PH_OK && confine_user(start_as, &err) != PH_OK) {
		conf_error_add(&errors, NULL, 0, "%s", err.text);
	} else if (status == PH_OK) {
		limit_self();
		confine_judge();
		if (judge(arena, request, &facts, &errors) == PH_OK)
			record_put(&reply, F_CONTENT, ph_buf_content(&facts));
		else if (errors.count == 0)
			conf_error_add(&errors, NULL, 0, "it is refused");
	}
	put_errors(&reply, &errors);
	if (status == PH_OK)
		status = frame_send(FD_ASKER, ph_buf_content(&reply), -1);
	ph_arena_free(arena);
	return status == PH_OK ? EX_OK : EX_IOERR;
}

/* There is nobody else to look when a person asks. */
static void
on_late(int signal_sent)
{
	static const char before[] = "posthouse: the module of section ",
		behind[] = " hangs while it is loaded\n";
	const char *module = role_activity()->module;

	(void)signal_sent;
	if (role_activity()->is_inside &&
	    write(STDERR_FILENO, before, sizeof(before) - 1) > 0 &&
	    write(STDERR_FILENO, module, strlen(module)) > 0)
		(void)!write(STDERR_FILENO, behind, sizeof(behind) - 1);
	_exit(EX_CONFIG);
}

static void
watch_self(void)
{
	module_set_on_load(activity_note_load);
	signal(SIGALRM, on_late);
	alarm(CHECK_MS / 1000);
}

/* No mistake, but not what the configuration says. */
static void
tell_without_root(const struct grant *grants)
{
	for (; grants != NULL; grants = grants->next)
		if (!grants->drop)
			fprintf(stderr, "posthouse: %s: without root its "
			    "program runs as the calling user, not as %s\n",
			    grants->section, grants->user);
}

int
checker_test(const char *main_file, struct ph_arena *arena,
    struct conf_errors *errors)
{
	struct core_conf core = { 0 };
	struct role_user user;
	struct role_start as = { .role = ROLE_CHECK };
	struct ph_err err = { 0 };
	const struct grant *grants = NULL;
	struct plan_tls tls;
	struct ph_slice notices;
	struct ph_buf facts;
	struct conf *conf;
	int status;

	if (conf_load(arena, main_file, &conf, errors) != PH_OK ||
	    core_conf_fill(arena, conf, &core, errors) != PH_OK)
		return PH_INVALID;
	status = plan_read_tls(arena, conf, &core, &tls, errors);
	if (plan_read_notices(arena, conf, &core, &notices, errors) != PH_OK)
		status = PH_INVALID;
	if (grants_read(arena, conf, &core, &grants, errors) != PH_OK)
		status = PH_INVALID;
	tell_without_root(grants);
	if (dirs_checker_user(&core, &user, &err) == PH_OK) {
		as.drop = user.drop;
		as.uid = user.uid;
		as.gid = user.gid;
	}
	if (err.status != PH_OK || confine_user(&as, &err) != PH_OK) {
		conf_error_add(errors, NULL, 0, "%s", err.text);
		return PH_INVALID;
	}
	confine_judge();
	watch_self();
	ph_buf_init(&facts, arena, CHECK_LIMIT);
	if (facts_check(arena, conf, &core, &facts, errors) != PH_OK)
		status = PH_INVALID;
	return status;
}
