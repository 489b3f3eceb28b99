/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - the name of a client's address, and patterns of names. */
#ifndef CHECK_ACTION_HOST_H
#define CHECK_ACTION_HOST_H

#include <posthouse/check.h>

/* ".x" is x and all below it; else the name itself. Pure. */
bool host_fits(struct ph_slice pattern, struct ph_slice name);

/* A name of the client's address (PTR) that has that address; absent: there is
 * none, or it can't be told. Suspends. */
struct ph_slice host_confirmed(struct ph_call *call);

#endif
