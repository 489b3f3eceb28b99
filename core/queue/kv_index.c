/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_index.c - the pairs of kv.c by their keys: a balanced tree, since keys are
 * chosen by strangers, who could make those of a hash table collide.
 */
#include "queue/kv.h"

#include <search.h>

static int
compare(const void *a, const void *b)
{
	const struct ph_slice *x = a, *y = b;
	int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

struct ph_slice *
kv_index_find(void *const *root, struct ph_slice key)
{
	void *at = tfind(&key, root, compare);

	return at != NULL ? *(struct ph_slice **)at : NULL;
}

void
kv_index_add(void **root, struct ph_slice *keyed)
{
	ph_assert(tsearch(keyed, root, compare) != NULL);
}

void
kv_index_remove(void **root, const struct ph_slice *keyed)
{
	(void)tdelete(keyed, root, compare);
}
