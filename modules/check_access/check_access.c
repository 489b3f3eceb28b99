/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_access - take or refuse clients by their network. An allowed client
 * skips what else would look at the connection (block lists); a denied one is
 * refused at the greeting; of others nothing is said.
 */
#include <posthouse/check.h>

#include "access.h"

static enum ph_verdict
access_on_connect(struct ph_call *call, const void *conf)
{
	switch (access_look_up(conf, ph_call_client(call))) {
	case ACCESS_ALLOWED:
		ph_reason(call, "network is allowed");
		return PH_ACCEPT;
	case ACCESS_DENIED:
		return ph_reject(call, 554, "5.7.1",
		    "your network is not welcome here");
	case ACCESS_UNLISTED:
		break;
	}
	return PH_NEXT;
}

static const struct ph_option access_options[] = {
	PH_OPT_NETS("allow", struct access_lists, allow, 0, 100000, "[]",
	    "networks to take without further checks at connect"),
	PH_OPT_NETS("deny", struct access_lists, deny, 0, 100000, "[]",
	    "networks to refuse"),
	PH_OPT_END,
};

static const struct ph_check_ops access_ops = {
	.at = { [PH_AT_CONNECT] = access_on_connect },
};

PH_MODULE(check_access) = {
	.abi = PH_ABI,
	.name = "check_access",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct access_lists),
	.options = access_options,
	.doc = "takes or refuses clients by their network",
	.check = &access_ops,
};
