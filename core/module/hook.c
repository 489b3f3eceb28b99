/* SPDX-License-Identifier: Apache-2.0 */
/* hook.c - the hooks of a module, whichever struct they stand in and whenever it
 * was built. */
#include "module/module_conf.h"

enum { MINOR_DELIVERY = 4 };

const struct ph_delivery_ops *
module_delivery(const struct ph_module *module)
{
	return module->abi.minor >= MINOR_DELIVERY ? module->delivery : NULL;
}

ph_hook *
module_hook(const struct ph_module *module, enum ph_stage stage)
{
	const struct ph_delivery_ops *ops = module_delivery(module);

	if (stage < PH_STAGES)
		return module->check != NULL ? module->check->at[stage] : NULL;
	if (ops == NULL)
		return NULL;
	switch (stage) {
	case PH_AT_ROUTE:
		return ops->route;
	case PH_AT_DELIVER:
		return ops->deliver;
	case PH_AT_DELIVERED:
		return ops->delivered;
	case PH_AT_DEFERRED:
		return ops->deferred;
	case PH_AT_BOUNCED:
		return ops->bounced;
	default:
		return NULL;
	}
}
