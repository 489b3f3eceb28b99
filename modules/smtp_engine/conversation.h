/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.h - one SMTP conversation, as the files of the engine share it.
 *
 * The driver (engine.c) reads a line, finds its row (commands.c), lets the row
 * parse, allow, ask the pipeline and act, and then - there alone - changes the
 * state and sends the reply. Everything a row does is to fill `reply`.
 */
#ifndef SMTP_ENGINE_CONVERSATION_H
#define SMTP_ENGINE_CONVERSATION_H

#include "args.h"
#include "data_scan.h"
#include "engine.h"
#include "header_scan.h"
#include "reply.h"

enum smtp_state {
	SMTP_GREETED, /* no EHLO yet */
	SMTP_READY,   /* between transactions */
	SMTP_MAIL,    /* the sender is known */
	SMTP_RCPT,    /* a recipient was accepted */
	SMTP_BDAT,    /* part of the content came in chunks */
	SMTP_REFUSED, /* nothing but QUIT works any more */
	SMTP_CLOSED,
	SMTP_STATES,
	SMTP_SAME = SMTP_STATES, /* in the table: no change */
};

/* RFC 4954 s4: lines of an AUTH exchange; all others are shorter. */
enum { SMTP_LINE_MAX = 2048, SMTP_AUTH_LINE_MAX = 12288 };

struct smtp_recipient {
	struct smtp_recipient *next;
	struct ph_slice address;
	bool is_local;
};

/* What is wrong with content; the higher one is told. */
enum smtp_fault {
	SMTP_FAULT_NONE,
	SMTP_FAULT_QUEUE,   /* the queue could not take it */
	SMTP_FAULT_VERDICT, /* a stage of the pipeline refused it */
	SMTP_FAULT_HEADER,
	SMTP_FAULT_BIG_HEADER,
	SMTP_FAULT_SIZE,
	SMTP_FAULT_NEWLINE,
};

/* Content on its way in; zeroed between messages. */
struct smtp_content {
	struct data_scan scan;
	struct header_scan header_scan;
	struct ph_buf header;      /* until the header section is complete */
	bool open;
	bool in_body;              /* behind the header section */
	bool discard;              /* take it, answer 250, keep nothing */
	enum smtp_fault fault;
	struct smtp_reply failure; /* of that fault; code 0: none */
	uint64_t octets;           /* of content, as received */
	uint64_t limit;            /* of them */
	uint64_t wire_octets;
	uint64_t waited_ms;
};

/* What one session did, for its last line in the log. */
struct smtp_tally {
	unsigned messages, recipients, discarded;
	unsigned rejected, deferred;
	unsigned errors, unknown, idle_commands; /* against the limits */
	const char *end; /* why it ended */
	uint64_t began_ms;
};

struct smtp {
	struct ph_session *session;
	struct ph_stream *stream;
	const struct smtp_conf *conf;
	const struct smtp_policy *policy;
	bool normalize; /* bare newlines of this client */
	bool may_xclient; /* the true client, whoever it speaks for */

	enum smtp_state state;
	enum smtp_state next;    /* where a good reply leads */
	bool hang_up;            /* whatever the reply */
	enum ph_verdict verdict; /* of the stage asked last */
	struct smtp_reply reply;
	struct smtp_reply refusal; /* spoken in SMTP_REFUSED; code 0: 503 */
	struct ph_arena *scratch;  /* of a few commands; NULL until needed */
	const char *stage_word;    /* what was asked last, for the log */
	struct ph_slice said;      /* of a line that was no good, for the log */
	bool saw_auth; /* lines may be passwords */

	bool extended; /* EHLO, not HELO */
	struct smtp_mail_args mail_args;
	struct smtp_rcpt_args rcpt_args;
	struct smtp_bdat_args bdat_args;
	struct smtp_xclient_args xclient_args;
	struct ph_slice helo_arg;
	struct ph_slice auth_mechanism, auth_initial;

	/* the transaction */
	struct ph_mail *mail;
	struct ph_slice sender; /* in the mail's arena; absent outside */
	bool smtputf8;
	bool binary;                  /* BODY=BINARYMIME */
	struct ph_slice rcpt_address; /* of this RCPT, after look-up */
	bool rcpt_is_local;
	struct smtp_recipient *recipients, **recipients_end;
	unsigned recipient_count; /* with those that are discarded */
	struct smtp_content content;

	struct smtp_tally tally;
};

struct smtp_command {
	const char *verb;
	unsigned states; /* or-ed 1 << enum smtp_state */
	/* Syntax of the argument alone; NULL: none may be there. */
	const struct smtp_reply *(*parse)(struct smtp *c, struct ph_slice arg);
	/* Our own rules; a refusal fills reply. NULL: none. */
	void (*allow)(struct smtp *c);
	int stage; /* enum ph_stage asked then, or SMTP_NO_STAGE */
	void (*act)(struct smtp *c);
	enum smtp_state next;   /* after a good reply */
	/* After a refusal by stage or act; SMTP_SAME: no change. */
	enum smtp_state failed;
};
enum { SMTP_NO_STAGE = -1 };

