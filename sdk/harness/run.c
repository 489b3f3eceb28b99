/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - the commands of a session file, and a pass through them. */
#include "run.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/tls_peer.h"
#include "role/generation.h"
#include "role/kept.h"

enum {
	CONTENT_MAX = 8 << 20,
	PORT_CLIENT = 34567,
	PORT_LOCAL = 25,
	ROUNDS_WARM = 3, /* before leaks count */
	KEPT_END_MS = 1000,
	FILE_SEEN_MS = 1000, /* files are looked at once a second */
};

static const char base_conf[] =
    "hostname = \"mail.example.test\";\n"
    "domains = [ \"example.test\" ];\n";

void
run_fail(struct run *run, unsigned line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("%s:%u: ", run->script->path, line);
	vprintf(fmt, args);
	putchar('\n');
	va_end(args);
	fflush(stdout);
	run->progress->failures++;
}

/* --- before the session: files and options --- */

/* No pass, and no round of one, sees a file that a later line makes. */
static void
forget_files(struct run *run)
{
	for (const struct script_command *at = run->script->first; at != NULL;
	     at = at->next)
		if (strcmp(at->word, "file") == 0 &&
		    strchr(at->rest, '/') == NULL)
			unlink(ph_arena_printf(run->arena, "%s/%s", run->dir,
			    at->rest));
}

static bool
put_file(struct run *run, const struct script_command *command)
{
	const char *path = ph_arena_printf(run->arena, "%s/%s", run->dir,
	    command->rest);
	const char *text = script_expand(run->arena, command->block,
	    run->dir);
	struct timespec times[2];
	char *beside = ph_arena_printf(run->arena, "%s.new", path);
	FILE *file = fopen(beside, "we");
	bool is_put;

	if (file == NULL || strchr(command->rest, '/') != NULL) {
		if (file != NULL)
			fclose(file);
		run_fail(run, command->line, "file: \"%s\" can't be written",
		    command->rest);
		return false;
	}
	fputs(text, file);
	/* each writing is seen, however quickly they follow */
	times[0].tv_sec = (time_t)ph_wall_time();
	times[0].tv_nsec = (long)++run->files;
	times[1] = times[0];
	is_put = fflush(file) == 0 && futimens(fileno(file), times) == 0;
	fclose(file);
	return is_put && rename(beside, path) == 0;
}

static bool
write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (file == NULL)
		return false;
	fputs(text, file);
	return fclose(file) == 0;
}

/* The commands of one word as a file whose lines have the numbers of the
 * session's, so that the loader's errors name them. */
static bool
write_settings(struct run *run, const char *word, const char *open,
    const char *end)
{
	const struct script_command *at = run->script->first;
	bool is_open = false;
	unsigned line = 1;
	struct ph_buf conf;

	ph_buf_init(&conf, run->arena, CONTENT_MAX);
	for (; at != NULL; at = at->next) {
		if (strcmp(at->word, word) != 0)
			continue;
		for (; line < at->line; line++)
			ph_buf_char(&conf, '\n');
		ph_buf_str(&conf, is_open ? "" : open);
		is_open = true;
		ph_buf_printf(&conf, "%s\n%s;", script_expand(run->arena,
		    at->rest, run->dir), script_expand(run->arena, at->block,
		    run->dir));
		for (const char *c = at->block; *c != '\0'; c++)
			line += *c == '\n';
		line++;
	}
	ph_buf_printf(&conf, "%s%s%c", is_open ? "" : open, end, 0);
	return write_text(ph_arena_printf(run->arena, "%s/conf.d/%s.conf",
	    run->dir, word), conf.p);
}

static bool
write_conf(struct run *run)
{
	struct ph_arena *arena = run->arena;
	const char *dir = run->dir;

	mkdir(ph_arena_printf(arena, "%s/conf.d", dir), 0700);
	return write_text(ph_arena_printf(arena, "%s/base.conf", dir),
	           base_conf) &&
	    write_settings(run, "conf", "", "") &&
	    write_settings(run, "option", ph_arena_printf(arena, "%s: { ",
	        run->section), ph_arena_printf(arena, " module = \"%s\"; };\n",
	        run->module_path));
}

