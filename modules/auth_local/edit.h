/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit.h - one change to the text of a users file. Pure. What is not concerned
 * (comments, order, other lines, also wrong ones) stays octet for octet.
 */
#ifndef AUTH_LOCAL_EDIT_H
#define AUTH_LOCAL_EDIT_H

#include <posthouse/arena.h>

/* The name is in lower case. 0; PH_EXISTS (a user or an alias is called so),
 * PH_NOT_FOUND; PH_TOO_BIG when out is full. */
int edit_add(struct ph_slice text, struct ph_slice name, struct ph_slice hash,
    struct ph_buf *out);
int edit_passwd(struct ph_slice text, struct ph_slice name,
    struct ph_slice hash, struct ph_buf *out);
int edit_del(struct ph_slice text, struct ph_slice name, struct ph_buf *out);

#endif
