/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partition.c - which partition holds a user. FNV-1a is part of the layout on
 * disk: it must never change.
 */
#include "role/role.h"

unsigned
partition_of(struct ph_slice user, unsigned partitions)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < user.n; i++) {
		hash ^= (uint8_t)user.p[i];
		hash *= 16777619u;
	}
	return partitions > 0 ? hash % partitions : 0;
}
