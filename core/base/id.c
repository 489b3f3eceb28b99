/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id.c - time-ordered ids. The low bits start at random in each millisecond
 * that is not the last one used and count up within it, so that ids of several
 * processes do not collide and those of one process ascend, also when the
 * clock is set back.
 */
#include "base/id.h"

#include <sys/random.h>
#include <time.h>

#include <stdlib.h>

#define ID_EPOCH_MS 1577836800000ull /* 2020-01-01 */
enum { ID_UNIQUE_BITS = 22 };

static const char id_letters[] = "0123456789abcdefghjkmnpqrstvwxyz";

static uint64_t id_last;

static uint64_t
id_now(void)
{
	struct timespec now;
	uint64_t ms;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return (ms > ID_EPOCH_MS ? ms - ID_EPOCH_MS : 0) << ID_UNIQUE_BITS;
}

/* 21 random bits from a generator seeded once: no system call an id. */
static uint64_t
id_noise(void)
{
	static uint64_t state;

	if (state == 0 &&
	    getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
		abort();
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return state >> (64 - ID_UNIQUE_BITS + 1);
}

uint64_t
id_create_above(uint64_t floor)
{
	uint64_t id = id_now();

	if (floor > id_last)
		id_last = floor;
	if (id > id_last)
		id |= id_noise();
	if (id <= id_last)
		id = id_last + 1;
	id_last = id;
	return id;
}

uint64_t
id_create(void)
{
	return id_create_above(0);
}

int64_t
id_wall_ms(uint64_t id)
{
	return (int64_t)((id >> ID_UNIQUE_BITS) + ID_EPOCH_MS);
}

const char *
id_format(uint64_t id, char text[ID_TEXT_MAX])
{
	for (int i = 12; i >= 0; i--) {
		text[i] = id_letters[id & 31];
		id >>= 5;
	}
	text[13] = '\0';
	return text;
}

bool
id_parse(struct ph_slice text, uint64_t *id_out)
{
	uint64_t id = 0;

	if (text.n != 13)
		return false;
	for (size_t i = 0; i < 13; i++) {
		const char *at = text.p[i] != '\0' ?
		    strchr(id_letters, text.p[i]) : NULL;

		if (at == NULL || id >> 59 != 0)
			return false;
		id = id << 5 | (uint64_t)(at - id_letters);
	}
	*id_out = id;
	return true;
}
