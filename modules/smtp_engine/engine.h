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
/* What becomes of a Sender field that a user's message has, or has not. */
enum smtp_sender_field { SMTP_SENDER_CHECK, SMTP_SENDER_SET, SMTP_SENDER_KEEP };
enum smtp_sender_check { SMTP_SENDER_OFF, SMTP_SENDER_OWN, SMTP_SENDER_ALIASES };

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
	struct ph_net_list xclient_networks;
	bool allow_plain_auth;
	bool address_brackets;

	/* rates, within a window; 0: no limit */
	unsigned rate_window_ms;
	unsigned client_messages, client_recipients, recipient_messages;
	unsigned tarpit_ms;

	/* inbound */
	bool auth;               /* whether AUTH is offered */
	unsigned greet_delay_ms; /* 0: early talkers are not looked for */
	bool helo_refuse_own, helo_refuse_address;

	/* submission */
	unsigned sender_check;   /* enum smtp_sender_check */
	bool check_from;
	unsigned sender_field;   /* enum smtp_sender_field */
	bool hide_client;
	unsigned user_messages, user_recipients;
	unsigned future_release_ms; /* 0: not offered */
};

/* What makes a listener what it is, not left to an administrator. */
struct smtp_policy {
	bool submission; /* RFC 6409: login first, complete the header */
};

extern const char *const smtp_bare_newline_names[];
extern const char *const smtp_sender_check_names[];
extern const char *const smtp_sender_field_names[];

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
	PH_OPT_NETS("xclient_networks", struct smtp_conf, xclient_networks,    \
	    0, 1000, "[]", "front ends that may name their client by XCLIENT"), \
	PH_OPT_MSEC("rate_window", struct smtp_conf, rate_window_ms, 1000,     \
	    604800000, "1h", "the time that rates are counted in"),            \
	PH_OPT_UINT("client_messages", struct smtp_conf, client_messages, 0,   \
	    1000000000, "0", "messages of one client in rate_window; 0: any"), \
	PH_OPT_UINT("client_recipients", struct smtp_conf, client_recipients,  \
	    0, 1000000000, "0",                                                \
	    "recipients of one client in rate_window; 0: any"),                \
	PH_OPT_UINT("recipient_messages", struct smtp_conf,                    \
	    recipient_messages, 0, 1000000000, "0",                            \
	    "messages for one recipient in rate_window; 0: any"),              \
	PH_OPT_MSEC("tarpit", struct smtp_conf, tarpit_ms, 0, 60000, "0s",     \
	    "wait before a refusal is answered"),                              \
	PH_OPT_BOOL("allow_plain_auth", struct smtp_conf, allow_plain_auth,    \
	    "false", "offer AUTH without TLS"),                                \
	PH_OPT_BOOL("address_brackets", struct smtp_conf, address_brackets,    \
	    "true", "refuse addresses in MAIL and RCPT without their < >")

/* The whole life of a connection. Suspends. */
void smtp_serve(struct ph_session *session, const struct smtp_conf *conf,
    const struct smtp_policy *policy);

/* struct ph_listener_ops.is_front_end. */
bool smtp_is_front_end(const void *conf, const struct ph_addr *client);

/* struct ph_listener_ops.farewell. */
void smtp_farewell(struct ph_stream *stream, const void *conf,
    const char *hostname, enum ph_status why);

#endif
