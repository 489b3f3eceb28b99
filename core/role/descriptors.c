/* SPDX-License-Identifier: Apache-2.0 */
/*
 * descriptors.c - the lowest free descriptor tells how many are open, to within
 * what was closed below it: two system calls instead of a folder of /proc. Who
 * left them open is measured from half of the limit on, as growth while a module
 * ran. The limit is asked for each time, since a module may lower it.
 */
#include "role/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct {
	unsigned seen;
	bool is_measuring;
	const struct tally *running; /* NULL: the core itself */
	unsigned base;               /* when it began */
	int64_t left[TALLIES];       /* by each module */
} all;

/* The lowest that is free; the limit when none is. */
static unsigned
count_open(unsigned limit)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return limit;
	close(fd);
	return (unsigned)fd;
}

static unsigned
limit_now(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 ||
	    files.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	return (unsigned)files.rlim_cur;
}

void
descriptors_note(const char *module)
{
	unsigned now;

	if (!all.is_measuring)
		return;
	now = count_open(UINT32_MAX);
	if (all.running != NULL && now != UINT32_MAX)
		all.left[all.running - role_activity()->tally] +=
		    (int64_t)now - all.base;
	all.running = module != NULL ? tally_of(module) : NULL;
	all.base = now;
}

/* When it came in one leap: who ran last. */
static const char *
worst(void)
{
	const struct activity *page = role_activity();
	const char *module = page->module;
	int64_t most = 0;

	for (unsigned i = 0; i < TALLIES; i++) {
		if (all.left[i] <= most)
			continue;
		most = all.left[i];
		module = page->tally[i].module;
	}
	return module;
}

bool
descriptors_are_over(const char **module_out)
{
	unsigned limit = limit_now();

	all.seen = count_open(limit);
	if (!all.is_measuring && all.seen > limit / 2) {
		all.is_measuring = true;
		all.base = all.seen;
	}
	if (all.seen <= limit / 4 * 3)
		return false;
	*module_out = worst();
	return true;
}

unsigned
descriptors_seen(void)
{
	return all.seen;
}
