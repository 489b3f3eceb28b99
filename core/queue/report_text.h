/* SPDX-License-Identifier: Apache-2.0 */
/* report_text.h - between report_text.c and report_status.c: a report under way. */
#ifndef CORE_QUEUE_REPORT_TEXT_H
#define CORE_QUEUE_REPORT_TEXT_H

#include <posthouse/mail.h>

#include "queue/notice.h"
#include "queue/queue.h"

struct text {
	const struct report *report;
	struct ph_arena *arena;
	const char *hostname;
	bool is_utf8; /* RFC 6533: the sender understands it */
	char boundary[64];
	struct ph_buf body;
};

/* What the template is filled with. */
struct values {
	const char *of[NOTICE_VARIABLES];
	char arrival[PH_DATE_MAX], expiry[PH_DATE_MAX], hours[24], days[24];
};

/* "failed" and its like, RFC 3464 s2.3.3, of the recipient with this index. */
const char *report_outcome(const struct report *report, size_t i);
/* What the other server said, or another of ours: "550 5.1.1 who?"; as octets
 * that the charset has, with "?" for others. */
void report_put_said(const struct queue_recipient *r, bool is_utf8,
    struct ph_buf *buf);
/* With "?" for what is not ASCII, unless it is UTF-8 and may be. */
void report_put_in_charset(struct ph_slice words, bool is_utf8,
    struct ph_buf *buf);
/* The part that programs read, of at most limit octets, behind the body. */
void report_put_status(struct text *text, const struct values *values,
    size_t limit);

#endif
