/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - posthousectl(8): words to the master over its control socket, its
 * answer to the terminal. It needs no loop: one question, one answer.
 */
#include <errno.h>
#include <getopt.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/record.h"
#include "conf/core_conf.h"
#include "ctl/backup.h"
#include "ctl/password.h"
#include "ctl/print.h"
#include "ctl/trace.h"
#include "master/command.h"
#include "master/frame.h"
#include "master/main.h"
#include "role/messages.h"

static int
usage(FILE *to)
{
	fputs("usage: posthousectl [-c file | --socket path] command\n"
	      "  status                    processes and figures\n"
	      "  modules [--json]          state, calls, verdicts, latencies\n"
	      "  module enable | disable NAME      until the server ends\n"
	      "  reload                    read the configuration again\n"
	      "  stop                      end the server\n"
	      "  queue list [SELECTION] [--json]   messages that wait\n"
	      "  queue counts [SELECTION] [--json] by destination\n"
	      "  queue show | why ID [--json]      one message, what holds it\n"
	      "  queue retry | reroute | hold | release | bounce | delete\n"
	      "              ID ... | all | SELECTION\n"
	      "  queue priority ID ... | all | SELECTION LEVEL    -9 to 9\n"
	      "  queue flush | suspend | resume DESTINATION\n"
	      "  queue backup FILE | -             all of it, as it works\n"
	      "  SELECTION: --sender=A --recipient=A --domain=D --state=S\n"
	      "             --older=5m --younger=1h --after=ID --limit=N\n"
	      "  user add | passwd | del NAME   password on standard input\n"
	      "  user list\n"
	      "  trace ID [--json]         what became of a session or message\n",
	    to);
	return to == stdout ? COMMAND_DONE : COMMAND_USAGE;
}

/* --- finding and asking the server --- */

/* Of the main file alone: a broken snippet must not hide the server from who
 * comes to ask about it. */
static const char *
run_dir_of_file(const char *file, struct ph_arena *arena)
{
	const char *found = NULL;
	config_t config;

	config_init(&config);
	if (config_read_file(&config, file) == CONFIG_TRUE &&
	    config_lookup_string(&config, "run_dir", &found) == CONFIG_TRUE)
		found = ph_arena_strdup(arena, found);
	config_destroy(&config);
	return found;
}

static void
print_error(const struct conf_error *error, const char *file)
{
	if (error->file != NULL)
		file = error->file;
	if (error->line > 0)
		fprintf(stderr, "%s:%u: %s\n", file, error->line, error->text);
	else
		fprintf(stderr, "posthousectl: %s: %s\n", file, error->text);
}

