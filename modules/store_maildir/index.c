/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - the index line: jobs in a thread, one after the other, one flush
 * for all of a batch, and their results on the loop in the same order.
 */
#include "store.h"

struct index_batch {
	struct partition *partition;
	struct line_job *jobs;
};

static struct index_job *
index_job_of(struct line_job *line_job)
{
	return (struct index_job *)(void *)((char *)line_job -
	    offsetof(struct index_job, line));
}

static void
index_batch_work(void *arg)
{
	struct index_batch *batch = arg;
	struct mail_index *mi = batch->partition->mi;
	int flushed = PH_OK;
	bool durable = false;

	for (struct line_job *at = batch->jobs; at != NULL; at = at->next) {
		struct index_job *job = index_job_of(at);

		job->status = job->work(job);
		mail_index_abort(mi); /* nothing, unless work left it open */
		durable |= job->durable && job->status == PH_OK;
	}
	store_step("index-written");
	if (durable)
		flushed = mail_index_flush(mi);
	store_step("index-flushed");
	for (struct line_job *at = batch->jobs; at != NULL; at = at->next) {
		struct index_job *job = index_job_of(at);

		if (job->durable && job->status == PH_OK)
			job->status = flushed;
		if (job->status == PH_OK && job->after != NULL)
			job->after(job);
	}
	mail_index_checkpoint(mi);
}

void
index_run(struct line *line, struct line_job *jobs)
{
	struct index_batch batch = { (struct partition *)(void *)(
		(char *)line - offsetof(struct partition, index_line)), jobs };

	ph_work(index_batch_work, &batch);
	for (struct line_job *at = jobs; at != NULL; at = at->next) {
		struct index_job *job = index_job_of(at);

		if (job->done != NULL)
			job->done(job);
	}
}

static int
index_do_how(struct partition *partition, struct index_job *job, bool must)
{
	int status;

	job->partition = partition;
	status = line_do(&partition->index_line, &job->line, must);
	return status == PH_OK ? job->status : status;
}

int
index_do(struct partition *partition, struct index_job *job)
{
	return index_do_how(partition, job, false);
}

int
index_do_hard(struct partition *partition, struct index_job *job)
{
	return index_do_how(partition, job, true);
}

int
index_finish(struct mail_index *mi, int status)
{
	if (status == PH_OK)
		return mail_index_commit(mi);
	mail_index_abort(mi);
	return status;
}

struct partition *
store_partition(struct ph_store *store, struct ph_slice user)
{
	struct partition *partition = &store->partitions[name_partition(user,
	    store->partition_count)];

	return partition->mine ? partition : NULL;
}

struct ph_slice
store_base(struct partition *partition, struct ph_arena *arena,
    uint64_t number, uint64_t size)
{
	return ph_slice_str(ph_arena_printf(arena,
	    "%lld.E%llxN%llx.posthouse,S=%llu", (long long)ph_wall_time(),
	    (unsigned long long)mail_index_epoch(partition->mi),
	    (unsigned long long)number, (unsigned long long)size));
}

/* A test puts its own in its place. */
__attribute__((weak)) void
store_step(const char *step)
{
	(void)step;
}
