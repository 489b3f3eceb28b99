/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_greylist - put off what a stranger sends for the first time (RFC 6647):
 * a real server comes back, a spam robot mostly does not. What is remembered is
 * in the server's key-value store; without it nobody is put off.
 */
#include <posthouse/check.h>

#include <posthouse/kv.h>
#include <posthouse/lines.h>
#include <posthouse/mail.h>

#include "host.h"
#include "stranger.h"
#include "triplet.h"

enum { TELL_AGAIN_MS = 600000 };

struct grey_conf {
	unsigned delay_ms, window_ms, keep_ms;
	unsigned v4_bits, v6_bits;
	unsigned trust_after;
	const char *const *spare;
	const char *const *hosts;
	const char *hosts_file;
	struct ph_net_list exempt;
};

/* An address, "@domain", or a local part alone. */
static bool
is_spared(const struct grey_conf *conf, struct ph_slice recipient)
{
	struct ph_slice domain = ph_address_domain(recipient);
	struct ph_slice local = domain.p != NULL ? ph_address_local(recipient) :
	                                           recipient;

	for (const char *const *at = conf->spare; *at != NULL; at++) {
		struct ph_slice entry = ph_slice_str(*at);

		if ((*at)[0] == '@' ? ph_domain_eq(domain,
		        ph_slice_str(*at + 1)) :
		    strchr(*at, '@') != NULL ?
		        ph_address_eq(recipient, entry) :
		        ph_slice_eq_nocase(local, entry))
			return true;
	}
	return false;
}

/* The name, or ".x" for x and all below it. */
static bool
file_has(struct ph_call *call, const char *path, struct ph_slice name)
{
	struct ph_arena *arena = ph_call_arena(call);
	const struct ph_lines *lines;
	struct ph_err err = { 0 };
	bool has, is_told = false;

	if (ph_lines_read(arena, path, &lines, &err) != PH_OK) {
		(void)ph_kv_rate(PH_LIT("told"), 1, TELL_AGAIN_MS, &is_told);
		if (!is_told)
			ph_log(PH_ERROR, "hosts_file_unreadable",
			    ph_f_str("reason", err.text));
		return false;
	}
	has = ph_lines_has(lines, name);
	while (!has && name.n > 0) {
		has = ph_lines_has(lines, ph_slice_str(ph_arena_printf(arena,
		    ".%.*s", PH_SLICE_ARG(name))));
		(void)ph_slice_cut(&name, '.');
	}
	return has;
}

/* Large senders come from many networks; they are known by name. */
static bool
is_known_host(struct ph_call *call, const struct grey_conf *conf)
{
	struct ph_slice name;

	if (conf->hosts[0] == NULL && conf->hosts_file[0] == '\0')
		return false;
	name = host_confirmed(call);
	if (name.p == NULL)
		return false;
	for (const char *const *at = conf->hosts; *at != NULL; at++)
		if (host_fits(ph_slice_str(*at), name))
			return true;
	return conf->hosts_file[0] != '\0' &&
	    file_has(call, conf->hosts_file, name);
}

/* What the store has of one question: the network's trust, and the three. */
struct grey_known {
	struct ph_slice trust_key, count_key, row_key;
	struct grey_row trust, row;
	bool has_trust, has_row;
};

static struct ph_slice
network_key(struct ph_call *call, char what, const char *network)
{
	return ph_slice_str(ph_arena_printf(ph_call_arena(call), "%c %s", what,
	    network));
}

static int
remember(struct ph_call *call, const struct grey_conf *conf,
    struct grey_known *known_out)
{
	struct ph_arena *arena = ph_call_arena(call);
	const char *network = grey_network(arena, ph_call_client(call),
	    conf->v4_bits, conf->v6_bits);
	struct grey_known known = {
		.trust_key = network_key(call, 'n', network),
		.count_key = network_key(call, 'c', network),
		.row_key = grey_key(arena, network, ph_call_sender(call),
		    ph_call_recipient(call)),
	};
	struct ph_slice keys[] = { known.trust_key, known.row_key }, values[2];
	int status = ph_kv_get_many(arena, keys, 2, values);

	if (status != PH_OK)
		return status;
	known.has_trust = conf->trust_after > 0 && values[0].p != NULL &&
	    grey_row_parse(values[0], &known.trust);
	known.has_row = values[1].p != NULL &&
	    grey_row_parse(values[1], &known.row);
	*known_out = known;
	return PH_OK;
}

static int
put_row(struct ph_call *call, struct ph_slice key, bool has_passed,
    unsigned ttl_ms)
{
	const struct grey_row row = { has_passed, ph_wall_time() };

	return ph_kv_put(key, grey_row_format(ph_call_arena(call), &row),
	    ttl_ms);
}

/* Networks whose mail came back often enough are not put off any more, for as
 * long as mail comes. */
