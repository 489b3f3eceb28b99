/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.h - what modules did, counted on the page that a process shares with
 * the master, so that it outlives the process. Nothing here allocates or
 * suspends; the master adds the pages up and takes each for hostile.
 */
#ifndef CORE_ROLE_TALLY_H
#define CORE_ROLE_TALLY_H

#include <posthouse/check.h>
#include <posthouse/count.h>

enum {
	TALLIES = 64,           /* modules of one process that are counted */
	TALLY_WORK = PH_STAGES_ALL, /* the hook of what is no check */
	TALLY_HOOKS,
	TALLY_BUCKETS = 116,    /* of latencies: up to 17 minutes */
	TALLY_OWN = PH_COUNTERS_MAX,
};

/* A counter that the module itself keeps. */
struct tally_own {
	char name[PH_COUNTER_NAME_MAX + 1]; /* "": free */
	uint64_t n;
};

/* How a call ended: below TALLY_LATE, the verdict. */
enum tally_end {
	TALLY_LATE = PH_QUARANTINE + 1,
	TALLY_GARBAGE, /* what the stage does not honour */
	TALLY_CUT,     /* decided without it */
	TALLY_OUT,     /* not asked: taken out after crashes */
	TALLY_WORKED,  /* no check, so no verdict */
	TALLY_ENDS,
};

struct tally_hook {
	uint64_t calls;
	uint32_t bucket[TALLY_BUCKETS];
};

struct tally {
	char module[48];        /* its section; "": free */
	uint64_t begun, ended;  /* calls; what lies between, a death cut off */
	uint64_t ends[TALLY_ENDS];
	uint64_t missed;        /* told, and there was no room */
	uint64_t grown;         /* octets, while memory was watched */
	struct tally_hook hook[TALLY_HOOKS];
	struct tally_own own[TALLY_OWN];
};

/* The place of a module on the page of this process, taken when it is new.
 * NULL: the page is full, nothing is counted. */
struct tally *tally_of(const char *module);

/* Around each call into a module; tally NULL: not counted. */
void tally_begin(struct tally *tally);
void tally_end(struct tally *tally, unsigned hook, uint64_t micros,
    enum tally_end end);
/* It would have been told of something. */
void tally_miss(struct tally *tally);
/* A call that was not made: TALLY_OUT. */
void tally_skip(struct tally *tally);
uint64_t tally_micros(void);
/* One of the module's own; nothing when it has no such name or no room. */
void tally_own(struct tally *tally, const char *name, uint64_t n);

/* Add what a page says to a sum. */
void tally_add(struct tally *sum, const struct tally *page);
/* The latency in microseconds that `percent` of the calls did not exceed, to
 * within a quarter; 0: no call. Pure. */
uint64_t tally_percentile(const struct tally_hook *hook, unsigned percent);

#endif
