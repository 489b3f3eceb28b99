/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_bench.c - how many durable messages a second, at how many flushes.
 *
 *	queue_db_bench DIR [producers [seconds [body_bytes [mode]]]]
 *
 * Each producer is a thread that submits one message, waits for its answer and
 * goes on. mode "keep" (default) leaves them, "remove" removes each lazily
 * after its answer, "deliver" also reads it first. DIR is left as it is.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "queue_db.h"

enum mode { KEEP, REMOVE, DELIVER };
enum { SAMPLES = 1 << 20, PRODUCERS_MAX = 256 };

static struct queue_db *db;
static enum mode mode;
static size_t body_bytes = 4096;
static atomic_ulong next_id;
static atomic_bool stop;
static double *sample;
static atomic_ulong samples;

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
on_done(void *arg, int status)
{
	if (status != 0)
		abort();
	sem_post(arg);
}

static void
spend(uint64_t id)
{
	struct queue_db_op *op;

	if (mode == DELIVER) {
		struct ph_arena *arena = ph_arena_create(NULL);
		struct queue_db_message message;

		if (queue_db_get(db, id, true, arena, &message) != 0)
			abort();
		ph_arena_free(arena);
	}
	op = queue_db_op_create();
	queue_db_op_remove(op, id);
	if (queue_db_submit(db, op, QUEUE_DB_LAZY, NULL, NULL) != 0)
		abort();
}

static void *
produce(void *arg)
{
	struct queue_db_recipient to = { .number = 1,
		.state = QUEUE_DB_WAITING, .address = PH_LIT("u@example.test"),
		.destination = PH_LIT("example.test") };
	struct queue_db_message message = { .body.fd = -1,
		.envelope = PH_LIT("from someone to someone, by way of a test"),
		.trace = PH_LIT("none"), .recipients = &to,
		.recipient_count = 1 };
	char *body = calloc(1, body_bytes + 1);
	sem_t came;

	(void)arg;
	sem_init(&came, 0, 0);
	message.body.octets = (struct ph_slice){ body, body_bytes };
	while (!stop) {
		struct queue_db_op *op = queue_db_op_create();
		double began = now_us();
		unsigned long n;

		message.id = atomic_fetch_add(&next_id, 1);
		queue_db_op_message(op, &message);
		if (queue_db_submit(db, op, QUEUE_DB_DURABLE, on_done,
		        &came) != 0)
			abort();
		while (sem_wait(&came) != 0)
			continue;
		n = atomic_fetch_add(&samples, 1);
		sample[n % SAMPLES] = now_us() - began;
		if (mode != KEEP)
			spend(message.id);
	}
	free(body);
	return NULL;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
report(unsigned producers, double seconds, const struct queue_db_stats *before)
{
	struct queue_db_stats s;
	unsigned long n = samples < SAMPLES ? samples : SAMPLES;
	double commits;

	queue_db_stats(db, &s);
	commits = (double)(s.commits - before->commits);
	qsort(sample, n, sizeof(*sample), by_size);
	printf("%u producers, %zu octets: %.0f messages/s, %.3f flushes a "
	    "message, %.1f messages a batch, p50 %.2f ms, p99 %.2f ms, max "
	    "%.1f ms, %llu checkpoints\n", producers, body_bytes,
	    commits / seconds,
	    (double)(s.flushes - before->flushes) / commits,
	    commits / (double)(s.batches - before->batches),
	    sample[n / 2] / 1e3, sample[n * 99 / 100] / 1e3,
	    sample[n - 1] / 1e3, (unsigned long long)s.checkpoints);
}

int
main(int argc, char **argv)
{
	struct queue_db_options options = { .fsync = true };
	unsigned producers = argc > 2 ? (unsigned)atoi(argv[2]) : 16;
	unsigned seconds = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
	pthread_t thread[PRODUCERS_MAX];
	struct queue_db_stats before;
	struct ph_err err;
	double began;

	if (argc > 4)
		body_bytes = (size_t)atol(argv[4]);
	if (argc > 5)
		mode = argv[5][0] == 'r' ? REMOVE :
		    argv[5][0] == 'd' ? DELIVER : KEEP;
	if (argc < 2 || producers == 0 || producers > PRODUCERS_MAX ||
	    body_bytes > QUEUE_DB_INLINE_MAX ||
	    (sample = calloc(SAMPLES, sizeof(*sample))) == NULL ||
	    queue_db_open(argv[1], &options, &db, &err) != 0) {
		fprintf(stderr, "usage: queue_db_bench DIR [producers "
		    "[seconds [body_bytes [keep|remove|deliver]]]]\n");
		return 1;
	}
	next_id = id_create_above(queue_db_last_id(db));
	queue_db_stats(db, &before);
	began = now_us();
	for (unsigned i = 0; i < producers; i++)
		if (pthread_create(&thread[i], NULL, produce, NULL) != 0)
			abort();
	while (now_us() - began < seconds * 1e6)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	stop = true;
	for (unsigned i = 0; i < producers; i++)
		pthread_join(thread[i], NULL);
	report(producers, (now_us() - began) / 1e6, &before);
	queue_db_close(db);
	return 0;
}
