/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail_inner.h - between session_mail.c (the envelope and the commit) and
 * mail_content.c (the octets).
 */
#ifndef CORE_SESSION_MAIL_INNER_H
#define CORE_SESSION_MAIL_INNER_H

#include "session/mail.h"
#include "session/session.h"

struct ph_mail {
	struct ph_session *session;
	struct ph_arena *arena;
	struct ph_slice sender;
	struct ph_buf facts, recipients, headers, trace, notes;
	uint64_t number;            /* in its session */
	struct ph_slice *addresses; /* of the recipients, for the pipeline */
	size_t recipient_count, address_room;
	bool is_going_out;          /* to a recipient without a mailbox here */
	struct score score;
	const char *held_for;       /* NULL: not in quarantine */
	int64_t release_at;         /* s; 0: at once */
	int failed;                 /* sticky status of a write */

	/* mail_content.c */
	struct ph_buf content;      /* all of it, or what waits for the file */
	struct ph_slice header;     /* that the file begins with */
	int spool_fd;               /* -1: none yet */
	uint64_t spool;             /* the queue's number for it */
	uint64_t written;           /* octets in the file */
	uint64_t size, limit_bytes;
	struct ph_slice head;       /* as it was changed; absent: as it came */
	struct ph_slice prefix;     /* of the file, at the commit */
	size_t growth;              /* octets that changes added */
	int body_fd;                /* a check's in the body's place; -1: none */
	uint64_t body_bytes;
	bool has_added;             /* the fields of stages before data */
};

void mail_content_init(struct ph_mail *mail);
/* For the commit: changes are in the content, or in the prefix. Suspends. */
int mail_content_settle(struct ph_mail *mail);
/* F_CONTENT, or F_SPOOL with its fields. */
void mail_content_put_commit(const struct ph_mail *mail, struct ph_buf *buf);

#endif
