/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail_content.c - the octets of a message: in memory up to 64 KiB, then in the
 * queue's file; and what checks change of its header section. While that is in
 * memory a change is made at once. Once it is in the file, the changed one is
 * kept beside it, and what changed is settled at the commit: fields in front of
 * all go there as the prefix of the file, for anything else it is written anew.
 */
#include "session/mail_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "pipeline/envelope_edit.h"
#include "pipeline/header_edit.h"

enum {
	MEMORY_MAX = 64 << 10, /* content kept in memory */
	CHUNK = 256 << 10,     /* gathered for one write to the spool file */
	HEADER_MAX = 1 << 20,  /* kept in memory until it is complete */
	BLOCK = 64 << 10,
	COPY_WAIT_MS = 5000,   /* for other copies to end */
	FIELDS_MAX = 64 << 10, /* what a listener adds, on top of the limit */
};

/* --- life --- */

/* The queue need not keep it for a commit any more. */
static void
drop_spool(uint64_t spool)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, 64);
	record_put_u64(&buf, F_SPOOL, spool);
	bus_notify(ROLE_QUEUE, 0, MSG_SPOOL_DROP, ph_buf_content(&buf));
	ph_buf_fini(&buf);
}

static void
on_arena_end(void *object)
{
	struct ph_mail *mail = object;

	if (mail->spool_fd >= 0) {
		drop_spool(mail->spool);
		close(mail->spool_fd);
	}
	mail_restore_body(mail);
	mail->spool_fd = -1;
	ph_buf_fini(&mail->content);
}

void
mail_content_init(struct ph_mail *mail)
{
	mail->spool_fd = mail->body_fd = -1;
	mail->limit_bytes = ph_mail_size_limit(mail->session) + FIELDS_MAX;
	ph_buf_init(&mail->content, NULL, HEADER_MAX + CHUNK + MEMORY_MAX);
	ph_arena_on_end(mail->arena, on_arena_end, mail);
}

void
ph_mail_limit(struct ph_mail *mail, uint64_t limit_bytes)
{
	if (limit_bytes < mail->limit_bytes)
		mail->limit_bytes = limit_bytes;
}

uint64_t
ph_mail_size(const struct ph_mail *mail)
{
	return mail->size;
}

/* --- writing --- */

/* Octets, then those of a file from..end, then octets. */
struct parts {
	struct ph_slice first;
	int fd;
	uint64_t from, end;
	struct ph_slice last;
};

static uint64_t
parts_size(const struct parts *parts)
{
	return parts->first.n + (parts->end - parts->from) + parts->last.n;
}

struct writing {
	struct parts parts;
	int fd;
	uint64_t at;
	int status;
};

static void
write_octets(struct writing *w, const char *p, size_t left)
{
	while (w->status == PH_OK && left > 0) {
		ssize_t put = pwrite(w->fd, p, left, (off_t)w->at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			w->status = errno == ENOSPC || errno == EDQUOT ?
			    PH_FULL : PH_IO;
			return;
		}
		p += put;
		left -= (size_t)put;
		w->at += (uint64_t)put;
	}
}

/* In the thread pool. */
static void
write_parts(void *arg)
{
	struct writing *w = arg;
	char *block = w->parts.from < w->parts.end ? malloc(BLOCK) : NULL;

	ph_assert(block != NULL || w->parts.from >= w->parts.end);
	write_octets(w, w->parts.first.p, w->parts.first.n);
	while (w->status == PH_OK && w->parts.from < w->parts.end) {
		uint64_t left = w->parts.end - w->parts.from;
		ssize_t got = pread(w->parts.fd, block,
		    left < BLOCK ? (size_t)left : BLOCK,
		    (off_t)w->parts.from);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			w->status = PH_IO;
			break;
		}
		write_octets(w, block, (size_t)got);
		w->parts.from += (uint64_t)got;
	}
	write_octets(w, w->parts.last.p, w->parts.last.n);
	free(block);
}

static int
spool_content(struct ph_mail *mail)
{
	struct writing w = { .parts = { .fd = -1,
		.last = ph_buf_content(&mail->content) },
		.fd = mail->spool_fd, .at = mail->written };

	if (mail->content.n == 0)
		return PH_OK;
	ph_work(write_parts, &w);
	mail->written = w.at;
	mail->content.n = 0;
	return w.status;
}