static void
tell_errors(struct run *run, const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		run_fail(run, e->line <= run->script->last_line ? e->line : 0,
		    "%s%s", e->text, strcmp(e->text, "syntax error") == 0 ?
		    ": it is written as in posthouse.conf(5), a text in "
		    "quotes" : "");
	}
}

static bool
load(struct run *run)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct generation *generation = ph_arena_alloc(arena,
	    sizeof(*generation));
	struct conf_errors errors = { .arena = arena };
	struct conf *conf;

	generation->arena = arena;
	generation->references = 1;
	if (!write_conf(run)) {
		run_fail(run, 0, "%s can't be written", run->dir);
		return false;
	}
	if (conf_load(arena, ph_arena_printf(arena, "%s/base.conf", run->dir),
	        &conf, &errors) != PH_OK ||
	    core_conf_fill(arena, conf, &generation->core, &errors) != PH_OK ||
	    module_set_load(arena, conf, &generation->core,
	        PH_KIND_CHECK | PH_KIND_ROUTER, &generation->modules,
	        &errors) != PH_OK) {
		tell_errors(run, &errors);
		return false;
	}
	if (generation->modules.first == NULL) {
		run_fail(run, 0, "%s is neither a check nor a router: "
		    "others are tried in a server", run->module_path);
		return false;
	}
	generation_make_current(generation);
	run->generation = generation;
	return true;
}

/* --- sessions --- */

static void
end_mail(struct run *run)
{
	run->sender = run->header = (struct ph_slice){ NULL, 0 };
	run->recipient_count = 0;
	run->score = 0;
}

static void
end_session(struct run *run)
{
	if (run->session == NULL)
		return;
	session_state_drop(ph_slice_str(run->session->id));
	session_free(run->session);
	run->session = NULL;
	run->taken = (struct ph_slice){ NULL, 0 };
	run->session_score = 0;
	end_mail(run);
}

/* "ADDRESS [port N] [to ADDRESS] [to-port N] [service S] [listener L]" */
static bool
begin_session(struct run *run, const struct script_command *command)
{
	const char *rest = command->rest, *key;
	struct ph_session *session;
	bool is_good;
	uint64_t number;

	end_session(run);
	session = session_create(run->generation, NULL);
	run->session = session;
	id_format(id_create(), session->id);
	session->listener = "smtp_inbound";
	session->service = "smtp";
	session->client_port = PORT_CLIENT;
	session->local_port = PORT_LOCAL;
	ph_addr_parse(PH_LIT("198.51.100.25"), &session->local);
	is_good = ph_addr_parse(ph_slice_str(script_word(session->arena,
	    &rest)), &session->client);
	session->peer = session->client;
	while (is_good && *(key = script_word(session->arena, &rest)) != '\0') {
		const char *value = script_word(session->arena, &rest);
		struct ph_slice text = ph_slice_str(value);

		if (strcmp(key, "service") == 0)
			session->service = value;
		else if (strcmp(key, "listener") == 0)
			session->listener = value;
		else if (strcmp(key, "to") == 0)
			is_good = ph_addr_parse(text, &session->local);
		else if (ph_slice_number(text, 65535, &number) &&
		    strcmp(key, "port") == 0)
			session->client_port = (uint16_t)number;
		else if (ph_slice_number(text, 65535, &number) &&
		    strcmp(key, "to-port") == 0)
			session->local_port = (uint16_t)number;
		else
			is_good = false;
	}
	if (!is_good)
		run_fail(run, command->line, "connect: wanted ADDRESS [port N] "
		    "[to ADDRESS] [to-port N] [service NAME] [listener NAME]");
	run->transaction = 0;
	return is_good;
}

/* Lines end in CRLF. */
static struct ph_slice
as_mail(struct ph_arena *arena, struct ph_slice before, const char *lines)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, CONTENT_MAX);
	ph_buf_slice(&buf, before);
	for (; *lines != '\0'; lines++) {
		if (*lines == '\n')
			ph_buf_char(&buf, '\r');
		ph_buf_char(&buf, *lines);
	}
	return ph_buf_content(&buf);
}

