/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_filer - each user's own rules about his mail, at the delivery: into which
 * mailboxes it goes, with which flags, where else, and who is answered. An
 * example of the hooks behind the queue; what Sieve does, in lines. A rule that
 * can't be read is left out: mail is never lost to a mistake in a filter.
 */
#define _GNU_SOURCE /* FNM_CASEFOLD */
#include <posthouse/delivery.h>
#include <posthouse/kv.h>
#include <posthouse/lines.h>
#include <posthouse/mail.h>

#include <fnmatch.h>

#include "rule.h"

struct filer_conf {
	const char *rules;
};

/* What the rules so far came to, RFC 5228 s2.10.2. */
struct course {
	struct ph_call *call;
	bool is_kept; /* nothing took the place of the INBOX */
	bool is_filed, is_over;
	enum ph_verdict verdict;
};

/* --- tests --- */

static bool
fits(struct ph_call *call, const char *pattern, struct ph_slice text)
{
	return fnmatch(pattern, ph_arena_slice(ph_call_arena(call), text).p,
	    FNM_CASEFOLD) == 0;
}

static bool
has_field(struct ph_call *call, const struct rule *rule)
{
	struct ph_slice rest = ph_call_header(call);
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_header_field field;

	while (ph_header_next(&rest, &field))
		if (ph_slice_eq_nocase(ph_slice_trim(field.name),
		        ph_slice_str(rule->name)) &&
		    fits(call, rule->pattern, ph_encoded_words(arena,
		        ph_header_unfold(arena, field.value))))
			return true;
	return false;
}

static bool
holds(struct ph_call *call, const struct rule *rule)
{
	switch (rule->test) {
	case TEST_HEADER:
		return has_field(call, rule);
	case TEST_FROM:
		return fits(call, rule->pattern, ph_call_sender(call));
	case TEST_TO:
		return fits(call, rule->pattern, ph_call_recipient(call));
	case TEST_SCORE:
		return ph_call_score(call) >= (double)rule->number;
	case TEST_SIZE:
		return ph_call_content(call).n >= rule->number;
	default:
		return true;
	}
}

/* --- answers --- */

/* RFC 5230 s4.5, s4.6: a person wrote it, to this user himself. */
static bool
is_personal(struct ph_call *call)
{
	static const char *const crowds[] = { "List-Id", "List-Post",
		"List-Unsubscribe", "Precedence" };
	struct ph_slice rest = ph_call_header(call);
	const struct ph_mailbox_addr *list;
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_header_field field;

	for (size_t i = 0; i < sizeof(crowds) / sizeof(crowds[0]); i++)
		if (ph_header_find(rest, crowds[i], &field))
			return false;
	while (ph_header_next(&rest, &field)) {
		size_t n = ph_slice_eq_nocase(field.name, PH_LIT("To")) ||
		        ph_slice_eq_nocase(field.name, PH_LIT("Cc")) ?
		    ph_address_list(arena, field.value, 100, &list) : 0;

		for (; n > 0; n--, list++)
			if (ph_address_eq(ph_call_recipient(call),
			        ph_slice_str(ph_arena_printf(arena,
			            PH_SLICE_FMT "@" PH_SLICE_FMT,
			            PH_SLICE_ARG(list->local),
			            PH_SLICE_ARG(list->domain)))))
				return true;
	}
	return false;
}

/* Once in so many days, but again when this message is tried again. */
static bool
is_due(struct ph_call *call, uint64_t days)
{
	const struct ph_delivery_facts *facts = ph_call_delivery(call);
	struct ph_slice id = ph_slice_str(facts->queue_id), last;
	struct ph_slice key = ph_slice_str(ph_arena_printf(ph_call_arena(call),
	    "answered " PH_SLICE_FMT " " PH_SLICE_FMT,
	    PH_SLICE_ARG(facts->user), PH_SLICE_ARG(ph_call_sender(call))));
	int status = ph_kv_get(ph_call_arena(call), key, &last);

	if (status == PH_NOT_FOUND)
		return ph_kv_put(key, id, days * 86400000) == PH_OK;
	return status == PH_OK && ph_slice_eq(last, id);
}

