/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_pipe - mail as the input of a program, once for each recipient.
 *
 * No shell: the command is a list of arguments, in which ${sender} and
 * ${recipient} are replaced. A value that would begin an argument with "-" is
 * refused, since the program might take it for an option.
 */
#include <posthouse/transport.h>

#include <stdio.h>
#include <sysexits.h>

#include "program.h"

struct pipe_conf {
	const char *const *command;
	const char *run_as;
	unsigned time_limit_ms;
	struct program_limits limits;
};

struct values {
	struct ph_arena *arena;
	struct ph_slice sender, recipient;
};

/* NULL: the value would pass for an option. */
static const char *
fill(const struct values *values, const char *argument)
{
	const struct {
		struct ph_slice name, value;
	} all[] = {
		{ PH_LIT("${sender}"), values->sender },
		{ PH_LIT("${recipient}"), values->recipient },
	};
	struct ph_buf buf;

	ph_buf_init(&buf, values->arena, 4096);
	for (const char *at = argument; *at != '\0';) {
		size_t i = 0, count = sizeof(all) / sizeof(all[0]);

		while (i < count &&
		    strncmp(at, all[i].name.p, all[i].name.n) != 0)
			i++;
		if (i == count) {
			ph_buf_char(&buf, *at++);
			continue;
		}
		if (buf.n == 0 && all[i].value.n > 0 &&
		    all[i].value.p[0] == '-')
			return NULL;
		ph_buf_slice(&buf, all[i].value);
		at += all[i].name.n;
	}
	return buf.full ? NULL :
	    ph_arena_slice(values->arena, ph_buf_content(&buf)).p;
}

static const char *const *
fill_command(const struct values *values, const char *const *command)
{
	const char **argv;
	size_t n = 0;

	while (command[n] != NULL)
		n++;
	argv = ph_arena_array(values->arena, n + 1, sizeof(*argv));
	for (size_t i = 0; i < n; i++) {
		argv[i] = fill(values, command[i]);
		if (argv[i] == NULL)
			return NULL;
	}
	return argv;
}

static void
report(struct ph_attempt *attempt, size_t i,
    const struct program_result *result, const char *host)
{
	const char *enhanced = result->end == PROGRAM_EXITED ?
	    program_exit_means(result->code) : "4.3.0";
	char text[PROGRAM_OUTPUT_MAX + 64];

	if (result->end == PROGRAM_EXITED)
		snprintf(text, sizeof(text), "exit status %d%s%s",
		    result->code, result->output[0] != '\0' ? ": " : "",
		    result->output);
	else if (result->end == PROGRAM_KILLED)
		snprintf(text, sizeof(text), "ended by signal %d",
		    result->code);
	else if (result->end == PROGRAM_NOT_RUN)
		snprintf(text, sizeof(text), "can't be run: %s",
		    strerror(result->code));
	else
		snprintf(text, sizeof(text), "%s", result->end ==
		    PROGRAM_LATE ? "the time limit passed" : "stopped");
	/* 75 says "not this one now": other mail need not wait */
	if (result->end == PROGRAM_EXITED && (enhanced[0] != '4' ||
	        result->code == EX_TEMPFAIL))
		ph_attempt_onward(attempt, i, PH_ONWARD_END);
	ph_attempt_result(attempt, i, enhanced[0] == '2' ? PH_DELIVERED :
	    enhanced[0] == '5' ? PH_FAILED : PH_DEFERRED, 0, enhanced, host,
	    "%s", text);
}

static void
run_for(struct ph_attempt *attempt, size_t i, const struct pipe_conf *conf)
{
	struct values values = { .arena = ph_attempt_arena(attempt),
		.sender = ph_attempt_sender(attempt),
		.recipient = ph_attempt_recipient(attempt, i) };
	const char *const *argv = fill_command(&values, conf->command);
	const char *environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8",
		NULL, NULL, NULL, NULL };
	struct program program = { .argv = argv, .environment = environment,
		.timeout_ms = conf->time_limit_ms, .limits = conf->limits };
	struct program_result result;

	if (argv == NULL) {
		ph_attempt_result(attempt, i, PH_FAILED, 0, "5.1.3", NULL,
		    "the address can't be given to a program");
		return;
	}
	environment[2] = ph_arena_printf(values.arena, "SENDER=%.*s",
	    PH_SLICE_ARG(values.sender));
	environment[3] = ph_arena_printf(values.arena, "RECIPIENT=%.*s",
	    PH_SLICE_ARG(values.recipient));
	environment[4] = ph_arena_printf(values.arena, "QUEUE_ID=%s",
	    ph_attempt_queue_id(attempt));
	if (conf->run_as[0] != '\0')
		program.other = (struct program_other){ attempt, i };
	program_run(&program, ph_attempt_content(attempt), &result);
	report(attempt, i, &result, conf->command[0]);
}

static void
pipe_attempt(struct ph_attempt *attempt, const void *conf)
{
	size_t count = ph_attempt_recipient_count(attempt);

	for (size_t i = 0; i < count && ph_sleep_ms(0) == PH_OK; i++)
		run_for(attempt, i, conf);
}

static int
pipe_check_conf(const void *conf, struct ph_err *err)
{
	const struct pipe_conf *c = conf;

	if (c->command[0][0] != '/')
		return ph_err_set(err, PH_INVALID, 0,
		    "command: \"%s\" is no absolute path", c->command[0]);
	return PH_OK;
}

static const struct ph_option pipe_options[] = {
	PH_OPT_LIST("command", struct pipe_conf, command, 1, 64,
	    "[\"/bin/false\"]",
	    "the program and its arguments, with ${sender} and ${recipient}"),
	PH_OPT_STRING("run_as", struct pipe_conf, run_as, 0, 65, "",
	    "the user to run it as, or user:group; empty: the relay role's "
	    "own"),
	PH_OPT_MSEC("time_limit", struct pipe_conf, time_limit_ms, 1000,
	    3000000, "5m", "kill the program when it takes longer"),
	PH_OPT_MSEC("cpu_limit", struct pipe_conf, limits.cpu_ms, 0, 3000000,
	    "0", "processor time it may use; 0: as much as time_limit"),
	PH_OPT_BYTES("memory_limit", struct pipe_conf, limits.memory_bytes, 0,
	    INT64_MAX, "1G", "memory of each of its processes; 0: no limit"),
	PH_OPT_BYTES("file_size_limit", struct pipe_conf,
	    limits.file_size_bytes, 0, INT64_MAX, "0",
	    "size of the files that it writes; 0: no limit"),
	PH_OPT_UINT("open_files_limit", struct pipe_conf, limits.open_files, 0,
	    1000000, "1024", "files it may have open; 0: no limit"),
	PH_OPT_UINT("processes_limit", struct pipe_conf, limits.processes, 0,
	    1000000, "512",
	    "processes and threads its user may have; 0: no limit"),
	PH_OPT_END,
};

static const struct ph_transport_ops pipe_ops = { .attempt = pipe_attempt };

PH_MODULE(transport_pipe) = {
	.abi = PH_ABI,
	.name = "transport_pipe",
	.kinds = PH_KIND_TRANSPORT,
	.conf_size = sizeof(struct pipe_conf),
	.options = pipe_options,
	.check_conf = pipe_check_conf,
	.doc = "Hands mail to a program.",
	.transport = &pipe_ops,
};
