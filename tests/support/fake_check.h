/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_check.h - a hook's call without a server, for the unit tests of checks:
 * the session is what the test sets, DNS is a text, the key-value store a
 * table, the clock stands. Linked in front of the core's own functions.
 */
#ifndef TESTS_SUPPORT_FAKE_CHECK_H
#define TESTS_SUPPORT_FAKE_CHECK_H

#include <check.h>

#include <posthouse/check.h>

struct fake_check {
	struct ph_arena *arena;       /* of the call and the session */

	/* the session and the envelope */
	struct ph_addr client, local;
	const char *service, *user, *helo, *hostname;
	const char *local_domain;     /* NULL: none */
	bool may_relay;
	const char *sender, *recipient; /* NULL: absent */
	enum ph_stage stage;
	void *state;

	/* Lines "NAME TYPE VALUE", of tests/support/dns_server.py; TYPE RCODE
	 * with any value but NXDOMAIN is no answer. */
	const char *zone;
	unsigned asked;               /* questions so far */

	int kv_status;                /* PH_OK, or why there is no store */
	unsigned kv_trips;            /* gets and puts so far */
	int64_t wall_s;

	/* the answer */
	int code;
	const char *enhanced, *text;  /* text: of a refusal or reason */
	double score;
	const char *header;           /* the last added, "Name: value" */
};
extern struct fake_check fake_check;
/* What hooks are called with. */
extern struct ph_call *const fake_call;

/* A fresh session of an SMTP client at 192.0.2.1; the store is empty. */
void fake_check_begin(void);
void fake_check_end(void);
void fake_check_client(const char *addr);
/* Forget the last answer, for the next hook of the session. */
void fake_check_next(void);
/* Forget also what the module keeps for the session. */
void fake_check_session(void);
/* Whether the store has the key; seconds pass by setting wall_s. */
bool fake_check_kv_has(const char *key);

/* Run the case; the exit status of main. */
int fake_check_run(TCase *tcase);

#endif
