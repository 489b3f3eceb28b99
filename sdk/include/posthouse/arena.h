/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/arena.h - memory and cleanups with a lifetime one can name.
 *
 * Everything that belongs to a process, a configuration generation, a
 * connection, a message or a call is taken from its arena and ends with it.
 * Allocation never fails: a process out of memory ends and is restarted, which
 * the promise allows. Input is bounded where it enters, so arenas are too.
 * Not thread-safe: an arena belongs to one fiber at a time, or to one piece of
 * blocking work while its fiber is suspended.
 */
#ifndef POSTHOUSE_ARENA_H
#define POSTHOUSE_ARENA_H

#include <stdarg.h>

#include <posthouse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_arena;

/* A new arena; with a parent it also ends, at the latest, when that does. */
PH_EXPORT struct ph_arena *ph_arena_create(struct ph_arena *parent);
/* Runs the cleanups, last registered first, then frees all. NULL is fine. */
PH_EXPORT void ph_arena_free(struct ph_arena *arena);

/* n zeroed octets, aligned for any type. */
PH_EXPORT void *ph_arena_alloc(struct ph_arena *arena, size_t n)
    __attribute__((malloc, alloc_size(2), returns_nonnull));
/* An array of count zeroed elements; the product is checked. */
PH_EXPORT void *ph_arena_array(struct ph_arena *arena, size_t count,
    size_t size) __attribute__((malloc, alloc_size(2, 3), returns_nonnull));
/* A copy of s, in the arena. */
PH_EXPORT char *ph_arena_strdup(struct ph_arena *arena, const char *s);
/* A copy of s, in the arena, with a NUL behind the last octet; absent for an
 * absent one. */
PH_EXPORT struct ph_slice ph_arena_slice(struct ph_arena *arena,
    struct ph_slice s);
/* The same with its ASCII letters in lower case. Since minor 3. */
PH_EXPORT struct ph_slice ph_arena_lower(struct ph_arena *arena,
    struct ph_slice s);
/* The text that printf(3) would write, in the arena. */
PH_EXPORT char *ph_arena_printf(struct ph_arena *arena, const char *fmt, ...)
    PH_PRINTF(2, 3);
/* The same with its arguments as a list. */
PH_EXPORT char *ph_arena_vprintf(struct ph_arena *arena, const char *fmt,
    va_list args) PH_PRINTF(2, 0);

/* Call fn(object) when the arena ends. fn must not suspend. */
PH_EXPORT void ph_arena_on_end(struct ph_arena *arena, void (*fn)(void *),
    void *object);
/* The arena closes fd when it ends (given). */
PH_EXPORT void ph_arena_own_fd(struct ph_arena *arena, int fd);
/* Octets now held, for limits and metrics. */
PH_EXPORT size_t ph_arena_size(const struct ph_arena *arena);

/*
 * A growing octet buffer with a cap. Appends after the cap was hit do nothing
 * and leave `full` set, so that a chain of appends is checked once at its end.
 */
struct ph_buf {
	struct ph_arena *arena; /* NULL: malloc, ended by ph_buf_fini */
	char *p;
	size_t n;
	size_t capacity;
	size_t limit; /* n never exceeds it */
	bool full;
};

/* An empty buffer of at most limit_bytes; with an arena it ends with that. */
PH_EXPORT void ph_buf_init(struct ph_buf *buf, struct ph_arena *arena,
    size_t limit_bytes);
/* Frees the memory of a buffer without an arena; wipes nothing. */
PH_EXPORT void ph_buf_fini(struct ph_buf *buf);
/* Append n octets (copied), or none when they do not fit. */
PH_EXPORT void ph_buf_add(struct ph_buf *buf, const void *p, size_t n);
/* Append a slice; an absent one is empty. */
PH_EXPORT void ph_buf_slice(struct ph_buf *buf, struct ph_slice s);
/* Append a slice with its ASCII letters in lower case. Since minor 3. */
PH_EXPORT void ph_buf_lower(struct ph_buf *buf, struct ph_slice s);
/* Append a C string. */
PH_EXPORT void ph_buf_str(struct ph_buf *buf, const char *s);
/* Append one octet. */
PH_EXPORT void ph_buf_char(struct ph_buf *buf, char c);
/* Append what printf(3) would write. */
PH_EXPORT void ph_buf_printf(struct ph_buf *buf, const char *fmt, ...)
    PH_PRINTF(2, 3);
/* Room for n more octets at the end, or NULL (and full). Then n is advanced
 * by the caller with ph_buf_commit. */
PH_EXPORT char *ph_buf_reserve(struct ph_buf *buf, size_t n);
/* The n octets that ph_buf_reserve made room for are written. */
PH_EXPORT void ph_buf_commit(struct ph_buf *buf, size_t n);
/* What is in the buffer; borrowed until the next call that appends. Never
 * absent. */
static inline struct ph_slice
ph_buf_content(const struct ph_buf *buf)
{
	return (struct ph_slice){ buf->p != NULL ? buf->p : "", buf->n };
}

/* Overwrite n octets in a way the compiler does not remove. */
PH_EXPORT void ph_wipe(void *p, size_t n);

#ifdef __cplusplus
}
#endif
#endif
