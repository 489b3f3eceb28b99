/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_rbl - ask DNS lists about the client (RFC 5782). All are asked at once
 * when it connects; the verdict is given at a later stage, so that the client's
 * own talking hides the wait. A list that fails, is late, or lists everybody
 * counts as "not listed": a dead or lying list never stops mail.
 */
#include <posthouse/check.h>

#include <posthouse/mail.h>

#include "known.h"
#include "stranger.h"
#include "tally.h"

enum { EXPLAIN_MS = 1000, WHY_MAX = 300 };

struct rbl_conf {
	const char *const *lists;
	struct rbl_limits limits;
	unsigned score;
	unsigned at;          /* index into rbl_stages */
	bool spare_postmaster;
	bool explain;
	unsigned timeout_ms, cache_ms;
	struct ph_net_list exempt;
};

static const char *const rbl_stages[] = { "connect", "mail", "rcpt", NULL };
enum { AT_CONNECT, AT_MAIL, AT_RCPT };

/* What a session's hooks leave each other. */
struct rbl_session {
	bool was_begun, is_concluded, was_scored;
	uint64_t config;       /* that the session began with */
	struct ph_dns_batch *batch;
	enum rbl_state states[RBL_LISTS_MAX];
	const char *questions[RBL_LISTS_MAX];
	bool has_failed;       /* a list did not answer */
	bool has_ttl;          /* a list named the client: */
	uint32_t ttl_s;        /* the shortest life of what it said */
	struct rbl_known found;
};

/* --- the configuration --- */

static size_t
parse_lists(const struct rbl_conf *conf, struct ph_arena *arena,
    const struct rbl_list **lists_out)
{
	struct rbl_list *lists = ph_arena_array(arena, RBL_LISTS_MAX,
	    sizeof(*lists));
	size_t count = 0;

	while (count < RBL_LISTS_MAX && conf->lists[count] != NULL) {
		(void)rbl_list_parse(conf->lists[count], &lists[count]);
		count++;
	}
	*lists_out = lists;
	return count;
}

static int
rbl_check_conf(const void *conf, struct ph_err *err)
{
	const struct rbl_conf *c = conf;
	struct rbl_list list;

	for (const char *const *at = c->lists; *at != NULL; at++) {
		const char *wrong = rbl_list_parse(*at, &list);

		if (wrong != NULL)
			return ph_err_set(err, PH_INVALID, 0, "\"%s\": %s",
			    *at, wrong);
	}
	return PH_OK;
}

/* FNV-1a: what is known of a client is of these lists and limits. */
static uint64_t
number_of_conf(const struct rbl_conf *conf)
{
	uint64_t number = 14695981039346656037u;

	for (const char *const *at = conf->lists; *at != NULL; at++)
		for (const char *c = *at;; c++) {
			number = (number ^ (uint8_t)*c) * 1099511628211u;
			if (*c == '\0')
				break;
		}
	number = (number ^ conf->limits.tag_at) * 1099511628211u;
	number = (number ^ conf->limits.defer_at) * 1099511628211u;
	return (number ^ conf->limits.reject_at) * 1099511628211u;
}

/* --- asking --- */

static const char *
asked_before(const struct rbl_session *session, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (session->questions[i] != NULL &&
		    strcmp(session->questions[i], name) == 0)
			return session->questions[i];
	return NULL;
}

static void
ask_lists(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	const struct ph_addr *client = ph_call_client(call);
	struct ph_arena *arena = ph_call_session_arena(call);
	const struct rbl_list *lists;
	size_t count = parse_lists(conf, ph_call_arena(call), &lists);

	session->batch = ph_dns_batch(arena, conf->timeout_ms);
	for (size_t i = 0; i < count; i++) {
		const char *name, *before;

		if (!(client->family == 4 ? lists[i].v4 : lists[i].v6) ||
		    rbl_is_dead(ph_call_arena(call), lists[i].zone))
			continue;
		name = ph_dns_reverse(arena, client,
		    ph_arena_slice(arena, lists[i].zone).p);
		before = asked_before(session, i, name);
		session->questions[i] = before != NULL ? before : name;
		session->states[i] = RBL_OPEN;
		if (before == NULL)
			ph_dns_batch_a(session->batch, name);
	}
}

static void
rbl_begin(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	session->was_begun = true;
	session->config = number_of_conf(conf);
	session->is_concluded = rbl_known_client(ph_call_session_arena(call),
	    ph_call_client(call), session->config, &session->found);
	if (!session->is_concluded)
		ask_lists(call, conf, session);
}

/* --- concluding --- */

