/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - see host.h. */
#include "host.h"

#include <posthouse/domain.h>

enum { NAMES_MAX = 3 };

bool
host_fits(struct ph_slice pattern, struct ph_slice name)
{
	return ph_domain_fits(pattern, name) ||
	    (pattern.n > 1 && pattern.p[0] == '.' &&
	        ph_domain_eq((struct ph_slice){ pattern.p + 1, pattern.n - 1 },
	            name));
}

struct ph_slice
host_confirmed(struct ph_call *call)
{
	const struct ph_addr *client = ph_call_client(call);
	struct ph_arena *arena = ph_call_arena(call);
	const struct ph_dns_answer *ptr = ph_dns_ptr(arena, client), *host;

	for (size_t i = 0; ptr->result == PH_DNS_OK && i < ptr->count &&
	     i < NAMES_MAX; i++) {
		host = ph_dns_host(arena, ptr->ptr[i]);
		for (size_t k = 0; host->result == PH_DNS_OK &&
		     k < host->count; k++)
			if (ph_addr_eq(&host->addr[k], client))
				return ph_slice_str(ptr->ptr[i]);
	}
	return (struct ph_slice){ NULL, 0 };
}
