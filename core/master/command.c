/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - the commands of posthousectl, as the master carries them out:
 * some itself, some by asking the role that owns what is asked about.
 */
#include "master/command.h"

#include <posthouse/log.h>

#include <stdio.h>
#include <unistd.h>

#include "base/id.h"
#include "base/record.h"
#include "master/breaker.h"
#include "master/modules.h"
#include "role/memory.h"
#include "role/messages.h"

enum {
	WORDS_MAX = 64,
	WORD_LIMIT = 1024,
	TEXT_LIMIT = 2 << 20,
	STATUS_MS = 3000,
	ADMIN_MS = 30000,
	BACKUP_MS = 86400000, /* the queue gives up by itself before */
};

struct command {
	struct ph_slice word[WORDS_MAX];
	unsigned words;
	struct ph_slice password; /* absent: none came */
	struct ph_arena *arena;
	struct ph_buf text;
	const char *log_path;     /* NULL: not told */
	int fd;                   /* the caller's connection */
	bool stop;
};

static const char *
word_str(const struct command *command, unsigned i)
{
	return ph_arena_slice(command->arena, command->word[i]).p;
}

/* --- status --- */

static void
put_items(struct command *command, const char *name, struct ph_slice items)
{
	struct record_field field;

	while (record_next(&items, &field)) {
		struct ph_slice key, value;

		if (field.tag != F_ITEM)
			continue;
		key = record_get(field.value, F_NAME);
		value = record_get(field.value, F_TEXT);
		if (key.n > 0 && value.p != NULL)
			ph_buf_printf(&command->text,
			    "%s " PH_SLICE_FMT " " PH_SLICE_FMT "\n", name,
			    PH_SLICE_ARG(key), PH_SLICE_ARG(value));
	}
}

static void
put_process(struct command *command, const struct process *process)
{
	struct bus_message reply;
	char name[32];

	snprintf(name, sizeof(name), "%s.%u", role_name(process->role),
	    process->index);
	ph_buf_printf(&command->text, "%s state %s\n", name,
	    process_state_name(process->state));
	ph_buf_printf(&command->text, "%s restarts %u\n", name,
	    process->restarts);
	if (!child_is_running(&process->child))
		return;
	ph_buf_printf(&command->text, "%s pid %d\n%s memory_bytes %llu\n", name,
	    process->child.pid, name,
	    (unsigned long long)memory_of_process(process->child.pid));
	if (process->state == PROCESS_READY &&
	    bus_call(process->role, process->index, MSG_STATUS, PH_LIT(""),
	        NULL, 0, STATUS_MS, command->arena, &reply) == PH_OK)
		put_items(command, name, reply.record);
}

static int
do_status(struct command *command)
{
	uint64_t up_s = (ph_now_ms() - master.started_ms) / 1000;

	ph_buf_printf(&command->text,
	    "server version %s\nserver pid %d\nserver up_s %llu\n"
	    "server generation %llu\nserver hostname %s\n"
	    "server modules_out %u\n",
	    PH_VERSION, (int)getpid(), (unsigned long long)up_s,
	    (unsigned long long)master.plan->number,
	    master.plan->core.hostname, breaker_count_out());
	for (size_t i = 0; i < master.process_count; i++)
		put_process(command, &master.processes[i]);
	return COMMAND_DONE;
}

/* --- modules --- */

static int
do_modules(struct command *command)
{
	bool json = command->words == 2 &&
	    ph_slice_eq(command->word[1], PH_LIT("--json"));

	if (command->words == 2 && !json)
		return COMMAND_USAGE;
	modules_text(json, &command->text);
	return COMMAND_DONE;
}

static int
do_module(struct command *command)
{
	bool on = ph_slice_eq(command->word[1], PH_LIT("enable"));
	const struct module_facts *facts = plan_module(master.plan,
	    command->word[2]);
	struct ph_err err = { 0 };

	if (!on && !ph_slice_eq(command->word[1], PH_LIT("disable")))
		return COMMAND_USAGE;
	if (facts == NULL)
		ph_err_set(&err, PH_NOT_FOUND, 0,
		    "no module that is on has the section " PH_SLICE_FMT,
		    PH_SLICE_ARG(command->word[2]));
	else if (breaker_switch(facts, on, &err) == PH_OK)
		return COMMAND_DONE;
	ph_buf_printf(&command->text, "%s\n", err.text);
	return COMMAND_FAILED;
}

