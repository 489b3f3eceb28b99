/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.c - jobs in batches. A job's memory belongs to a fiber that may be
 * canceled; once its work began that fiber stays until the end.
 */
#include "line.h"

#include <time.h>

enum { NAP_NS = 1000000 };

static void
nap(void *arg)
{
	const struct timespec time = { 0, NAP_NS };

	(void)arg;
	nanosleep(&time, NULL);
}

void
line_wait_hard(const bool *done, struct ph_event *event)
{
	while (!*done)
		/* A canceled fiber can wait for nothing but blocking work. */
		if (ph_event_wait(event, PH_NO_LIMIT_MS) != PH_OK && !*done)
			ph_work(nap, NULL);
}

/* Cut off as many jobs from the front as one batch may weigh, one at least. */
static struct line_job *
line_take(struct line *line)
{
	struct line_job *jobs = line->first, *last = NULL;
	unsigned weight = 0;

	while (line->first != NULL) {
		struct line_job *job = line->first;
		unsigned more = job->weight > 0 ? job->weight : 1;

		if (last != NULL && (weight >= line->batch_weight ||
		    more > line->batch_weight - weight))
			break;
		weight = more > UINT32_MAX - weight ? UINT32_MAX :
		                                      weight + more;
		job->taken = true;
		last = job;
		line->first = job->next;
	}
	if (line->first == NULL)
		line->last = NULL;
	if (last != NULL)
		last->next = NULL;
	return jobs;
}

static void
line_fiber(void *arg)
{
	struct line *line = arg;
	bool ending = false;

	ph_deadline_restore(UINT64_MAX); /* not that of who opened the store */
	for (;;) {
		struct line_job *jobs;

		while (line->first == NULL && !ending)
			ending = ph_event_wait(&line->wake, PH_NO_LIMIT_MS) !=
			    PH_OK;
		jobs = line_take(line);
		if (jobs == NULL)
			return;
		line->run(line, jobs);
		while (jobs != NULL) {
			struct line_job *next = jobs->next;

			jobs->done = true;
			if (jobs->detached != NULL)
				jobs->detached(jobs);
			else
				ph_event_signal(&jobs->event);
			jobs = next;
		}
	}
}

void
line_start(struct line *line, struct ph_scope *scope)
{
	ph_scope_spawn(scope, line_fiber, line);
}

void
line_post(struct line *line, struct line_job *job)
{
	job->next = NULL;
	if (line->last != NULL)
		line->last->next = job;
	else
		line->first = job;
	line->last = job;
	ph_event_signal(&line->wake);
}

static void
line_remove(struct line *line, struct line_job *job)
{
	struct line_job *at = line->first, *before = NULL;

	while (at != NULL && at != job) {
		before = at;
		at = at->next;
	}
	ph_assert(at != NULL);
	if (before != NULL)
		before->next = job->next;
	else
		line->first = job->next;
	if (line->last == job)
		line->last = before;
}

int
line_do(struct line *line, struct line_job *job, bool must)
{
	line_post(line, job);
	while (!job->done) {
		int status = ph_event_wait(&job->event, PH_NO_LIMIT_MS);

		if (status == PH_OK || job->done)
			continue;
		if (!job->taken && !must) {
			line_remove(line, job);
			return status;
		}
		line_wait_hard(&job->done, &job->event);
	}
	return PH_OK;
}