struct ph_slice
run_path(struct ph_arena *arena, const char *rest)
{
	struct ph_slice path = ph_slice_str(rest);

	if (path.n >= 2 && path.p[0] == '<' && path.p[path.n - 1] == '>')
		path = (struct ph_slice){ path.p + 1, path.n - 2 };
	return ph_arena_slice(arena, path);
}

static bool
is_taken(const struct run_outcome *outcome)
{
	return outcome->outcome != PH_REJECT && outcome->outcome != PH_DEFER;
}

static void
step_rcpt(struct run *run, const struct script_command *step,
    struct run_outcome *outcome)
{
	struct ph_arena *arena = run->session->arena;
	struct ph_call call = { .recipient = run_path(arena, step->rest) };
	struct ph_slice *all;

	run_stage(run, step, PH_AT_RCPT, &call, outcome);
	if (!is_taken(outcome))
		return;
	all = ph_arena_array(arena, run->recipient_count + 1, sizeof(*all));
	if (run->recipient_count > 0)
		memcpy(all, run->recipients,
		    run->recipient_count * sizeof(*all));
	all[run->recipient_count++] = call.recipient;
	run->recipients = all;
}

/* "HEX [SUBJECT [verified]]" */
static const struct tls_peer *
certificate_of(struct ph_arena *arena, const char *rest)
{
	struct tls_peer *peer = ph_arena_alloc(arena, sizeof(*peer));

	peer->fingerprint = script_word(arena, &rest);
	peer->subject = script_word(arena, &rest);
	peer->issuer = *peer->subject != '\0' ? "CA" : "";
	peer->is_verified =
	    strcmp(script_word(arena, &rest), "verified") == 0;
	return peer;
}

/* "NAME [certificate HEX [SUBJECT [verified]]]" */
static void
step_tls(struct run *run, const struct script_command *step,
    struct run_outcome *outcome)
{
	struct ph_arena *arena = run->session->arena;
	const char *rest = step->rest, *name = script_word(arena, &rest);
	struct ph_call call = { 0 };

	run->session->tls = *name != '\0' ? name :
	                                    "TLSv1.3 TLS_AES_256_GCM_SHA384";
	if (strcmp(script_word(arena, &rest), "certificate") == 0)
		run->session->tls_peer = certificate_of(arena, rest);
	run_stage(run, step, PH_AT_TLS, &call, outcome);
}

static void
step_message(struct run *run, const struct script_command *step,
    struct run_outcome *outcome)
{
	struct ph_arena *arena = run->session->arena;
	struct ph_slice header = run->header.p != NULL ? run->header :
	                                                 PH_LIT("\r\n");
	struct ph_call call = { .header = header,
		.content = as_mail(arena, header, step->block) };

	run_stage(run, step, PH_AT_MESSAGE, &call, outcome);
	run->taken_sender = run->sender;
	run->taken = call.content;
	run->taken_header = header;
	run->taken_score = run->session_score + run->score;
	end_mail(run);
}

/* "ADDRESS [user NAME] [to DESTINATION] [attempts N] [code N] [enhanced X]
 * [host NAME]", and the reply's text below. False: something else. */
static bool
take_delivery(struct ph_arena *arena, const struct script_command *step,
    struct ph_call *call, struct ph_delivery_facts *facts)
{
	const char *rest = step->rest, *key;
	uint64_t number;

	call->recipient = run_path(arena, script_word(arena, &rest));
	while (*(key = script_word(arena, &rest)) != '\0') {
		struct ph_slice value = ph_slice_str(script_word(arena,
		    &rest));

		if (strcmp(key, "user") == 0)
			facts->user = value;
		else if (strcmp(key, "to") == 0)
			facts->destination = value;
		else if (strcmp(key, "enhanced") == 0)
			facts->enhanced = value;
		else if (strcmp(key, "host") == 0)
			facts->host = value;
		else if (ph_slice_number(value, 1000, &number) &&
		    strcmp(key, "attempts") == 0)
			facts->attempts = (unsigned)number;
		else if (ph_slice_number(value, 999, &number) &&
		    strcmp(key, "code") == 0)
			facts->code = (int)number;
		else
			return false;
	}
	if (*step->block != '\0')
		facts->text = ph_slice_trim(ph_slice_str(step->block));
	return call->recipient.n > 0;
}

