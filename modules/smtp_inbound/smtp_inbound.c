/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_inbound - mail from other servers (RFC 5321). Takes mail for local
 * recipients from everybody, for others only from clients that may relay. The
 * conversation is the SMTP engine's; here are its options.
 */
#include "engine.h"

static const struct ph_option inbound_options[] = {
	SMTP_COMMON_OPTIONS,
	PH_OPT_BOOL("auth", struct smtp_conf, auth, "false",
	    "offer AUTH, for clients that still send here"),
	PH_OPT_MSEC("greet_delay", struct smtp_conf, greet_delay_ms, 0, 60000,
	    "0s", "wait before the greeting; who talks meanwhile is refused"),
	PH_OPT_BOOL("helo_refuse_own", struct smtp_conf, helo_refuse_own,
	    "true", "refuse HELO with this server's own name or address"),
	PH_OPT_BOOL("helo_refuse_address", struct smtp_conf,
	    helo_refuse_address, "false",
	    "refuse HELO with an address that is not in brackets"),
	PH_OPT_END,
};

static void
inbound_session(struct ph_session *session, const void *conf)
{
	static const struct smtp_policy policy = { .submission = false };

	smtp_serve(session, conf, &policy);
}

static const struct ph_listener_ops inbound_ops = {
	.service = "smtp",
	.alpn = "smtp",
	.session = inbound_session,
	.farewell = smtp_farewell,
	.is_front_end = smtp_is_front_end,
};

PH_MODULE(smtp_inbound) = {
	.abi = PH_ABI,
	.name = "smtp_inbound",
	.kinds = PH_KIND_LISTENER,
	.conf_size = sizeof(struct smtp_conf),
	.options = inbound_options,
	.doc = "takes mail from other servers by SMTP",
	.listener = &inbound_ops,
};
