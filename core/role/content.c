/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - what came in a message and what came in a file beside it, as one
 * run of octets: the file is mapped, never copied, so that many deliveries of
 * one large message share its pages.
 */
#include "role/content.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <posthouse/fiber.h>

#include "base/record.h"
#include "log/log.h"
#include "role/messages.h"

/* A file of file_n octets behind octets: [ .. octets | file .. ], the bar at a
 * page's start. */
struct mapping {
	struct ph_slice octets;
	int fd;
	uint64_t limit_bytes;
	size_t file_n;
	char *base; /* of the whole region */
	size_t region_n, front_n;
	int status, error;
};

static size_t
round_to_pages(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

static bool
mapping_measure(struct mapping *mapping)
{
	struct stat st;

	if (fstat(mapping->fd, &st) != 0) {
		mapping->status = PH_IO;
		mapping->error = errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size < 0) {
		mapping->status = PH_INVALID;
	} else if ((uint64_t)st.st_size > mapping->limit_bytes) {
		mapping->status = PH_TOO_BIG;
	} else {
		mapping->file_n = (size_t)st.st_size;
		return true;
	}
	return false;
}

/* In the thread pool: reading the file in may take its time. */
static void
mapping_make(void *arg)
{
	struct mapping *mapping = arg;
	void *p;

	if (!mapping_measure(mapping))
		return;
	mapping->front_n = round_to_pages(mapping->octets.n);
	mapping->region_n = mapping->front_n + round_to_pages(mapping->file_n);
	if (mapping->region_n == 0)
		return;
	mapping->base = mmap(NULL, mapping->region_n, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p = mapping->base;
	if (mapping->base != MAP_FAILED && mapping->file_n > 0)
		p = mmap(mapping->base + mapping->front_n, mapping->file_n,
		    PROT_READ, MAP_PRIVATE | MAP_FIXED, mapping->fd, 0);
	if (p == MAP_FAILED) {
		mapping->status = PH_IO;
		mapping->error = errno;
		if (mapping->base != MAP_FAILED)
			munmap(mapping->base, mapping->region_n);
		return;
	}
	if (mapping->octets.n > 0)
		memcpy(mapping->base + mapping->front_n - mapping->octets.n,
		    mapping->octets.p, mapping->octets.n);
	if (mapping->front_n > 0)
		mprotect(mapping->base, mapping->front_n, PROT_READ);
	if (mapping->file_n > 0)
		madvise(mapping->base + mapping->front_n, mapping->file_n,
		    MADV_POPULATE_READ);
}

static void
mapping_end(void *object)
{
	struct mapping *mapping = object;

	munmap(mapping->base, mapping->region_n);
}

int
content_open(struct ph_arena *arena, struct ph_slice octets, int fd,
    uint64_t limit_bytes, struct ph_slice *content_out, struct ph_err *err)
{
	struct mapping *mapping;

	if (fd < 0) {
		if (octets.p == NULL)
			return ph_err_set(err, PH_INVALID, 0,
			    "no content came");
		*content_out = octets;
		return PH_OK;
	}
	mapping = ph_arena_alloc(arena, sizeof(*mapping));
	mapping->octets = octets;
	mapping->fd = fd;
	mapping->limit_bytes = limit_bytes;
	ph_work(mapping_make, mapping);
	if (mapping->status != PH_OK)
		return ph_err_set(err, mapping->status, mapping->error,
		    "the content can't be read: %s", mapping->error != 0 ?
		        strerror(mapping->error) :
		        ph_status_name(mapping->status));
	*content_out = PH_LIT("");
	if (mapping->region_n == 0)
		return PH_OK;
	ph_arena_on_end(arena, mapping_end, mapping);
	content_out->p = mapping->base + mapping->front_n -
	    mapping->octets.n;
	content_out->n = mapping->octets.n + mapping->file_n;
	return PH_OK;
}

int
content_take(struct bus_request *request, struct ph_slice *content_out)
{
	int fd = request->message.fds[0], status;
	struct ph_err err = { 0 };

	if (fd >= 0)
		ph_arena_own_fd(request->arena, fd);
	status = content_open(request->arena,
	    record_get(request->message.record, F_CONTENT), fd, UINT64_MAX,
	    content_out, &err);
	if (status != PH_OK)
		ph_log(PH_ERROR, "content_unreadable",
		    ph_f_str("reason", err.text));
	return status;
}
