/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.h - what the processes of one server say to each other: the types
 * of bus messages and one dictionary of field tags (core/base/record.h).
 *
 * Each type says who may send it, what it carries and what the reply carries.
 * "*" a field may repeat, "?" may be missing. Tags are never reused. The
 * receiver treats every field as hostile: the sender may be broken into.
 */
#ifndef CORE_ROLE_MESSAGES_H
#define CORE_ROLE_MESSAGES_H

#include <stdint.h>

enum message_type {
	/* --- master to every role --- */
	/* F_CONF F_GENERATION F_COUNT* (nested: F_ROLE F_NUMBER) F_KEY? F_CERT?
	 * F_CERT_KEY? F_CERT_MORE* F_CLIENT_CA? F_TICKETS? F_CHECK*
	 * F_NOTICES? F_ROUTES_SUM? F_READ*; reply: F_FLAG? (1: it is not taken,
	 * and only another process in this place can take it; MSG_RENEW), or
	 * PH_INVALID F_TEXT*. The first one starts the role; later ones replace
	 * the configuration for new sessions and calls. */
	MSG_CONFIGURE = 1,
	/* F_ROLE F_INDEX, fd: one end of a socket pair; notify */
	MSG_PEER = 2,
	/* edge: F_SECTION F_IMPLICIT_TLS F_ADDRESS, fd: a listening socket; a
	 * socket stays until MSG_UNLISTEN with the same fields */
	MSG_LISTEN = 3,
	MSG_UNLISTEN = 4,
	/* stop taking new work, end what can end within F_TIMEOUT ms; the reply
	 * comes when done, then the process exits 0 */
	MSG_STOP = 5,
	/* fd: the log, reopened */
	MSG_LOG_FD = 6,
	/* reply: F_ITEM* (nested: F_NAME F_TEXT), for posthousectl status */
	MSG_STATUS = 7,
	/* F_MODULE F_FLAG (enum module_standing): it was taken out, turned off or
	 * put back; notify. Kept by role.c, asked by role_module_state */
	MSG_MODULE_STATE = 8,
	/* edge: F_TICKETS; notify */
	MSG_TICKETS = 9,
	/* check: end when what runs has ended, another takes the place; notify */
	MSG_RENEW = 13,
	/* edge: F_INDEX (its own) F_NUMBER (edge processes), fd: the page where
	 * they count their connections (client_counts.h); notify, before the
	 * first MSG_LISTEN */
	MSG_CLIENTS = 14,
	/* edge, queue: F_INDEX F_MODULE? F_SUBJECT?: a process of the checks died, in
	 * that module, over that session or message, if that is certain; notify,
	 * before there is another process */
	MSG_CRASH = 15,

	/* --- any role to master --- */
	/* F_ROLE F_INDEX: the link to that process is down; notify. When both
	 * live, the master makes another: only what came on it was broken */
	MSG_LINK_DOWN = 10,
	/* relay: F_NUMBER (its own name for it) F_SECTION F_ARGUMENT* F_SENDER
	 * F_RECIPIENT F_NAME (queue id) F_TIMEOUT, fds: the program's input and
	 * output. Run as the section's user; reply at its end F_EXIT (as
	 * wait(2) has it), with PH_TIMEOUT when it was killed for being late.
	 * PH_DENIED: not what the configuration grants */
	MSG_RUN = 11,
	/* relay: F_NUMBER: kill it now; notify */
	MSG_RUN_END = 12,

	/* --- posthousectl, through master --- */
	/* to auth: F_OP ("add" "passwd" "del" "list") F_USER? F_PASSWORD?;
	 * reply F_USER* (list: in order, behind F_USER when given; F_FLAG 1: the
	 * message is full, ask again behind the last) or status and F_TEXT */
	MSG_USER_ADMIN = 20,
	/* to queue: F_OP, and as F_ARGUMENT* the words behind it: an id,
	 * "all", --options (queue/select.h), for "priority" the level last; for "flush" "suspend" "resume"
	 * F_DESTINATION; for "backup" fd: the caller's connection, to which
	 * goes what command.h says. Reply F_TEXT: what to print */
	MSG_QUEUE_ADMIN = 21,

