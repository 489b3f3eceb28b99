/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stranger.h - whom the checks of strangers look at: clients that hand mail in
 * at the server's front door without having logged in.
 */
#ifndef CHECK_ACTION_STRANGER_H
#define CHECK_ACTION_STRANGER_H

#include <posthouse/check.h>

/* The default of the option `exempt`. */
#define STRANGER_EXEMPT "[\"127.0.0.0/8\", \"::1\"]"

/* False for users, other services than smtp, clients that may relay, and the
 * networks exempt. */
bool is_stranger(const struct ph_call *call, const struct ph_net_list *exempt);

#endif
