/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.h - tags of the durable rows that the queue role writes into
 * queue-db: never reused, never renumbered.
 */
#ifndef CORE_QUEUE_ENVELOPE_H
#define CORE_QUEUE_ENVELOPE_H

enum envelope_tag {
	ENV_SENDER = 1,
	ENV_SESSION,
	ENV_CLIENT,
	ENV_SERVICE,
	ENV_AUTH_USER,
	ENV_RECEIVED_AT, /* n: seconds since 1970 */
	ENV_FACT,        /* r: F_NAME F_TEXT */
	/* of a recipient */
	ENV_USER,
	ENV_NOTIFY,
	ENV_ORCPT,
	ENV_CODE,        /* n */
	ENV_ENHANCED,
	ENV_HOST,
	ENV_REASON,
	ENV_WARNED,      /* n: 1 the sender was told of the delay */
	ENV_TRANSPORT,   /* section that routing chose */
	ENV_DESTINATION, /* for it; absent: the domain */
	/* of the message */
	ENV_QUARANTINE,  /* why it was held when it came */
	ENV_RELEASE_AT,  /* n: seconds since 1970: not tried before */
	ENV_ORIGIN,      /* r: F_ORIGIN */
	ENV_REDIRECTED,  /* repeated: an address that sent it on */
};

#endif
