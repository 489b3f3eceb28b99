/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - which server knows a domain's mailboxes, and what its reply to
 * RCPT says. Pure. */
#ifndef CHECK_RECIPIENT_SERVER_H
#define CHECK_RECIPIENT_SERVER_H

#include <posthouse/addr.h>

struct next_server {
	struct ph_slice domain; /* "*.test": all below test */
	struct ph_slice host;   /* a name; absent: addr */
	struct ph_addr addr;
	uint16_t port;
};

/* DOMAIN SP (HOST / IPv4 / "[" IPv6 "]") [":" PORT]. Borrowed. NULL, or what
 * is wrong. */
const char *next_server_parse(const char *text, struct next_server *server_out);
bool next_server_knows(const struct next_server *server,
    struct ph_slice domain);

enum call_answer {
	CALL_GOOD,
	CALL_UNKNOWN, /* there is no such mailbox */
	CALL_UNSURE,
};

/* The reply to RCPT; line: its last one. A refusal that is not about the
 * mailbox (policy, trouble) tells nothing. */
enum call_answer call_answer_of(struct ph_slice line);
/* The code of a reply line, and whether more lines follow; 0: not a reply. */
unsigned reply_code(struct ph_slice line, bool *has_more_out);

#endif
