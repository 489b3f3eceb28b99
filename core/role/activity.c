/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activity.c - the page a process shares with the master: what it is doing.
 * Plain stores; the master reads it after a death or when the heartbeat stops,
 * and bounds what it reads, since a module may have scribbled on it.
 */
#include "role/activity.h"

#include <sys/mman.h>
#include <unistd.h>

static struct activity unshared;
static struct activity *page = &unshared;

struct activity *
role_activity(void)
{
	return page;
}

bool
activity_map(int fd)
{
	void *p = mmap(NULL, sizeof(struct activity), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return false;
	page = p;
	return true;
}

static void
note(char *to, size_t size, const char *from)
{
	size_t n = from != NULL ? strnlen(from, size - 1) : 0;

	if (n > 0)
		memcpy(to, from, n);
	to[n] = '\0';
}

void
activity_note_load(const char *section)
{
	static char module[sizeof(page->module)], hook[sizeof(page->hook)];

	if (section != NULL) {
		memcpy(module, page->module, sizeof(module));
		memcpy(hook, page->hook, sizeof(hook));
		page->heartbeat_ms = ph_now_ms();
		role_note(section, ACTIVITY_LOAD);
		return;
	}
	page->is_inside = false;
	memcpy(page->module, module, sizeof(module));
	memcpy(page->hook, hook, sizeof(hook));
}

void
role_note(const char *module, const char *hook)
{
	page->is_inside = module != NULL;
	if (module == NULL)
		return;
	note(page->hook, sizeof(page->hook), hook);
	note(page->module, sizeof(page->module), module);
	page->subject[0] = '\0';
}

void
role_note_subject(const char *subject)
{
	note(page->subject, sizeof(page->subject), subject);
}
