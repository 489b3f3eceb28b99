/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - how many connections to a server there may be, in all processes: so
 * many entries in the key-value store, of which each connection holds one.
 *
 * An entry lives as long as its holder said. What dies with its process, or ends
 * where nobody can say so, leaves no place taken for long.
 */
#ifndef CHECK_RECIPIENT_PLACE_H
#define CHECK_RECIPIENT_PLACE_H

#include <posthouse/arena.h>

/*
 * Take one of limit places for ms. False: all are taken. *key_out, in the arena,
 * names it; "" when the store can't be reached, so nobody counts. Suspends.
 */
bool place_take(struct ph_arena *arena, const char *server, unsigned limit,
    unsigned ms, const char **key_out);
/* Have it for ms from now on. Suspends. */
void place_hold(const char *key, unsigned ms);
/* Suspends. */
void place_leave(const char *key);

#endif
