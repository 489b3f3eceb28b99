/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one pass through a session file, in a process of its own: the
 * module is loaded with the options given, each step is a stage of the
 * server's pipeline, the clock is stepped.
 */
#ifndef SDK_HARNESS_RUN_H
#define SDK_HARNESS_RUN_H

#include <sys/types.h>

#include "harness.h"
#include "pipeline/pipeline.h"
#include "script.h"

enum { RUN_LINES_MAX = 4096, RUN_HELD_S = 10 };

/* Shared with the process that started the pass, which may outlive it. */
struct run_progress {
	unsigned line;      /* of the command being run */
	const char *stage;  /* whose hook runs; NULL: none. A literal. */
	bool is_finished;
	unsigned steps, failures;
	/* by line, of the plain pass */
	unsigned waits[RUN_LINES_MAX];
	uint8_t verdict[RUN_LINES_MAX];
};

/* What came of a step. */
struct run_outcome {
	enum ph_verdict verdict, outcome; /* the module's; the pipeline's */
	int code;                         /* 0: none */
	const char *enhanced, *text;      /* text: of a refusal, or the reason */
	const char *failure;              /* NULL: it answered */
	int64_t points;                   /* of the stage, thousandths */
	struct ph_slice headers;          /* fields added, unfolded, with \n */
	struct ph_slice edits;            /* "change 1 Name: value\n" */
	bool is_replaced;                 /* the body: */
	struct ph_slice body;
	uint64_t took_ms;
	unsigned asked;
	struct ph_slice log;              /* the lines of the step */
	/* of a router, in place of all above from verdict to body: */
	bool is_routed, is_refused;       /* refused: one is unknown */
	struct ph_slice results;          /* "local ADDRESS\n" */
};

struct run {
	/* set by who starts it */
	struct ph_arena *arena;
	const struct harness_fakes *fakes;
	const struct script *script;
	const char *module_path, *section, *dir;
	struct run_progress *progress;
	enum harness_fault fault;
	const char *what;     /* the fault or the cancel in words; NULL: none */
	bool is_plain;        /* expectations are judged */
	bool is_told;         /* -v */
	unsigned rounds;      /* how often the session is run; leaks are sought
	                       * when more than once */
	unsigned cancel_line, cancel_at; /* 0: never */

	/* its own */
	int log_fd;
	off_t log_at;
	unsigned files;
	struct generation *generation;
	struct ph_session *session;
	uint64_t transactions; /* begun so far */
	uint64_t transaction;  /* the one under way, or the last; 0: none */
	struct ph_slice sender, header;
	struct ph_slice taken_sender, taken_header, taken; /* the last message, for what is
	                       * behind the queue; absent: none */
	struct ph_slice *recipients;
	size_t recipient_count;
	int64_t session_score, score, taken_score; /* thousandths, as summed */
};

/* Run it; the process should end after. Returns whether all was well. */
bool run_main(struct run *run);

/* Print "FILE:LINE: what" and count a failure. */
void run_fail(struct run *run, unsigned line, const char *fmt, ...)
    PH_PRINTF(3, 4);

/* step.c: run the hooks of a stage. */
void run_stage(struct run *run, const struct script_command *step,
    enum ph_stage stage, const struct ph_call *like,
    struct run_outcome *outcome_out);
/* The same for anything that suspends: fn(arg) in a fiber that may be canceled;
 * fills what is no answer. */
void run_measured(struct run *run, const struct script_command *step,
    const char *name, void (*fn)(void *arg), void *arg,
    struct run_outcome *outcome_out);
/* Called when nothing can go on: cancels, when it is time. */
bool run_on_idle(void);

/* Points for the message under way, or before one for the session. */
void run_add_score(struct run *run, int64_t points);

/* route.c: which mailboxes there are, and what a recipient comes to. */
void run_forget_mailboxes(void);
void run_mailbox(struct run *run, const struct script_command *command);
void run_recipient(struct run *run, const struct script_command *step,
    struct run_outcome *outcome_out);
/* An address without its angle brackets, in the arena. */
struct ph_slice run_path(struct ph_arena *arena, const char *text);

/* expect.c: judge a step by the "expect" commands that follow it. */
void run_judge(struct run *run, const struct script_command *step,
    const struct run_outcome *outcome);
/* A field of a log line, unquoted, in the arena; NULL: not there. */
const char *run_log_field(struct ph_arena *arena, struct ph_slice line,
    const char *key);
/* The event of a log line. */
struct ph_slice run_log_event(struct ph_slice line);

#endif
