/* SPDX-License-Identifier: Apache-2.0 */
/* domain.c - see domain.h. */
#include "domain.h"

#include <posthouse/mail.h>

/* An address, or a name that can't be one, is no host. */
static bool
is_host(const char *name)
{
	struct ph_addr addr;

	return ph_domain_is_valid(ph_slice_str(name)) &&
	    !ph_addr_parse(ph_slice_str(name), &addr);
}

enum domain_answer
domain_by_mx(const struct ph_dns_answer *mx)
{
	switch (mx->result) {
	case PH_DNS_NO_NAME:
		return DOMAIN_UNKNOWN;
	case PH_DNS_NO_DATA:
		return DOMAIN_ASK_HOST;
	case PH_DNS_NO_ANSWER:
		return DOMAIN_UNSURE;
	case PH_DNS_OK:
		break;
	}
	for (size_t i = 0; i < mx->count; i++)
		if (is_host(mx->mx[i].host))
			return DOMAIN_GOOD;
	return mx->count == 1 && mx->mx[0].host[0] == '\0' ? DOMAIN_NULL_MX :
	                                                     DOMAIN_UNKNOWN;
}

enum domain_answer
domain_by_host(const struct ph_dns_answer *host)
{
	return host->result == PH_DNS_OK ? DOMAIN_GOOD :
	    host->result == PH_DNS_NO_ANSWER ? DOMAIN_UNSURE : DOMAIN_UNKNOWN;
}
