/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notice.h - the words of delivery status notifications, which an administrator
 * may change: a file of templates, as Postfix's bounce_template_file.
 *
 *   failure_template = <<END
 *   Charset: utf-8
 *   From: Mail system <MAILER-DAEMON@$hostname>
 *   Subject: Undelivered mail
 *
 *   Text with $variables.
 *   END
 *
 * Templates are failure, delay and success; one that a file leaves out is as
 * shipped. Whom the notice is about follows the text by itself. Pure.
 */
#ifndef CORE_QUEUE_NOTICE_H
#define CORE_QUEUE_NOTICE_H

#include <posthouse/arena.h>

enum notice_kind {
	NOTICE_FAILURE,
	NOTICE_DELAY,
	NOTICE_SUCCESS,
	NOTICE_KINDS,
};

enum { NOTICE_FILE_MAX = 64 << 10 };

struct notice {
	struct ph_slice charset, from, subject;
	struct ph_slice text; /* lines end with LF */
};

struct notices {
	struct notice kind[NOTICE_KINDS];
};

/* What a variable may be; the first two stand in From and Subject, too. */
enum notice_variable {
	NOTICE_HOSTNAME,
	NOTICE_QUEUE_ID,
	NOTICE_SENDER,
	NOTICE_ARRIVAL,      /* dates as in a header */
	NOTICE_EXPIRY,
	NOTICE_DELAY_HOURS,  /* queue.delay_warning */
	NOTICE_LIFETIME_DAYS, /* queue.lifetime */
	NOTICE_VARIABLES,
};

/* The templates that are used when a file says nothing else, as a file. */
extern const char notices_shipped[];

/*
 * The shipped templates with those of the file (borrowed; may be empty) in their
 * place. PH_INVALID with the line and what is wrong with it.
 */
int notices_parse(struct ph_arena *arena, struct ph_slice file,
    struct notices *notices_out, unsigned *line_out, const char **why_out);
/* A text that notices_parse let pass, with values in the place of variables.
 * Lines end with CRLF. */
void notice_expand(struct ph_slice text,
    const char *const values[NOTICE_VARIABLES], struct ph_buf *buf);

#endif