/* Of the last message, for one recipient. */
static void
step_delivery(struct run *run, const struct script_command *step,
    enum ph_stage stage, struct run_outcome *outcome)
{
	struct ph_delivery_facts facts = { .queue_id = run->session->id,
		.received_at = ph_wall_time() };
	struct ph_call call = { .delivery = &facts };

	if (!take_delivery(run->session->arena, step, &call, &facts)) {
		run_fail(run, step->line, "%s: wanted ADDRESS [user NAME] "
		    "[to DESTINATION] [attempts N] [code N] [enhanced X.Y.Z] "
		    "[host NAME]", step->word);
		return;
	}
	if (run->taken.p == NULL) {
		run_fail(run, step->line, "%s: there was no message",
		    step->word);
		return;
	}
	call.sender = run->taken_sender;
	if (!pipeline_is_told(stage)) {
		call.header = run->taken_header;
		call.content = run->taken;
	}
	run_stage(run, step, stage, &call, outcome);
}

/* A step of the session by its stage. */
static void
run_step(struct run *run, const struct script_command *step,
    enum ph_stage stage, struct run_outcome *outcome)
{
	struct ph_arena *arena = run->session->arena;
	struct ph_call call = { 0 };

	if (stage >= PH_STAGES) {
		step_delivery(run, step, stage, outcome);
		return;
	}
	switch (stage) {
	case PH_AT_TLS:
		step_tls(run, step, outcome);
		return;
	case PH_AT_RCPT:
		step_rcpt(run, step, outcome);
		return;
	case PH_AT_MESSAGE:
		step_message(run, step, outcome);
		return;
	case PH_AT_HELO:
		run->session->helo = ph_slice_str(ph_arena_strdup(arena,
		    step->rest));
		break;
	case PH_AT_AUTH:
		run->session->user = ph_arena_strdup(arena, step->rest);
		break;
	case PH_AT_MAIL:
		end_mail(run);
		run->transaction = ++run->transactions;
		run->sender = run_path(arena, step->rest);
		break;
	case PH_AT_DATA:
		run->header = as_mail(arena, PH_LIT(""),
		    ph_arena_printf(arena, "%s\n", step->block));
		call.header = run->header;
		break;
	default:
		break;
	}
	run_stage(run, step, stage, &call, outcome);
	if (stage == PH_AT_MAIL && !is_taken(outcome))
		end_mail(run);
}

/* --- commands --- */

/* Of the message under way, or before one of the session. */
void
run_add_score(struct run *run, int64_t points)
{
	*(run->transaction != 0 ? &run->score : &run->session_score) += points;
}

static void
wait_for(struct run *run, const struct script_command *command)
{
	uint64_t ms;

	if (!conf_duration_parse(ph_slice_str(command->rest), &ms) ||
	    ms > 400ull * 86400000) {
		run_fail(run, command->line, "wait: \"%s\" is no duration",
		    command->rest);
		return;
	}
	for (; ms > 1000000000; ms -= 1000000000)
		ph_sleep_ms(1000000000);
	ph_sleep_ms((unsigned)ms);
}

/* Why a server would not ask at this stage now; NULL: it would. */
static const char *
unasked(const struct run *run, enum ph_stage stage)
{
	if (run->session == NULL)
		return "nobody is connected";
	if (stage >= PH_AT_RCPT && stage < PH_STAGES &&
	    run->sender.p == NULL)
		return "there is no mail before it, or it was refused";
	return NULL;
}

static void
run_hooks(struct run *run, const struct script_command *command,
    enum ph_stage stage)
{
	struct run_outcome outcome = { 0 };
	const char *why;

