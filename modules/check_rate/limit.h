/* SPDX-License-Identifier: Apache-2.0 */
/* limit.h - one limit as the configuration says it. Pure. */
#ifndef CHECK_RATE_LIMIT_H
#define CHECK_RATE_LIMIT_H

#include <posthouse/base.h>

enum rate_what { RATE_CONNECTIONS, RATE_MESSAGES, RATE_RECIPIENTS };
enum rate_whom { RATE_CLIENT, RATE_USER, RATE_SENDER, RATE_RECIPIENT };

struct rate_limit {
	enum rate_what what;
	enum rate_whom whom;
	uint64_t count, window_ms;
	bool is_final; /* reject; else defer */
};

/*
 *   limit = what "per" whom count "/" 1*DIGIT ( "s" / "m" / "h" / "d" )
 *           [ "reject" / "defer" ]
 *   what  = "connections" / "messages" / "recipients"
 *   whom  = "client" / "user" / "sender" / "recipient"
 *
 * Connections are per client; per recipient are only recipients: the messages
 * that come for one. NULL, or what is wrong.
 */
const char *rate_limit_parse(const char *text, struct rate_limit *limit_out);

const char *rate_what_name(enum rate_what what);
const char *rate_whom_name(enum rate_whom whom);

#endif
