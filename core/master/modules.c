/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.c - all that is known of each module, for people and programs. Both
 * forms are printed from one list of items, so that they tell the same.
 */
#include "master/modules.h"

#include <posthouse/session.h>

#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "master/breaker.h"

/* One module under way to text. */
struct report {
	struct ph_buf *text;
	bool json, is_first;
};

static const char *const end_names[TALLY_ENDS] = { "next", "accept", "defer",
	"reject", "discard", "quarantine", "late", "garbage", "cut", "skipped",
	"worked" };

/* --- items --- */

static void
begin_item(struct report *report, const char *name)
{
	if (report->json)
		ph_buf_printf(report->text, "%s\"%s\":",
		    report->is_first ? "" : ",", name);
	else
		ph_buf_printf(report->text, " %s=", name);
	report->is_first = false;
}

static void
put_text(struct report *report, const char *name, const char *value)
{
	begin_item(report, name);
	if (report->json)
		json_string(report->text, value);
	else
		ph_buf_str(report->text, value);
}

static void
put_number(struct report *report, const char *name, uint64_t value)
{
	begin_item(report, name);
	ph_buf_printf(report->text, "%llu", (unsigned long long)value);
}

static void
put_time(struct report *report, const char *name, int64_t wall_s)
{
	time_t t = (time_t)wall_s;
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	put_text(report, name, text);
}

static void
begin_module(struct report *report, const char *name)
{
	report->is_first = true;
	if (report->json) {
		ph_buf_char(report->text, '{');
		put_text(report, "name", name);
	} else {
		ph_buf_str(report->text, name);
	}
}

static void
end_module(struct report *report)
{
	ph_buf_str(report->text, report->json ? "}\n" : "\n");
}

/* --- what it is --- */

static const char *
kinds_text(unsigned kinds, char text[64])
{
	static const char *const names[] = { "listener", "auth", "check",
		"router", "store", "transport" };

	text[0] = '\0';
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(kinds & 1u << i))
			continue;
		if (text[0] != '\0')
			strcat(text, ",");
		strcat(text, names[i]);
	}
	return text;
}

/* The processes that load it. */
static const char *
roles_text(unsigned kinds, char text[64])
{
	text[0] = '\0';
	for (unsigned role = ROLE_EDGE; role < ROLES; role++) {
		const struct role_ops *ops = role_ops_of((enum role)role);

		if (ops == NULL || !(ops->kinds & kinds))
			continue;
		if (text[0] != '\0')
			strcat(text, ",");
		strcat(text, role_name((enum role)role));
	}
	return text;
}

static const char *
state_text(const struct module_facts *facts, const struct ward *ward)
{
	if (ward->state == MODULE_BROKEN)
		return "broken";
	if (ward->state == MODULE_OFF)
		return "off";
	return facts->mode == MODE_SHADOW ? "shadow" :
	    facts->mode == MODE_OBSERVE   ? "observe" :
	                                    "on";
}

static void
put_facts(struct report *report, const struct module_facts *facts,
    const struct ward *ward)
{
	static const char *const failures[] = { "defer", "next", "reject" };
	char text[64];

	put_text(report, "state", state_text(facts, ward));
	put_text(report, "kind", kinds_text(facts->kinds, text));
	put_text(report, "role", roles_text(facts->kinds, text));
	put_text(report, "abi", facts->abi);
	put_text(report, "file", facts->file);
	if (!(facts->kinds & PH_KIND_CHECK))
		return;
	put_number(report, "order", facts->order);
	put_text(report, "mode",
	    facts->mode == MODE_SHADOW      ? "shadow" :
	        facts->mode == MODE_OBSERVE ? "observe" :
	                                      "enforce");
	if (facts->on_failure < 3)
		put_text(report, "on_failure", failures[facts->on_failure]);
}

/* --- what it did --- */

