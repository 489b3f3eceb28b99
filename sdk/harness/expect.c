/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expect.c - what a session file says of a step, held against what came of it.
 * A step of whose verdict nothing is said has the verdict next. Patterns are
 * those of fnmatch(3).
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "run.h"

struct judging {
	struct run *run;
	const struct script_command *expect;
	const struct run_outcome *outcome;
	const char *rest; /* behind the second word */
	bool is_not;      /* "expect no ..." */
};

/* --- log lines --- */

struct ph_slice
run_log_event(struct ph_slice line)
{
	for (int i = 0; i < 3; i++) /* time, level, process */
		(void)ph_slice_cut(&line, ' ');
	return ph_slice_cut(&line, ' ');
}

static int
hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The value that *at begins with; moved behind it. */
static const char *
take_value(struct ph_arena *arena, struct ph_slice *at)
{
	struct ph_buf value;

	ph_buf_init(&value, arena, at->n + 2);
	if (at->n == 0 || at->p[0] != '"') {
		ph_buf_slice(&value, ph_slice_cut(at, ' '));
		ph_buf_char(&value, '\0');
		return value.p;
	}
	at->p++;
	at->n--;
	while (at->n > 0 && at->p[0] != '"') {
		size_t used = 1;
		char c = at->p[0];

		if (c == '\\' && at->n > 3 && at->p[1] == 'x') {
			c = (char)(hex_digit(at->p[2]) * 16 +
			    hex_digit(at->p[3]));
			used = 4;
		} else if (c == '\\' && at->n > 1) {
			c = at->p[1];
			used = 2;
		}
		ph_buf_char(&value, c);
		at->p += used;
		at->n -= used;
	}
	(void)ph_slice_cut(at, ' ');
	ph_buf_char(&value, '\0');
	return value.p;
}

const char *
run_log_field(struct ph_arena *arena, struct ph_slice line, const char *key)
{
	for (int i = 0; i < 4; i++)
		(void)ph_slice_cut(&line, ' ');
	while (line.p != NULL && line.n > 0) {
		struct ph_slice name = ph_slice_cut(&line, '=');
		const char *value = take_value(arena, &line);

		if (ph_slice_eq(name, ph_slice_str(key)))
			return value;
	}
	return NULL;
}

/* --- kinds of expectation --- */

static bool
matches(const char *pattern, const char *text)
{
	return *pattern == '\0' ||
	    (text != NULL && fnmatch(pattern, text, 0) == 0);
}

static void
fail(struct judging *j, const char *found)
{
	run_fail(j->run, j->expect->line, "wanted %s, got %s",
	    j->expect->rest, found != NULL ? found : "none");
}

static void
judge_text(struct judging *j, const char *text)
{
	if (!matches(j->rest, text) || (*j->rest == '\0' && text == NULL))
		fail(j, text);
}

static bool
fits(const char *wanted, const char *found)
{
	return *wanted == '\0' || strcmp(wanted, "*") == 0 ||
	    (found != NULL && strcmp(wanted, found) == 0);
}

static const char *
verdict_text(struct run *run, const struct run_outcome *o)
{
	return ph_arena_printf(run->arena, "%s%s%s%s%s%s%s",
	    ph_verdict_name(o->verdict), o->code != 0 ?
	    ph_arena_printf(run->arena, " %d", o->code) : "",
	    o->enhanced != NULL ? " " : "",
	    o->enhanced != NULL ? o->enhanced : "",
	    o->text != NULL ? " \"" : "", o->text != NULL ? o->text : "",
	    o->text != NULL ? "\"" : "");
}

/* "reject [CODE [ENHANCED [TEXT]]]", "next" ... */
static void
judge_verdict(struct judging *j, const char *verdict)
{
	struct ph_arena *arena = j->run->arena;
	const struct run_outcome *o = j->outcome;
	const char *code, *enhanced;

	code = script_word(arena, &j->rest);
	enhanced = script_word(arena, &j->rest);
	if (strcmp(ph_verdict_name(o->verdict), verdict) != 0 ||
	    !fits(code, ph_arena_printf(arena, "%d", o->code)) ||
	    !fits(enhanced, o->enhanced) || !matches(j->rest, o->text))
		run_fail(j->run, j->expect->line, "wanted %s, got %s",
		    j->expect->rest, verdict_text(j->run, o));
}

static bool
line_fits(struct judging *j, struct ph_slice line, const char *event)
{
	struct ph_arena *arena = j->run->arena;
	const char *rest = j->rest;
	struct ph_slice said = ph_arena_slice(arena, line);

	if (!ph_slice_eq(run_log_event(line), ph_slice_str(event)))
		return false;
	while (*rest != '\0') {
		struct ph_slice value = ph_slice_str(rest), key;

		key = ph_slice_cut(&value, '=');
		if (value.p == NULL)
			return false;
		rest = take_value(arena, &value);
		if (!matches(rest, run_log_field(arena, said,
		        ph_arena_slice(arena, key).p)))
			return false;
		rest = value.p != NULL ? value.p : "";
		rest += strspn(rest, " ");
	}
	return true;
}

