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

		if ((*at)[0] == '@' ? ph_slice_eq_nocase(domain,
		        ph_slice_str(*at + 1)) :
		    strchr(*at, '@') != NULL ?
		        ph_slice_eq_nocase(recipient, entry) :
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

static struct ph_slice
trust_key(struct ph_call *call, const char *network)
{
	return ph_slice_str(ph_arena_printf(ph_call_arena(call), "c %s",
	    network));
}

/* Networks whose mail came back often enough are not put off any more. */
static bool
is_trusted(struct ph_call *call, const struct grey_conf *conf,
    const char *network)
{
	struct ph_slice count;
	uint64_t passed = 0;

	if (conf->trust_after == 0 ||
	    ph_kv_get(ph_call_arena(call), trust_key(call, network), &count) !=
	        PH_OK || count.n != 8)
		return false;
	for (unsigned i = 8; i-- > 0;)
		passed = passed << 8 | (uint8_t)count.p[i];
	return passed >= conf->trust_after;
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
    struct ph_slice key, const struct grey_row *row, const char *network)
{
	const struct grey_row passed = { true, ph_wall_time() };
	int64_t sum;

	(void)ph_kv_put(key, grey_row_format(ph_call_arena(call), &passed),
	    conf->keep_ms);
	if (row->has_passed)
		return;
	ph_reason(call, "came back after %lld seconds",
	    (long long)(passed.since_s - row->since_s));
	if (conf->trust_after > 0)
		(void)ph_kv_add(trust_key(call, network), 1, conf->keep_ms,
		    &sum);
}

static enum ph_verdict
grey_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct grey_conf *c = conf;
	const unsigned delay_s = c->delay_ms / 1000;
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_slice recipient = ph_call_recipient(call), key, text;
	struct grey_row row = { false, ph_wall_time() };
	const char *network;
	int status;

	if (!is_stranger(call, &c->exempt) || is_spared(c, recipient))
		return PH_NEXT;
	network = grey_network(arena, ph_call_client(call), c->v4_bits,
	    c->v6_bits);
	if (is_trusted(call, c, network))
		return PH_NEXT;
	key = grey_key(arena, network, ph_call_sender(call), recipient);
	status = ph_kv_get(arena, key, &text);
	if (status != PH_OK && status != PH_NOT_FOUND)
		return PH_NEXT; /* no memory, no greylist */
	switch (grey_judge(status == PH_OK && grey_row_parse(text, &row) ?
	    &row : NULL, ph_wall_time(), delay_s)) {
	case GREY_NEW:
		if (is_known_host(call, c))
			return PH_NEXT;
		row = (struct grey_row){ false, ph_wall_time() };
		if (ph_kv_put(key, grey_row_format(arena, &row),
		        c->window_ms) != PH_OK)
			return PH_NEXT; /* it would never be let in */
		return put_off(call, delay_s);
	case GREY_EARLY:
		if (is_known_host(call, c))
			return PH_NEXT;
		return put_off(call, row.since_s + delay_s - ph_wall_time());
	case GREY_PASS:
		let_pass(call, c, key, &row, network);
		break;
	case GREY_KNOWN:
		break;
	}
	return PH_NEXT;
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