/* --- reload, stop --- */

static int
do_reload(struct command *command)
{
	struct conf_errors errors = { .arena = command->arena };

	if (master_reload(&errors) == PH_OK) {
		ph_buf_printf(&command->text, "generation %llu\n",
		    (unsigned long long)master.plan->number);
		return COMMAND_DONE;
	}
	for (size_t i = 0; i < errors.count; i++) {
		const struct conf_error *e = &errors.error[i];

		if (e->file != NULL)
			ph_buf_printf(&command->text, "%s:%u: ", e->file,
			    e->line);
		ph_buf_printf(&command->text, "%s\n", e->text);
	}
	return COMMAND_FAILED;
}

static int
do_stop(struct command *command)
{
	command->stop = true;
	return COMMAND_DONE;
}

/* --- what other roles own --- */

/* The text of a refusal, or the word for the status. */
static int
refused(struct command *command, int status, struct ph_slice record)
{
	struct ph_slice text = record_get(record, F_TEXT);

	if (text.n > 0)
		ph_buf_slice(&command->text, text);
	else
		ph_buf_str(&command->text, ph_status_name(status));
	if (command->text.n > 0 &&
	    command->text.p[command->text.n - 1] != '\n')
		ph_buf_char(&command->text, '\n');
	return COMMAND_FAILED;
}

static void
put_lines(struct command *command, struct ph_slice text)
{
	ph_buf_slice(&command->text, text);
	if (text.n > 0 && text.p[text.n - 1] != '\n')
		ph_buf_char(&command->text, '\n');
}

/* The words from the first one on; the queue knows what they mean. */
static int
ask_queue(struct command *command, const char *op, unsigned first)
{
	bool is_destination = strcmp(op, "flush") == 0 ||
	    strcmp(op, "suspend") == 0 || strcmp(op, "resume") == 0;
	bool is_backup = strcmp(op, "backup") == 0;
	struct bus_message reply;
	struct ph_buf record;
	int status;

	ph_buf_init(&record, command->arena, WORDS_MAX * (WORD_LIMIT + 16));
	record_put_str(&record, F_OP, op);
	for (unsigned i = first; i < command->words; i++)
		record_put(&record, is_destination ? F_DESTINATION :
		    F_ARGUMENT, command->word[i]);
	status = bus_call(ROLE_QUEUE, 0, MSG_QUEUE_ADMIN,
	    ph_buf_content(&record), &command->fd, is_backup ? 1 : 0,
	    is_backup ? BACKUP_MS : ADMIN_MS, command->arena, &reply);
	if (status != PH_OK && status != PH_INVALID)
		return refused(command, status, reply.record);
	put_lines(command, record_get(reply.record, F_TEXT));
	return status == PH_OK ? COMMAND_DONE : COMMAND_USAGE;
}

static int
do_queue(struct command *command)
{
	return ask_queue(command, word_str(command, 1), 2);
}

/* What the queue still holds of it; the log is read by who asks. */
static int
do_trace(struct command *command)
{
	const struct core_conf *core = &master.plan->core;
	uint64_t number;
	bool is_id = false;

	if (core->log.target[0] == '/')
		command->log_path = core->log.target;
	for (unsigned i = 1; i < command->words; i++)
		is_id = is_id || id_parse(command->word[i], &number);
	if (!is_id)
		return COMMAND_DONE;
	if (ask_queue(command, "trace", 1) != COMMAND_DONE)
		command->text.n = 0; /* not there any more: the log has it */
	return COMMAND_DONE;
}

