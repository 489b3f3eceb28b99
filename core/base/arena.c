/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - bump allocation in blocks, with cleanups and children.
 *
 * The arena itself lies at the start of its first block, so an arena that
 * holds little costs one malloc of 512 octets; later blocks double up to
 * 32 KiB. Large pieces get a block of their own. AddressSanitizer builds give
 * every piece its own block, so that overruns are seen.
 */
#include <posthouse/arena.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ARENA_ALIGN = 16,
	ARENA_FIRST = 512,
	ARENA_BLOCK_MAX = 32768,
};

#if defined(__SANITIZE_ADDRESS__)
enum { ARENA_OWN_BLOCK_OVER = 0 };
#else
enum { ARENA_OWN_BLOCK_OVER = 8192 };
#endif

struct block {
	struct block *next;
	size_t size; /* of data */
	_Alignas(ARENA_ALIGN) char data[];
};

struct cleanup {
	struct cleanup *next;
	void (*fn)(void *);
	void *object;
};

struct ph_arena {
	struct block *blocks; /* all but the first; newest first */
	char *at;             /* free room of the current block */
	size_t left;
	size_t next_size;
	size_t held;
	struct cleanup *cleanups;
	struct ph_arena *parent, *children, *prev, *next;
};

static size_t
round_up(size_t n)
{
	return (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

static void *
must(void *p)
{
	if (p == NULL) {
		static const char text[] = "posthouse: out of memory\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

		(void)ignored;
		abort();
	}
	return p;
}

struct ph_arena *
ph_arena_create(struct ph_arena *parent)
{
	const size_t head = round_up(sizeof(struct ph_arena));
	struct ph_arena *arena = must(malloc(ARENA_FIRST));

	memset(arena, 0, sizeof(*arena));
	arena->at = (char *)arena + head;
	arena->left = ARENA_OWN_BLOCK_OVER == 0 ? 0 : ARENA_FIRST - head;
	arena->next_size = 1024;
	arena->held = ARENA_FIRST;
	arena->parent = parent;
	if (parent != NULL) {
		arena->next = parent->children;
		if (arena->next != NULL)
			arena->next->prev = arena;
		parent->children = arena;
	}
	return arena;
}

static void
arena_unlink(struct ph_arena *arena)
{
	if (arena->parent == NULL)
		return;
	if (arena->prev != NULL)
		arena->prev->next = arena->next;
	else
		arena->parent->children = arena->next;
	if (arena->next != NULL)
		arena->next->prev = arena->prev;
}

void
ph_arena_free(struct ph_arena *arena)
{
	if (arena == NULL)
		return;
	while (arena->children != NULL)
		ph_arena_free(arena->children);
	while (arena->cleanups != NULL) {
		struct cleanup *cleanup = arena->cleanups;

		arena->cleanups = cleanup->next;
		cleanup->fn(cleanup->object);
	}
	arena_unlink(arena);
	while (arena->blocks != NULL) {
		struct block *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
	free(arena);
}

static char *
arena_add_block(struct ph_arena *arena, size_t size)
{
	struct block *block = must(malloc(sizeof(*block) + size));

	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->held += sizeof(*block) + size;
	return block->data;
}

void *
ph_arena_alloc(struct ph_arena *arena, size_t n)
{
	size_t size;
	char *p;

	ph_assert(n < SIZE_MAX / 2);
	size = round_up(n > 0 ? n : 1);
	if (size > arena->left && size > ARENA_OWN_BLOCK_OVER) {
		p = arena_add_block(arena, n > 0 ? n : 1);
	} else {
		if (size > arena->left) {
			while (arena->next_size < size)
				arena->next_size *= 2;
			arena->at = arena_add_block(arena, arena->next_size);
			arena->left = arena->next_size;
			if (arena->next_size < ARENA_BLOCK_MAX)
				arena->next_size *= 2;
		}
		p = arena->at;
		arena->at += size;
		arena->left -= size;
	}
	return memset(p, 0, n);
}

void *
ph_arena_array(struct ph_arena *arena, size_t count, size_t size)
{
	size_t n;

	ph_assert(!__builtin_mul_overflow(count, size, &n));
	return ph_arena_alloc(arena, n);
}

char *
ph_arena_strdup(struct ph_arena *arena, const char *s)
{
	size_t n = strlen(s);
	char *copy = ph_arena_alloc(arena, n + 1);

	return memcpy(copy, s, n);
}

struct ph_slice
ph_arena_slice(struct ph_arena *arena, struct ph_slice s)
{
	char *copy;

	if (s.p == NULL)
		return s;
	copy = ph_arena_alloc(arena, s.n + 1);
	memcpy(copy, s.p, s.n);
	return (struct ph_slice){ copy, s.n };
}

struct ph_slice
ph_arena_lower(struct ph_arena *arena, struct ph_slice s)
{
	struct ph_slice copy = ph_arena_slice(arena, s);

	ph_lower_in_place((char *)(uintptr_t)copy.p, copy.n);
	return copy;
}

char *
ph_arena_vprintf(struct ph_arena *arena, const char *fmt, va_list args)
{
	va_list again;
	char *text, small[256];
	int n;

	va_copy(again, args);
	n = vsnprintf(small, sizeof(small), fmt, args);
	ph_assert(n >= 0);
	text = ph_arena_alloc(arena, (size_t)n + 1);
	if ((size_t)n < sizeof(small))
		memcpy(text, small, (size_t)n + 1);
	else
		vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

char *
ph_arena_printf(struct ph_arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = ph_arena_vprintf(arena, fmt, args);
	va_end(args);
	return text;
}

void
ph_arena_on_end(struct ph_arena *arena, void (*fn)(void *), void *object)
{
	struct cleanup *cleanup = ph_arena_alloc(arena, sizeof(*cleanup));

	cleanup->fn = fn;
	cleanup->object = object;
	cleanup->next = arena->cleanups;
	arena->cleanups = cleanup;
}

static void
close_fd(void *object)
{
	close((int)(intptr_t)object);
}

void
ph_arena_own_fd(struct ph_arena *arena, int fd)
{
	ph_arena_on_end(arena, close_fd, (void *)(intptr_t)fd);
}

size_t
ph_arena_size(const struct ph_arena *arena)
{
	size_t held = arena->held;

	for (const struct ph_arena *child = arena->children; child != NULL;
	     child = child->next)
		held += ph_arena_size(child);
	return held;
}

void
ph_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}
