/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_rate - how much may one client, user, sender or recipient have in a
 * time? Counted in the server's key-value store, over all processes; without it
 * nobody is refused. What is refused has been counted.
 */
#include <posthouse/check.h>

#include <posthouse/kv.h>

#include "limit.h"

enum { LIMITS_MAX = 32 };

struct rate_conf {
	const char *const *limits;
	unsigned v6_bits;
	struct ph_net_list exempt;
};

static int
rate_check_conf(const void *conf, struct ph_err *err)
{
	const struct rate_conf *c = conf;
	struct rate_limit limit;

	if (c->v6_bits % 8 != 0)
		return ph_err_set(err, PH_INVALID, 0,
		    "v6_bits must be a multiple of 8");
	for (const char *const *at = c->limits; *at != NULL; at++) {
		const char *wrong = rate_limit_parse(*at, &limit);

		if (wrong != NULL)
			return ph_err_set(err, PH_INVALID, 0, "\"%s\": %s",
			    *at, wrong);
	}
	return PH_OK;
}

/* An IPv6 client may have a whole network. */
static struct ph_slice
client_text(struct ph_call *call, const struct rate_conf *conf)
{
	struct ph_addr addr = *ph_call_client(call);
	char text[PH_ADDR_TEXT_MAX];

	if (addr.family == 0)
		return (struct ph_slice){ NULL, 0 };
	for (unsigned i = conf->v6_bits / 8; addr.family == 6 && i < 16; i++)
		addr.octet[i] = 0;
	return ph_slice_str(ph_arena_strdup(ph_call_arena(call),
	    ph_addr_format(&addr, text)));
}

/* Who is counted; absent: nobody. Users count as users, not as clients, and
 * from wherever they come. */
static struct ph_slice
whom(struct ph_call *call, const struct rate_conf *conf,
    const struct rate_limit *limit)
{
	const char *user = ph_session_user(ph_call_session(call));
	struct ph_slice nobody = { NULL, 0 };

	if (limit->whom == RATE_USER)
		return ph_slice_str(user);
	if (user != NULL ||
	    ph_net_list_has(&conf->exempt, ph_call_client(call)))
		return nobody;
	if (limit->whom == RATE_CLIENT)
		return client_text(call, conf);
	if (limit->whom == RATE_RECIPIENT)
		return ph_call_recipient(call);
	/* the null sender is not one */
	return ph_call_sender(call).n > 0 ? ph_call_sender(call) : nobody;
}

/* "messages client 3600000 192.0.2.1", in lower case. */
static struct ph_slice
key_of(struct ph_call *call, const struct rate_limit *limit,
    struct ph_slice name)
{
	struct ph_buf key;

	ph_buf_init(&key, ph_call_arena(call), PH_KV_KEY_MAX);
	ph_buf_printf(&key, "%s %s %llu ", rate_what_name(limit->what),
	    rate_whom_name(limit->whom), (unsigned long long)limit->window_ms);
	ph_buf_lower(&key, name);
	return ph_buf_content(&key);
}

static enum ph_verdict
refuse(struct ph_call *call, const struct rate_limit *limit,
    struct ph_slice name)
{
	const char *text = ph_arena_printf(ph_call_arena(call),
	    "too many %s of the %s %.*s: more than %llu within %llu seconds",
	    rate_what_name(limit->what), rate_whom_name(limit->whom),
	    PH_SLICE_ARG(name), (unsigned long long)limit->count,
	    (unsigned long long)limit->window_ms / 1000);
	const bool is_greeting = ph_call_stage(call) == PH_AT_CONNECT;

	if (limit->is_final)
		return ph_reject(call, is_greeting ? 554 : 550, "5.7.1", "%s",
		    text);
	return ph_defer(call, is_greeting ? 421 : 450, "4.7.1", "%s", text);
}

static enum ph_verdict
count(struct ph_call *call, const struct rate_conf *conf, enum rate_what what)
{
	struct rate_limit limit, broken = { .count = 0 };
	struct ph_slice breaker = { NULL, 0 };

	for (const char *const *at = conf->limits; *at != NULL; at++) {
		struct ph_slice name;
		bool is_over = false;

		if (rate_limit_parse(*at, &limit) != NULL ||
		    limit.what != what)
			continue;
		name = whom(call, conf, &limit);
		if (name.p == NULL ||
		    ph_kv_rate(key_of(call, &limit, name), limit.count,
		        limit.window_ms, &is_over) != PH_OK || !is_over)
			continue;
		if (breaker.p == NULL || limit.is_final > broken.is_final) {
			broken = limit;
			breaker = name;
		}
	}
	return breaker.p != NULL ? refuse(call, &broken, breaker) : PH_NEXT;
}

static enum ph_verdict
rate_on_connect(struct ph_call *call, const void *conf)
{
	return count(call, conf, RATE_CONNECTIONS);
}

static enum ph_verdict
rate_on_mail(struct ph_call *call, const void *conf)
{
	return count(call, conf, RATE_MESSAGES);
}

static enum ph_verdict
rate_on_rcpt(struct ph_call *call, const void *conf)
{
	return count(call, conf, RATE_RECIPIENTS);
}

static const struct ph_option rate_options[] = {
	PH_OPT_LIST("limits", struct rate_conf, limits, 0, LIMITS_MAX, "[]",
	    "limits: \"messages per client 100/1h [reject]\""),
	PH_OPT_UINT("v6_bits", struct rate_conf, v6_bits, 16, 128, "64",
	    "bits of an IPv6 address that make a client, in eights"),
	PH_OPT_NETS("exempt", struct rate_conf, exempt, 0, 10000,
	    "[\"127.0.0.0/8\", \"::1\"]", "clients not to count, and what they send"),
	PH_OPT_END,
};

static const struct ph_check_ops rate_ops = {
	.at = { [PH_AT_CONNECT] = rate_on_connect,
	    [PH_AT_MAIL] = rate_on_mail, [PH_AT_RCPT] = rate_on_rcpt },
};

PH_MODULE(check_rate) = {
	.abi = PH_ABI,
	.name = "check_rate",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct rate_conf),
	.options = rate_options,
	.doc = "limits what one client, user, sender or recipient may have",
	.check_conf = rate_check_conf,
	.check = &rate_ops,
};