/* The first word that is no KEY=PATTERN, or NULL. */
static const char *
wrong_field(struct ph_arena *arena, const char *rest)
{
	while (*rest != '\0') {
		struct ph_slice value = ph_slice_str(rest);
		const char *word = rest;

		(void)ph_slice_cut(&value, '=');
		if (value.p == NULL || strcspn(word, " ") < strcspn(word, "="))
			return script_word(arena, &word);
		(void)take_value(arena, &value);
		rest = value.p != NULL ? value.p : "";
		rest += strspn(rest, " ");
	}
	return NULL;
}

/* "EVENT [KEY=PATTERN...]" */
static void
judge_log(struct judging *j)
{
	const char *event = script_word(j->run->arena, &j->rest);
	const char *wrong = wrong_field(j->run->arena, j->rest);
	struct ph_slice rest = j->outcome->log;
	bool is_there = false;

	if (wrong != NULL) {
		run_fail(j->run, j->expect->line, "\"%s\" is not KEY=PATTERN; "
		    "a pattern with blanks stands in quotes", wrong);
		return;
	}
	while (!is_there && rest.p != NULL && rest.n > 0)
		is_there = line_fits(j, ph_slice_cut(&rest, '\n'), event);
	if (is_there == j->is_not)
		fail(j, ph_arena_slice(j->run->arena,
		    j->outcome->log).p);
}

/* "PATTERN": one of these lines. */
static void
judge_lines(struct judging *j, struct ph_slice all)
{
	struct ph_slice rest = all;
	bool is_there = false;

	while (!is_there && rest.p != NULL && rest.n > 0)
		is_there = matches(j->rest, ph_arena_slice(j->run->arena,
		    ph_slice_cut(&rest, '\n')).p);
	if (is_there == j->is_not)
		fail(j, all.n > 0 ? ph_arena_slice(j->run->arena, all).p :
		    NULL);
}

/* "body": it is another, "body PATTERN": with such a line. */
static void
judge_body(struct judging *j)
{
	if (*j->rest != '\0')
		judge_lines(j, j->outcome->body);
	else if (j->outcome->is_replaced == j->is_not)
		fail(j, j->is_not ? "another body" : NULL);
}

static void
judge_number(struct judging *j, double found)
{
	char *end;
	double wanted = strtod(j->rest, &end);

	if (end == j->rest || *end != '\0')
		run_fail(j->run, j->expect->line, "\"%s\" is no number",
		    j->rest);
	else if (wanted - found > 0.0005 || found - wanted > 0.0005)
		fail(j, ph_arena_printf(j->run->arena, "%g", found));
}

static void
judge_within(struct judging *j)
{
	uint64_t ms;

	if (!conf_duration_parse(ph_slice_str(j->rest), &ms))
		run_fail(j->run, j->expect->line, "\"%s\" is no duration",
		    j->rest);
	else if (j->outcome->took_ms > ms)
		fail(j, ph_arena_printf(j->run->arena, "%llums",
		    (unsigned long long)j->outcome->took_ms));
}

static const char *
noted(struct run *run, const char *key)
{
	struct session_state *state = session_state_obtain(
	    ph_slice_str(run->session->id));

	return session_state_noted(state, key, true);
}

static const char *
stored(struct run *run, const char *key)
{
	struct ph_slice value = run->fakes->stored(key);

	return value.p != NULL ? ph_arena_slice(run->arena, value).p : NULL;
}

static const char *
counted(struct run *run, const char *key)
{
	const struct tally *tally = tally_of(run->section);

	for (unsigned i = 0; tally != NULL && i < TALLY_OWN; i++)
		if (strcmp(tally->own[i].name, key) == 0)
			return ph_arena_printf(run->arena, "%llu",
			    (unsigned long long)tally->own[i].n);
	return NULL;
}

/* "KEY" or "KEY = PATTERN": what the module has in the store, noted or
 * counted. */
static void
judge_kept(struct judging *j,
    const char *(*look_up)(struct run *run, const char *key))
{
	struct ph_slice pattern = ph_slice_str(j->rest), key;
	const char *found;

	key = ph_slice_trim(ph_slice_cut(&pattern, '='));
	found = look_up(j->run, ph_arena_slice(j->run->arena, key).p);
	if ((found != NULL && (pattern.p == NULL || matches(ph_arena_slice(
	        j->run->arena, ph_slice_trim(pattern)).p, found))) ==
	    j->is_not)
		fail(j, found);
}

static bool
is_verdict(const char *word)
{
	for (int i = PH_NEXT; i <= PH_QUARANTINE; i++)
		if (strcmp(ph_verdict_name((enum ph_verdict)i), word) == 0)
			return true;
	return false;
}