	/* --- to auth, from edge (and LOOKUP from queue, check, mail) --- */
	/* F_SESSION F_SERVICE F_CLIENT F_TLS? F_MECHANISM F_RESPONSE?;
	 * reply F_ANSWER (enum ph_auth_result) F_CHALLENGE? F_EXCHANGE?
	 * F_USER? F_TOKEN? F_ALIAS* */
	MSG_SASL_START = 30,
	/* F_EXCHANGE F_RESPONSE; reply as above */
	MSG_SASL_STEP = 31,
	/* F_EXCHANGE; notify */
	MSG_SASL_ABORT = 32,
	/* F_SESSION F_SERVICE F_CLIENT F_TLS? F_USER F_PASSWORD; reply as above */
	MSG_LOGIN = 33,
	/* F_ADDRESS; reply F_ANSWER (enum ph_user_answer) F_USER? */
	MSG_LOOKUP = 34,

	/* --- to check, from edge --- */
	/* F_STAGE, the session (F_SESSION F_LISTENER F_SERVICE F_CLIENT
	 * F_PEER? F_CLIENT_PORT F_LOCAL F_LOCAL_PORT F_HELO? F_TLS? F_TLS_PEER?
	 * F_TLS_SUBJECT? F_TLS_ISSUER? F_TLS_VERIFIED? F_USER?), the
	 * envelope (F_TRANSACTION? F_SENDER? F_RECIPIENT? F_RECIPIENT_COUNT F_RECIPIENT_ALL*),
	 * F_SCORE? so far,
	 * F_HEADER? at data, fd of the content at message, F_CRASHED*;
	 * reply F_VERDICT F_CODE? F_ENHANCED? F_TEXT? F_MODULE? F_SCORE
	 * F_ADD_HEADER* F_EDIT* F_ENVELOPE* (in the order of their
	 * application), fd of another body at message, F_NOTE* F_TRACE* (nested: F_MODULE F_STAGE F_VERDICT F_TEXT?
	 * F_MICROSECONDS F_SHADOW F_SCORE?: its share) */
	MSG_STAGE = 40,
	/* F_SESSION: forget what is kept for it; notify */
	MSG_SESSION_END = 41,
	/* from edge and queue: F_SENDER? F_RECIPIENT* (at most 200); reply F_RESULT*
	 * (nested: F_NUMBER, which of them; F_ADDRESS F_ANSWER (enum
	 * route_answer) F_USER? F_TRANSPORT? F_DESTINATION? F_FLAG? 1: a router
	 * put it there, 2: a blind copy (where F_SENDER was given), F_ACCEPTED? 1: it is ours to take), at least one
	 * for each and in their order */
	MSG_ROUTE = 42,

	/* from queue: hooks before an attempt. F_QUEUE_ID F_SENDER F_RECEIVED_AT
	 * F_ORIGIN F_RCPT* (at most 16; nested: F_NUMBER F_ADDRESS F_STAGES
	 * F_USER? F_DESTINATION? F_ATTEMPTS F_CODE? F_ENHANCED? F_HOST?
	 * F_TEXT?) and F_CONTENT or fd or both; reply F_RESULT* (nested:
	 * F_NUMBER, F_STAGE that said it, and what MSG_STAGE replies,
	 * with F_TRACE* of all stages, F_REDIRECT* F_PLACE* F_REPLY*) */
	MSG_DELIVERY_ASK = 43,
	/* from queue: hooks after it, and observers of those before: the same
	 * without content, with F_DECISION? in each F_RCPT. Notify */
	MSG_DELIVERY_TELL = 44,
	/* from edge: a stage for observers, when it is decided: as MSG_STAGE
	 * without a descriptor, and F_DECISION. Notify */
	MSG_OBSERVE = 45,

