/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delivery.h - one attempt on its way over hosts: what is to be sent, who has a
 * result, and what the hosts tried so far said.
 */
#ifndef SMTP_CLIENT_DELIVERY_H
#define SMTP_CLIENT_DELIVERY_H

#include <posthouse/transport.h>

#include "command.h"
#include "client_conf.h"
#include "recode.h"
#include "reply.h"

/* Why a host, or all of them, did not take the message. */
struct failure {
	bool is_permanent;
	int code;          /* 0: not the peer's words */
	char enhanced[12]; /* "" none */
	const char *host;  /* NULL: none */
	const char *text;
};

struct delivery {
	struct ph_attempt *attempt;
	struct ph_arena *arena;
	const struct client_conf *conf;
	struct smtp_envelope envelope;
	struct ph_slice content;
	bool *has_result;  /* for each recipient */
	bool knows_parts;  /* they were searched for UTF-8, where they may be */
	size_t open;       /* recipients without result */
	size_t delivered;
	bool seen_temporary;   /* some host may take it another time */
	struct failure failure; /* the last one, temporary ones win */
	struct recoding {
		bool is_made;
		const struct recode_plan *plan; /* NULL: there is none */
		const char *why;                /* then */
	} recoding;        /* the content for hosts that take less */
	bool is_over;      /* canceled, or the time is up: try no other host */
};

struct delivery *delivery_create(struct ph_attempt *attempt,
    const struct client_conf *conf);

/* The result of recipient i in the peer's words. */
void delivery_result(struct delivery *delivery, size_t i,
    enum ph_delivery result, const struct smtp_reply *reply,
    const char *host);
/* The result of recipient i in ours. */
void delivery_refuse(struct delivery *delivery, size_t i, const char *enhanced,
    const char *host, const char *fmt, ...) PH_PRINTF(5, 6);
/* Keep why a host failed, for those that have no result in the end. */
void delivery_fail(struct delivery *delivery, const struct failure *failure);
/* Give the kept reason to all that have no result. */
void delivery_end(struct delivery *delivery);

#endif
