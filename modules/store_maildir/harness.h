/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - a store in a folder of its own, for the tests: operations in
 * fibers, processes that end at a given step.
 */
#ifndef STORE_MAILDIR_HARNESS_H
#define STORE_MAILDIR_HARNESS_H

#include <check.h>

#include "store.h"

enum { STEPS_MAX = 200 };

#define ALICE PH_LIT("alice@example.test")
#define INBOX PH_LIT("INBOX")
#define TEXT "From: <x@outside.test>\r\nSubject: one\r\nX-Other: no\r\n" \
	"\r\nbody\r\n"

extern char dir[64];
extern struct ph_arena *arena; /* of the run */
extern struct ph_store *store;
extern struct maildir_conf conf; /* of the stores to come; set anew by setup */
/* When not NULL: called at each step, in whatever thread comes there. */
extern void (*at_step)(const char *step);

/* A new empty folder for the store, and its end. */
void setup(void);
void teardown(void);
/* fn in a fiber, between opening and closing the store. */
void run(void (*fn)(void));
/* The same in a process of its own that ends at its step-th step: whether it
 * did. */
bool run_crashing(void (*fn)(void), int step);
/* The same, at the first step of that name. */
bool run_crashing_at(void (*fn)(void), const char *step);
/* The same, to its end; failed assertions count. */
void run_apart(void (*fn)(void));

/* --- in the fiber --- */

int deliver_to(struct ph_slice user, uint64_t id, const char *text);
int deliver(uint64_t id); /* TEXT to alice */
void deliver_three(void); /* ids 1, 2 and 3 */
/* Alice's, and what must succeed. */
struct ph_store_mailbox *open_box(struct ph_slice name, bool read_only);
size_t count_of(struct ph_slice name);
struct ph_slice content_of(struct ph_store_mailbox *mailbox, uint32_t uid);
int set_flags(struct ph_store_mailbox *mailbox, uint32_t uid, uint32_t flags);
bool has(struct ph_slice text, const char *part);

/* --- on the disk --- */

/* A path in alice's Maildir; valid until the next call. */
const char *path_of(const char *below);
/* "folder/name" of its n-th file, "" for none; valid until the next call. */
const char *file_in(const char *folder, int n);
void write_file(const char *below, const char *text);

/* Runs the tests that add puts into a case with the fixture. */
int harness_main(const char *name, void (*add)(TCase *tc));

#endif
