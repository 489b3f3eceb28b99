/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_ask.c - asking the checks. A process that is busy, as one that makes
 * way for another, has not begun: it is asked again, within the time. One that
 * died is, too, when the master knows over whom: the others had no part in that,
 * and for him the module at fault is left out, so that it crashes once, and the
 * other checks are heard.
 */
#include "role/check.h"

#include <posthouse/log.h>

#include <stdio.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "role/role.h"

enum {
	AGAIN_MS = 20,
	WORD_MS = 2000, /* for the master to see that one is dead */
	LOOK_MS = 100,
	CRASHES_KEPT = 64,
	PROCESSES = 64,
	CRASHED_MS = 60000, /* that crashes may take: no time of theirs */
};

/* The last deaths of processes of the checks. */
static struct {
	struct crash {
		uint64_t index; /* of the process */
		char subject[sizeof(((struct activity *)0)->subject)];
		char module[sizeof(((struct activity *)0)->module)];
	} last[CRASHES_KEPT];
	uint64_t count;
	uint64_t linked_at[PROCESSES]; /* how many there were by then */
	struct ph_event told;
	unsigned spare_ms; /* how much longer crashes may make a question */
} crashes = { .spare_ms = CRASHED_MS };

void
check_ask_spare(unsigned ms)
{
	crashes.spare_ms = ms;
}

static void
keep(char *to, size_t size, struct ph_slice text)
{
	snprintf(to, size, PH_SLICE_FMT, PH_SLICE_ARG(text));
}

void
check_ask_on_crash(struct bus_request *request)
{
	struct crash *crash = &crashes.last[crashes.count % CRASHES_KEPT];
	struct ph_slice record = request->message.record;

	crash->index = record_get_u64(record, F_INDEX, PROCESSES);
	keep(crash->subject, sizeof(crash->subject),
	    record_get(record, F_SUBJECT));
	keep(crash->module, sizeof(crash->module),
	    record_get(record, F_MODULE));
	crashes.count++;
	ph_event_signal(&crashes.told);
}

void
check_ask_on_link(unsigned index)
{
	if (index < PROCESSES)
		crashes.linked_at[index] = crashes.count;
}

/* From which death on the next of the process is; of any, without a shard. */
static uint64_t
next_crash(uint32_t shard, unsigned *index_out)
{
	unsigned size = bus_role_size(ROLE_CHECK);
	uint64_t last = 0;

	*index_out = size <= 1 ? 0 : shard == BUS_ANY_SHARD ? PROCESSES :
	                                                      shard % size;
	if (*index_out < PROCESSES)
		return crashes.linked_at[*index_out];
	for (unsigned i = 0; i < PROCESSES; i++)
		if (crashes.linked_at[i] > last)
			last = crashes.linked_at[i];
	return last;
}

static const struct crash *
crash_of(unsigned index, uint64_t since)
{
	if (crashes.count - since > CRASHES_KEPT)
		since = crashes.count - CRASHES_KEPT;
	for (; since < crashes.count; since++) {
		const struct crash *crash = &crashes.last[since % CRASHES_KEPT];

		if (index >= PROCESSES || crash->index == index)
			return crash;
	}
	return NULL;
}

/* The process died: wait for what the master says. False: it does not know over
 * whom, or another link has come and nobody died. */
static bool
hears_over_whom(uint32_t shard, unsigned left_ms)
{
	uint64_t end = ph_now_ms() + (left_ms < WORD_MS ? left_ms : WORD_MS);
	unsigned index;
	uint64_t since = next_crash(shard, &index);
	const struct crash *crash;

	while ((crash = crash_of(index, since)) == NULL) {
		if (bus_is_ending() || ph_now_ms() >= end ||
		    bus_peers(ROLE_CHECK) >= bus_role_size(ROLE_CHECK))
			return false;
		if (ph_event_wait(&crashes.told, LOOK_MS) == PH_CANCELED)
			return false;
	}
	return crash->subject[0] != '\0';
}

static bool
is_left_out(struct ph_slice record, const char *module)
{
	struct record_field field;

	while (record_next(&record, &field))
		if (field.tag == F_CRASHED &&
		    ph_slice_eq(field.value, ph_slice_str(module)))
			return true;
	return false;
}

/* Leave out what has crashed over this since there were so many. */
static void
leave_out(const struct check_question *question, uint64_t since)
{
	if (crashes.count - since > CRASHES_KEPT)
		since = crashes.count - CRASHES_KEPT;
	for (; since < crashes.count; since++) {
		const struct crash *crash = &crashes.last[since % CRASHES_KEPT];

		if (question->subject == NULL || crash->module[0] == '\0' ||
		    strcmp(crash->subject, question->subject) != 0 ||
		    is_left_out(ph_buf_content(question->record),
		        crash->module))
			continue;
		record_put_str(question->record, F_CRASHED, crash->module);
		ph_log(PH_WARN, "check_left_out",
		    ph_f_str("check", crash->module),
		    ph_f_str("reason", "its process died over this"));
	}
}

static unsigned
left_until(uint64_t end_ms)
{
	uint64_t now = ph_now_ms();

	return end_ms > now ? (unsigned)(end_ms - now) : 0;
}

/* Where nobody is, bus_call does not wait behind its end: asking on then would
 * hold the whole process. */
static bool
may_ask_again(uint64_t last_ms)
{
	return ph_now_ms() < last_ms && ph_now_ms() < fiber_deadline() &&
	    !bus_is_ending();
}

int
check_ask(uint32_t shard, const struct check_question *question,
    struct ph_arena *arena, struct bus_message *reply_out)
{
	uint64_t end = ph_now_ms() + question->timeout_ms;
	uint64_t last = end + crashes.spare_ms;
	uint64_t first = crashes.count;
	const int *fd = &question->fd;

	for (;;) {
		int status = bus_call(ROLE_CHECK, shard, question->type,
		    ph_buf_content(question->record), fd, *fd >= 0 ? 1 : 0,
		    left_until(end), arena, reply_out);

		if (status == PH_BUSY && left_until(end) > AGAIN_MS &&
		    ph_sleep_ms(AGAIN_MS) == PH_OK)
			continue;
		if (status != PH_UNAVAILABLE ||
		    !hears_over_whom(shard, left_until(last)) ||
		    !may_ask_again(last))
			return status;
		leave_out(question, first);
		if (question->record->full)
			return status;
		ph_log(PH_INFO, "checks_asked_again");
		/* what another's crash took is no time of theirs */
		end = ph_now_ms() + question->timeout_ms;
		end = end < last ? end : last;
	}
}