	if (stage == PH_AT_CONNECT && !begin_session(run, command))
		return;
	why = unasked(run, stage);
	if (why == NULL) {
		run_step(run, command, stage, &outcome);
		run_judge(run, command, &outcome);
	} else if (run->is_plain) { /* in others more may be refused */
		run_fail(run, command->line, "%s: %s", command->word, why);
	}
}

static void
run_router(struct run *run, const struct script_command *command)
{
	struct run_outcome outcome = { 0 };

	if ((run->generation->modules.first->module->kinds & PH_KIND_ROUTER) ==
	    0) {
		run_fail(run, command->line, "recipient: this is no router");
		return;
	}
	run_recipient(run, command, &outcome);
	run_judge(run, command, &outcome);
}

static const char *
to_fakes(struct run *run, const struct script_command *command)
{
	if (strcmp(command->word, "dns") == 0)
		return run->fakes->dns(command->rest);
	if (strcmp(command->word, "store") == 0)
		return run->fakes->store(command->rest);
	return run->fakes->server(command->rest, command->block);
}

static enum ph_stage
stage_of(const char *word)
{
	unsigned stage = 0;

	while (stage < PH_STAGES_ALL &&
	    strcmp(ph_stage_name((enum ph_stage)stage), word) != 0)
		stage++;
	return (enum ph_stage)stage;
}

/* "KEY = TEXT": what a module of an earlier order noted. */
static void
take_note(struct run *run, const struct script_command *command)
{
	struct ph_slice text = ph_slice_str(command->rest), key;
	struct session_state *state;

	key = ph_slice_trim(ph_slice_cut(&text, '='));
	if (run->session == NULL || text.p == NULL || key.n == 0) {
		run_fail(run, command->line, "note: wanted KEY = TEXT, in a "
		    "session");
		return;
	}
	state = session_state_obtain(ph_slice_str(run->session->id));
	session_state_message(state, run->transaction);
	session_state_note(state, ph_arena_slice(run->arena, key).p,
	    ph_arena_slice(run->arena, ph_slice_trim(text)).p, false);
}

/* "POINTS": what other modules added. */
static void
take_score(struct run *run, const struct script_command *command)
{
	char *end;
	double points = strtod(command->rest, &end);

	if (end == command->rest || *end != '\0' || run->session == NULL)
		run_fail(run, command->line, "score: wanted POINTS, in a "
		    "session");
	else
		run_add_score(run, (int64_t)(points * 1000));
}

