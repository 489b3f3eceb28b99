/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_counts.h - how many connections the other edge processes have, in all
 * and of a client: a page that the master makes and all of them map.
 *
 * Each process writes a column of its own and reads the others'. A column is a
 * count of connections and, in four rows, counts by a hash of the client, with a
 * key that is made for the page; the least of the four is taken, so that what
 * other clients in the same places add is next to nothing, and nobody can aim at
 * it. One edge process that is broken into can have the others refuse clients or
 * keep too many; what it writes is read as numbers and nothing else.
 *
 * A connection is counted before the others are looked at: two processes at once
 * may refuse one too many and never keep one.
 *
 * In the loop's thread; nothing suspends. Without a page nobody is elsewhere.
 */
#ifndef CORE_ROLE_CLIENT_COUNTS_H
#define CORE_ROLE_CLIENT_COUNTS_H

#include <posthouse/base.h>

/* --- the master --- */

struct client_page;
/* Octets of the page for so many edge processes (1 to 4096). */
size_t client_page_size(unsigned processes);
/* Begin with a page of zeros. False: errno tells. */
bool client_page_begin(struct client_page *page);
/* This process (from 0) is gone, and its connections with it. */
void client_page_clear(struct client_page *page, unsigned process);

/* --- an edge process, one of `processes` --- */

/* Map the page behind fd (borrowed), before there is a connection. False: it is
 * no such page. */
bool client_counts_share(int fd, unsigned self, unsigned processes);
/* One more, or less, of the client that these octets name. */
void client_counts_add(const void *client, size_t n);
void client_counts_take(const void *client, size_t n);
/* How many of it the others have. */
uint64_t client_counts_elsewhere(const void *client, size_t n);
/* So many connections there are here; so many there are elsewhere. */
void client_counts_set_all(unsigned connections);
uint64_t client_counts_all_elsewhere(void);

#endif
