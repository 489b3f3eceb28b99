/* SPDX-License-Identifier: Apache-2.0 */
/* lane_name.h - names of lanes, for lane.c alone; queue.h has what others ask. */
#ifndef CORE_QUEUE_LANE_NAME_H
#define CORE_QUEUE_LANE_NAME_H

#include "queue/queue.h"

/* What a lane's name says. */
struct lane_target {
	unsigned transport_n; /* octets of the name before the slash; 0: none */
	unsigned shard;
	bool is_local;
};

/* Write the name of where the recipient's mail goes. */
struct lane_target lane_name_write(const struct queue_recipient *recipient,
    char name[LANE_NAME_MAX]);

#endif