static bool
is_trusted(struct ph_call *call, const struct grey_conf *conf,
    const struct grey_known *known)
{
	if (!known->has_trust)
		return false;
	if (grey_judge(&known->trust, ph_wall_time(), 0,
	    conf->keep_ms / 1000) != GREY_KNOWN)
		(void)put_row(call, known->trust_key, true, conf->keep_ms);
	return true;
}

static enum ph_verdict
put_off(struct ph_call *call, int64_t wait_s)
{
	return ph_defer(call, 451, "4.7.1",
	    "greylisted, please try again in %lld seconds",
	    (long long)(wait_s > 0 ? wait_s : 1));
}

static void
let_pass(struct ph_call *call, const struct grey_conf *conf,
    const struct grey_known *known)
{
	int64_t sum;

	(void)put_row(call, known->row_key, true, conf->keep_ms);
	if (known->row.has_passed)
		return;
	ph_reason(call, "came back after %lld seconds",
	    (long long)(ph_wall_time() - known->row.since_s));
	if (conf->trust_after > 0 &&
	    ph_kv_add(known->count_key, 1, conf->keep_ms, &sum) == PH_OK &&
	    sum >= conf->trust_after)
		(void)put_row(call, known->trust_key, true, conf->keep_ms);
}

static enum ph_verdict
judge(struct ph_call *call, const struct grey_conf *conf,
    const struct grey_known *known)
{
	const unsigned delay_s = conf->delay_ms / 1000;

	switch (grey_judge(known->has_row ? &known->row : NULL,
	    ph_wall_time(), delay_s, conf->keep_ms / 1000)) {
	case GREY_NEW:
		if (is_known_host(call, conf) || put_row(call, known->row_key,
		        false, conf->window_ms) != PH_OK)
			return PH_NEXT; /* else it would never be let in */
		return put_off(call, delay_s);
	case GREY_EARLY:
		if (is_known_host(call, conf))
			return PH_NEXT;
		return put_off(call, known->row.since_s + delay_s -
		    ph_wall_time());
	case GREY_PASS:
		let_pass(call, conf, known);
		break;
	case GREY_KNOWN:
		break;
	}
	return PH_NEXT;
}

static enum ph_verdict
grey_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct grey_conf *c = conf;
	struct grey_known known;

	if (!is_stranger(call, &c->exempt) ||
	    is_spared(c, ph_call_recipient(call)) ||
	    remember(call, c, &known) != PH_OK || /* no memory, no greylist */
	    is_trusted(call, c, &known))
		return PH_NEXT;
	return judge(call, c, &known);
}

static int
grey_check_conf(const void *conf, struct ph_err *err)
{
	const struct grey_conf *c = conf;

	if (c->window_ms <= c->delay_ms)
		return ph_err_set(err, PH_INVALID, 0,
		    "window must be longer than delay");
	return PH_OK;
}

static const struct ph_option grey_options[] = {
	PH_OPT_MSEC("delay", struct grey_conf, delay_ms, 1000, 86400000, "5m",
	    "how soon a retry is too soon"),
	PH_OPT_MSEC("window", struct grey_conf, window_ms, 60000, 2592000000,
	    "2d", "how long a retry is waited for"),
	PH_OPT_MSEC("keep", struct grey_conf, keep_ms, 3600000, 4233600000,
	    "36d", "how long one that came back is known, from its last mail"),
	PH_OPT_UINT("v4_bits", struct grey_conf, v4_bits, 8, 32, "24",
	    "bits of an IPv4 address that make a network"),
	PH_OPT_UINT("v6_bits", struct grey_conf, v6_bits, 16, 128, "64",
	    "bits of an IPv6 address that make a network"),
	PH_OPT_UINT("trust_after", struct grey_conf, trust_after, 0, 1000, "5",
	    "a network is trusted after so many that came back, 0: never"),
	PH_OPT_LIST("spare", struct grey_conf, spare, 0, 1000,
	    "[\"postmaster\", \"abuse\"]",
	    "recipients whose mail is not put off: address, @domain, local part"),
	PH_OPT_LIST("hosts", struct grey_conf, hosts, 0, 10000, "[]",
	    "clients not to put off, by name; \".example.org\": it, and all below"),
	PH_OPT_PATH("hosts_file", struct grey_conf, hosts_file, "",
	    "a file with more of them, one a line, read again when it changed"),
	PH_OPT_NETS("exempt", struct grey_conf, exempt, 0, 10000,
	    STRANGER_EXEMPT, "clients not to look at"),
	PH_OPT_END,
};

static const struct ph_check_ops grey_ops = {
	.at = { [PH_AT_RCPT] = grey_on_rcpt },
};

PH_MODULE(check_greylist) = {
	.abi = PH_ABI,
	.name = "check_greylist",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct grey_conf),
	.options = grey_options,
	.doc = "puts off what a stranger sends for the first time",
	.check_conf = grey_check_conf,
	.check = &grey_ops,
};
