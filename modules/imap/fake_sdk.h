/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_sdk.h - a server around one IMAP session, for tests: a stream that is
 * a script, one user's mailboxes in memory, and no fibers. The script is what
 * the client sends; lines that begin with "!" are done to the mailbox, as by
 * somebody else, when the session waits for input:
 *	!deliver TEXT   a message with that body into INBOX
 *	!expunge UID    !flag UID (sets \Flagged)     !drop (deletes INBOX)
 */
#ifndef IMAP_FAKE_SDK_H
#define IMAP_FAKE_SDK_H

#include "imap.h"

struct fake {
	struct ph_arena *arena;
	struct imap_conf conf;
	const char *script;
	size_t script_size, script_at;
	size_t piece; /* octets that arrive at once */
	bool tls, has_tls;
	struct ph_buf output;
	const char *reason; /* of session_end */
	unsigned opened; /* contents that were opened */
};

extern struct fake fake;

/* A fresh world: INBOX with nothing, logged out. */
void fake_begin(void);
void fake_end(void);
uint32_t fake_deliver(const char *mailbox, struct ph_slice content,
    uint32_t flags);
/* Between the two files: an empty store; a line of the script with "!". */
void fake_store_begin(void);
void fake_action(struct ph_slice line);
/* Run the session from the greeting on. */
void fake_run(void);

#endif