/* A file of the queue's. */
static int
obtain_spool(struct ph_mail *mail, int *fd_out, uint64_t *spool_out)
{
	struct bus_message reply;
	int status = bus_call(ROLE_QUEUE, 0, MSG_SPOOL, PH_LIT(""), NULL, 0,
	    BUS_LOOKUP_MS, mail->arena, &reply);

	if (status != PH_OK)
		return status;
	if (reply.fds[0] < 0)
		return PH_UNAVAILABLE;
	*fd_out = reply.fds[0];
	*spool_out = record_get_u64(reply.record, F_SPOOL, 0);
	return PH_OK;
}

/* The content outgrows memory: get the file. */
static int
begin_spool(struct ph_mail *mail)
{
	struct ph_slice header = ph_buf_content(&mail->content);
	int status = obtain_spool(mail, &mail->spool_fd, &mail->spool);

	if (status != PH_OK)
		return status;
	header.n = ph_header_size(header);
	mail->header = ph_arena_slice(mail->arena, header);
	return PH_OK;
}

/* A header section goes to the file whole, so that checks see it whole. */
static size_t
buffer_limit(const struct ph_mail *mail)
{
	struct ph_slice content = ph_buf_content(&mail->content);

	if (mail->spool_fd >= 0)
		return CHUNK;
	return content.n < MEMORY_MAX ? MEMORY_MAX :
	    ph_header_size(content) < content.n ? content.n : HEADER_MAX;
}

int
ph_mail_write(struct ph_mail *mail, const void *p, size_t n)
{
	const char *from = p;

	if (mail->failed != PH_OK)
		return mail->failed;
	mail->size += n;
	if (mail->size > mail->limit_bytes)
		return mail->failed = PH_TOO_BIG;
	while (n > 0) {
		size_t room = buffer_limit(mail);
		size_t take = mail->content.n < room ?
		    room - mail->content.n : 0;

		if (take > n)
			take = n;
		ph_buf_add(&mail->content, from, take);
		from += take;
		n -= take;
		if (n == 0)
			break;
		if (take > 0 && mail->spool_fd < 0)
			continue; /* there may be room for its header */
		if (mail->spool_fd < 0)
			mail->failed = begin_spool(mail);
		else
			mail->failed = spool_content(mail);
		if (mail->failed != PH_OK)
			return mail->failed;
	}
	return PH_OK;
}

/* --- the header section --- */

static struct ph_slice
header_as_written(const struct ph_mail *mail)
{
	struct ph_slice content = ph_buf_content(&mail->content);

	if (mail->spool_fd >= 0)
		return mail->header;
	content.n = ph_header_size(content);
	return content;
}

struct ph_slice
mail_header(const struct ph_mail *mail)
{
	return mail->head.p != NULL ? mail->head : header_as_written(mail);
}

static struct parts
parts_of(const struct ph_mail *mail)
{
	struct parts parts = { .fd = mail->spool_fd, .end = mail->written,
		.last = ph_buf_content(&mail->content) };
	uint64_t skip;

	if (mail->body_fd >= 0)
		return (struct parts){ .first = mail_header(mail),
			.fd = mail->body_fd, .end = mail->body_bytes };
	if (mail->head.p == NULL)
		return parts;
	skip = header_as_written(mail).n;
	parts.first = mail->head;
	parts.from = skip < mail->written ? skip : mail->written;
	skip -= parts.from;
	parts.last.p += skip;
	parts.last.n -= skip;
	return parts;
}

/* The content, into memory again. */
static void
join_in_memory(struct ph_mail *mail)
{
	struct parts parts = parts_of(mail);
	struct ph_buf all;

	ph_buf_init(&all, NULL, mail->content.limit);
	ph_buf_slice(&all, parts.first);
	ph_buf_slice(&all, parts.last);
	ph_buf_fini(&mail->content);
	mail->content = all;
	mail->head = (struct ph_slice){ NULL, 0 };
}

bool
mail_change_header(struct ph_mail *mail, struct ph_slice changes)
{
	struct ph_slice before = mail_header(mail);
	struct ph_buf buf;

	if (!header_edit_is_any(changes))
		return true;
	ph_buf_init(&buf, mail->arena, before.n +
	    (HEADER_GROWTH_MAX - mail->growth));
	header_edit_apply(before, changes, &buf);
	if (buf.full)
		return false;
	if (buf.n > before.n)
		mail->growth += buf.n - before.n;
	mail->head = buf.n > 0 ? ph_buf_content(&buf) : PH_LIT("");
	if (mail->spool_fd < 0 && mail->body_fd < 0)
		join_in_memory(mail);
	return true;
}

