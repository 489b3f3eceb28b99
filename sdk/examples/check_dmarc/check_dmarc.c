/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_dmarc - is the domain of From vouched for (RFC 7489)? An example of a
 * check that builds on others: it reads the notes of check_spf and check_dkim,
 * so it has a later order than both. A domain's policy is followed as it stands;
 * pct= is not looked at and no reports are sent.
 */
#include <posthouse/check.h>
#include <posthouse/lines.h>
#include <posthouse/mail.h>

struct dmarc_conf {
	const char *suffixes;
	bool enforce;
};

enum policy { POLICY_NONE, POLICY_QUARANTINE, POLICY_REJECT };

/* What a domain publishes. */
struct record {
	enum policy policy, below; /* p, sp */
	bool is_dkim_strict, is_spf_strict;
};

static const char *const policy_names[] = { "none", "quarantine", "reject" };

/* --- domains --- */

/* Behind its first label; absent: it has one. */
static struct ph_slice
parent(struct ph_slice domain)
{
	(void)ph_slice_cut(&domain, '.');
	return domain;
}

/* Whether the list says that others register names below it. */
static bool
is_suffix(struct ph_arena *arena, const struct ph_lines *list,
    struct ph_slice domain)
{
	struct ph_slice above = parent(domain);

	if (list == NULL || above.p == NULL)
		return above.p == NULL; /* as far as is known */
	if (ph_lines_has(list, ph_slice_str(ph_arena_printf(arena,
	        "!" PH_SLICE_FMT, PH_SLICE_ARG(domain)))))
		return false;
	return ph_lines_has(list, domain) ||
	    ph_lines_has(list, ph_slice_str(ph_arena_printf(arena,
	        "*." PH_SLICE_FMT, PH_SLICE_ARG(above))));
}

/* s3.2: a public suffix and one label more. */
static struct ph_slice
organization(struct ph_arena *arena, const struct ph_lines *list,
    struct ph_slice domain)
{
	while (parent(domain).p != NULL &&
	    !is_suffix(arena, list, parent(domain)))
		domain = parent(domain);
	return domain;
}

/* What both share is the domain itself or, if that is enough, its owner. */
static bool
is_aligned(struct ph_arena *arena, const struct ph_lines *list,
    struct ph_slice from, struct ph_slice domain, bool is_strict)
{
	if (is_strict)
		return ph_domain_eq(from, domain);
	return ph_domain_eq(organization(arena, list, from),
	    organization(arena, list, ph_domain_canonical(arena, domain)));
}

/* --- what the domain wants --- */

static struct ph_slice
tag(struct ph_slice list, const char *name)
{
	while (list.p != NULL) {
		struct ph_slice value = ph_slice_cut(&list, ';'), key;

		key = ph_slice_trim(ph_slice_cut(&value, '='));
		if (ph_slice_eq_nocase(key, ph_slice_str(name)))
			return ph_slice_trim(value);
	}
	return (struct ph_slice){ NULL, 0 };
}

static enum policy
policy_of(struct ph_slice word, enum policy otherwise)
{
	for (unsigned i = POLICY_NONE; i <= POLICY_REJECT; i++)
		if (ph_slice_eq_nocase(word, ph_slice_str(policy_names[i])))
			return (enum policy)i;
	return otherwise;
}

/* s6.6.3: exactly one record counts. */
static enum ph_dns_result
ask(struct ph_arena *arena, struct ph_slice domain, struct record *record_out)
{
	const struct ph_dns_answer *answer = ph_dns_txt(arena, ph_arena_printf(
	    arena, "_dmarc." PH_SLICE_FMT, PH_SLICE_ARG(domain)));
	struct ph_slice text = { NULL, 0 };
	unsigned count = 0;

	if (answer->result == PH_DNS_NO_ANSWER)
		return PH_DNS_NO_ANSWER;
	for (size_t i = 0; i < answer->count; i++) {
		if (!ph_slice_eq(tag(answer->txt[i], "v"), PH_LIT("DMARC1")))
			continue;
		text = answer->txt[i];
		count++;
	}
	if (count != 1)
		return PH_DNS_NO_DATA;
	record_out->policy = policy_of(tag(text, "p"), POLICY_NONE);
	record_out->below = policy_of(tag(text, "sp"), record_out->policy);
	record_out->is_dkim_strict = ph_slice_eq_nocase(tag(text, "adkim"),
	    PH_LIT("s"));
	record_out->is_spf_strict = ph_slice_eq_nocase(tag(text, "aspf"),
	    PH_LIT("s"));
	return PH_DNS_OK;
}

/* Of the domain, or of its owner. */
static enum ph_dns_result
find(struct ph_arena *arena, const struct ph_lines *list, struct ph_slice from,
    struct record *record_out)
{
	struct ph_slice owner = organization(arena, list, from);
	enum ph_dns_result result = ask(arena, from, record_out);

	if (result == PH_DNS_OK || result == PH_DNS_NO_ANSWER ||
	    ph_slice_eq(owner, from))
		return result;
	result = ask(arena, owner, record_out);
	record_out->policy = record_out->below;
	return result;
}

/* --- what was found out before --- */

static bool
is_spf_aligned(struct ph_call *call, const struct ph_lines *list,
    struct ph_slice from, bool is_strict)
{
	const char *result = ph_call_note(call, "spf.result");
	const char *domain = ph_call_note(call, "spf.domain");

