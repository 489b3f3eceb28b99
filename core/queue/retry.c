/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retry.c - when a recipient whom nobody could serve now is tried again, by what
 * the last answer said, or that it never will be.
 */
#include "queue/attempt.h"

#include <posthouse/transport.h>

#include <string.h>
#include <sys/random.h>

#include "loop/fiber.h"

/* "come back in five minutes", in the forms that servers use. */
static enum core_retry
retry_kind(const struct attempt *a, const struct queue_recipient *r)
{
	const struct reply *said = r->said->reply;

	if (said->code == 0)
		return a->job->lane->is_local ||
		    a->onward[r->index] == PH_ONWARD_END ?
		    CORE_RETRY_REPLY : CORE_RETRY_UNREACHABLE;
	if (said->code == 421 || (said->reason != NULL &&
	        (strcasestr(said->reason, "greylist") != NULL ||
	        strcasestr(said->reason, "graylist") != NULL)))
		return CORE_RETRY_GREYLISTED;
	return (said->code == 450 || said->code == 451) &&
	    said->enhanced != NULL && strcmp(said->enhanced, "4.7.1") == 0 ?
	    CORE_RETRY_GREYLISTED : CORE_RETRY_REPLY;
}

/* Up to a tenth more, so that what failed together is not tried together. */
static int64_t
jitter(unsigned wait_ms)
{
	uint32_t noise = 0;

	return getrandom(&noise, sizeof(noise), 0) == sizeof(noise) ?
	    wait_ms + noise % (wait_ms / 10 + 1) : wait_ms;
}

const char *
recipient_given_up(const struct entry *entry, const struct queue_recipient *r)
{
	const struct reply *said = r->said->reply;

	if (r->state != QUEUE_DB_FAILED)
		return NULL;
	if (entry->is_bounced)
		return "operator";
	return said->code / 100 == 4 || (said->code == 0 &&
	    said->enhanced != NULL && said->enhanced[0] == '4') ?
	    "lifetime" : NULL;
}

/* Try again later, or never when it is too old or an operator said so. */
void
attempt_defer(struct attempt *a, struct queue_recipient *r)
{
	const struct core_conf *core = &generation_current()->core;
	const struct reply *said = r->said->reply;
	int64_t now = fiber_wall_ms();
	int64_t end = (int64_t)a->entry->begun_at * 1000 + core->queue.lifetime_ms;

	if (end <= now || a->entry->is_bounced) {
		r->state = QUEUE_DB_FAILED;
		/* the words of a server stay its own */
		if (said->code == 0 && (said->enhanced == NULL ||
		        said->enhanced[0] != '4'))
			recipient_say(r, 0, PH_LIT("4.4.7"),
			    ph_slice_str(said_host(r->said)), ph_slice_str(
			        said->reason != NULL ? said->reason :
			        "delivery time expired"));
		return;
	}
	r->next_ms = now + jitter(core_retry_ms(core, retry_kind(a, r),
	    r->attempts > 0 ? r->attempts - 1 : 0));
	if (r->next_ms > end)
		r->next_ms = end;
}
