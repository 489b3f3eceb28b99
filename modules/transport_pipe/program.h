/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - a program run once with content as its input. */
#ifndef TRANSPORT_PIPE_PROGRAM_H
#define TRANSPORT_PIPE_PROGRAM_H

#include <posthouse/arena.h>

enum { PROGRAM_OUTPUT_MAX = 400 };

/* 0: none, but for core dumps, which there are never. */
struct program_limits {
	unsigned cpu_ms; /* 0: as long as it may take */
	uint64_t memory_bytes, file_size_bytes;
	unsigned open_files, processes;
};

enum program_end {
	PROGRAM_EXITED,   /* code is its status */
	PROGRAM_KILLED,   /* code is the signal */
	PROGRAM_LATE,     /* it was killed when its time was over */
	PROGRAM_CANCELED, /* it was killed since the attempt is to end */
	PROGRAM_NOT_RUN,  /* code is the errno */
};

struct program_result {
	enum program_end end;
	int code;
	char output[PROGRAM_OUTPUT_MAX + 1]; /* the beginning, one line */
};

/* For whom the master is to run it as the user of run_as. */
struct program_other {
	struct ph_attempt *attempt; /* NULL: it runs as we do */
	size_t recipient;
};

/*
 * argv[0] is an absolute path; no shell. Descriptors but 0 to 2 are closed in
 * it, output and errors are one. Suspends.
 */
struct program {
	const char *const *argv, *const *environment;
	unsigned timeout_ms;
	struct program_limits limits;
	/* attempt not NULL: the master runs it, with limits and an environment
	 * of its own making */
	struct program_other other;
};
void program_run(const struct program *program, struct ph_slice input,
    struct program_result *result);
/* EX_... of sysexits.h: the enhanced code, of class 2, 4 or 5. Pure. */
const char *program_exit_means(int code);

#endif
