/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - the plugin harness: a check or router is run through a scripted
 * session by the server's own pipeline, with everything outside it faked.
 *
 * The library has the engine (scripts, sessions, judgement), the program
 * posthouse-sdk the fakes: it defines ph_dns_*, ph_kv_* and the client half of
 * ph_stream_* itself, and the linker lets its definitions go before the
 * library's. So the core has no seam but its clock, and no fake is in a server.
 */
#ifndef SDK_HARNESS_HARNESS_H
#define SDK_HARNESS_HARNESS_H

#include <posthouse/base.h>

/* What is made to fail, beyond what the session says. */
enum harness_fault {
	HARNESS_SOUND,
	HARNESS_DNS_FAILS,  /* SERVFAIL to every question */
	HARNESS_SILENCE,    /* nothing ever answers: DNS, store, servers */
	HARNESS_STORE_DOWN, /* the key-value store can't be reached */
};

struct harness_fakes {
	/* Forget everything, and fail so from now on. */
	void (*reset)(enum harness_fault fault);
	/* A line of the session, without its first word, and the indented ones
	 * below it. NULL, or what is wrong with it. */
	const char *(*dns)(const char *line);
	const char *(*store)(const char *line);
	const char *(*server)(const char *line, const char *block);
	/* Questions since reset. */
	unsigned (*dns_asked)(void);
	/* The value of a key; absent: none. Borrowed until the next call. */
	struct ph_slice (*stored)(const char *key);
	/* What a scripted server missed; NULL: nothing. */
	const char *(*server_missed)(void);
};

/* "run [-v] MODULE SESSION...": the exit status. */
PH_EXPORT int posthouse_sdk_run(const struct harness_fakes *fakes, int argc,
    char **argv);

#endif