static int
do_user(struct command *command)
{
	struct ph_slice op = command->word[1];
	bool is_list = ph_slice_eq(op, PH_LIT("list"));
	bool with_password = ph_slice_eq(op, PH_LIT("add")) ||
	    ph_slice_eq(op, PH_LIT("passwd"));
	struct bus_message reply;
	struct record_field field;
	struct ph_buf record;
	int status;

	if (!(is_list && command->words == 2) &&
	    !(with_password && command->words == 3) &&
	    !(ph_slice_eq(op, PH_LIT("del")) && command->words == 3))
		return COMMAND_USAGE;
	ph_buf_init(&record, command->arena, 16 << 10);
	ph_buf_reserve(&record, 8 << 10);
	record_put(&record, F_OP, op);
	if (!is_list)
		record_put(&record, F_USER, command->word[2]);
	if (with_password && command->password.p != NULL)
		record_put(&record, F_PASSWORD, command->password);
	status = bus_call(ROLE_AUTH, BUS_ANY_SHARD, MSG_USER_ADMIN,
	    ph_buf_content(&record), NULL, 0, ADMIN_MS, command->arena, &reply);
	ph_wipe(record.p, record.n);
	if (status != PH_OK)
		return refused(command, status, reply.record);
	while (record_next(&reply.record, &field))
		if (field.tag == F_USER || field.tag == F_TEXT)
			put_lines(command, field.value);
	return COMMAND_DONE;
}

/* --- the table --- */

static const struct {
	const char *name;
	unsigned least, most; /* words, its own among them */
	bool changes;         /* worth a line in the log */
	int (*run)(struct command *command);
} commands[] = {
	{ "status", 1, 1, false, do_status },
	{ "modules", 1, 2, false, do_modules },
	{ "module", 3, 3, true, do_module },
	{ "reload", 1, 1, true, do_reload },
	{ "stop", 1, 1, true, do_stop },
	{ "queue", 2, WORDS_MAX, true, do_queue },
	{ "user", 2, 3, true, do_user },
	{ "trace", 2, 3, false, do_trace },
};

static bool
take_words(struct ph_slice request, struct command *command)
{
	struct record_field field;

	while (record_next(&request, &field)) {
		if (field.tag == F_PASSWORD)
			command->password = field.value;
		if (field.tag != F_ARGUMENT)
			continue;
		if (command->words == WORDS_MAX || field.value.n > WORD_LIMIT ||
		    memchr(field.value.p, '\0', field.value.n) != NULL)
			return false;
		command->word[command->words++] = field.value;
	}
	return command->words > 0;
}

static bool
only_looks(const struct command *command)
{
	return command->words > 1 &&
	    (ph_slice_eq(command->word[1], PH_LIT("list")) ||
	        ph_slice_eq(command->word[1], PH_LIT("counts")) ||
	        ph_slice_eq(command->word[1], PH_LIT("why")) ||
	        ph_slice_eq(command->word[1], PH_LIT("show")));
}

static void
log_command(const struct command *command, const struct command_caller *caller)
{
	const struct ph_slice none = { NULL, 0 };

	ph_log(PH_INFO, "command", ph_f_slice("name", command->word[0]),
	    ph_f_slice("op", command->words > 1 ? command->word[1] : none),
	    ph_f_slice("object", command->words > 2 ? command->word[2] : none),
	    ph_f_int("uid", caller->uid), ph_f_int("pid", caller->pid));
}

static int
run(struct command *command, const struct command_caller *caller)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!ph_slice_eq(command->word[0],
		        ph_slice_str(commands[i].name)))
			continue;
		if (command->words < commands[i].least ||
		    command->words > commands[i].most)
			return COMMAND_USAGE;
		if (commands[i].changes && !only_looks(command))
			log_command(command, caller);
		return commands[i].run(command);
	}
	return COMMAND_USAGE;
}

static int
not_now(struct command *command)
{
	ph_buf_printf(&command->text, "the server is %s\n",
	    master.is_starting ? "starting" : "stopping");
	return COMMAND_FAILED;
}

bool
command_run(struct ph_slice request, const struct command_caller *caller,
    struct ph_arena *arena, struct ph_buf *reply)
{
	struct command command = { .arena = arena, .fd = caller->fd };
	int exit_with;

	ph_buf_init(&command.text, arena, TEXT_LIMIT);
	if (!take_words(request, &command))
		exit_with = COMMAND_USAGE;
	else if (master.is_starting || master.is_stopping)
		exit_with = not_now(&command);
	else
		exit_with = run(&command, caller);
	if (exit_with == COMMAND_USAGE && command.text.n == 0)
		ph_buf_str(&command.text, "not a command, or too few or too "
		                          "many words\n");
	record_put(reply, F_TEXT, ph_buf_content(&command.text));
	record_put_u64(reply, F_EXIT, (uint64_t)exit_with);
	if (command.log_path != NULL)
		record_put_str(reply, F_DESTINATION, command.log_path);
	return command.stop;
}
