/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the SMTP server conversation, for the listener modules beside it.
 *
 * A listener is an option table over struct smtp_conf and a policy; the engine
 * is everything else. It knows nothing of who runs it.
 */
#ifndef SMTP_ENGINE_ENGINE_H
#define SMTP_ENGINE_ENGINE_H

#include <posthouse/listener.h>

enum smtp_bare_newline { SMTP_BARE_REJECT, SMTP_BARE_NORMALIZE };

/* What the options of either listener fill; the others stay zero. */
struct smtp_conf {
	uint64_t message_size_bytes;
	uint64_t header_limit_bytes;
	unsigned max_recipients;
	unsigned max_hops;
	unsigned max_errors;
	unsigned max_unknown;
	unsigned max_idle_commands;
	unsigned command_timeout_ms;
	unsigned data_timeout_ms;
	unsigned min_rate_bytes; /* a second, while content comes; 0: none */
	unsigned bare_newline;   /* enum smtp_bare_newline */
	struct ph_net_list bare_newline_networks;
	bool auth;               /* inbound: whether AUTH is offered */
	bool allow_plain_auth;
	bool check_sender;       /* submission */
	bool check_from;         /* submission */
};

/* What makes a listener what it is, not left to an administrator. */
struct smtp_policy {
	bool submission; /* RFC 6409: login first, complete the header */
};

extern const char *const smtp_bare_newline_names[];

/* The rows that both tables share. */
#define SMTP_COMMON_OPTIONS                                                   \
	PH_OPT_BYTES("message_size", struct smtp_conf, message_size_bytes,     \
	    1024, INT64_MAX / 4, "50M", "largest message taken"),              \
	PH_OPT_BYTES("header_limit", struct smtp_conf, header_limit_bytes,     \
	    4096, 16777216, "100K", "largest header section taken"),           \
	PH_OPT_UINT("max_recipients", struct smtp_conf, max_recipients, 1,     \
	    100000, "1000", "recipients in one transaction"),                  \
	PH_OPT_UINT("max_hops", struct smtp_conf, max_hops, 1, 1000, "50",     \
	    "Received fields above which a message counts as looping"),        \
	PH_OPT_UINT("max_errors", struct smtp_conf, max_errors, 1, 100000,     \
	    "50", "refused commands after which the session ends"),            \
	PH_OPT_UINT("max_unknown", struct smtp_conf, max_unknown, 1, 1000,     \
	    "3", "unknown commands after which the session ends"),             \
	PH_OPT_UINT("max_idle_commands", struct smtp_conf, max_idle_commands,  \
	    1, 100000, "100", "NOOP, RSET and the like between messages"),     \
	PH_OPT_MSEC("command_timeout", struct smtp_conf, command_timeout_ms,   \
	    100, 86400000, "5m", "how long a command may take to arrive"),     \
	PH_OPT_MSEC("data_timeout", struct smtp_conf, data_timeout_ms, 100,    \
	    86400000, "10m", "how long content may pause"),                    \
	PH_OPT_UINT("min_rate", struct smtp_conf, min_rate_bytes, 0,           \
	    1000000000, "500",                                                 \
	    "octets a second that content must reach, past data_timeout"),     \
	PH_OPT_CHOICE("bare_newline", struct smtp_conf, bare_newline,          \
	    smtp_bare_newline_names, "reject",                                 \
	    "what happens to CR and LF that are no CRLF"),                     \
	PH_OPT_NETS("bare_newline_networks", struct smtp_conf,                 \
	    bare_newline_networks, 0, 1000, "[]",                              \
	    "clients whose bare newlines are always normalized"),              \
	PH_OPT_BOOL("allow_plain_auth", struct smtp_conf, allow_plain_auth,    \
	    "false", "offer AUTH without TLS")

/* The whole life of a connection. Suspends. */
void smtp_serve(struct ph_session *session, const struct smtp_conf *conf,
    const struct smtp_policy *policy);

/* struct ph_listener_ops.farewell. */
void smtp_farewell(struct ph_stream *stream, const void *conf,
    const char *hostname, enum ph_status why);

#endif
