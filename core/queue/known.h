/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - what is known of destinations that nothing waits for now: 16 octets
 * each, of a million at most. Times are of the caller, in milliseconds.
 */
#ifndef CORE_QUEUE_KNOWN_H
#define CORE_QUEUE_KNOWN_H

#include "queue/pace.h"

/* Keep what the pace says of the destination of that name (any case), if that is
 * anything: for a day when it did not answer, else for an hour. */
void known_keep(const char *name, const struct pace *pace, uint64_t now_ms);
/* What was kept, as the pace of a destination with nothing under way; false:
 * nothing. It stays. */
bool known_find(const char *name, struct pace *pace_out, uint64_t now_ms);
/* Forget that it did not answer. */
void known_forgive(const char *name);
void known_forgive_all(void);
/* Octets of the whole table. */
size_t known_octets(void);

#endif
