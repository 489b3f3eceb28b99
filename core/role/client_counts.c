/* SPDX-License-Identifier: Apache-2.0 */
/* client_counts.c - see client_counts.h. Plain counters, each with one writer. */
#include "role/client_counts.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/hash.h"

/* One hash of 64 bits names the places of all rows. */
enum { ROWS = 4, PLACE_BITS = 15, PLACES = 1 << PLACE_BITS };

struct column {
	uint32_t all;
	uint32_t of_client[ROWS][PLACES];
};

struct client_page {
	uint8_t key[HASH_KEY];
	struct column column[];
};

static struct {
	struct client_page *page;
	unsigned self, processes;
} shared;

/* --- the master --- */

size_t
client_page_size(unsigned processes)
{
	return sizeof(struct client_page) + processes * sizeof(struct column);
}

bool
client_page_begin(struct client_page *page)
{
	return getrandom(page->key, HASH_KEY, 0) == HASH_KEY;
}

void
client_page_clear(struct client_page *page, unsigned process)
{
	memset(&page->column[process], 0, sizeof(page->column[process]));
}

/* --- an edge process --- */

bool
client_counts_share(int fd, unsigned self, unsigned processes)
{
	struct stat st;
	void *map;

	if (self >= processes || processes > 4096 || fstat(fd, &st) != 0 ||
	    (uint64_t)st.st_size != client_page_size(processes))
		return false;
	map = mmap(NULL, client_page_size(processes), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	if (shared.page != NULL)
		munmap(shared.page, client_page_size(shared.processes));
	shared.page = map;
	shared.self = self;
	shared.processes = processes;
	return true;
}

static unsigned
place_of(uint64_t hash, unsigned row)
{
	return (unsigned)(hash >> (row * PLACE_BITS)) % PLACES;
}

/* Only this process writes there; the order with its reading elsewhere counts,
 * as it is told in the header. */
static void
change(const void *client, size_t n, uint32_t by)
{
	struct column *own;
	uint64_t hash;

	if (shared.page == NULL)
		return;
	own = &shared.page->column[shared.self];
	hash = hash_with(shared.page->key, client, n);
	for (unsigned row = 0; row < ROWS; row++)
		__atomic_add_fetch(&own->of_client[row][place_of(hash, row)],
		    by, __ATOMIC_SEQ_CST);
}

void
client_counts_add(const void *client, size_t n)
{
	change(client, n, 1);
}

void
client_counts_take(const void *client, size_t n)
{
	change(client, n, (uint32_t)-1);
}

/* What all others have in this place of a row. */
static uint64_t
others_in(unsigned row, unsigned place)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < shared.processes; i++)
		if (i != shared.self)
			sum += __atomic_load_n(
			    &shared.page->column[i].of_client[row][place],
			    __ATOMIC_SEQ_CST);
	return sum;
}

uint64_t
client_counts_elsewhere(const void *client, size_t n)
{
	uint64_t hash, least = UINT64_MAX;

	if (shared.page == NULL)
		return 0;
	hash = hash_with(shared.page->key, client, n);
	for (unsigned row = 0; row < ROWS && least > 0; row++) {
		uint64_t sum = others_in(row, place_of(hash, row));

		if (sum < least)
			least = sum;
	}
	return least;
}

void
client_counts_set_all(unsigned connections)
{
	if (shared.page != NULL)
		__atomic_store_n(&shared.page->column[shared.self].all,
		    connections, __ATOMIC_SEQ_CST);
}

uint64_t
client_counts_all_elsewhere(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; shared.page != NULL && i < shared.processes; i++)
		if (i != shared.self)
			sum += __atomic_load_n(&shared.page->column[i].all,
			    __ATOMIC_SEQ_CST);
	return sum;
}
