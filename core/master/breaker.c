/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.c - taking modules out and putting them back.
 *
 * A module that crashed too often within a minute is out for a while, then on
 * trial: one crash more takes it out for twice as long. What the operator
 * turned off stays off until he says otherwise or the server ends: neither a
 * trial nor a reload may turn it on behind his back.
 */
#include "master/breaker.h"

#include <posthouse/log.h>

#include <stdlib.h>

#include "base/record.h"

enum {
	CRASH_WINDOW_MS = 60000,
	CRASH_TIMES = 1000, /* crash_limit's range */
	DOUBLINGS = 6,      /* of crash_pause */
};

/* Without these a server can take mail, if more slowly or less: their callers
 * know what counts meanwhile. */
enum {
	MAY_BREAK = PH_KIND_CHECK | PH_KIND_ROUTER,
	MAY_BE_OFF = MAY_BREAK | PH_KIND_AUTH | PH_KIND_TRANSPORT,
};

static struct ward *wards;

static struct ward *
find(const char *name)
{
	struct ward *at = wards;

	while (at != NULL && strcmp(at->name, name) != 0)
		at = at->next;
	return at;
}

struct ward *
breaker_ward(const struct module_facts *facts)
{
	struct ward *ward = find(facts->section);

	if (ward != NULL)
		return ward;
	ward = calloc(1, sizeof(*ward));
	ph_assert(ward != NULL);
	ward->at_ms = calloc(CRASH_TIMES, sizeof(*ward->at_ms));
	ph_assert(ward->at_ms != NULL);
	ward->name = strdup(facts->section);
	ph_assert(ward->name != NULL);
	ward->next = wards;
	wards = ward;
	return ward;
}

/* --- telling --- */

static void
send_state(const struct process *to, const struct ward *ward)
{
	struct ph_buf record;

	ph_buf_init(&record, NULL, 256);
	record_put_str(&record, F_MODULE, ward->name);
	record_put_u64(&record, F_FLAG, ward->state);
	bus_notify(to->role, to->index, MSG_MODULE_STATE,
	    ph_buf_content(&record));
	ph_buf_fini(&record);
}

static void
set_state(struct ward *ward, enum module_standing state)
{
	ward->state = state;
	ward->count = 0;
	ward->changed_ms = ph_now_ms();
	for (size_t i = 0; i < master.process_count; i++)
		if (master.processes[i].state == PROCESS_READY)
			send_state(&master.processes[i], ward);
}

void
breaker_tell(const struct process *process)
{
	for (const struct ward *at = wards; at != NULL; at = at->next)
		if (at->state != MODULE_IN)
			send_state(process, at);
}

/* --- crashes --- */

/* Forget crashes outside the window, note one more; how many are in it. */
static unsigned
count_crash(struct ward *ward)
{
	uint64_t now = ph_now_ms();
	unsigned kept = 0;

	for (unsigned i = 0; i < ward->count; i++)
		if (now - ward->at_ms[i] < CRASH_WINDOW_MS)
			ward->at_ms[kept++] = ward->at_ms[i];
	if (kept == CRASH_TIMES)
		memmove(ward->at_ms, ward->at_ms + 1,
		    --kept * sizeof(uint64_t));
	ward->at_ms[kept++] = now;
	return ward->count = kept;
}

static void
take_out(struct ward *ward, unsigned crashes)
{
	uint64_t pause_ms = (uint64_t)master.plan->core.crash_pause_ms <<
	    (ward->trials < DOUBLINGS ? ward->trials : DOUBLINGS);

	ward->is_on_trial = false;
	ward->retry_at_ms = pause_ms > 0 ? ph_now_ms() + pause_ms : 0;
	ph_log(PH_ERROR, "module_out", ph_f_str("module", ward->name),
	    ph_f_int("crashes", crashes),
	    pause_ms > 0 ? ph_f_int("for_s", (int64_t)(pause_ms / 1000)) :
	                   ph_f_str("until", "the next reload"));
	set_state(ward, MODULE_BROKEN);
}