static void
judge_one(struct judging *j, const char *word)
{
	const struct run_outcome *o = j->outcome;

	if (is_verdict(word))
		judge_verdict(j, word);
	else if (strcmp(word, "outcome") == 0)
		judge_text(j, ph_verdict_name(o->outcome));
	else if (strcmp(word, "reason") == 0)
		judge_text(j, o->text);
	else if (strcmp(word, "fault") == 0)
		judge_text(j, o->failure);
	else if (strcmp(word, "score") == 0)
		judge_number(j, (double)o->points / 1000);
	else if (strcmp(word, "asked") == 0)
		judge_number(j, o->asked);
	else if (strcmp(word, "within") == 0)
		judge_within(j);
	else if (strcmp(word, "header") == 0)
		judge_lines(j, o->headers);
	else if (strcmp(word, "edit") == 0)
		judge_lines(j, o->edits);
	else if (strcmp(word, "body") == 0)
		judge_body(j);
	else if (strcmp(word, "log") == 0)
		judge_log(j);
	else if (strcmp(word, "kept") == 0)
		judge_kept(j, stored);
	else if (strcmp(word, "result") == 0)
		judge_lines(j, o->results);
	else if (strcmp(word, "note") == 0)
		judge_kept(j, noted);
	else if (strcmp(word, "counted") == 0)
		judge_kept(j, counted);
	else
		run_fail(j->run, j->expect->line,
		    "nothing is known of \"expect %s\"", word);
}

/* What no session has to ask for. */
static void
judge_always(struct run *run, const struct script_command *step,
    const struct run_outcome *outcome, bool verdict_told, bool fault_told)
{
	if (outcome->is_routed)
		return;
	if (outcome->failure != NULL && !fault_told)
		run_fail(run, step->line, "fault: %s", outcome->failure);
	else if (!verdict_told && outcome->verdict != PH_NEXT && !fault_told)
		run_fail(run, step->line, "wanted next, got %s",
		    verdict_text(run, outcome));
}

/* What came of the step, in a line. */
static const char *
outcome_text(struct run *run, const struct run_outcome *o)
{
	struct ph_slice rest = o->results;
	struct ph_buf line;

	if (!o->is_routed)
		return verdict_text(run, o);
	ph_buf_init(&line, run->arena, o->results.n * 2 + 1);
	while (rest.p != NULL && rest.n > 0)
		ph_buf_printf(&line, "%s" PH_SLICE_FMT, line.n > 0 ? ", " : "",
		    PH_SLICE_ARG(ph_slice_cut(&rest, '\n')));
	ph_buf_char(&line, '\0');
	return line.p;
}

static void
judge_plain(struct run *run, const struct script_command *step,
    const struct run_outcome *outcome)
{
	bool verdict_told = false, fault_told = false;
	const struct script_command *at = step->next;
	unsigned before = run->progress->failures;

	for (; at != NULL && strcmp(at->word, "expect") == 0; at = at->next) {
		struct judging j = { run, at, outcome, at->rest, false };
		const char *word = script_word(run->arena, &j.rest);

		if (strcmp(word, "no") == 0) {
			j.is_not = true;
			word = script_word(run->arena, &j.rest);
		}
		verdict_told |= is_verdict(word);
		fault_told |= strcmp(word, "fault") == 0;
		judge_one(&j, word);
	}
	judge_always(run, step, outcome, verdict_told, fault_told);
	if (run->is_told && before == run->progress->failures)
		printf("%s:%u: ok: %s %s: %s\n", run->script->path,
		    step->line, step->word, step->rest,
		    outcome_text(run, outcome));
}

void
run_judge(struct run *run, const struct script_command *step,
    const struct run_outcome *outcome)
{
	static const char *const how[] = {
		[HARNESS_DNS_FAILS] = "DNS fails",
		[HARNESS_SILENCE] = "nothing outside answers",
		[HARNESS_STORE_DOWN] = "the key-value store is down",
	};
	unsigned line = step->line < RUN_LINES_MAX ? step->line : 0;

	if (run->is_plain) {
		run->progress->steps++;
		run->progress->verdict[line] = outcome->is_refused ?
		    PH_REJECT : (uint8_t)outcome->verdict;
		judge_plain(run, step, outcome);
	} else if (run->fault != HARNESS_SOUND && outcome->failure != NULL) {
		run_fail(run, step->line, "%s when %s: on_failure would speak "
		    "for it, again and again", outcome->failure,
		    how[run->fault]);
	} else if (run->fault != HARNESS_SOUND && outcome->is_refused &&
	    run->progress->verdict[line] != PH_REJECT) {
		run_fail(run, step->line, "there is no such recipient when "
		    "%s, where there had been: what could not be told is "
		    "temporary", how[run->fault]);
	} else if (run->fault != HARNESS_SOUND && outcome->is_routed &&
	    outcome->took_ms >= run->generation->modules.first->common.
	        timeout_ms) {
		run_fail(run, step->line, "out of time when %s",
		    how[run->fault]);
	} else if (run->fault != HARNESS_SOUND &&
	    outcome->verdict == PH_REJECT &&
	    run->progress->verdict[line] != PH_REJECT) {
		run_fail(run, step->line, "rejects when %s, where it had said "
		    "%s: what could not be told is temporary", how[run->fault],
		    ph_verdict_name((enum ph_verdict)
		        run->progress->verdict[line]));
	}
}
