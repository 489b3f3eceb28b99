/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the users file on disk: reading it when it changed, replacing it
 * whole. Everything here blocks: call it inside ph_work.
 */
#ifndef AUTH_LOCAL_FILE_H
#define AUTH_LOCAL_FILE_H

#include <posthouse/arena.h>
#include <sys/types.h>
#include <time.h>

enum { FILE_LIMIT_BYTES = 64 << 20, FILE_LOCK_MS = 5000 };

/* What tells one version of the file from another. */
struct file_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	mode_t mode;
	struct timespec modified, changed;
	bool is_young; /* so fresh that a second write might not show */
};

/* 0; PH_NOT_FOUND; PH_IO or PH_TOO_BIG with err filled. */
int file_stat(const char *path, struct file_stamp *stamp_out,
    struct ph_err *err);
bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b);
/* The whole file; text in the arena, the caller wipes it. */
int file_read(struct ph_arena *arena, const char *path,
    struct ph_slice *text_out, struct file_stamp *stamp_out,
    struct ph_err *err);

/*
 * Read, let change() write the new text to out, and put that in the file's
 * place: durable when it returns 0, and at no time is there half a file. Other
 * editors that take the lock (path.lock, flock) wait. A missing file counts as
 * an empty one.
 */
int file_change(struct ph_arena *arena, const char *path,
    int (*change)(void *arg, struct ph_slice text, struct ph_buf *out),
    void *arg, struct ph_err *err);

#endif