static void
put_added(struct ph_slice fields, struct ph_buf *changes)
{
	if (fields.n > 0)
		record_put(changes, F_ADD_HEADER, fields);
}

void
mail_begin_header(struct ph_mail *mail)
{
	struct ph_buf changes;

	if (mail->has_added)
		return;
	mail->has_added = true;
	ph_buf_init(&changes, NULL, HEADER_GROWTH_MAX);
	put_added(ph_buf_content(&mail->session->headers), &changes);
	put_added(ph_buf_content(&mail->headers), &changes);
	(void)mail_change_header(mail, ph_buf_content(&changes));
	ph_buf_fini(&changes);
}

/* --- another body --- */

struct judging {
	int fd;
	uint64_t limit_bytes, bytes;
	int status;
};

/* In the thread pool. Sealed, it stays what it is now. */
static void
judge_body(void *arg)
{
	struct judging *j = arg;
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const int has = fcntl(j->fd, F_GET_SEALS);
	struct body_scan scan = { false, false };
	char *block = malloc(BLOCK);
	struct stat st;
	ssize_t got;

	ph_assert(block != NULL);
	if (fstat(j->fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    has < 0 || (has & seals) != seals)
		j->status = PH_DEFECT;
	else if ((uint64_t)st.st_size > j->limit_bytes)
		j->status = PH_TOO_BIG;
	while (j->status == PH_OK && !scan.is_bad &&
	    (got = pread(j->fd, block, BLOCK, (off_t)j->bytes)) != 0) {
		if (got < 0 && errno != EINTR)
			j->status = PH_IO;
		if (got < 0)
			continue;
		body_scan_next(&scan, (struct ph_slice){ block,
		    (size_t)got });
		j->bytes += (uint64_t)got;
	}
	if (j->status == PH_OK && !body_scan_end(&scan))
		j->status = PH_DEFECT;
	free(block);
}

int
mail_replace_body(struct ph_mail *mail, int fd)
{
	struct judging j = { .fd = fd,
		.limit_bytes = ph_mail_size_limit(mail->session) };

	ph_work(judge_body, &j);
	if (j.status != PH_OK) {
		close(fd);
		return j.status;
	}
	mail_restore_body(mail);
	mail->body_fd = fd;
	mail->body_bytes = j.bytes;
	return PH_OK;
}

void
mail_restore_body(struct ph_mail *mail)
{
	if (mail->body_fd >= 0)
		close(mail->body_fd);
	mail->body_fd = -1;
}

/* What is put behind it must be a body. */
static void
end_header(struct ph_mail *mail)
{
	struct ph_slice header = mail_header(mail);
	struct ph_buf ended;

	ph_buf_init(&ended, mail->arena, header.n + 4);
	header_edit_end(header, &ended);
	mail->head = ph_buf_content(&ended);
}

/* --- for checks --- */

/* In the thread pool: the content into a sealed memory file. */
static void
copy_content(void *arg)
{
	struct writing *w = arg;

	w->fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->fd < 0) {
		w->status = PH_IO;
		return;
	}
	write_parts(w);
	if (w->status == PH_OK && fcntl(w->fd, F_ADD_SEALS, F_SEAL_SHRINK |
	        F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return;
	w->status = PH_IO;
	close(w->fd);
}

/* The copies that there are in this process. */
static struct {
	uint64_t octets;
	struct ph_event smaller;
} copies;

static uint64_t
content_octets(const struct ph_mail *mail)
{
	struct parts parts = parts_of(mail);

	return parts_size(&parts);
}

/* One alone may be larger than the limit: else it would wait for ever. */
static int
reserve_copy(uint64_t octets, uint64_t limit)
{
	uint64_t end = ph_now_ms() + COPY_WAIT_MS, now;

	while (copies.octets > 0 && copies.octets + octets > limit) {
		now = ph_now_ms();
		if (now >= end || ph_event_wait(&copies.smaller,
		        (unsigned)(end - now)) != PH_OK)
			return PH_FULL;
	}
	copies.octets += octets;
	return PH_OK;
}

static void
release_copy(uint64_t octets)
{
	copies.octets -= octets;
	ph_event_signal(&copies.smaller);
}

int
mail_content_get(struct ph_mail *mail, int *fd_out)
{
	const struct generation *generation = mail->session->generation;
	struct writing w = { .parts = parts_of(mail), .fd = -1 };
	uint64_t octets = content_octets(mail);
	int status = reserve_copy(octets,
	    generation->core.limits.content_memory_bytes);

	if (status != PH_OK)
		return status;
	ph_work(copy_content, &w);
	if (w.status != PH_OK) {
		release_copy(octets);
		return PH_IO;
	}
	*fd_out = w.fd;
	return PH_OK;
}

void
mail_content_put(struct ph_mail *mail, int fd)
{
	close(fd);
	release_copy(content_octets(mail));
}

/* --- for the commit --- */

/* The fields in front of all, when they alone are new. */
static bool
is_only_prefixed(const struct ph_mail *mail, struct ph_slice *prefix_out)
{
	struct ph_slice was = mail->header, is = mail->head;

	if (is.n < was.n || is.n - was.n > MEMORY_MAX ||
	    memcmp(is.p + (is.n - was.n), was.p, was.n) != 0)
		return false;
	*prefix_out = (struct ph_slice){ is.p, is.n - was.n };
	return true;
}

static void
forget_spool(struct ph_mail *mail)
{
	if (mail->spool_fd < 0)
		return;
	drop_spool(mail->spool);
	close(mail->spool_fd);
	mail->spool_fd = -1;
	mail->written = 0;
}

/* A small one needs no file, whatever it came from. */
static int
read_parts(struct ph_mail *mail)
{
	struct parts parts = parts_of(mail);
	size_t n = (size_t)(parts.end - parts.from);
	struct ph_buf all;
	char *room;

	ph_buf_init(&all, NULL, mail->content.limit);
	ph_buf_slice(&all, parts.first);
	room = ph_buf_reserve(&all, n);
	if (n > 0 && (room == NULL || pread(parts.fd, room, n,
	        (off_t)parts.from) != (ssize_t)n)) {
		ph_buf_fini(&all);
		return PH_IO;
	}
	ph_buf_commit(&all, n);
	ph_buf_slice(&all, parts.last);
	forget_spool(mail);
	ph_buf_fini(&mail->content);
	mail->content = all;
	return PH_OK;
}

/* The file is the queue's and begins with the header: write another. */
static int
write_anew(struct ph_mail *mail)
{
	struct writing w = { .parts = parts_of(mail) };
	uint64_t spool;
	int status = obtain_spool(mail, &w.fd, &spool);

	if (status != PH_OK)
		return status;
	ph_work(write_parts, &w);
	forget_spool(mail);
	mail->spool_fd = w.fd;
	mail->spool = spool;
	mail->written = w.at;
	mail->content.n = 0;
	return w.status;
}

static int
settle_changed(struct ph_mail *mail)
{
	struct parts parts = parts_of(mail);

	if (parts_size(&parts) > mail->limit_bytes + HEADER_GROWTH_MAX)
		return PH_TOO_BIG;
	return parts_size(&parts) <= MEMORY_MAX ? read_parts(mail) :
	                                          write_anew(mail);
}

int
mail_content_settle(struct ph_mail *mail)
{
	int status = PH_OK;

	mail_begin_header(mail);
	if (mail->body_fd >= 0)
		end_header(mail);
	if (mail->body_fd >= 0 || (mail->spool_fd >= 0 &&
	    mail->head.p != NULL && !is_only_prefixed(mail, &mail->prefix)))
		return settle_changed(mail);
	/* in memory there is room for the content, not for added fields too */
	if (mail->spool_fd < 0 && mail->content.n > MEMORY_MAX)
		status = begin_spool(mail);
	if (status == PH_OK && mail->spool_fd >= 0)
		status = spool_content(mail);
	return status;
}

void
mail_content_put_commit(const struct ph_mail *mail, struct ph_buf *buf)
{
	if (mail->spool_fd < 0) {
		record_put(buf, F_CONTENT, ph_buf_content(&mail->content));
		return;
	}
	record_put_u64(buf, F_SPOOL, mail->spool);
	record_put_u64(buf, F_SIZE, mail->written);
	if (mail->prefix.n > 0)
		record_put(buf, F_PREFIX, mail->prefix);
}
