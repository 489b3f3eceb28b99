/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h - memory that the master shares with its children. It is written by the
 * child it tells about, so it is read as hostile: bounded, no word believed.
 */
#ifndef CORE_MASTER_PAGE_H
#define CORE_MASTER_PAGE_H

#include "role/role.h"

/* New memory of size octets, all zero, mapped here with these rights (PROT_*)
 * and sealed, so that no child can shrink it under our feet; returns the
 * descriptor to lend. Negative with err filled. */
int page_make(const char *name, size_t size, int rights, void **page_out,
    struct ph_err *err);

/* A page for a child to tell what it is in: mapped here, read-only; returns the
 * descriptor to give to it. Negative with err filled. */
int page_make_activity(struct activity **page_out, struct ph_err *err);
/* The section whose module it was in last, and the hook; absent: not sound. */
struct ph_slice page_module(const struct activity *page,
    struct ph_slice *hook_out);
/* The session or message it was about, its id as text; absent: not sound. */
struct ph_slice page_subject(const struct activity *page);
/* The section whose module the child is loading; absent: none. */
struct ph_slice page_loading(const struct activity *page);

#endif
