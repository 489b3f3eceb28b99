/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - names of users, mailboxes and message files as they stand on the
 * disk. Pure text; hostile names end here.
 */
#ifndef STORE_MAILDIR_NAMES_H
#define STORE_MAILDIR_NAMES_H

#include <posthouse/arena.h>
#include <posthouse/mailbox.h>

enum {
	NAME_OCTETS_MAX = 199,  /* of a mailbox, as the client writes it */
	FOLDER_OCTETS_MAX = 255, /* of one folder or file on the disk */
};

/* The name with INBOX in capitals. PH_INVALID: empty, too long, not UTF-8, a
 * NUL, an empty component, "." or "..". */
int name_canonical(struct ph_arena *arena, struct ph_slice name,
    struct ph_slice *name_out);
bool name_is_inbox(struct ph_slice name);
/* Below the Maildir: "" for INBOX, ".A.B" for A/B. Octets that mean something
 * to the file system, the Maildir or a shell's user are written %XX. */
int name_to_folder(struct ph_arena *arena, struct ph_slice name,
    const char **folder_out);
/* The mailbox of a folder somebody else may have made; PH_INVALID when our
 * name for that mailbox would be another folder. */
int name_from_folder(struct ph_arena *arena, const char *folder,
    struct ph_slice *name_out);
/* "example.test/alice/Maildir"; PH_INVALID without local part and domain. */
int name_user_folder(struct ph_arena *arena, struct ph_slice user,
    const char **folder_out);
/* FNV-1a of the canonical name; part of the layout on disk. */
unsigned name_partition(struct ph_slice user, unsigned partitions);

/* Octets before the ":" of a file's name: what never changes. */
size_t file_base_n(struct ph_slice file);
/* The flags in ":2,DFRST"; 0 when there are none. */
uint32_t file_flags(struct ph_slice file);
/* base ":2," and the letters of flags and those of `was` that aren't ours.
 * PH_TOO_BIG: no room for a name of so many octets. */
int file_with_flags(struct ph_arena *arena, struct ph_slice base,
    uint32_t flags, struct ph_slice was, struct ph_slice *file_out);
/* The number behind ",S=" in the base; false when there is none. */
bool file_size_in_name(struct ph_slice file, uint64_t *size_out);
/* Whether the base is one of ours, and the time that is in it. */
bool file_is_ours(struct ph_slice file, int64_t *time_out);
/* Whether a delivery of ours made it. */
bool file_is_delivery(struct ph_slice file);
/* Octets of the base that tell a message from others: of a delivery's what is
 * before its size, which may differ when it is repeated. */
size_t file_key_n(struct ph_slice file);

#endif
