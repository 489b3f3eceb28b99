/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_conf.h - the options that every user of the conversation has: how long
 * each step may take (RFC 5321 s4.5.3.2) and how long a connection is kept.
 */
#ifndef SMTP_CLIENT_CLIENT_CONF_H
#define SMTP_CLIENT_CLIENT_CONF_H

#include <posthouse/option.h>

/* What becomes of 8-bit content where the host offers no 8BITMIME. */
enum eight_bit { EIGHT_BIT_ENCODE, EIGHT_BIT_BOUNCE, EIGHT_BIT_SEND };
extern const char *const eight_bit_names[];

struct client_conf {
	unsigned eight_bit; /* enum eight_bit */
	unsigned connection_idle_ms; /* 0: no connection is kept */
	/* each for one command's reply */
	unsigned connect_timeout_ms, greeting_timeout_ms, helo_timeout_ms,
	    tls_timeout_ms, mail_timeout_ms, rcpt_timeout_ms,
	    data_init_timeout_ms, data_block_timeout_ms, data_done_timeout_ms;
};

/* Rows of an option table: m is the struct client_conf in struct s. */
#define CLIENT_OPTIONS(s, m)                                                  \
	PH_OPT_CHOICE("eight_bit", s, m.eight_bit, eight_bit_names, "encode", \
	    "8-bit content for a host without 8BITMIME: encode it anew, "     \
	    "bounce it, or send it as it is"),                                \
	PH_OPT_MSEC("connection_idle", s, m.connection_idle_ms, 0, 300000,    \
	    "5s", "keep a connection so long for more mail, 0 for not at all"), \
	PH_OPT_MSEC("connect_timeout", s, m.connect_timeout_ms, 1000, 600000, \
	    "30s", "wait for a connection"),                                  \
	PH_OPT_MSEC("greeting_timeout", s, m.greeting_timeout_ms, 1000,       \
	    3600000, "5m", "wait for the greeting"),                          \
	PH_OPT_MSEC("helo_timeout", s, m.helo_timeout_ms, 1000, 3600000,      \
	    "5m", "wait for the reply to EHLO, HELO, STARTTLS and AUTH"),     \
	PH_OPT_MSEC("tls_timeout", s, m.tls_timeout_ms, 1000, 600000, "1m",   \
	    "wait for the TLS handshake"),                                    \
	PH_OPT_MSEC("mail_timeout", s, m.mail_timeout_ms, 1000, 3600000,      \
	    "5m", "wait for the reply to MAIL"),                              \
	PH_OPT_MSEC("rcpt_timeout", s, m.rcpt_timeout_ms, 1000, 3600000,      \
	    "5m", "wait for the reply to RCPT"),                              \
	PH_OPT_MSEC("data_init_timeout", s, m.data_init_timeout_ms, 1000,     \
	    3600000, "2m", "wait for the reply to DATA"),                     \
	PH_OPT_MSEC("data_block_timeout", s, m.data_block_timeout_ms, 1000,   \
	    3600000, "3m", "wait for the peer to take some content"),         \
	PH_OPT_MSEC("data_done_timeout", s, m.data_done_timeout_ms, 1000,     \
	    3600000, "10m", "wait for the reply to the end of data")

#endif
