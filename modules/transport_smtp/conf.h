/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h - the options of transport_smtp. */
#ifndef TRANSPORT_SMTP_CONF_H
#define TRANSPORT_SMTP_CONF_H

#include "smtp_client/client_conf.h"

struct smtp_conf {
	unsigned port;
	unsigned tls; /* enum tls_mode */
	const char *const *tls_policy;
	bool allow_loopback;
	unsigned max_hosts;
	const char *relay_host, *relay_user, *relay_password; /* "": none */
	bool relay_smtps;
	struct client_conf client;
};

#endif
