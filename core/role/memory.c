/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - resident memory, by /proc/self/statm: a microsecond a look. That
 * counts whatever a module got its memory from, and only what it touched; an
 * address space of fiber stacks says nothing. Who took it is measured from half
 * of the limit on, as growth while a module ran.
 */
#include "role/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOK_EVERY_MS = 20 };

static struct {
	int fd;
	uint64_t limit_bytes, seen_bytes, looked_ms;
	bool is_measuring;
	struct tally *running; /* NULL: the core itself */
	uint64_t base_bytes;   /* when it began */
} memory = { .fd = -1 };

static uint64_t
look(int statm_fd)
{
	unsigned long long size, resident, shared;
	char text[128];
	ssize_t n = pread(statm_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 ||
	    resident < shared)
		return 0;
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
memory_of_process(int pid)
{
	uint64_t bytes;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	bytes = look(fd);
	close(fd);
	return bytes;
}

void
memory_begin(void)
{
	memory.fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void
memory_limit(uint64_t limit_bytes)
{
	memory.limit_bytes = memory.fd >= 0 ? limit_bytes : 0;
	memory.is_measuring = false;
	memory.looked_ms = 0;
}

void
memory_note(const char *module)
{
	uint64_t now_bytes;

	if (!memory.is_measuring)
		return;
	now_bytes = look(memory.fd);
	if (memory.running != NULL)
		memory.running->grown += now_bytes - memory.base_bytes;
	memory.running = module != NULL ? tally_of(module) : NULL;
	memory.base_bytes = now_bytes;
}

/* When it came in one leap: who ran last. */
static const char *
greediest(void)
{
	const struct activity *page = role_activity();
	const struct tally *best = NULL;

	for (unsigned i = 0; i < TALLIES; i++)
		if ((int64_t)page->tally[i].grown > 0 && (best == NULL ||
		        page->tally[i].grown > best->grown))
			best = &page->tally[i];
	return best != NULL ? best->module : page->module;
}

bool
memory_is_over(const char **module_out)
{
	uint64_t now = ph_now_ms();

	if (memory.limit_bytes == 0 ||
	    now - memory.looked_ms < LOOK_EVERY_MS)
		return false;
	memory.looked_ms = now;
	memory.seen_bytes = look(memory.fd);
	if (!memory.is_measuring &&
	    memory.seen_bytes > memory.limit_bytes / 2) {
		memory.is_measuring = true;
		memory.running = NULL;
		memory.base_bytes = memory.seen_bytes;
	}
	if (memory.seen_bytes <= memory.limit_bytes)
		return false;
	*module_out = greediest();
	return true;
}

uint64_t
memory_seen(void)
{
	return memory.seen_bytes;
}
