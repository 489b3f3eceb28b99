/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pop3.h - one POP3 conversation, as the files of the module share it.
 *
 * Both halves, before the login (edge) and after it (mail), are a table of
 * commands walked by the same driver, pop3_converse.
 */
#ifndef POP3_POP3_H
#define POP3_POP3_H

#include <posthouse/listener.h>
#include <posthouse/mailbox.h>

struct pop3_conf {
	unsigned idle_timeout_ms;
	unsigned login_timeout_ms;
	unsigned max_errors;
	bool allow_plain_auth;
};

enum pop3_state {
	POP3_AUTHORIZATION,
	POP3_TRANSACTION,
	POP3_CLOSED,
};

/* RFC 5034 s4: lines of an AUTH exchange; all others are shorter. */
enum { POP3_LINE_MAX = 1024, POP3_AUTH_LINE_MAX = 12288 };

struct pop3_maildrop {
	struct ph_mailbox *mailbox;
	const struct ph_message_meta *metas; /* the snapshot */
	bool *deleted;
	size_t count;
	uint32_t uid_validity;
	unsigned retrieved;
	size_t removed;
};

struct pop3 {
	struct ph_session *session;
	struct ph_stream *stream;
	const struct pop3_conf *conf;
	const struct pop3_command *commands;
	enum pop3_state state;
	unsigned errors, unknown;
	const char *end; /* why it ended, for the log */
	struct ph_slice user;         /* of USER; absent: none given */
	struct pop3_maildrop drop;
};

enum pop3_args {
	POP3_NONE,
	POP3_TEXT,       /* the rest of the line, not empty */
	POP3_MESSAGE,    /* a message number */
	POP3_ANY_MESSAGE, /* a message number or nothing */
	POP3_MESSAGE_COUNT, /* a message number and a count */
};

/* Parsed by the driver; message is an index, not deleted. */
struct pop3_call {
	struct ph_slice text;
	bool has_message;
	size_t message;
	uint64_t count;
};

struct pop3_command {
	const char *verb; /* NULL ends a table */
	enum pop3_args args;
	void (*act)(struct pop3 *p, const struct pop3_call *call);
};

/* Read, parse and act until the state is POP3_CLOSED. */
void pop3_converse(struct pop3 *p, size_t line_limit);
void pop3_ok(struct pop3 *p, const char *text);
/* Counts against max_errors. Text begins with a response code or none. */
void pop3_err(struct pop3 *p, const char *text);
/* Reading failed, or the client has to go. */
void pop3_end(struct pop3 *p, const char *why);
/* CAPA lines that hold in both states. */
void pop3_capa(struct pop3 *p);

/* struct ph_listener_ops */
void pop3_session(struct ph_session *session, const void *conf);
void pop3_user_session(struct ph_session *session, const void *conf,
    struct ph_slice state);

#endif
