/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_submission - mail from users (RFC 6409). Nothing is taken before a
 * login, no login before TLS, no sender or From that is not the user's. The
 * conversation is the SMTP engine's; here are its options.
 */
#include "engine.h"

static const struct ph_option submission_options[] = {
	SMTP_COMMON_OPTIONS,
	PH_OPT_CHOICE("sender_check", struct smtp_conf, sender_check,
	    smtp_sender_check_names, "aliases",
	    "addresses a user may send from: any, the own, aliases too"),
	PH_OPT_BOOL("check_from", struct smtp_conf, check_from, "true",
	    "refuse a From field that is not an address of the user"),
	PH_OPT_CHOICE("sender_field", struct smtp_conf, sender_field,
	    smtp_sender_field_names, "check",
	    "a Sender field: refuse one that is not the user's, set it, or "
	    "keep any"),
	PH_OPT_BOOL("hide_client", struct smtp_conf, hide_client, "false",
	    "leave the client's name and address out of Received"),
	PH_OPT_UINT("user_messages", struct smtp_conf, user_messages, 0,
	    1000000000, "0", "messages of one user in rate_window; 0: any"),
	PH_OPT_UINT("user_recipients", struct smtp_conf, user_recipients, 0,
	    1000000000, "0", "recipients of one user in rate_window; 0: any"),
	PH_OPT_MSEC("future_release", struct smtp_conf, future_release_ms, 0,
	    2592000000, "0s",
	    "how long users may have a message held; 0: not offered"),
	PH_OPT_END,
};

static void
submission_session(struct ph_session *session, const void *conf)
{
	static const struct smtp_policy policy = { .submission = true };

	smtp_serve(session, conf, &policy);
}

static const struct ph_listener_ops submission_ops = {
	.service = "submission",
	.alpn = "smtp",
	.session = submission_session,
	.farewell = smtp_farewell,
	.is_front_end = smtp_is_front_end,
};

PH_MODULE(smtp_submission) = {
	.abi = PH_ABI,
	.name = "smtp_submission",
	.kinds = PH_KIND_LISTENER,
	.conf_size = sizeof(struct smtp_conf),
	.options = submission_options,
	.doc = "takes mail from users by SMTP, after a login",
	.listener = &submission_ops,
};
