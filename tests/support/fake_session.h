/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_session.h - a session without a server, for the unit tests of listener
 * modules: input is a script of segments, what is written is gathered, the
 * pipeline, users, queue and mailbox answer what the test set. Linked instead
 * of the core's own (only its base and mail parts).
 */
#ifndef TESTS_SUPPORT_FAKE_SESSION_H
#define TESTS_SUPPORT_FAKE_SESSION_H

#include <posthouse/listener.h>
#include <posthouse/mailbox.h>

struct fake_message {
	struct ph_message_meta meta;
	const char *content;
	bool removed;
};

struct fake {
	struct ph_arena *arena;

	/* the wire; segments are separated as TCP would */
	struct ph_slice segment[64];
	size_t segments, next, given; /* octets of segment[next] given */
	size_t step;                  /* at most this many at once; 0: all */
	uint32_t cut;                 /* seed of random pieces; 0: none */
	struct ph_buf input;
	size_t consumed;
	int end_status;               /* when the script is over */
	unsigned silences;            /* waits for input that time out first */
	struct ph_buf out;
	bool tls_fails;

	/* the client */
	struct ph_addr client, local;
	const char *user, *tls, *certificate; /* subject of a verified one */
	struct ph_slice helo;
	bool has_tls, may_relay, wants_certificate;
	int client_status; /* of setting another */

	/* the pipeline */
	struct ph_outcome outcome[PH_STAGES];
	struct ph_buf asked; /* "connect helo mail ..." */
	struct ph_slice refused; /* a client that connect rejects */
	struct ph_slice refused_helo; /* a name that helo rejects */
	unsigned slept_ms;
	int kv_status;
	struct fake_counter {
		struct ph_slice key;
		unsigned count;
	} counter[64];
	size_t counters;

	/* the queue */
	uint64_t size_limit;
	int room_status, write_status, commit_status;
	uint64_t write_fails_from;   /* octets taken before write_status */
	struct ph_mail *mail;        /* the open one */
	unsigned begun, aborted, committed;
	struct ph_buf content;       /* of the last one committed */
	struct ph_buf envelope;      /* "from|rcpt,rcpt|key=value;" */
	struct ph_buf log;           /* "event key=value ...\n" */

	/* a mailbox */
	struct fake_message *message;
	size_t messages;
	int open_status, remove_status, handover_status;
	struct ph_slice handed_over; /* state; absent: not */
};
extern struct fake fake;

/* Begin anew: no input, all verdicts accept. */
void fake_reset(void);
/* Append one segment (copied). */
void fake_input(const char *text);
void fake_input_octets(const void *p, size_t n);
/* What was written so far, NUL-terminated. */
const char *fake_output(void);
/* Codes of all replies, "220 250-250 354": digits of each line's start. */
const char *fake_codes(void);
const char *fake_text(struct ph_buf *buf);
/* The session all calls are given. */
struct ph_session *fake_session(void);

#endif
