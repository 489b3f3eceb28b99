/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c - see view.h. Content is one run of octets and may be large: its file
 * is mapped once more, privately, and the new header section written in front
 * of the body. So the kernel copies the pages of the header, and those of the
 * body stay shared.
 */
#include "pipeline/view.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "pipeline/envelope_edit.h"
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

/* Without a file: a copy. */
static struct ph_slice
join(struct ph_arena *arena, struct ph_slice header, struct ph_slice body)
{
	char *all = ph_arena_alloc(arena, header.n + body.n + 1);

	memcpy(all, header.p, header.n);
	if (body.n > 0)
		memcpy(all + header.n, body.p, body.n);
	return (struct ph_slice){ all, header.n + body.n };
}

/* Of the body that is shown after; the octets are of a copy, or none. */
static struct ph_slice
body_of(struct ph_call *call, int body_fd)
{
	struct ph_slice body = call->content;
	struct stat st;

	if (body_fd >= 0) {
		call->content_fd = body_fd;
		call->content_skip = 0;
		return (struct ph_slice){ NULL, fstat(body_fd, &st) == 0 ?
		    (size_t)st.st_size : 0 };
	}
	body.p += call->header.n;
	body.n -= call->header.n;
	return body;
}

static void
show(struct ph_call *call, struct ph_slice header, int body_fd)
{
	struct ph_slice body, content = { NULL, 0 };
	struct ph_buf ended;

	if (body_fd >= 0) {
		ph_buf_init(&ended, call->arena, header.n + 4);
		header_edit_end(header, &ended);
		header = ph_buf_content(&ended);
	}
	if (call->content.p != NULL && call->content.n >= call->header.n) {
		body = body_of(call, body_fd);
		if (call->content_fd >= 0 && call->content_skip + body.n > 0)
			content = map(call, header, body.n);
		if (content.p == NULL && (body.p != NULL || body.n == 0))
			content = join(call->arena, header, body);
		call->content = content; /* absent: there is no memory */
	}
	call->header = header;
}

static struct ph_slice
changed_header(struct ph_call *call, struct ph_slice changes)
{
	struct ph_buf buf;

	if (!header_edit_is_any(changes))
		return call->header;
	ph_buf_init(&buf, call->arena, call->header.n + HEADER_GROWTH_MAX);
	header_edit_apply(call->header, changes, &buf);
	return buf.full ? call->header :
	    buf.n > 0 ? ph_buf_content(&buf) : PH_LIT("");
}

static size_t
recipient_at(const struct ph_call *call, struct ph_slice address)
{
	size_t i = 0;

	while (i < call->recipients_known &&
	    !ph_slice_eq_nocase(call->recipients[i], address))
		i++;
	return i;
}

static void
change_recipients(struct ph_call *call, const struct envelope_edit *edit)
{
	size_t n = call->recipients_known, i = recipient_at(call,
	    edit->address);
	struct ph_slice *all;

	if ((i < n) == (edit->op == ENVELOPE_ADD))
		return;
	all = ph_arena_array(call->arena, n + 1, sizeof(*all));
	if (n > 0)
		memcpy(all, call->recipients, n * sizeof(*all));
	if (edit->op == ENVELOPE_ADD)
		all[n++] = edit->address;
	else if (i < --n)
		memmove(all + i, all + i + 1, (n - i) * sizeof(*all));
	call->recipients = all;
	call->recipient_count = call->recipients_known = n;
}

static void
change_envelope(struct ph_call *call, struct ph_slice changes)
{
	struct record_field field;
	struct envelope_edit edit;

	while (record_next(&changes, &field)) {
		if (field.tag != F_ENVELOPE || envelope_edit_take(call->arena,
		        field.value, &edit) != PH_OK)
			continue;
		if (edit.op == ENVELOPE_SENDER)
			call->sender = edit.address;
		else
			change_recipients(call, &edit);
	}
}

void
view_change(struct ph_call *call, struct ph_slice changes, int body_fd)
{
	if (envelope_edit_is_any(changes))
		change_envelope(call, changes);
	if (call->header.p != NULL &&
	    (body_fd >= 0 || header_edit_is_any(changes)))
		show(call, changed_header(call, changes), body_fd);
}