static void
take_answer(struct rbl_session *session, const struct rbl_list *lists,
    size_t count, const struct ph_dns_answer *answer)
{
	for (size_t i = 0; i < count; i++) {
		if (session->states[i] != RBL_OPEN ||
		    strcmp(session->questions[i], answer->name) != 0 ||
		    answer->result == PH_DNS_NO_ANSWER)
			continue;
		session->states[i] = rbl_list_has(&lists[i], answer) ?
		    RBL_LISTED : RBL_FREE;
		if (session->states[i] == RBL_LISTED &&
		    (!session->has_ttl || answer->ttl_s < session->ttl_s)) {
			session->has_ttl = true;
			session->ttl_s = answer->ttl_s;
		}
	}
}

/* Lists that name everybody name nobody. */
static void
drop_liars(struct ph_call *call, struct rbl_session *session,
    const struct rbl_list *lists, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (session->states[i] == RBL_LISTED &&
		    rbl_is_lying(ph_call_arena(call), &lists[i]))
			session->states[i] = RBL_FREE;
}

static struct ph_slice
explain(struct ph_call *call, const struct rbl_conf *conf,
    const struct rbl_list *list, const char *question)
{
	struct ph_arena *arena = ph_call_session_arena(call);
	char client[PH_ADDR_TEXT_MAX];
	const struct ph_dns_answer *answer;
	uint64_t deadline;
	struct ph_buf why;

	ph_buf_init(&why, arena, WHY_MAX);
	ph_buf_printf(&why, "%s is listed by %.*s",
	    ph_addr_format(ph_call_client(call), client),
	    PH_SLICE_ARG(list->zone));
	if (conf->explain) {
		deadline = ph_deadline_push(EXPLAIN_MS);
		answer = ph_dns_txt(ph_call_arena(call), question);
		ph_deadline_restore(deadline);
		if (answer->result == PH_DNS_OK && answer->txt != NULL)
			ph_buf_printf(&why, ": %.*s", (int)(answer->txt[0].n <
			    200 ? answer->txt[0].n : 200), answer->txt[0].p);
	}
	ph_buf_char(&why, '\0');
	return ph_slice_str(why.full ? "the address is listed" : why.p);
}

static void
note_failures(struct ph_call *call, struct rbl_session *session,
    const struct rbl_list *lists, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (session->states[i] != RBL_OPEN)
			continue;
		session->has_failed = true;
		if (asked_before(session, i, session->questions[i]) == NULL)
			rbl_note_failure(ph_call_arena(call), lists[i].zone);
	}
}

/* An outcome is known no longer than the listings it rests on. */
static unsigned
life_of(const struct rbl_conf *conf, const struct rbl_session *session)
{
	uint64_t ttl_ms = (uint64_t)session->ttl_s * 1000;

	return session->has_ttl && ttl_ms < conf->cache_ms ?
	    (unsigned)ttl_ms : conf->cache_ms;
}

static void
rbl_conclude(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	const struct ph_dns_answer *answer;
	const struct rbl_list *lists;
	size_t count = parse_lists(conf, ph_call_arena(call), &lists);
	struct rbl_limits limits = conf->limits;
	struct rbl_tally tally;

	limits.sum_counts = conf->score > 0;
	tally = rbl_count(lists, session->states, count, &limits);
	while (!tally.is_settled &&
	    (answer = ph_dns_batch_next(session->batch)) != NULL) {
		take_answer(session, lists, count, answer);
		tally = rbl_count(lists, session->states, count,
		    &limits);
		if (!tally.is_settled || tally.outcome == RBL_CLEAN)
			continue;
		drop_liars(call, session, lists, count);
		tally = rbl_count(lists, session->states, count,
		    &limits);
	}
	if (!tally.is_settled) {
		note_failures(call, session, lists, count);
		drop_liars(call, session, lists, count);
		tally = rbl_count(lists, session->states, count,
		    &limits);
	}
	session->is_concluded = true;
	session->found = (struct rbl_known){ tally.outcome, tally.sum,
		PH_LIT("") };
	if (tally.outcome != RBL_CLEAN)
		session->found.why = explain(call, conf,
		    &lists[tally.decisive],
		    session->questions[tally.decisive]);
	if (!session->has_failed)
		rbl_know_client(ph_call_arena(call), ph_call_client(call),
		    session->config, &session->found, life_of(conf, session));
}

/* --- the verdict --- */

static bool
is_postmaster(struct ph_call *call)
{
	return ph_slice_eq_nocase(ph_address_local(ph_call_recipient(call)),
	        PH_LIT("postmaster")) ||
	    ph_slice_eq_nocase(ph_call_recipient(call), PH_LIT("postmaster"));
}

static void
score_once(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	if (session->was_scored)
		return;
	session->was_scored = true;
	if (session->found.sum != 0)
		ph_score(call, (double)session->found.sum * conf->score);
	if (session->found.outcome == RBL_TAGGED)
		ph_add_header(call, "X-Posthouse-Check", "%s",
		    session->found.why.p);
}

