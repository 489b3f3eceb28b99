/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - what two lists of networks say of an address. Pure.
 */
#ifndef CHECK_ACCESS_ACCESS_H
#define CHECK_ACCESS_ACCESS_H

#include <posthouse/option.h>

enum access_answer {
	ACCESS_UNLISTED,
	ACCESS_ALLOWED,
	ACCESS_DENIED,
};

struct access_lists {
	struct ph_net_list allow, deny;
};

/* The narrowest network that has the address decides; of two that are the
 * same, the one to allow. */
enum access_answer access_look_up(const struct access_lists *lists,
    const struct ph_addr *addr, const struct ph_net **net_out);

#endif
