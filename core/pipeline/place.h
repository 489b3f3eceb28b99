/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - a mailbox that a check wants a message put into, on its way from
 * check by queue to mail, where it is read as the hostile text that it may be.
 */
#ifndef CORE_PIPELINE_PLACE_H
#define CORE_PIPELINE_PLACE_H

#include <posthouse/store.h>

enum {
	PLACES_MAX = 16,       /* of a recipient */
	PLACE_OCTETS_MAX = 1024, /* of one, encoded */
};

/* Append F_PLACE. False: no mailbox can have that name, or no message such
 * keywords. */
bool place_put(struct ph_buf *buf, const struct ph_delivery_place *place);
/* The value of F_PLACE; the octets are borrowed. False: it is none. */
bool place_take(struct ph_arena *arena, struct ph_slice record,
    struct ph_delivery_place *place_out);

#endif