	return result != NULL && domain != NULL &&
	    strcmp(result, "pass") == 0 && is_aligned(ph_call_arena(call),
	    list, from, ph_slice_str(domain), is_strict);
}

static bool
is_dkim_aligned(struct ph_call *call, const struct ph_lines *list,
    struct ph_slice from, bool is_strict)
{
	const char *note = ph_call_note(call, "dkim.pass");
	struct ph_slice rest = ph_slice_str(note != NULL ? note : "");

	while (rest.p != NULL && rest.n > 0)
		if (is_aligned(ph_call_arena(call), list, from,
		        ph_slice_cut(&rest, ' '), is_strict))
			return true;
	return false;
}

/* Of the one author in the one From (s6.6.1); absent: there is none. */
static struct ph_slice
from_domain(struct ph_call *call)
{
	struct ph_slice rest = ph_call_header(call), domain = { NULL, 0 };
	const struct ph_mailbox_addr *list;
	struct ph_header_field field;
	unsigned fields = 0;
	size_t count;

	while (ph_header_next(&rest, &field)) {
		if (!ph_slice_eq_nocase(ph_slice_trim(field.name),
		        PH_LIT("From")))
			continue;
		if (++fields > 1 || !ph_address_list_strict(
		        ph_call_arena(call), field.value, 10, &list, &count) ||
		    count != 1)
			return (struct ph_slice){ NULL, 0 };
		domain = list->domain;
	}
	return ph_domain_is_valid(domain) ?
	    ph_domain_canonical(ph_call_arena(call), domain) :
	    (struct ph_slice){ NULL, 0 };
}

/* --- what comes of it --- */

static void
tell(struct ph_call *call, const char *result, enum policy policy,
    struct ph_slice from)
{
	ph_count(result, 1);
	ph_note(call, "dmarc.result", "%s", result);
	ph_log(PH_INFO, "dmarc", ph_f_str("result", result),
	    ph_f_str("policy", policy_names[policy]),
	    ph_f_slice("from", from),
	    ph_f_str("spf", ph_call_note(call, "spf.result")),
	    ph_f_str("dkim", ph_call_note(call, "dkim.result")));
	ph_add_header(call, "Authentication-Results", "%s; dmarc=%s (p=%s) "
	    "header.from=" PH_SLICE_FMT,
	    ph_session_hostname(ph_call_session(call)), result,
	    policy_names[policy], PH_SLICE_ARG(from));
}

static enum ph_verdict
follow(struct ph_call *call, enum policy policy, struct ph_slice from)
{
	if (policy == POLICY_REJECT)
		return ph_reject(call, 550, "5.7.26", "nobody vouches for "
		    "this as mail of " PH_SLICE_FMT, PH_SLICE_ARG(from));
	if (policy == POLICY_NONE)
		return PH_NEXT;
	ph_reason(call, "the policy of " PH_SLICE_FMT, PH_SLICE_ARG(from));
	return PH_QUARANTINE;
}

static enum ph_verdict
dmarc_on_message(struct ph_call *call, const void *conf)
{
	const struct ph_session *session = ph_call_session(call);
	struct ph_slice from = from_domain(call);
	struct record record = { .policy = POLICY_NONE };
	const struct dmarc_conf *c = conf;
	const struct ph_lines *list = NULL;
	const char *result = "fail";

	if (ph_session_user(session) != NULL || ph_session_may_relay(session))
		return PH_NEXT;
	if (*c->suffixes != '\0' && ph_lines_read(ph_call_arena(call),
	    c->suffixes, &list, NULL) != PH_OK)
		ph_log(PH_WARN, "dmarc_no_suffixes",
		    ph_f_str("file", c->suffixes));
	if (from.p == NULL) {
		tell(call, "permerror", POLICY_NONE, PH_LIT("(none)"));
		return PH_NEXT;
	}
	switch (find(ph_call_arena(call), list, from, &record)) {
	case PH_DNS_OK:
		if (is_spf_aligned(call, list, from, record.is_spf_strict) ||
		    is_dkim_aligned(call, list, from, record.is_dkim_strict))
			result = "pass";
		break;
	case PH_DNS_NO_ANSWER:
		result = "temperror";
		break;
	default:
		result = "none";
		break;
	}
	tell(call, result, record.policy, from);
	return strcmp(result, "fail") == 0 && c->enforce ?
	    follow(call, record.policy, from) : PH_NEXT;
}

static const struct ph_option dmarc_options[] = {
	PH_OPT_PATH("suffixes", struct dmarc_conf, suffixes, "",
	    "the public suffix list; without it each top level has one"),
	PH_OPT_BOOL("enforce", struct dmarc_conf, enforce, "true",
	    "refuse and hold what its domain wants refused and held"),
	PH_OPT_END,
};

static const struct ph_check_ops dmarc_ops = {
	.at = { [PH_AT_MESSAGE] = dmarc_on_message },
};

PH_MODULE(check_dmarc) = {
	.abi = PH_ABI,
	.name = "check_dmarc",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct dmarc_conf),
	.options = dmarc_options,
	.doc = "holds mail against the policy of its From's domain",
	.check = &dmarc_ops,
};
