/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.c - which known name a mistyped one may mean: edit distance. */
#include "conf/conf_inner.h"

enum { NAME_MAX_LEN = 63 };

static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > NAME_MAX_LEN || nb > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned up = row[j];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[nb];
}

void
nearest_offer(struct nearest *nearest, const char *name)
{
	unsigned d = distance(nearest->wanted, name);

	if (nearest->name == NULL || d < nearest->distance ||
	    (d == nearest->distance && strcmp(name, nearest->name) < 0)) {
		nearest->name = name;
		nearest->distance = d;
	}
}

const char *
nearest_name(const struct nearest *nearest)
{
	size_t n = strlen(nearest->wanted);

	if (nearest->name == NULL || nearest->distance > 1 + n / 3)
		return NULL;
	return nearest->name;
}
