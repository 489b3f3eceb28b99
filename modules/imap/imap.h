/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imap.h - one IMAP session after login, and what a command is.
 *
 * A command is read whole (collect.h), parsed whole (parse, pure), and then
 * acted upon. Replies go to the stream, which keeps back-pressure; the first
 * failure of the stream ends the session, so actions need not look at it but
 * where they loop.
 */
#ifndef IMAP_IMAP_H
#define IMAP_IMAP_H

#include <posthouse/listener.h>
#include <posthouse/mailbox.h>

#include "collect.h"
#include "lex.h"
#include "seqset.h"

struct imap_conf {
	bool allow_plain_auth;
	unsigned login_timeout_ms; /* from the greeting to the login */
	unsigned login_attempts;
	unsigned autologout_ms;
	unsigned bad_commands;
	uint64_t append_limit_bytes;
};

enum {
	COMMAND_MAX = 64 * 1024,      /* with its literals */
	LOGIN_COMMAND_MAX = 8 * 1024,
	LOGIN_LITERAL_MAX = 4 * 1024,
	LOGIN_BAD_COMMANDS = 3,
	CHUNK = 16 * 1024, /* written at once */
};

#define IMAP_CAPABILITIES \
	"IMAP4rev1 LITERAL+ SASL-IR IDLE UIDPLUS MOVE NAMESPACE ID ENABLE " \
	"UNSELECT CHILDREN"

struct view;
struct fetch_items;
struct search_key;

struct imap {
	struct ph_session *session;
	struct ph_stream *stream;
	const struct imap_conf *conf;
	struct ph_arena *arena; /* ends with the session */
	struct collect collect;
	struct view *view; /* the selected mailbox, or NULL */
	unsigned bad;      /* commands since the last good one */
	bool ended;
	const char *reason; /* why it ended, for the log */
};

/* In which states a command may come. */
enum {
	IN_AUTH = 1 << 0,     /* no mailbox selected */
	IN_SELECTED = 1 << 1,
	IN_ANY = IN_AUTH | IN_SELECTED,
};

struct command {
	const struct command_row *row;
	struct ph_slice tag;
	struct lex lex;
	struct ph_arena *arena; /* of the command */
	bool has_literal;       /* the message of an APPEND follows */
	bool literal_is_sync;
	uint64_t literal_size;
	/* what parse found: */
	struct ph_slice mailbox, other; /* other: new name, pattern, reference */
	struct seqset set;
	struct flag_list flags;
	enum ph_flag_op op;
	bool silent;
	int64_t date;
	unsigned items; /* STATUS: bits */
	struct fetch_items *fetch;
	struct search_key *search;
	bool bad_charset;
};

struct command_row {
	const char *name; /* "UID FETCH" too */
	unsigned states;
	/* The arguments, from behind the name; the driver checks the end. NULL:
	 * none. Pure. */
	bool (*parse)(struct command *command);
	/* Ends with one imap_done. Suspends. */
	void (*act)(struct imap *imap, struct command *command);
	bool uid;
	bool no_expunge; /* RFC 3501 s7.4.1: no EXPUNGE while it is answered */
};
/* The row of that name, NULL: none. */
const struct command_row *command_find(struct ph_slice name);

/* --- session.c --- */

void imap_user_session(struct ph_session *session, const void *conf,
    struct ph_slice state);
void imap_write(struct imap *imap, const void *p, size_t n);
void imap_puts(struct imap *imap, const char *s);
void imap_printf(struct imap *imap, const char *fmt, ...) PH_PRINTF(2, 3);
void imap_buf(struct imap *imap, const struct ph_buf *buf);
/* End the session; the first reason counts. */
void imap_end(struct imap *imap, const char *reason);
/*
 * What changed meanwhile, then the tagged reply: "OK ...", "NO ...", "BAD ...".
 */
void imap_done(struct imap *imap, const struct command *command,
    const char *fmt, ...) PH_PRINTF(3, 4);
/* The tagged NO for a status of the store; missing: the text for NOT_FOUND. */
void imap_failed(struct imap *imap, const struct command *command, int status,
    const char *missing);
/* Octets are buffered, or the session has ended (false). Suspends. */
bool imap_fill(struct imap *imap, unsigned timeout_ms);
/* Gather the next command, or a line in the middle of one; then it lies in
 * imap->collect. False: the session has ended. Suspends. */
bool imap_read_command(struct imap *imap);
/* For the log. */
const char *imap_reason(int status);

/* --- edge: login.c --- */

void imap_login_session(struct ph_session *session, const void *conf);
bool imap_id_parse(struct command *command);

/* --- commands, by file --- */

void imap_do_capability(struct imap *imap, struct command *command);
void imap_do_noop(struct imap *imap, struct command *command);
void imap_do_logout(struct imap *imap, struct command *command);
void imap_do_id(struct imap *imap, struct command *command);
void imap_do_namespace(struct imap *imap, struct command *command);
bool imap_parse_enable(struct command *command);
void imap_do_enable(struct imap *imap, struct command *command);
void imap_do_idle(struct imap *imap, struct command *command);

bool imap_parse_mailbox(struct command *command);
void imap_do_select(struct imap *imap, struct command *command);
void imap_do_create(struct imap *imap, struct command *command);
void imap_do_delete(struct imap *imap, struct command *command);
bool imap_parse_rename(struct command *command);
void imap_do_rename(struct imap *imap, struct command *command);
void imap_do_subscribe(struct imap *imap, struct command *command);
bool imap_parse_status(struct command *command);
void imap_do_status(struct imap *imap, struct command *command);
void imap_do_close(struct imap *imap, struct command *command);
void imap_do_unselect(struct imap *imap, struct command *command);

bool imap_parse_list(struct command *command);
void imap_do_list(struct imap *imap, struct command *command);

bool imap_parse_append(struct command *command);
void imap_do_append(struct imap *imap, struct command *command);
/* Whether the literal announced at the end of text is an APPEND's message. */
bool imap_is_append_message(struct ph_slice text);

bool imap_parse_fetch(struct command *command);
void imap_do_fetch(struct imap *imap, struct command *command);

bool imap_parse_store(struct command *command);
void imap_do_store(struct imap *imap, struct command *command);
bool imap_parse_copy(struct command *command);
void imap_do_copy(struct imap *imap, struct command *command);
void imap_do_move(struct imap *imap, struct command *command);
bool imap_parse_uid_expunge(struct command *command);
void imap_do_expunge(struct imap *imap, struct command *command);

bool imap_parse_search(struct command *command);
void imap_do_search(struct imap *imap, struct command *command);

#endif