const char *smtp_state_name(enum smtp_state state);
/* All rows, ended by a NULL verb; for tests. */
extern const struct smtp_command smtp_commands[];
/* The row for a verb in a state. NULL: *known_out is the verb as the table has
 * it when it is known in another state, else NULL. */
const struct smtp_command *smtp_command_find(struct ph_slice verb,
    enum smtp_state state, const char **known_out);
/* A verb of HTTP: someone leads a browser to us (ALPACA). */
bool smtp_verb_is_http(struct ph_slice verb);

/* The arena of this command's reply and arguments. */
struct ph_arena *smtp_scratch(struct smtp *c);
/* Fill the reply. Strings are literals or in an arena that lives as long. */
void smtp_say(struct smtp *c, int code, const char *enhanced,
    const char *text);
void smtp_sayf(struct smtp *c, int code, const char *enhanced,
    const char *fmt, ...) PH_PRINTF(4, 5);
/* Ask the pipeline; fills verdict. False: refused, reply is filled. */
bool smtp_ask(struct smtp *c, enum ph_stage stage);
/* Input failed: say what fits (nothing on a lost connection), end. */
void smtp_lost(struct smtp *c, int status);
/* Write reply now; used by the driver, and for 354, 334 and 220. */
void smtp_send(struct smtp *c, const struct smtp_reply *reply);

/* engine.c: what depends on who the client is. */
void smtp_meet_client(struct smtp *c);

/* extensions.c */
void smtp_do_ehlo(struct smtp *c);

/* policy.c; a refusal fills reply. */
bool smtp_talks_early(struct smtp *c);
void smtp_check_helo(struct smtp *c);
void smtp_tarpit(struct smtp *c);
/* Count one more message, one more recipient; false: refused. */
bool smtp_message_rate(struct smtp *c);
bool smtp_recipient_rate(struct smtp *c);

/* future_release.c; a refusal fills reply. */
bool smtp_future_release_is_offered(const struct smtp *c);
void smtp_future_release_value(struct smtp *c, struct ph_buf *out);
bool smtp_allow_future_release(struct smtp *c);
/* What the MAIL asked for, of the transaction that began. */
void smtp_begin_future_release(struct smtp *c);

/* xclient.c */
const struct smtp_reply *smtp_xclient_parse(struct smtp *c,
    struct ph_slice text, struct smtp_xclient_args *args_out);
void smtp_allow_xclient(struct smtp *c);
void smtp_do_xclient(struct smtp *c);

/* transaction.c: allow and act of MAIL, RCPT; the end of a transaction. */
void smtp_allow_mail(struct smtp *c);
void smtp_do_mail(struct smtp *c);
void smtp_allow_rcpt(struct smtp *c);
void smtp_do_rcpt(struct smtp *c);
void smtp_transaction_end(struct smtp *c);
/* What SIZE offers: the smaller of ours and the server's. */
uint64_t smtp_size_limit(const struct smtp *c);

/* auth.c */
bool smtp_auth_is_offered(const struct smtp *c);
/* What to answer when the listener requires a certificate of the client and
 * has none that is verified; NULL: nothing. */
const char *smtp_need_certificate(const struct smtp *c);
void smtp_allow_auth(struct smtp *c);
void smtp_do_auth(struct smtp *c);
void smtp_do_starttls(struct smtp *c);

/* content.c */
/* Of the message that is under way: in its Received field and in the log, where
 * posthousectl trace finds it. The queue's id is known when it is on disk. */
const char *smtp_message_id(const struct smtp *c, struct ph_arena *arena);
void smtp_allow_data(struct smtp *c);
void smtp_do_data(struct smtp *c);
void smtp_do_bdat(struct smtp *c);
/* BDAT where it does not belong: its chunk must be swallowed all the same. */
void smtp_do_bdat_misplaced(struct smtp *c);

/* submit.c: RFC 6409. NULL: fine; else why the header section is refused. */
const struct smtp_reply *smtp_submit_check(struct smtp *c,
    struct ph_slice header);
/* Whether the logged-in user may send as this address, by sender_check. */
enum ph_ownership smtp_owns(const struct smtp *c, struct ph_slice address);
/* False: a field that goes no further. */
bool smtp_submit_keeps(const struct smtp *c,
    const struct ph_header_field *field);
/* Fields the header section lacks, to be put before it. */
void smtp_submit_complete(struct smtp *c, struct ph_slice header,
    struct ph_buf *out);

#endif
