/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c - a binary heap of nodes. */
#include "queue/heap.h"

#include <posthouse/base.h>
#include <stdlib.h>

static bool
is_before(const struct heap_node *a, const struct heap_node *b)
{
	/* ties are counters that may wrap */
	return a->key != b->key ? a->key < b->key :
	    (int32_t)(a->tie - b->tie) < 0;
}

static void
place(struct heap *heap, struct heap_node *node, uint32_t i)
{
	heap->nodes[i] = node;
	node->at = i + 1;
}

static void
up(struct heap *heap, struct heap_node *node)
{
	uint32_t i = node->at - 1;

	while (i > 0 && is_before(node, heap->nodes[(i - 1) / 2])) {
		place(heap, heap->nodes[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	place(heap, node, i);
}

static void
down(struct heap *heap, struct heap_node *node)
{
	uint32_t i = node->at - 1;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    is_before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (!is_before(heap->nodes[child], node))
			break;
		place(heap, heap->nodes[child], i);
		i = child;
	}
	place(heap, node, i);
}

void
heap_settle(struct heap *heap, struct heap_node *node)
{
	up(heap, node);
	down(heap, node);
}

void
heap_add(struct heap *heap, struct heap_node *node)
{
	if (heap->count == heap->room) {
		heap->room = heap->room > 0 ? heap->room * 2 : 4;
		heap->nodes = realloc(heap->nodes,
		    heap->room * sizeof(*heap->nodes));
		ph_assert(heap->nodes != NULL);
	}
	place(heap, node, heap->count++);
	up(heap, node);
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *last;

	if (node->at == 0)
		return;
	last = heap->nodes[--heap->count];
	if (last != node) {
		place(heap, last, node->at - 1);
		heap_settle(heap, last);
	}
	node->at = 0;
}

struct heap_node *
heap_first(const struct heap *heap)
{
	return heap->count > 0 ? heap->nodes[0] : NULL;
}

void
heap_fini(struct heap *heap)
{
	free(heap->nodes);
	*heap = (struct heap){ NULL, 0, 0 };
}
