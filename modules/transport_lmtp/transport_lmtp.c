/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_lmtp - mail to a program that stores it, over LMTP (RFC 2033): a
 * Unix socket or a host and port.
 *
 * One place for all mail of the section; which mail that is, routing decides.
 * What a recipient's reply says counts for that recipient alone.
 */
#include <posthouse/mail.h>
#include <posthouse/transport.h>

#include "smtp_client/session.h"

struct lmtp_conf {
	const char *socket; /* "": host and port */
	const char *host;
	unsigned port;
	unsigned tls; /* enum tls_mode */
	struct client_conf client;
};

static void
fail(struct delivery *delivery, const char *enhanced, const char *text)
{
	struct failure failure = { .text = text };

	memcpy(failure.enhanced, enhanced, strlen(enhanced) + 1);
	delivery_fail(delivery, &failure);
}

/* The host's addresses; an address stands for itself. */
static size_t
find_addresses(struct delivery *delivery, const char *host,
    const struct ph_addr **addr_out)
{
	struct ph_addr *addr = ph_arena_alloc(delivery->arena, sizeof(*addr));
	const struct ph_dns_answer *answer;

	if (ph_addr_parse(ph_slice_str(host), addr)) {
		*addr_out = addr;
		return 1;
	}
	answer = ph_dns_host(delivery->arena, host);
	if (answer->result == PH_DNS_OK) {
		*addr_out = answer->addr;
		return answer->count;
	}
	fail(delivery, "4.4.3", "the LMTP host's address can't be found");
	return 0;
}

static void
try_host(struct delivery *delivery, struct client_peer *peer)
{
	const struct ph_addr *addr = NULL;
	size_t count = find_addresses(delivery, peer->name, &addr);
	bool tls_failed;

	for (size_t i = 0; i < count && delivery->open > 0 &&
	    !delivery->is_over; i++) {
		peer->addr = addr[i];
		session_run(delivery, peer, false, &tls_failed);
		if (tls_failed)
			session_run(delivery, peer, true, &tls_failed);
	}
}

static void
lmtp_attempt(struct ph_attempt *attempt, const void *conf)
{
	const struct lmtp_conf *c = conf;
	struct delivery *delivery = delivery_create(attempt, &c->client);
	struct client_peer peer = { .name = c->host, .port = c->port,
		.tls = (enum tls_mode)c->tls, .is_lmtp = true,
		.may_be_ourselves = true };
	bool tls_failed;

	if (c->socket[0] != '\0') {
		peer.name = "localhost";
		peer.path = c->socket;
		peer.port = 0;
		session_run(delivery, &peer, false, &tls_failed);
	} else {
		try_host(delivery, &peer);
	}
	delivery_end(delivery);
}

static int
lmtp_check_conf(const void *conf, struct ph_err *err)
{
	const struct lmtp_conf *c = conf;
	struct ph_addr addr;

	if (c->socket[0] != '\0' && c->tls != TLS_NONE)
		return ph_err_set(err, PH_INVALID, 0,
		    "there is no TLS on a Unix socket");
	if (c->socket[0] == '\0' && !ph_addr_parse(ph_slice_str(c->host),
	        &addr) && !ph_domain_is_valid(ph_slice_str(c->host)))
		return ph_err_set(err, PH_INVALID, 0,
		    "host: \"%s\" is neither a name nor an address", c->host);
	return PH_OK;
}

static const char *const tls_modes[] = { "none", "may", "encrypt", "verify",
	NULL };

static const struct ph_option lmtp_options[] = {
	PH_OPT_PATH("socket", struct lmtp_conf, socket, "",
	    "Unix socket of the LMTP server; none: host and port"),
	PH_OPT_STRING("host", struct lmtp_conf, host, 1, 255, "127.0.0.1",
	    "name or address of the LMTP server"),
	PH_OPT_UINT("port", struct lmtp_conf, port, 1, 65535, "24",
	    "port of the LMTP server"),
	PH_OPT_CHOICE("tls", struct lmtp_conf, tls, tls_modes, "none",
	    "STARTTLS: never, when offered, always, always with a certificate "
	    "that fits the host"),
	CLIENT_OPTIONS(struct lmtp_conf, client),
	PH_OPT_END,
};

static const struct ph_transport_ops lmtp_ops = { .attempt = lmtp_attempt };

PH_MODULE(transport_lmtp) = {
	.abi = PH_ABI,
	.name = "transport_lmtp",
	.kinds = PH_KIND_TRANSPORT,
	.conf_size = sizeof(struct lmtp_conf),
	.options = lmtp_options,
	.doc = "Hands mail to a program that stores it, over LMTP.",
	.check_conf = lmtp_check_conf,
	.transport = &lmtp_ops,
};
