/* SPDX-License-Identifier: Apache-2.0 */
/* backup.h - a copy of the queue while it works, for posthousectl. */
#ifndef CORE_QUEUE_BACKUP_H
#define CORE_QUEUE_BACKUP_H

#include "queue/queue.h"

/* Write the whole queue to the socket (borrowed), then say in text how much it
 * was, or why not. Suspends until the last octet is taken. PH_BUSY: one is
 * being written. */
int backup_run(int fd, struct ph_buf *text);
/* The role ends: break the one under way off. */
void backup_stop(void);

#endif
