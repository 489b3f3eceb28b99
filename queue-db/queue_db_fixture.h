/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_fixture.h - a queue in a directory of its own, calls that wait for
 * their done, and messages whose whole content follows from a number, so that
 * what comes back can be checked octet for octet.
 */
#ifndef QUEUE_DB_FIXTURE_H
#define QUEUE_DB_FIXTURE_H

#include "queue_db.h"

/* A new directory, made with mkdtemp; the text is malloc'd. */
char *fixture_dir(void);
/* It and all in it. Frees the text. */
void fixture_dir_remove(char *dir);

/* Without fsync and ballast; reports are counted, not printed. */
struct queue_db *fixture_open(const char *dir);
extern unsigned fixture_reports;
void fixture_on_report(void *arg, const struct ph_err *err);

/* Wait until all that was submitted is done. */
void fixture_settle(struct queue_db *db);
/* Body files under dir. */
size_t fixture_count_files(const char *dir);

/* Submit and wait; the status of done or of the submission. */
int fixture_run(struct queue_db *db, struct queue_db_op *op,
    enum queue_db_when when);


/* The message of a number: small for most, a spool file for each 7th. Made in
 * the arena, which closes the file. */
uint64_t fixture_id(uint64_t number);
uint64_t fixture_number(uint64_t id);
struct queue_db_message fixture_message(struct queue_db *db,
    struct ph_arena *arena, uint64_t number);
int fixture_add(struct queue_db *db, uint64_t number);
/* NULL when what is stored is the message of that number; else what differs.
 * version_out: attempts of its first recipient. */
const char *fixture_check(struct queue_db *db, uint64_t number,
    uint32_t *version_out);

#endif
