/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - a message that a check made to answer another, looked at where it is
 * made and again by the queue, which sends it.
 */
#ifndef CORE_PIPELINE_REPLY_H
#define CORE_PIPELINE_REPLY_H

#include <posthouse/base.h>

enum {
	REPLIES_MAX = 4,               /* of one module */
	REPLY_OCTETS_MAX = 16 * 1024, /* of these together */
};

/* Whether a header says that no person sent this (RFC 3834 s5). */
bool reply_is_automatic(struct ph_slice header);
/* A header with From, and one that says so, and lines as they go over SMTP. */
bool reply_is_sound(struct ph_slice content);

#endif
