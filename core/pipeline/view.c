/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c - see view.h. Content is one run of octets and may be large: its file
 * is mapped once more, privately, and the new header section written in front
 * of the body. So the kernel copies the pages of the header, and those of the
 * body stay shared.
 */
#include "pipeline/view.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pipeline/header_edit.h"

/* [ .. header | body .. ], of which the body is where it is in the file. */
struct region {
	char *p;
	size_t n;
};

static void
region_end(void *object)
{
	struct region *region = object;

	munmap(region->p, region->n);
}

static size_t
round_to_pages(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* Absent: there is no memory. */
static struct ph_slice
map(struct ph_call *call, struct ph_slice header, size_t body_n)
{
	size_t skip = call->content_skip, file_n = skip + body_n;
	size_t front = header.n > skip ? round_to_pages(header.n - skip) : 0;
	struct region region = { .n = front + round_to_pages(file_n) };
	struct region *kept;
	char *at;

	region.p = mmap(NULL, region.n, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region.p == MAP_FAILED)
		return (struct ph_slice){ NULL, 0 };
	if (mmap(region.p + front, file_n, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_FIXED, call->content_fd, 0) == MAP_FAILED) {
		munmap(region.p, region.n);
		return (struct ph_slice){ NULL, 0 };
	}
	kept = ph_arena_alloc(call->arena, sizeof(*kept));
	*kept = region;
	ph_arena_on_end(call->arena, region_end, kept);
	at = region.p + front + skip - header.n;
	memcpy(at, header.p, header.n);
	mprotect(region.p, region.n, PROT_READ);
	return (struct ph_slice){ at, header.n + body_n };
}

/* Without a file, or memory to map it: a copy. */
static struct ph_slice
join(struct ph_arena *arena, struct ph_slice header, struct ph_slice body)
{
	char *all = ph_arena_alloc(arena, header.n + body.n + 1);

	memcpy(all, header.p, header.n);
	memcpy(all + header.n, body.p, body.n);
	return (struct ph_slice){ all, header.n + body.n };
}

static void
change_header(struct ph_call *call, struct ph_slice changes)
{
	struct ph_slice body = call->content, content = { NULL, 0 }, header;
	struct ph_buf buf;

	ph_buf_init(&buf, call->arena, call->header.n + HEADER_GROWTH_MAX);
	header_edit_apply(call->header, changes, &buf);
	if (buf.full)
		return;
	header = buf.n > 0 ? ph_buf_content(&buf) : PH_LIT("");
	if (call->content.p != NULL && call->content.n >= call->header.n) {
		body.p += call->header.n;
		body.n -= call->header.n;
		if (call->content_fd >= 0 && call->content_skip + body.n > 0)
			content = map(call, header, body.n);
		if (content.p == NULL)
			content = join(call->arena, header, body);
		call->content = content;
	}
	call->header = header;
}

void
view_change(struct ph_call *call, struct ph_slice changes)
{
	if (call->header.p != NULL && header_edit_is_any(changes))
		change_header(call, changes);
}