static bool
is_one_of(const char *word, const char *const *words)
{
	while (*words != NULL && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static void
run_command(struct run *run, const struct script_command *command)
{
	static const char *const before[] = { "option", "conf", "clock",
		"skip", "expect", NULL };
	static const char *const faked[] = { "dns", "store", "server", NULL };
	enum ph_stage stage = stage_of(command->word);
	const char *wrong;

	if (stage < PH_STAGES_ALL) {
		run_hooks(run, command, stage);
	} else if (is_one_of(command->word, faked)) {
		wrong = to_fakes(run, command);
		if (wrong != NULL)
			run_fail(run, command->line, "%s: %s", command->word,
			    wrong);
	} else if (strcmp(command->word, "file") == 0) {
		if (put_file(run, command))
			ph_sleep_ms(FILE_SEEN_MS);
	} else if (strcmp(command->word, "recipient") == 0) {
		run_router(run, command);
	} else if (strcmp(command->word, "mailbox") == 0) {
		run_mailbox(run, command);
	} else if (strcmp(command->word, "note") == 0) {
		take_note(run, command);
	} else if (strcmp(command->word, "score") == 0) {
		take_score(run, command);
	} else if (strcmp(command->word, "wait") == 0) {
		wait_for(run, command);
	} else if (strcmp(command->word, "reset") == 0) {
		end_mail(run);
	} else if (strcmp(command->word, "end") == 0) {
		end_session(run);
	} else if (!is_one_of(command->word, before)) {
		run_fail(run, command->line, "there is no command \"%s\"",
		    command->word);
	}
}

static void
run_once(struct run *run)
{
	const struct script_command *at = run->script->first;

	kept_end_all(KEPT_END_MS); /* those of the round before */
	run->fakes->reset(run->fault);
	run_forget_mailboxes();
	forget_files(run);
	for (; at != NULL; at = at->next) {
		run->progress->line = at->line;
		alarm(RUN_HELD_S);
		run_command(run, at);
		if (run->cancel_line != 0 && at->line == run->cancel_line)
			break;
	}
	end_session(run);
	if (run->is_plain && run->fakes->server_missed() != NULL)
		run_fail(run, run->script->last_line, "%s",
		    run->fakes->server_missed());
}

/* --- leaks --- */

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
heap_octets(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static size_t
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (dir != NULL && readdir(dir) != NULL)
		count++;
	if (dir != NULL)
		closedir(dir);
	return count;
}

static void
tell_leaks(struct run *run, size_t octets, bool of_files, bool of_fibers)
{
	const char *what = run->what != NULL ? run->what : "";
	const char *comma = run->what != NULL ? ", " : "";
	unsigned line = run->cancel_line != 0 ? run->cancel_line :
	                                        run->script->last_line;

	if (octets > 0)
		run_fail(run, line, "leak: %s%seach round of the session "
		    "leaves %zu octets of memory", what, comma, octets);
	if (of_files)
		run_fail(run, line, "leak: %s%sthe session leaves "
		    "descriptors open", what, comma);
	if (of_fibers)
		run_fail(run, line, "leak: %s%sthe session leaves fibers "
		    "running", what, comma);
}

/* What a session leaves behind in every round is a leak; what it keeps once
 * (a table, a buffer) is not. */
static void
run_rounds(struct run *run)
{
	size_t leak = SIZE_MAX, files = 0, fibers = 0;
	unsigned failures = run->progress->failures;
	struct ph_arena *own = run->arena;

	for (unsigned round = 0; round < run->rounds &&
	     run->progress->failures == failures; round++) {
		size_t before = heap_octets(), after;

		run->arena = ph_arena_create(NULL);
		run_once(run);
		ph_arena_free(run->arena);
		run->arena = own;
		after = heap_octets();
		if (round < ROUNDS_WARM) {
			files = open_files();
			fibers = fiber_count();
		} else if (after <= before) {
			leak = 0;
		} else if (after - before < leak) {
			leak = after - before;
		}
	}
	if (run->rounds <= ROUNDS_WARM || run->progress->failures != failures)
		return;
	tell_leaks(run, leak, open_files() > files, fiber_count() > fibers);
}

static void
main_fiber(void *arg)
{
	struct run *run = arg;

	if (load(run))
		run_rounds(run);
	fiber_runtime_stop();
}

static int64_t
start_of_clock(struct run *run)
{
	struct tm tm = { .tm_year = 126, .tm_mday = 1 };

	for (const struct script_command *at = run->script->first; at != NULL;
	     at = at->next) {
		if (strcmp(at->word, "clock") != 0)
			continue;
		memset(&tm, 0, sizeof(tm));
		if (strptime(at->rest, "%Y-%m-%dT%H:%M:%SZ", &tm) == NULL)
			run_fail(run, at->line, "clock: wanted "
			    "YYYY-MM-DDTHH:MM:SSZ");
		break;
	}
	return (int64_t)timegm(&tm) * 1000;
}

bool
run_main(struct run *run)
{
	run->log_fd = memfd_create("log", MFD_CLOEXEC);
	if (run->log_fd < 0)
		return false;
	fiber_runtime_init();
	fiber_clock_step(start_of_clock(run), run_on_idle);
	log_init(run->log_fd, PH_DEBUG, "check");
	forget_files(run);
	for (const struct script_command *at = run->script->first; at != NULL;
	     at = at->next)
		if (strcmp(at->word, "file") == 0 && !put_file(run, at))
			return false;
		else if (strcmp(at->word, "connect") == 0)
			break;
	fiber_start(main_fiber, run);
	fiber_runtime_run();
	run->progress->is_finished = true;
	return run->progress->failures == 0;
}
