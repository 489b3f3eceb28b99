/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.h - base64 and quoted-printable, as forgiving as mail needs it.
 */
#ifndef CORE_MAIL_TRANSFER_H
#define CORE_MAIL_TRANSFER_H

#include <posthouse/arena.h>

/* Octets outside the alphabet are passed over; "=" ends a group. */
void transfer_base64(struct ph_slice text, struct ph_buf *buf);
/* RFC 2045 s6.7; what is no code stays. */
void transfer_quoted_printable(struct ph_slice text, struct ph_buf *buf);
/* The "Q" of RFC 2047 s4.2: "_" is a blank. */
void transfer_q(struct ph_slice text, struct ph_buf *buf);

#endif
