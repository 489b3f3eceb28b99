/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.c - a growing buffer with a cap. Growth doubles; in an arena the old
 * octets stay until the arena ends, which at most doubles what is held.
 */
#include <posthouse/arena.h>

#include <stdio.h>
#include <stdlib.h>

void
ph_buf_init(struct ph_buf *buf, struct ph_arena *arena, size_t limit_bytes)
{
	*buf = (struct ph_buf){ .arena = arena, .limit = limit_bytes };
}

void
ph_buf_fini(struct ph_buf *buf)
{
	if (buf->arena == NULL)
		free(buf->p);
	buf->p = NULL;
	buf->n = buf->capacity = 0;
	buf->full = false;
}

static void
buf_grow(struct ph_buf *buf, size_t need)
{
	size_t capacity = buf->capacity > 0 ? buf->capacity : 128;
	char *p;

	while (capacity < need)
		capacity *= 2;
	if (capacity > buf->limit)
		capacity = buf->limit;
	if (buf->arena != NULL) {
		p = ph_arena_alloc(buf->arena, capacity);
		if (buf->n > 0)
			memcpy(p, buf->p, buf->n);
	} else {
		p = realloc(buf->p, capacity);
		if (p == NULL)
			abort();
	}
	buf->p = p;
	buf->capacity = capacity;
}

char *
ph_buf_reserve(struct ph_buf *buf, size_t n)
{
	if (buf->full || n > buf->limit - buf->n) {
		buf->full = true;
		return NULL;
	}
	if (n > buf->capacity - buf->n)
		buf_grow(buf, buf->n + n);
	return buf->p + buf->n;
}

void
ph_buf_commit(struct ph_buf *buf, size_t n)
{
	ph_assert(n <= buf->capacity - buf->n);
	buf->n += n;
}

void
ph_buf_add(struct ph_buf *buf, const void *p, size_t n)
{
	char *room;

	if (n == 0)
		return;
	room = ph_buf_reserve(buf, n);
	if (room == NULL)
		return;
	memcpy(room, p, n);
	buf->n += n;
}

void
ph_buf_slice(struct ph_buf *buf, struct ph_slice s)
{
	ph_buf_add(buf, s.p, s.n);
}

void
ph_buf_lower(struct ph_buf *buf, struct ph_slice s)
{
	char *p = ph_buf_reserve(buf, s.n);

	if (p == NULL || s.n == 0)
		return;
	memcpy(p, s.p, s.n);
	ph_lower_in_place(p, s.n);
	ph_buf_commit(buf, s.n);
}

void
ph_buf_str(struct ph_buf *buf, const char *s)
{
	ph_buf_add(buf, s, strlen(s));
}

void
ph_buf_char(struct ph_buf *buf, char c)
{
	ph_buf_add(buf, &c, 1);
}

void
ph_buf_printf(struct ph_buf *buf, const char *fmt, ...)
{
	char small[256];
	va_list args;
	char *large;
	int n;

	va_start(args, fmt);
	n = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	ph_assert(n >= 0);
	if ((size_t)n < sizeof(small)) {
		ph_buf_add(buf, small, (size_t)n);
		return;
	}
	va_start(args, fmt);
	if (vasprintf(&large, fmt, args) < 0)
		abort();
	va_end(args);
	ph_buf_add(buf, large, (size_t)n);
	free(large);
}
