/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c - the whole queue, while it works, to who asked posthousectl for it:
 * an export (queue_db_tools.h) in frames on the caller's own connection, which
 * the master passed. The role opens no file for it, and needs no right to; the
 * caller, whose file it is, writes it. One at a time, for each holds a thread.
 */
#include "queue/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/record.h"
#include "log/log.h"
#include "master/frame.h"
#include "queue_db_tools.h"

enum {
	CHUNK = 64 << 10,
	STALL_MS = 60000, /* the caller takes nothing for so long: it is dead */
};

struct backup {
	int fd;
	int status;
	bool is_cut; /* the connection broke, within a frame perhaps */
	struct ph_buf frame;
	struct queue_db_tally tally;
	struct ph_err err;
};

static int running_fd = -1; /* the loop's: of the backup under way */

/* The write function of a stream: less than n is an error. */
static ssize_t
on_write(void *cookie, const char *p, size_t n)
{
	struct backup *b = cookie;

	for (size_t at = 0; at < n && !b->is_cut;) {
		size_t part = n - at < CHUNK ? n - at : CHUNK;
		int status;

		b->frame.n = 0;
		record_put(&b->frame, F_CONTENT,
		    (struct ph_slice){ p + at, part });
		status = frame_send(b->fd, ph_buf_content(&b->frame), STALL_MS);
		b->is_cut = status != PH_OK;
		at += part;
	}
	return b->is_cut ? 0 : (ssize_t)n;
}

static void
write_backup(void *arg)
{
	struct backup *b = arg;
	cookie_io_functions_t to = { .write = on_write };
	FILE *file = fopencookie(b, "w", to);

	if (file == NULL) {
		b->status = ph_err_set(&b->err, PH_NO_MEMORY, 0,
		    "out of memory");
		return;
	}
	setvbuf(file, NULL, _IOFBF, CHUNK);
	b->status = queue_db_export(queue.db, file, &b->tally, &b->err);
	fclose(file);
}

/* A broken connection can't carry the master's answer; it must not look like
 * one either. */
static void
finish(struct backup *b, struct ph_buf *text)
{
	const struct queue_db_tally *t = &b->tally;

	if (b->is_cut)
		shutdown(b->fd, SHUT_RDWR);
	if (b->status != PH_OK) {
		ph_buf_printf(text, "%s\n", b->is_cut ?
		    "the connection broke" : b->err.text);
		ph_log(PH_WARN, "backup_failed", ph_f_str("reason", b->is_cut ?
		    "connection" : b->err.text));
		return;
	}
	ph_buf_printf(text, "%" PRIu64 " messages, %" PRIu64 " recipients, %"
	    PRIu64 " octets of content, %" PRIu64 " pairs; %" PRIu64
	    " damaged\n", t->messages, t->recipients, t->content_bytes,
	    t->pairs, t->damaged);
	ph_log(PH_NOTICE, "backup", ph_f_int("messages",
	    (int64_t)t->messages), ph_f_int("damaged", (int64_t)t->damaged));
}

int
backup_run(int fd, struct ph_buf *text)
{
	struct backup b = { .fd = fd };

	if (fd < 0 || queue.db == NULL)
		return PH_UNAVAILABLE;
	if (running_fd >= 0) {
		ph_buf_str(text, "another backup is being written\n");
		return PH_BUSY;
	}
	ph_buf_init(&b.frame, NULL, CHUNK + 64);
	running_fd = fd;
	queue.users++;
	ph_work(write_backup, &b);
	queue.users--;
	running_fd = -1;
	ph_event_signal(&queue.moved);
	ph_buf_fini(&b.frame);
	finish(&b, text);
	return b.status;
}

void
backup_stop(void)
{
	if (running_fd >= 0)
		shutdown(running_fd, SHUT_RDWR);
}
