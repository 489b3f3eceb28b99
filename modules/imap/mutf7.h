/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutf7.h - mailbox names between the wire and us: modified UTF-7 of RFC 3501
 * s5.1.3 outside, UTF-8 inside. Pure.
 */
#ifndef IMAP_MUTF7_H
#define IMAP_MUTF7_H

#include <posthouse/arena.h>

enum { MAILBOX_NAME_MAX = 1000 };

/*
 * A name to UTF-8, "INBOX" in any case to "INBOX". Refuses what is not the one
 * form of a name: codes for printable ASCII ("&AC8-" for "/"), broken
 * surrogates, controls, and more than MAILBOX_NAME_MAX octets. UTF-8 as such
 * is taken when there is no "&" in it.
 */
bool mutf7_decode(struct ph_arena *arena, struct ph_slice wire,
    struct ph_slice *name_out);
/* UTF-8 to the wire form; malformed octets become "?". */
struct ph_slice mutf7_encode(struct ph_arena *arena, struct ph_slice name);

#endif