	/* --- to queue, from edge --- */
	/* reply F_SPOOL, fd: an unlinked file to write the content to */
	MSG_SPOOL = 50,
	/* F_SESSION F_CLIENT F_SENDER F_RCPT* (nested: F_ADDRESS F_USER?
	 * F_DSN_NOTIFY? F_ORCPT?) F_FACT* (nested: F_NAME F_TEXT) F_TRACE*
	 * F_ORIGIN? F_AUTH_USER? F_TOKEN? (of the user)
	 * F_HOLD? (then F_TEXT?: why) F_RELEASE_AT? and F_CONTENT, or F_SPOOL F_SIZE F_PREFIX? (header
	 * fields to go in front of the spooled content); without a user fd?:
	 * the connection, whose other end the queue asks the kernel for;
	 * reply F_QUEUE_ID when durable, PH_FULL, PH_DENIED (no right to
	 * relay), PH_UNAVAILABLE (so, too, when the connection is gone) */
	MSG_COMMIT = 51,
	/* queue to edge: F_FLAG 1: no room, answer 452; notify */
	MSG_ROOM = 52,
	/* F_SPOOL: not needed; notify */
	MSG_SPOOL_DROP = 53,
	/* from check, edge, relay: the store of values that expire. F_OP
	 * ("get" "put" "delete" "add") F_NAME (whose keys; the sender's role is
	 * added) F_KV_KEY F_VALUE? (put) F_NUMBER? (add: as int64) F_TIMEOUT?
	 * (put, add: its life); reply F_VALUE (get) or F_NUMBER (add: the sum,
	 * as int64), PH_NOT_FOUND (get), PH_FULL, PH_INVALID, PH_TOO_BIG,
	 * PH_IO. "get_many" has an F_KV_KEY for each key, its reply F_VALUE or
	 * F_STATUS in their order */
	MSG_KV = 54,

	/* --- to mail --- */
	/* from edge: F_TOKEN F_SESSION F_LISTENER F_SERVICE F_CLIENT
	 * F_CLIENT_PORT F_LOCAL F_LOCAL_PORT F_TLS? F_USER F_STATE F_UNREAD,
	 * fd: the connection. Shard: partition_of(user) */
	MSG_HANDOVER = 60,
	/* from queue: F_QUEUE_ID F_SENDER F_RECEIVED_AT F_RCPT* (nested:
	 * F_NUMBER F_ADDRESS F_USER F_PLACE*) and F_CONTENT or fd; reply F_RESULT*
	 * (nested: F_NUMBER F_STATUS F_UID? F_TEXT?). Shard as above */
	MSG_DELIVER = 61,

	/* --- to relay, from queue --- */
	/* F_QUEUE_ID F_DESTINATION F_TRANSPORT? F_SENDER F_TIMEOUT? F_RCPT*
	 * (at most 6000; nested: F_NUMBER F_ADDRESS F_DSN_NOTIFY? F_ORCPT?)
	 * F_FACT* and F_CONTENT or fd or both, the file after the octets. The
	 * attempt ends within F_TIMEOUT (55 min); wait longer than that for
	 * the reply F_RESULT* (nested: F_NUMBER F_DELIVERY F_CODE? F_ENHANCED?
	 * F_HOST? F_TEXT? F_ONWARD?) */
	MSG_ATTEMPT = 70,
};

