/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h - the options of transport_smtp. */
#ifndef TRANSPORT_SMTP_CONF_H
#define TRANSPORT_SMTP_CONF_H

#include <posthouse/option.h>

enum tls_mode { TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_VERIFY };

struct smtp_conf {
	unsigned port;
	unsigned tls; /* enum tls_mode */
	bool allow_loopback;
	unsigned max_hosts;
	/* RFC 5321 s4.5.3.2, each for one command's reply */
	unsigned connect_timeout_ms, greeting_timeout_ms, helo_timeout_ms,
	    tls_timeout_ms, mail_timeout_ms, rcpt_timeout_ms,
	    data_init_timeout_ms, data_block_timeout_ms, data_done_timeout_ms;
};

#endif
