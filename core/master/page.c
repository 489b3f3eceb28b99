/* SPDX-License-Identifier: Apache-2.0 */
/* page.c - see page.h. */
#include "master/page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "role/activity.h"

int
page_make(const char *name, size_t size, int rights, void **page_out,
    struct ph_err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *page;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
	        0) {
		page = mmap(NULL, size, rights, MAP_SHARED, fd, 0);
		if (page != MAP_FAILED) {
			*page_out = page;
			return fd;
		}
	}
	ph_err_set(err, PH_IO, errno, "can't make a shared page: %s",
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int
page_make_activity(struct activity **page_out, struct ph_err *err)
{
	void *page;
	int fd = page_make("posthouse-activity", sizeof(struct activity),
	    PROT_READ, &page, err);

	if (fd >= 0)
		*page_out = page;
	return fd;
}

static struct ph_slice
page_text(const char *p, size_t size)
{
	struct ph_slice text = { p, strnlen(p, size) };

	return text.n > 0 && text.n < size ? text :
	                                     (struct ph_slice){ NULL, 0 };
}

struct ph_slice
page_module(const struct activity *page, struct ph_slice *hook_out)
{
	*hook_out = page_text(page->hook, sizeof(page->hook));
	return page_text(page->module, sizeof(page->module));
}

struct ph_slice
page_subject(const struct activity *page)
{
	return page_text(page->subject, sizeof(page->subject));
}

struct ph_slice
page_loading(const struct activity *page)
{
	if (!page->is_inside || !ph_slice_eq(page_text(page->hook,
	        sizeof(page->hook)), PH_LIT(ACTIVITY_LOAD)))
		return (struct ph_slice){ NULL, 0 };
	return page_text(page->module, sizeof(page->module));
}
