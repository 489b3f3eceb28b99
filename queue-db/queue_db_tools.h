/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_tools.h - the queue as a whole: is all of it sound, write it to one
 * file, read it from one. Each call reads or writes all there is, and takes its
 * time: not for a loop. Only the export is for a queue that is at work.
 *
 * The file is for another machine, another version, another engine; README.md
 * has its form.
 */
#ifndef QUEUE_DB_TOOLS_H
#define QUEUE_DB_TOOLS_H

#include <stdio.h>

#include "queue_db.h"

struct queue_db_tally {
	uint64_t messages, recipients, pairs;
	uint64_t content_bytes;
	uint64_t damaged; /* messages and pairs set aside now, and reported */
	uint64_t aside;   /* rows that lie aside, from before too */
	uint64_t present; /* import: messages that were there already */
	uint64_t strays;  /* verify: rows of messages that are not there */
};

/* Read every row and every body. What is damaged is set aside, as the server
 * would at its first look. 0, or PH_IO: it could not be read to the end. */
int queue_db_verify(struct queue_db *db, struct queue_db_tally *tally_out,
    struct ph_err *err);
/*
 * Check the pages of the tables of a queue that is closed. words: told of each
 * table with a defect. 0, PH_DEFECT, PH_IO.
 */
int queue_db_verify_pages(const char *dir,
    void (*words)(void *arg, const char *text), void *arg);

/* Write everything to a file or any other stream, and flush it; to sync it is
 * the caller's business. Of no use after a failure. Damaged messages are set
 * aside and left out. On a queue that is at work: every message that was there
 * before the call and is there after it, as it was at a moment between, and
 * none twice. */
int queue_db_export(struct queue_db *db, FILE *to,
    struct queue_db_tally *tally_out, struct ph_err *err);
/*
 * Add all of an exported file, under the same ids. The file is read twice: it
 * is sound to its end before the first message is added (PH_INVALID: it isn't,
 * nothing happened). Each message is added whole or not at all, and one whose
 * id is there is passed over, so an import that was broken off (PH_FULL, PH_IO)
 * may be repeated.
 */
int queue_db_import(struct queue_db *db, FILE *from,
    struct queue_db_tally *tally_out, struct ph_err *err);

#endif
