/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imap.c - the module: IMAP4rev1 (RFC 3501) before login in the edge role and
 * after it in the mail role. This file is glue; session.c and login.c speak.
 */
#include "imap.h"

static const struct ph_option imap_options[] = {
	PH_OPT_MSEC("login_timeout", struct imap_conf, login_timeout_ms, 1000,
	    3600000, "3m", "how long a client may take to log in"),
	PH_OPT_MSEC("autologout", struct imap_conf, autologout_ms, 60000,
	    86400000, "30m", "silence after which a session ends"),
	PH_OPT_UINT("login_attempts", struct imap_conf, login_attempts, 1, 100,
	    "3", "failed logins after which the session ends"),
	PH_OPT_UINT("bad_commands", struct imap_conf, bad_commands, 1, 1000,
	    "10", "wrong commands in a row after which the session ends"),
	PH_OPT_BYTES("append_limit", struct imap_conf, append_limit_bytes, 1024,
	    INT64_C(1) << 40, "100M", "largest message a client may store"),
	PH_OPT_BOOL("allow_plain_auth", struct imap_conf, allow_plain_auth,
	    "false", "let users log in without TLS"),
	PH_OPT_END,
};

static void
imap_farewell(struct ph_stream *stream, const void *conf, const char *hostname,
    enum ph_status why)
{
	(void)conf;
	ph_stream_printf(stream, "* BYE [UNAVAILABLE] %s %s\r\n", hostname,
	    why == PH_CANCELED ? "is shutting down" :
	                         "has too many connections, try again later");
}

static const struct ph_listener_ops imap_listener = {
	.service = "imap",
	.alpn = "imap",
	.session = imap_login_session,
	.user_session = imap_user_session,
	.farewell = imap_farewell,
};

PH_MODULE(imap) = {
	.abi = PH_ABI,
	.name = "imap",
	.kinds = PH_KIND_LISTENER,
	.conf_size = sizeof(struct imap_conf),
	.options = imap_options,
	.doc = "IMAP4rev1 for mail clients",
	.listener = &imap_listener,
};
