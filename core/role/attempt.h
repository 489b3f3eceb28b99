/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.h - one delivery attempt: MSG_ATTEMPT taken apart, what
 * <posthouse/transport.h> shows of it, and the reply made of its results.
 */
#ifndef CORE_ROLE_ATTEMPT_H
#define CORE_ROLE_ATTEMPT_H

#include <posthouse/transport.h>

#include "base/id.h"

enum {
	ATTEMPT_RECIPIENTS_MAX = 6000,
	ATTEMPT_FACTS_MAX = 32,
	ATTEMPT_ADDRESS_MAX = 320,
	ATTEMPT_TEXT_MAX = 300, /* of a result */
	ATTEMPT_RESULT_MIN = 80, /* octets of one without host and text */
};

struct attempt_result {
	bool is_set;
	enum ph_delivery delivery;
	int code;
	const char *enhanced; /* NULL: none */
	const char *host;     /* NULL: none */
	const char *text;
};

struct attempt_recipient {
	uint64_t number;
	struct ph_slice address, notify, orcpt;
	enum ph_onward onward;
	struct attempt_result result;
};

struct ph_attempt {
	struct ph_arena *arena;
	char queue_id[ID_TEXT_MAX];
	const char *hostname;
	const char *section; /* whose module runs */
	struct ph_slice transport; /* absent: the first one */
	struct ph_slice destination, sender;
	struct attempt_recipient *recipients;
	size_t recipient_count;
	struct attempt_fact {
		struct ph_slice name, text;
	} *facts;
	size_t fact_count;
	struct ph_slice octets;  /* F_CONTENT: in front of the file */
	struct ph_slice content; /* all of it, after attempt_open */
};

/*
 * Take a record of MSG_ATTEMPT apart (borrowed). PH_INVALID when a field is
 * missing or holds what no address or parameter may, PH_TOO_BIG.
 */
int attempt_parse(struct ph_arena *arena, struct ph_slice record,
    struct ph_attempt **attempt_out);
/*
 * Make the content one piece: the octets followed by the file fd (borrowed;
 * -1: none), mapped until the arena ends and read into memory. Suspends.
 * PH_INVALID: no plain file; PH_TOO_BIG: over limit_bytes; PH_IO.
 */
int attempt_open(struct ph_attempt *attempt, int fd, uint64_t limit_bytes,
    struct ph_err *err);
/* The reply: an F_RESULT for each recipient; one without a result is deferred
 * with this reason. Hosts and texts are left out where there is no room. */
void attempt_reply(struct ph_attempt *attempt, const char *reason,
    struct ph_buf *buf);

#endif
