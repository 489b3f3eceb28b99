/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_minimal - a check in a page: refuse clients that call themselves one of
 * the names listed. Copy it and begin.
 */
#include <posthouse/check.h>

struct minimal_conf {
	const char *const *names; /* NULL-terminated */
};

static enum ph_verdict
minimal_on_helo(struct ph_call *call, const void *conf)
{
	const struct minimal_conf *c = conf;
	struct ph_slice helo = ph_session_helo(ph_call_session(call));

	for (const char *const *name = c->names; *name != NULL; name++)
		if (ph_slice_eq_nocase(helo, ph_slice_str(*name)))
			return ph_reject(call, 550, "5.7.1",
			    "we do not talk to %s", *name);
	return PH_NEXT;
}

static const struct ph_option minimal_options[] = {
	PH_OPT_LIST("names", struct minimal_conf, names, 1, 100,
	    "[\"bad.example\"]", "names to refuse"),
	PH_OPT_END,
};

static const struct ph_check_ops minimal_ops = {
	.at = { [PH_AT_HELO] = minimal_on_helo },
};

PH_MODULE(check_minimal) = {
	.abi = PH_ABI,
	.name = "check_minimal",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct minimal_conf),
	.options = minimal_options,
	.doc = "refuses clients by the name they give themselves",
	.check = &minimal_ops,
};
