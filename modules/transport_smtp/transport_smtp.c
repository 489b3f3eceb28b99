/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_smtp - mail to other servers: MX look-up, or one relay host for all,
 * then SMTP (RFC 5321).
 *
 * Hosts are tried in order until every recipient has a result. A message that
 * no host took is deferred, unless every one refused it for good.
 */
#include <posthouse/mail.h>

#include "hosts.h"
#include "policy.h"
#include "smtp_client/session.h"

enum { TRANSACTIONS_MAX = 3 }; /* hosts that may see the envelope */

static bool
go_on(const struct delivery *delivery)
{
	/* a wait of no time tells whether the attempt is to end */
	return delivery->open > 0 && !delivery->is_over &&
	    ph_sleep_ms(0) == PH_OK;
}

static bool
has_relay(const struct smtp_conf *conf)
{
	return conf->relay_host[0] != '\0';
}

/* A password asks for TLS, whatever the other options say. */
static void
set_terms(struct ph_attempt *attempt, const struct smtp_conf *conf,
    struct client_peer *peer)
{
	struct ph_slice name = has_relay(conf) ?
	    ph_slice_str(conf->relay_host) : ph_attempt_destination(attempt);

	memset(peer, 0, sizeof(*peer));
	peer->port = conf->port;
	peer->tls = policy_find(conf->tls_policy, name,
	    (enum tls_mode)conf->tls);
	peer->may_be_ourselves = conf->allow_loopback;
	if (!has_relay(conf))
		return;
	peer->is_tls_at_once = conf->relay_smtps;
	if (conf->relay_user[0] == '\0')
		return;
	peer->user = conf->relay_user;
	peer->password = conf->relay_password;
	if (peer->tls < TLS_ENCRYPT)
		peer->tls = TLS_ENCRYPT;
}

static void
smtp_attempt(struct ph_attempt *attempt, const void *conf)
{
	const struct smtp_conf *c = conf;
	struct delivery *delivery = delivery_create(attempt, &c->client);
	unsigned transactions = 0;
	struct client_peer peer;
	struct hosts hosts;
	bool tls_failed;

	set_terms(attempt, c, &peer);
	if (hosts_find(delivery, c, &hosts)) {
		while (transactions < TRANSACTIONS_MAX && go_on(delivery) &&
		    hosts_next(&hosts, &peer)) {
			transactions += session_run(delivery, &peer, false,
			    &tls_failed);
			if (tls_failed && go_on(delivery))
				transactions += session_run(delivery, &peer,
				    true, &tls_failed);
		}
	}
	delivery_end(delivery);
}

static bool
is_host(const char *name)
{
	struct ph_addr addr;

	return ph_domain_is_valid(ph_slice_str(name)) ||
	    ph_address_literal_parse(ph_slice_str(name), &addr);
}

static int
smtp_check_conf(const void *conf, struct ph_err *err)
{
	const struct smtp_conf *c = conf;

	for (const char *const *at = c->tls_policy; *at != NULL; at++)
		if (!policy_is_entry(*at))
			return ph_err_set(err, PH_INVALID, 0,
			    "tls_policy: \"%s\" is no \"DOMAIN MODE\" with a "
			    "mode of none, may, encrypt or verify", *at);
	if (has_relay(c) && !is_host(c->relay_host))
		return ph_err_set(err, PH_INVALID, 0,
		    "relay_host: \"%s\" is neither a host name nor an "
		    "address in brackets", c->relay_host);
	if (!has_relay(c) && (c->relay_user[0] != '\0' || c->relay_smtps))
		return ph_err_set(err, PH_INVALID, 0,
		    "relay_user and relay_smtps need a relay_host");
	if ((c->relay_user[0] != '\0') != (c->relay_password[0] != '\0'))
		return ph_err_set(err, PH_INVALID, 0,
		    "relay_user and relay_password need each other");
	return PH_OK;
}

static const struct ph_option smtp_options[] = {
	PH_OPT_UINT("port", struct smtp_conf, port, 1, 65535, "25",
	    "port of the mail hosts, or of the relay host"),
	PH_OPT_CHOICE("tls", struct smtp_conf, tls, tls_mode_names, "may",
	    "STARTTLS: never, when offered, always, always with a certificate "
	    "that fits the host"),
	PH_OPT_LIST("tls_policy", struct smtp_conf, tls_policy, 0, 1000, "[]",
	    "other settings of tls by destination, as \"example.org verify\" "
	    "or \".example.org encrypt\" for the names below it"),
	PH_OPT_STRING("relay_host", struct smtp_conf, relay_host, 0, 255, "",
	    "send all mail through this host: a name, or an address in "
	    "brackets"),
	PH_OPT_BOOL("relay_smtps", struct smtp_conf, relay_smtps, "false",
	    "TLS with the relay host from the first octet on, as on port 465"),
	PH_OPT_STRING("relay_user", struct smtp_conf, relay_user, 0, 500, "",
	    "log in to the relay host as this user, over TLS alone"),
	PH_OPT_SECRET("relay_password", struct smtp_conf, relay_password, 0,
	    500, "", "the password of relay_user"),
	PH_OPT_BOOL("allow_loopback", struct smtp_conf, allow_loopback, "false",
	    "send to addresses of this machine, too"),
	PH_OPT_UINT("max_hosts", struct smtp_conf, max_hosts, 1, HOSTS_MAX, "10",
	    "addresses to try in one attempt"),
	CLIENT_OPTIONS(struct smtp_conf, client),
	PH_OPT_END,
};

static const struct ph_transport_ops smtp_ops = { .attempt = smtp_attempt };

PH_MODULE(transport_smtp) = {
	.abi = PH_ABI,
	.name = "transport_smtp",
	.kinds = PH_KIND_TRANSPORT,
	.conf_size = sizeof(struct smtp_conf),
	.options = smtp_options,
	.check_conf = smtp_check_conf,
	.doc = "Sends mail to the servers that DNS names, over SMTP.",
	.transport = &smtp_ops,
};