static bool
socket_of_conf(const char *file, char *path, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	struct core_conf core = { 0 };
	struct conf *conf;
	const char *run_dir;

	if (conf_load(arena, file, &conf, &errors) == PH_OK &&
	    core_conf_fill(arena, conf, &core, &errors) == PH_OK)
		run_dir = core.run_dir;
	else
		run_dir = run_dir_of_file(file, arena);
	if (run_dir == NULL)
		for (size_t i = 0; i < errors.count; i++)
			print_error(&errors.error[i], file);
	if (run_dir != NULL &&
	    snprintf(path, size, "%s/control.sock", run_dir) >= (int)size)
		run_dir = NULL;
	ph_arena_free(arena);
	return run_dir != NULL;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(to.sun_path)) {
		fprintf(stderr, "posthousectl: %s: too long\n", path);
		return -1;
	}
	memcpy(to.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	fprintf(stderr, "posthousectl: %s: %s\n", path,
	    errno == ENOENT || errno == ECONNREFUSED ?
	        "no server is running there" : strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct question {
	char **words;
	char password[PASSWORD_MAX + 1];
	struct backup *backup; /* NULL: the answer is one frame */
};

static int
ask(int fd, const struct question *question, struct ph_arena *arena,
    struct ph_slice *reply_out)
{
	struct ph_buf request;
	int status;

	ph_buf_init(&request, arena, FRAME_REQUEST_LIMIT);
	ph_buf_reserve(&request, FRAME_REQUEST_LIMIT / 2);
	for (char **word = question->words; *word != NULL; word++)
		record_put_str(&request, F_ARGUMENT, *word);
	if (question->password[0] != '\0')
		record_put_str(&request, F_PASSWORD, question->password);
	status = request.full ? PH_TOO_BIG :
	    frame_send(fd, ph_buf_content(&request), -1);
	ph_wipe(request.p, request.n);
	if (status == PH_OK)
		status = question->backup != NULL ?
		    backup_receive(question->backup, fd, arena, reply_out) :
		    frame_receive(fd, arena, FRAME_REPLY_LIMIT, reply_out);
	if (status == PH_OK)
		return COMMAND_DONE;
	if (question->backup != NULL && status == PH_DENIED)
		return COMMAND_FAILED; /* said */
	fprintf(stderr, "posthousectl: %s\n", status == PH_EOF ?
	    "the server closed the connection: you may lack the right" :
	    ph_status_name(status));
	return COMMAND_UNREACHABLE;
}

/* --- after the answer --- */

static int
trace_log(const char *path, const char *id, bool json,
    struct ph_arena *arena)
{
	struct ph_slice asked = ph_slice_str(id);
	const char *unread = path;
	struct logs logs;
	long lines = logs_find(arena, path, trace_since_ms(asked), &logs);

	if (lines == 0)
		lines = trace_print(&logs, asked,
		    json ? trace_put_json : trace_put_text, stdout, &unread);
	if (lines < 0)
		fprintf(stderr, "posthousectl: %s: %s\n", unread,
		    errno != 0 ? strerror(errno) : "is damaged");
	return lines > 0 ? COMMAND_DONE : COMMAND_FAILED;
}

/* "trace ID", or with --json before or behind it; NULL: neither. */
static const char *
id_of_trace(char **words)
{
	if (words[1] == NULL || (words[2] != NULL && words[3] != NULL))
		return NULL;
	if (words[2] == NULL)
		return words[1];
	if (strcmp(words[2], "--json") == 0)
		return words[1];
	return strcmp(words[1], "--json") == 0 ? words[2] : NULL;
}

static int
finish_trace(char **words, struct ph_slice reply, struct ph_arena *arena)
{
	const char *id = id_of_trace(words);
	struct ph_slice path = ph_arena_slice(arena,
	    record_get(reply, F_DESTINATION));
	bool is_queued = record_get(reply, F_TEXT).n > 0;
	int found = COMMAND_FAILED;

	if (path.p != NULL)
		found = trace_log(path.p, id, words[2] != NULL, arena);
	else
		fputs("posthousectl: the log is no file: search it for the "
		      "id\n", stderr);
	if (found == COMMAND_DONE || is_queued)
		return COMMAND_DONE;
	fprintf(stderr, "posthousectl: nothing is known of %s\n", id);
	return COMMAND_FAILED;
}

/* The connection ends when the server does. */
static int
finish_stop(int fd)
{
	char c;

	while (recv(fd, &c, 1, 0) < 0 && errno == EINTR)
		continue;
	puts("stopped");
	return COMMAND_DONE;
}

static int
exit_of(struct ph_slice reply)
{
	return (int)record_get_u64(reply, F_EXIT, COMMAND_FAILED);
}

static bool
is_backup(char **words)
{
	return strcmp(words[0], "queue") == 0 && words[1] != NULL &&
	    strcmp(words[1], "backup") == 0;
}

static int
finish(int fd, char **words, struct ph_slice reply, struct ph_arena *arena)
{
	struct ph_slice text = record_get(reply, F_TEXT);
	int exit_with = exit_of(reply);

	if (exit_with == COMMAND_USAGE) {
		usage(stderr);
		fputs("posthousectl: ", stderr); /* last, where it is seen */
	}
	if (text.n > 0)
		print_text(text, exit_with == COMMAND_DONE &&
		    !(is_backup(words) && strcmp(words[2], "-") == 0) ? stdout :
		                                                        stderr);
	if (exit_with == COMMAND_USAGE)
		return COMMAND_USAGE;
	if (exit_with != COMMAND_DONE)
		return COMMAND_FAILED;
	if (strcmp(words[0], "trace") == 0)
		return finish_trace(words, reply, arena);
	if (strcmp(words[0], "stop") == 0)
		return finish_stop(fd);
	return COMMAND_DONE;
}

static bool
wants_password(char **words)
{
	return strcmp(words[0], "user") == 0 && words[1] != NULL &&
	    words[2] != NULL &&
	    (strcmp(words[1], "add") == 0 || strcmp(words[1], "passwd") == 0);
}

static int
converse(int fd, struct question *question)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice reply = { NULL, 0 };
	int status = ask(fd, question, arena, &reply);
	bool is_done = status == COMMAND_DONE && exit_of(reply) == COMMAND_DONE;

	ph_wipe(question->password, sizeof(question->password));
	if (question->backup != NULL &&
	    !backup_close(question->backup, is_done) && is_done)
		status = COMMAND_FAILED;
	if (status == COMMAND_DONE)
		status = finish(fd, question->words, reply, arena);
	ph_arena_free(arena);
	return status;
}

static int
run(const char *socket_path, char **words)
{
	struct question question = { .words = words };
	struct backup backup;
	int fd, status = COMMAND_FAILED;

	if (is_backup(words) && (words[2] == NULL || words[3] != NULL))
		return usage(stderr);
	if (strcmp(words[0], "trace") == 0 && id_of_trace(words) == NULL)
		return usage(stderr);
	if (wants_password(words) && !password_read(question.password))
		return COMMAND_FAILED;
	fd = connect_to(socket_path);
	if (fd < 0)
		return COMMAND_UNREACHABLE;
	if (is_backup(words))
		question.backup = &backup;
	if (question.backup == NULL || backup_open(words[2], &backup))
		status = converse(fd, &question);
	close(fd);
	return status;
}

int
posthousectl_main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = PH_CONF_FILE, *socket_path = NULL;
	char path[1024];
	int option;

	while ((option = getopt_long(argc, argv, "+c:s:", long_options, NULL)) !=
	    -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 's':
			socket_path = optarg;
			break;
		case 'V':
			puts("posthousectl " PH_VERSION);
			return COMMAND_DONE;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind == argc)
		return usage(stderr);
	if (socket_path == NULL) {
		if (!socket_of_conf(file, path, sizeof(path)))
			return COMMAND_UNREACHABLE;
		socket_path = path;
	}
	return run(socket_path, argv + optind);
}