static void
answer(struct ph_call *call, const struct rule *rule)
{
	struct ph_slice sender = ph_call_sender(call), id = PH_LIT("");
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_header_field field;
	const char *text;

	if (sender.n == 0 || !is_personal(call) || !is_due(call, rule->days))
		return;
	if (ph_header_find(ph_call_header(call), "Message-ID", &field))
		id = ph_header_unfold(arena, field.value);
	text = ph_arena_printf(arena, "From: " PH_SLICE_FMT "\r\n"
	    "To: " PH_SLICE_FMT "\r\nSubject: Automatic answer\r\n"
	    "%s" PH_SLICE_FMT "%sAuto-Submitted: auto-replied (vacation)\r\n"
	    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
	    PH_SLICE_ARG(ph_call_recipient(call)), PH_SLICE_ARG(sender),
	    id.n > 0 ? "In-Reply-To: " : "", PH_SLICE_ARG(id),
	    id.n > 0 ? "\r\n" : "", rule->what);
	if (!ph_send_reply(call, sender, ph_slice_str(text)))
		return;
	ph_count("answered", 1);
	ph_log(PH_INFO, "filer_answered", ph_f_slice("to", sender));
}

/* --- actions --- */

static void
act(struct course *course, const struct rule *rule)
{
	struct ph_call *call = course->call;

	switch (rule->action) {
	case ACTION_FILE:
	case ACTION_KEEP:
		if (!ph_file_into(call, rule->action == ACTION_KEEP ?
		        PH_LIT("INBOX") : ph_slice_str(rule->what),
		        rule->flags, rule->keywords))
			return; /* what can't be filed there stays */
		course->is_filed = true;
		course->is_kept = false;
		return;
	case ACTION_REDIRECT:
		if (ph_redirect(call, ph_slice_str(rule->what)))
			course->is_kept = false;
		return;
	case ACTION_DISCARD:
		course->is_kept = false;
		return;
	case ACTION_REJECT:
		course->verdict = ph_reject(call, 550, "5.7.1", "%s",
		    rule->what);
		course->is_over = true;
		return;
	case ACTION_ANSWER:
		answer(call, rule);
		return;
	case ACTION_STOP:
		course->is_over = true;
		return;
	}
}

/* His own file, or the one for all. PH_NOT_FOUND: neither is there. */
static int
read_rules(struct ph_call *call, const char *path,
    const struct ph_lines **lines_out, struct ph_err *err)
{
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_slice user = ph_call_delivery(call)->user;
	const char *slash = strrchr(path, '/');
	int status = PH_NOT_FOUND;

	if (memchr(user.p, '/', user.n) == NULL)
		status = ph_lines_read(arena, ph_arena_printf(arena,
		    "%.*s/" PH_SLICE_FMT, (int)(slash - path), path,
		    PH_SLICE_ARG(user)), lines_out, err);
	return status == PH_NOT_FOUND ?
	    ph_lines_read(arena, path, lines_out, err) : status;
}

static enum ph_verdict
filer_on_deliver(struct ph_call *call, const void *conf)
{
	const struct filer_conf *c = conf;
	struct course course = { .call = call, .is_kept = true,
		.verdict = PH_NEXT };
	const struct ph_lines *lines;
	struct ph_err err;
	int status;

	if (ph_call_delivery(call)->user.p == NULL)
		return PH_NEXT; /* it goes on to another server */
	status = read_rules(call, c->rules, &lines, &err);
	if (status == PH_NOT_FOUND)
		return PH_NEXT;
	if (status != PH_OK) {
		ph_log(PH_ERROR, "filer_unreadable",
		    ph_f_str("reason", err.text));
		return ph_defer(call, 451, "4.3.0", "filter can't be read");
	}
	for (size_t i = 0; i < ph_lines_count(lines) && !course.is_over; i++) {
		struct rule rule;
		const char *wrong = rule_parse(ph_call_arena(call),
		    ph_lines_at(lines, i), &rule);

		if (wrong != NULL)
			ph_log(PH_WARN, "filer_rule", ph_f_slice("user",
			    ph_call_delivery(call)->user),
			    ph_f_slice("rule", ph_lines_at(lines, i)),
			    ph_f_str("wrong", wrong));
		else if (holds(call, &rule))
			act(&course, &rule);
	}
	if (course.verdict == PH_NEXT && !course.is_kept && !course.is_filed)
		course.verdict = PH_DISCARD; /* also when it was sent on */
	ph_count(course.is_filed ? "filed" : course.is_kept ? "kept" :
	    ph_verdict_name(course.verdict), 1);
	return course.verdict;
}

static const struct ph_option filer_options[] = {
	PH_OPT_PATH("rules", struct filer_conf, rules,
	    "/etc/posthouse/filter/default",
	    "rules of all; a user's own are beside it, in a file of his name"),
	PH_OPT_END,
};

static const struct ph_delivery_ops filer_ops = {
	.deliver = filer_on_deliver,
};

PH_MODULE(check_filer) = {
	.abi = PH_ABI,
	.name = "check_filer",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct filer_conf),
	.options = filer_options,
	.doc = "files, sends on, answers and refuses mail by users' rules",
	.delivery = &filer_ops,
};