static void
put_counts(struct report *report, const struct module_facts *facts,
    const struct ward *ward, const struct tally *sum)
{
	const unsigned counted = PH_KIND_CHECK | PH_KIND_ROUTER |
	    PH_KIND_AUTH | PH_KIND_TRANSPORT;

	if (facts->kinds & counted)
		put_number(report, "calls", sum->begun);
	for (unsigned i = 0; i < TALLY_WORKED; i++)
		if (facts->kinds & PH_KIND_CHECK)
			put_number(report, end_names[i], sum->ends[i]);
	if (facts->stages >> PH_AT_DELIVERED != 0 ||
	    facts->mode == MODE_OBSERVE)
		put_number(report, "missed", sum->missed);
	if (facts->kinds & counted)
		put_number(report, "lost", ward->lost);
	put_number(report, "crashes", ward->crashes);
	if (ward->crashes > 0)
		put_time(report, "last_crash", ward->last_crash);
	if (ward->state == MODULE_BROKEN && ward->retry_at_ms > 0)
		put_time(report, "retry_at", ph_wall_time() +
		    (int64_t)(ward->retry_at_ms - ph_now_ms()) / 1000);
	if (ward->is_on_trial)
		put_number(report, "trials", ward->trials);
}

static const char *
hook_name(unsigned hook, unsigned kinds)
{
	if (hook < TALLY_WORK)
		return ph_stage_name((enum ph_stage)hook);
	return kinds & PH_KIND_TRANSPORT ? "attempt" :
	    kinds & PH_KIND_AUTH         ? "auth" :
	                                   "route";
}

/* In JSON an object inside that of the module, else a line of its own. */
static void
put_hooks(struct report *report, const struct module_facts *facts,
    const struct tally *sum)
{
	bool any = false;

	if (report->json) {
		begin_item(report, "hooks");
		ph_buf_char(report->text, '{');
	}
	for (unsigned i = 0; i < TALLY_HOOKS; i++) {
		const struct tally_hook *hook = &sum->hook[i];
		const char *name = hook_name(i, facts->kinds);

		if (hook->calls == 0)
			continue;
		if (report->json)
			ph_buf_printf(report->text, "%s\"%s\":{",
			    any ? "," : "", name);
		else
			ph_buf_printf(report->text, "\n%s hook=%s",
			    facts->section, name);
		report->is_first = any = true;
		put_number(report, "calls", hook->calls);
		put_number(report, "p50_us", tally_percentile(hook, 50));
		put_number(report, "p99_us", tally_percentile(hook, 99));
		if (report->json)
			ph_buf_char(report->text, '}');
	}
	if (report->json)
		ph_buf_char(report->text, '}');
}

/* Those that the module itself keeps, in the order of their first use; in JSON
 * an object, else a line of its own. */
static void
put_own(struct report *report, const struct module_facts *facts,
    const struct tally *sum)
{
	bool any = false;

	for (unsigned i = 0; i < TALLY_OWN && sum->own[i].name[0] != '\0';
	     i++) {
		if (!any && report->json)
			begin_item(report, "counters");
		if (!any && report->json)
			ph_buf_char(report->text, '{');
		if (!any && !report->json)
			ph_buf_printf(report->text, "\n%s counters",
			    facts->section);
		if (!any)
			report->is_first = true;
		any = true;
		put_number(report, sum->own[i].name, sum->own[i].n);
	}
	if (any && report->json)
		ph_buf_char(report->text, '}');
}

/* --- sections that are not enabled --- */

static void
put_disabled(struct report *report, const struct conf *conf)
{
	for (const struct conf_section *at = conf->sections; at != NULL;
	     at = at->next) {
		if (core_section_is(at->name) || plan_module(master.plan,
		        ph_slice_str(at->name)) != NULL)
			continue;
		begin_module(report, at->name);
		put_text(report, "state", "off");
		put_text(report, "by", "configuration");
		end_module(report);
	}
}

void
modules_text(bool json, struct ph_buf *text)
{
	struct report report = { .text = text, .json = json };

	for (const struct module_facts *facts = master.plan->modules;
	     facts != NULL; facts = facts->next) {
		const struct ward *ward = breaker_ward(facts);
		struct tally sum;

		breaker_sum(ward, &sum);
		begin_module(&report, facts->section);
		put_facts(&report, facts, ward);
		if (ward->state == MODULE_OFF)
			put_text(&report, "by", "operator");
		put_counts(&report, facts, ward, &sum);
		put_own(&report, facts, &sum);
		put_hooks(&report, facts, &sum);
		end_module(&report);
	}
	put_disabled(&report, master.plan->conf);
}
