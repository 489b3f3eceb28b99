/* SPDX-License-Identifier: Apache-2.0 */
/* port.h - what the writer and the reader of exported queues share. */
#ifndef QUEUE_DB_PORT_H
#define QUEUE_DB_PORT_H

#include "queue_db_tools.h"

#define PORT_FIRST_LINE "posthouse-queue 1"

enum { PORT_LINE_MAX = 160 };

const char *port_state_name(enum queue_db_state state);
const char *port_order_name(enum queue_db_order order);
/* False: no such state. */
bool port_state_parse(struct ph_slice name, enum queue_db_state *state_out);

#endif
