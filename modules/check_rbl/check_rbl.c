/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_rbl - ask DNS lists about the client (RFC 5782). All are asked at once
 * when it connects; the verdict is given at a later stage, so that the client's
 * own talking hides the wait. A list that fails, is late, or lists everybody
 * (RFC 5782 s5) counts as "not listed": a dead or lying list never stops mail.
 */
#include <posthouse/check.h>

#include <posthouse/mail.h>

#include "inquiry.h"
#include "stranger.h"

enum {
	EXPLAIN_MS = 1000,
	WHY_MAX = 300,
	TEST_MS = 100,
	FREE_S_MIN = 10, /* many lists let nothing be kept that long */
};

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
	uint64_t config;             /* that the session began with */
	struct rbl_inquiry *inquiry; /* until it is concluded */
	struct rbl_known found;
};

/* --- the configuration --- */

/* In the arena whole: the session may outlive the configuration. */
static size_t
parse_lists(const struct rbl_conf *conf, struct ph_arena *arena,
    const struct rbl_list **lists_out)
{
	struct rbl_list *lists;
	size_t count = 0;

	while (count < RBL_LISTS_MAX && conf->lists[count] != NULL)
		count++;
	lists = ph_arena_array(arena, count, sizeof(*lists));
	for (size_t i = 0; i < count; i++) {
		(void)rbl_list_parse(conf->lists[i], &lists[i]);
		lists[i].zone = ph_arena_slice(arena, lists[i].zone);
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

static void
rbl_begin(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	struct ph_arena *arena = ph_arena_create(ph_call_session_arena(call));
	const struct ph_addr *client = ph_call_client(call);
	const struct rbl_list *lists;
	size_t count = parse_lists(conf, arena, &lists);
	struct rbl_memory memory;

	session->was_begun = true;
	session->config = number_of_conf(conf);
	rbl_remember(ph_call_session_arena(call), client, session->config,
	    lists, count, &memory);
	session->is_concluded = memory.knows_client;
	session->found = memory.client;
	if (memory.knows_client)
		ph_arena_free(arena);
	else
		session->inquiry = rbl_inquire(arena, client, lists, count,
		    &memory, conf->timeout_ms);
}

/* --- concluding --- */

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

/* Each list that names the client, for who asks why. */
static void
log_listings(const struct rbl_inquiry *inquiry)
{
	char code[PH_ADDR_TEXT_MAX];

	for (size_t i = 0; i < inquiry->count; i++)
		if (inquiry->states[i] == RBL_LISTED)
			ph_log(PH_INFO, "listed",
			    ph_f_slice("zone", inquiry->lists[i].zone),
			    ph_f_str("name", inquiry->asked[i].question),
			    ph_f_str("answer", ph_addr_format(
			        &inquiry->asked[i].code, code)),
			    ph_f_int("weight", inquiry->lists[i].weight));
}

/* An outcome is known no longer than the answers that it rests on. */
static uint64_t
life_of(const struct rbl_conf *conf, const struct rbl_inquiry *inquiry)
{
	uint32_t free_s = inquiry->free_s < FREE_S_MIN ? FREE_S_MIN :
	                                                 inquiry->free_s;
	uint64_t life_ms = (uint64_t)(inquiry->listed_s < free_s ?
	    inquiry->listed_s : free_s) * 1000;

	return life_ms < conf->cache_ms ? life_ms : conf->cache_ms;
}

/* What the tests of lists say is for later sessions: it keeps none waiting. */
static void
hear_tests(struct ph_call *call, struct rbl_inquiry *inquiry)
{
	uint64_t deadline = ph_deadline_push(TEST_MS);

	while (rbl_is_testing(inquiry) &&
	    rbl_hear(inquiry, ph_call_arena(call)))
		;
	ph_deadline_restore(deadline);
}

static void
rbl_conclude(struct ph_call *call, const struct rbl_conf *conf,
    struct rbl_session *session)
{
	struct rbl_inquiry *inquiry = session->inquiry;
	struct rbl_limits limits = conf->limits;
	struct rbl_tally tally;
	bool is_missing = false;

	limits.sum_counts = conf->score > 0;
	do
		tally = rbl_count(inquiry->lists, inquiry->states,
		    inquiry->count, &limits);
	while (!tally.is_settled && rbl_hear(inquiry, ph_call_arena(call)));
	if (!tally.is_settled)
		is_missing = rbl_note_missing(inquiry, ph_call_arena(call));
	else
		hear_tests(call, inquiry);
	log_listings(inquiry);
	session->is_concluded = true;
	session->found = (struct rbl_known){ tally.outcome, tally.sum,
		PH_LIT("") };
	if (tally.outcome != RBL_CLEAN)
		session->found.why = explain(call, conf,
		    &inquiry->lists[tally.decisive],
		    inquiry->asked[tally.decisive].question);
	if (!is_missing)
		rbl_know_client(ph_call_arena(call), ph_call_client(call),
		    session->config, &session->found, life_of(conf, inquiry));
	session->inquiry = NULL;
	ph_arena_free(inquiry->arena);
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
	    "how long an outcome is known, no longer than its answers; 0: ask each time"),
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
