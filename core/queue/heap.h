/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - what comes first, by a key: a binary heap of nodes that lie in the
 * things themselves, so that each can be moved or taken out.
 */
#ifndef CORE_QUEUE_HEAP_H
#define CORE_QUEUE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t key;  /* the least is first */
	uint32_t tie; /* decides between equal keys */
	uint32_t at;  /* index + 1; 0: in no heap */
};

/* Zero is an empty one. */
struct heap {
	struct heap_node **nodes;
	uint32_t count, room;
};

#define HEAP_OF(node, type, member)                                           \
	((type *)(void *)((char *)(node) - offsetof(type, member)))

void heap_add(struct heap *heap, struct heap_node *node);
/* A node in no heap is fine. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* After its key or tie changed. */
void heap_settle(struct heap *heap, struct heap_node *node);
/* NULL: it is empty. */
struct heap_node *heap_first(const struct heap *heap);
/* Frees what it took; it is empty then. */
void heap_fini(struct heap *heap);

#endif
