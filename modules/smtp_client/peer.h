/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - one place to send to, and on what terms. */
#ifndef SMTP_CLIENT_PEER_H
#define SMTP_CLIENT_PEER_H

#include <posthouse/addr.h>

enum tls_mode { TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_VERIFY };

struct client_peer {
	const char *name;     /* for results, the log and TLS */
	struct ph_addr addr;  /* family 0: path */
	unsigned port;
	const char *path;     /* of a Unix socket */
	enum tls_mode tls;
	bool is_tls_at_once;  /* no STARTTLS: TLS from the first octet */
	bool is_lmtp;
	bool may_be_ourselves; /* its name may be ours */
	const char *user, *password; /* NULL: no AUTH */
};

#endif
