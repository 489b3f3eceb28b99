/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_smtp - mail to other servers: MX look-up, then SMTP (RFC 5321).
 *
 * Hosts are tried in order until every recipient has a result. A message that
 * no host took is deferred, unless every one refused it for good.
 */
#include "session.h"

enum { TRANSACTIONS_MAX = 3 }; /* hosts that may see the envelope */

static bool
go_on(const struct delivery *delivery)
{
	/* a wait of no time tells whether the attempt is to end */
	return delivery->open > 0 && !delivery->is_over &&
	    ph_sleep_ms(0) == PH_OK;
}

static void
smtp_attempt(struct ph_attempt *attempt, const void *conf)
{
	struct delivery *delivery = delivery_create(attempt, conf);
	unsigned transactions = 0;
	struct smtp_host host;
	struct hosts hosts;
	bool tls_failed;

	if (hosts_find(delivery, &hosts)) {
		while (transactions < TRANSACTIONS_MAX && go_on(delivery) &&
		    hosts_next(&hosts, &host)) {
			transactions += session_run(delivery, &host, false,
			    &tls_failed);
			if (tls_failed && go_on(delivery))
				transactions += session_run(delivery, &host,
				    true, &tls_failed);
		}
	}
	delivery_end(delivery);
}

static const char *const tls_modes[] = { "none", "may", "encrypt", "verify",
	NULL };

static const struct ph_option smtp_options[] = {
	PH_OPT_UINT("port", struct smtp_conf, port, 1, 65535, "25",
	    "port of the mail hosts"),
	PH_OPT_CHOICE("tls", struct smtp_conf, tls, tls_modes, "may",
	    "STARTTLS: never, when offered, always, always with a certificate "
	    "that fits the host"),
	PH_OPT_BOOL("allow_loopback", struct smtp_conf, allow_loopback, "false",
	    "send to addresses of this machine, too"),
	PH_OPT_UINT("max_hosts", struct smtp_conf, max_hosts, 1, 50, "10",
	    "addresses to try in one attempt"),
	PH_OPT_MSEC("connect_timeout", struct smtp_conf, connect_timeout_ms,
	    1000, 600000, "30s", "wait for a connection"),
	PH_OPT_MSEC("greeting_timeout", struct smtp_conf, greeting_timeout_ms,
	    1000, 3600000, "5m", "wait for the greeting"),
	PH_OPT_MSEC("helo_timeout", struct smtp_conf, helo_timeout_ms, 1000,
	    3600000, "5m", "wait for the reply to EHLO, HELO and STARTTLS"),
	PH_OPT_MSEC("tls_timeout", struct smtp_conf, tls_timeout_ms, 1000,
	    600000, "1m", "wait for the TLS handshake"),
	PH_OPT_MSEC("mail_timeout", struct smtp_conf, mail_timeout_ms, 1000,
	    3600000, "5m", "wait for the reply to MAIL"),
	PH_OPT_MSEC("rcpt_timeout", struct smtp_conf, rcpt_timeout_ms, 1000,
	    3600000, "5m", "wait for the reply to RCPT"),
	PH_OPT_MSEC("data_init_timeout", struct smtp_conf,
	    data_init_timeout_ms, 1000, 3600000, "2m",
	    "wait for the reply to DATA"),
	PH_OPT_MSEC("data_block_timeout", struct smtp_conf,
	    data_block_timeout_ms, 1000, 3600000, "3m",
	    "wait for the peer to take some content"),
	PH_OPT_MSEC("data_done_timeout", struct smtp_conf,
	    data_done_timeout_ms, 1000, 3600000, "10m",
	    "wait for the reply to the end of data"),
	PH_OPT_END,
};

static const struct ph_transport_ops smtp_ops = { .attempt = smtp_attempt };

PH_MODULE(transport_smtp) = {
	.abi = PH_ABI,
	.name = "transport_smtp",
	.kinds = PH_KIND_TRANSPORT,
	.conf_size = sizeof(struct smtp_conf),
	.options = smtp_options,
	.doc = "Sends mail to the servers that DNS names, over SMTP.",
	.transport = &smtp_ops,
};