/* The dictionary. Octets unless said: n number, t enum number, r record. */
enum field_tag {
	F_CONF = 1,      /* r: conf_encode */
	F_GENERATION,    /* n */
	F_COUNT,         /* r: F_ROLE F_NUMBER: processes of a role */
	F_KEY,           /* 32 octets: signs tokens (auth, mail, queue) */
	F_CERT,          /* PEM */
	F_CERT_KEY,      /* PEM */
	F_TICKETS,       /* 80 octets, or twice that: newest first */
	F_CHECK,         /* r: F_SECTION F_STAGES (n: bit per stage) F_ORDER
	                  * F_ON_FAILURE F_MODE F_TIMEOUT F_WHEN?: a check
	                  * module, for edge */
	F_ROLE,          /* n: enum role */
	F_INDEX,         /* n */
	F_SECTION,
	F_IMPLICIT_TLS,  /* n: 0, 1 */
	F_ADDRESS,
	F_TIMEOUT,       /* n: ms */
	F_ITEM,          /* r */
	F_NAME,
	F_TEXT,
	F_OP,
	F_USER,
	F_PASSWORD,
	F_QUEUE_ID,      /* n */
	F_LIMIT,         /* n */
	F_SESSION,
	F_SERVICE,
	F_CLIENT,        /* address as text */
	F_CLIENT_PORT,   /* n */
	F_LOCAL,
	F_LOCAL_PORT,    /* n */
	F_LISTENER,
	F_TLS,
	F_HELO,
	F_MECHANISM,
	F_RESPONSE,      /* decoded from base64 */
	F_CHALLENGE,     /* not yet base64 */
	F_EXCHANGE,      /* n */
	F_ANSWER,        /* n */
	F_TOKEN,
	F_ALIAS,
	F_STAGE,         /* n */
	F_STAGES,        /* n */
	F_SENDER,
	F_RECIPIENT,
	F_RECIPIENT_COUNT, /* n */
	F_RECIPIENT_ALL,
	F_HEADER,
	F_VERDICT,       /* n */
	F_CODE,          /* n */
	F_ENHANCED,
	F_MODULE,
	F_SCORE,         /* n: thousandths, as int64 */
	F_ADD_HEADER,    /* a whole field with its CRLF */
	F_TRACE,         /* r */
	F_MICROSECONDS,  /* n */
	F_SHADOW,        /* n: 0, 1 */
	F_SPOOL,         /* n */
	F_SIZE,          /* n */
	F_PREFIX,
	F_RCPT,          /* r */
	F_NUMBER,        /* n */
	F_DSN_NOTIFY,
	F_ORCPT,
	F_FACT,          /* r */
	F_AUTH_USER,
	F_HOLD,          /* n: 1 quarantined */
	F_CONTENT,
	F_FLAG,          /* n */
	F_STATE,
	F_UNREAD,
	F_RECEIVED_AT,   /* n: seconds since 1970 */
	F_RESULT,        /* r */
	F_STATUS,        /* n: enum ph_status as int64 */
	F_UID,           /* n */
	F_DESTINATION,
	F_TRANSPORT,
	F_DELIVERY,      /* n: enum ph_delivery */
	F_HOST,
	F_ORDER,         /* n */
	F_ON_FAILURE,    /* n */
	F_MODE,          /* n */
	F_ARGUMENT,      /* posthousectl: one word of the command */
	F_EXIT,          /* n: posthousectl: exit status */
	F_KV_KEY,
	F_VALUE,
	F_CERT_MORE,     /* PEM of certificate, chain and key */
	F_TLS_PEER,      /* SHA-256 in hex of the client's certificate */
	F_ROUTERS,       /* n: router modules of the configuration */
	F_ACCEPTED,      /* n: 0, 1 */
	F_ONWARD,        /* n: enum ph_onward */
	F_ROUTES_SUM,    /* n: changes with what routes are made from */
	F_NOTICES,       /* the file of queue.bounce_template */
	F_CLIENT_CA,     /* PEM: whose certificates of clients are good */
	F_TLS_SUBJECT,   /* of the client's certificate: common name */
	F_TLS_ISSUER,
	F_TLS_VERIFIED,  /* n: 0, 1 */
	F_RELEASE_AT,    /* n: seconds since 1970: not tried before */
	F_WHEN,          /* r: when_encode (core/conf/when.h) */
	F_EDIT,          /* r: F_OP (n: enum field_change) F_NAME F_NUMBER
	                  * F_TEXT?: the field */
	F_TRANSACTION,   /* n: which message of the session, from 1 */
	F_PEER,          /* the front end that named the client */
	F_ORIGIN,        /* r: the session of a message as at MSG_STAGE, and
	                  * F_NOTE* */
	F_NOTE,          /* r: F_NAME F_TEXT: of a check */
	F_ATTEMPTS,      /* n */
	F_DECISION,      /* r: F_VERDICT F_CODE? F_ENHANCED? F_TEXT? F_MODULE?: of
	                  * a stage, for observers */
	F_READ,          /* a file that an option names: the role may read it */
	F_ENVELOPE,      /* r: F_OP (n: enum envelope_op) F_ADDRESS
	                  * F_DSN_NOTIFY? F_ORCPT? F_MODULE */
	F_REDIRECT,      /* an address, of a check's answer at deliver */
	F_PLACE,         /* r: F_NAME F_FLAGS F_KEYWORD*: a mailbox, the same */
	F_FLAGS,         /* n: of mailbox.h */
	F_KEYWORD,
	F_REPLY,         /* r: F_ADDRESS F_CONTENT: a message of a check, the
	                  * same */
	F_SUBJECT,       /* id of a session or message as text */
	F_CRASHED,       /* a section whose module died over this: its
	                  * on_failure speaks for it */
};

#endif
