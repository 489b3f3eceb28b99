/* SPDX-License-Identifier: Apache-2.0 */
/* dns_status.c - what `posthousectl status` says of a role that asks DNS. */
#include "role/dns_status.h"

#include "net/dns.h"
#include "role/role.h"

void
role_status_dns(struct ph_buf *items)
{
	struct resolver_counts counts;

	resolver_counts(&counts);
	role_status_item(items, "dns_questions", "%u", counts.open);
	role_status_item(items, "dns_asked", "%llu",
	    (unsigned long long)counts.asked);
	role_status_item(items, "dns_joined", "%llu",
	    (unsigned long long)counts.joined);
	role_status_item(items, "dns_cached", "%llu",
	    (unsigned long long)counts.kept);
}