bool
breaker_blame(const struct module_facts *facts)
{
	struct ward *ward = breaker_ward(facts);
	bool may_break = (facts->kinds & MAY_BREAK) != 0;
	unsigned crashes;

	ward->crashes++;
	ward->last_crash = ph_wall_time();
	if (ward->state != MODULE_IN)
		return false; /* out, and yet at it */
	crashes = count_crash(ward);
	if (crashes < master.plan->core.crash_limit && !ward->is_on_trial)
		return may_break;
	if (may_break)
		take_out(ward, crashes);
	else
		ph_log(PH_ERROR, "module_crashes",
		    ph_f_str("module", ward->name),
		    ph_f_int("crashes", crashes));
	return may_break;
}

static void
put_back(struct ward *ward, const char *by)
{
	ph_log(PH_NOTICE, "module_in", ph_f_str("module", ward->name),
	    ph_f_str("by", by));
	set_state(ward, MODULE_IN);
}

void
breaker_try_again(void)
{
	uint64_t now = ph_now_ms();

	for (struct ward *at = wards; at != NULL; at = at->next) {
		if (at->state == MODULE_BROKEN && at->retry_at_ms > 0 &&
		    now >= at->retry_at_ms) {
			at->is_on_trial = true;
			at->trials++;
			put_back(at, "trial");
		} else if (at->is_on_trial && at->state == MODULE_IN &&
		    now - at->changed_ms >= CRASH_WINDOW_MS) {
			at->is_on_trial = false;
			at->trials = 0;
		}
	}
}

/* --- the operator's word --- */

void
breaker_reload(void)
{
	for (struct ward **next = &wards; *next != NULL;) {
		struct ward *at = *next;

		if (plan_module(master.plan, ph_slice_str(at->name)) == NULL) {
			set_state(at, MODULE_IN);
			*next = at->next;
			free(at->name);
			free(at->at_ms);
			free(at);
			continue;
		}
		at->is_on_trial = false;
		at->trials = 0;
		if (at->state == MODULE_BROKEN)
			put_back(at, "reload");
		else if (at->state == MODULE_OFF)
			ph_log(PH_NOTICE, "module_stays_off",
			    ph_f_str("module", at->name));
		next = &at->next;
	}
}

unsigned
breaker_count_out(void)
{
	unsigned count = 0;

	for (const struct ward *at = wards; at != NULL; at = at->next)
		count += at->state != MODULE_IN;
	return count;
}

int
breaker_switch(const struct module_facts *facts, bool on, struct ph_err *err)
{
	struct ward *ward = breaker_ward(facts);

	if (!on && !(facts->kinds & MAY_BE_OFF))
		return ph_err_set(err, PH_INVALID, 0,
		    "%s is a listener or a store, which a running server can't "
		    "do without: set enabled = false and reload",
		    facts->section);
	ward->is_on_trial = false;
	ward->trials = 0;
	if (on) {
		put_back(ward, "operator");
		return PH_OK;
	}
	ph_log(PH_NOTICE, "module_off", ph_f_str("module", ward->name),
	    ph_f_str("by", "operator"));
	set_state(ward, MODULE_OFF);
	return PH_OK;
}

/* --- counters --- */

static bool
is_of(const struct tally *page, const struct ward *ward)
{
	return strncmp(page->module, ward->name, sizeof(page->module)) == 0;
}

void
breaker_take_page(const struct activity *page)
{
	for (unsigned i = 0; i < TALLIES; i++) {
		const struct tally *tally = &page->tally[i];
		struct ph_slice name = { tally->module,
			strnlen(tally->module, sizeof(tally->module)) };
		const struct module_facts *facts =
		    name.n > 0 && name.n < sizeof(tally->module) ?
		    plan_module(master.plan, name) : NULL;
		struct ward *ward;

		if (facts == NULL)
			continue;
		ward = breaker_ward(facts);
		tally_add(&ward->past, tally);
		ward->lost += tally->begun - tally->ended;
	}
}

void
breaker_sum(const struct ward *ward, struct tally *sum_out)
{
	*sum_out = ward->past;
	for (size_t n = 0; n < master.process_count; n++) {
		const struct activity *page = master.processes[n].page;

		for (unsigned i = 0; page != NULL && i < TALLIES; i++)
			if (is_of(&page->tally[i], ward))
				tally_add(sum_out, &page->tally[i]);
	}
}