static enum ph_verdict
rbl_verdict(struct ph_call *call, const struct rbl_conf *conf)
{
	struct rbl_session *session = ph_call_session_state(call,
	    sizeof(*session));
	const int refused = ph_call_stage(call) == PH_AT_CONNECT ? 554 : 550;

	/* not begun: allowed at connect, or check was restarted */
	if (!session->was_begun || session->config != number_of_conf(conf))
		return PH_NEXT;
	if (!session->is_concluded)
		rbl_conclude(call, conf, session);
	switch (session->found.outcome) {
	case RBL_REJECTED:
		if (conf->spare_postmaster && is_postmaster(call))
			break;
		return ph_reject(call, refused, "5.7.1", "%s",
		    session->found.why.p);
	case RBL_DEFERRED:
		if (conf->spare_postmaster && is_postmaster(call))
			break;
		return ph_defer(call, 450, "4.7.1", "%s",
		    session->found.why.p);
	case RBL_TAGGED:
	case RBL_ALLOWED:
		ph_reason(call, "%s", session->found.why.p);
		break;
	case RBL_CLEAN:
		break;
	}
	score_once(call, conf, session);
	return session->found.outcome == RBL_ALLOWED &&
	        conf->at == AT_CONNECT ? PH_ACCEPT : PH_NEXT;
}

static enum ph_verdict
rbl_on_connect(struct ph_call *call, const void *conf)
{
	const struct rbl_conf *c = conf;
	struct rbl_session *session = ph_call_session_state(call,
	    sizeof(*session));

	if (c->lists[0] == NULL || !is_stranger(call, &c->exempt))
		return PH_NEXT;
	rbl_begin(call, c, session);
	return c->at == AT_CONNECT ? rbl_verdict(call, c) : PH_NEXT;
}

static enum ph_verdict
rbl_on_mail(struct ph_call *call, const void *conf)
{
	const struct rbl_conf *c = conf;
	struct rbl_session *session = ph_call_session_state(call,
	    sizeof(*session));

	if (c->at == AT_CONNECT || !is_stranger(call, &c->exempt))
		return PH_NEXT;
	session->was_scored = false; /* each message has its score */
	return c->at == AT_MAIL ? rbl_verdict(call, c) : PH_NEXT;
}

static enum ph_verdict
rbl_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct rbl_conf *c = conf;

	return c->at == AT_RCPT && is_stranger(call, &c->exempt) ?
	    rbl_verdict(call, c) : PH_NEXT;
}

static const struct ph_option rbl_options[] = {
	PH_OPT_LIST("lists", struct rbl_conf, lists, 0, RBL_LISTS_MAX, "[]",
	    "lists to ask: \"ZONE [weight=N] [action=A] [codes=...] [v4] [v6]\""),
	PH_OPT_UINT("reject_at", struct rbl_conf, limits.reject_at, 0, 100000,
	    "1", "sum of weights from which on to refuse for good, 0: never"),
	PH_OPT_UINT("defer_at", struct rbl_conf, limits.defer_at, 0, 100000,
	    "0", "sum of weights from which on to refuse for now, 0: never"),
	PH_OPT_UINT("tag_at", struct rbl_conf, limits.tag_at, 0, 100000, "0",
	    "sum of weights from which on to add a header field, 0: never"),
	PH_OPT_UINT("score", struct rbl_conf, score, 0, 1000, "1",
	    "points of the message's score for each unit of weight"),
	PH_OPT_CHOICE("verdict", struct rbl_conf, at, rbl_stages, "rcpt",
	    "when a client is refused"),
	PH_OPT_BOOL("spare_postmaster", struct rbl_conf, spare_postmaster,
	    "true", "let mail to postmaster through, at rcpt"),
	PH_OPT_BOOL("explain", struct rbl_conf, explain, "true",
	    "ask the list why, and say it in the refusal"),
	PH_OPT_MSEC("timeout", struct rbl_conf, timeout_ms, 100, 30000, "3s",
	    "how long the lists may take together, from the connection on"),
	PH_OPT_MSEC("cache", struct rbl_conf, cache_ms, 0, 86400000, "5m",
	    "how long an outcome is known, a listing no longer than its TTL, 0: ask each time"),
	PH_OPT_NETS("exempt", struct rbl_conf, exempt, 0, 10000,
	    STRANGER_EXEMPT, "clients not to look at"),
	PH_OPT_END,
};

static const struct ph_check_ops rbl_ops = {
	.at = { [PH_AT_CONNECT] = rbl_on_connect, [PH_AT_MAIL] = rbl_on_mail,
	    [PH_AT_RCPT] = rbl_on_rcpt },
};

PH_MODULE(check_rbl) = {
	.abi = PH_ABI,
	.name = "check_rbl",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct rbl_conf),
	.options = rbl_options,
	.doc = "refuses clients that DNS lists name",
	.check_conf = rbl_check_conf,
	.check = &rbl_ops,
};
