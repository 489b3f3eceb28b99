/* SPDX-License-Identifier: Apache-2.0 */
/* rule.c - see rule.h. */
#include "rule.h"

#include <posthouse/mail.h>

#include "host.h"

static const char *const action_words[] = { "allow", "deny", "defer" };
static const char *const what_words[] = { "client", "host", "helo", "sender",
	"recipient" };

const char *
rule_action_name(enum rule_action action)
{
	return action_words[action];
}

const char *
rule_what_name(enum rule_what what)
{
	return what_words[what];
}

static struct ph_slice
next_word(struct ph_slice *rest)
{
	struct ph_slice word = { "", 0 };
	size_t n = 0;

	*rest = ph_slice_trim(*rest);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	if (rest->n > 0) {
		word = (struct ph_slice){ rest->p, n };
		rest->p += n;
		rest->n -= n;
	}
	return word;
}

static bool
find(struct ph_slice word, const char *const *words, unsigned count,
    unsigned *index_out)
{
	for (unsigned i = 0; i < count; i++) {
		if (ph_slice_eq(word, ph_slice_str(words[i]))) {
			*index_out = i;
			return true;
		}
	}
	return false;
}

static bool
is_address_pattern(struct ph_slice pattern, bool is_sender)
{
	if (is_sender && ph_slice_eq(pattern, PH_LIT("<>")))
		return true;
	return pattern.n > 1 && memchr(pattern.p, '@', pattern.n) != NULL;
}

static bool
take_pattern(struct rule *rule)
{
	switch (rule->what) {
	case RULE_CLIENT:
		return ph_net_parse(rule->pattern, &rule->net);
	case RULE_HOST:
	case RULE_HELO:
		return rule->pattern.n > 0;
	case RULE_SENDER:
		return is_address_pattern(rule->pattern, true);
	case RULE_RECIPIENT:
		return is_address_pattern(rule->pattern, false);
	}
	return false;
}

enum rule_form
rule_parse(struct ph_slice line, struct rule *rule_out)
{
	struct ph_slice rest = ph_slice_trim(line);
	unsigned action, what;
	struct rule rule;

	if (rest.n == 0 || rest.p[0] == '#')
		return RULE_EMPTY;
	if (!find(next_word(&rest), action_words, 3, &action) ||
	    !find(next_word(&rest), what_words, 5, &what))
		return RULE_WRONG;
	rule = (struct rule){ .action = (enum rule_action)action,
		.what = (enum rule_what)what, .pattern = next_word(&rest) };
	rule.text = ph_slice_trim(rest);
	if (!take_pattern(&rule))
		return RULE_WRONG;
	*rule_out = rule;
	return RULE_GOOD;
}

static bool
address_fits(struct ph_slice pattern, struct ph_slice address)
{
	struct ph_slice local = ph_address_local(pattern);
	struct ph_slice domain = ph_address_domain(pattern);

	if (address.n == 0)
		return ph_slice_eq(pattern, PH_LIT("<>"));
	if (local.n > 0 && !ph_slice_eq_nocase(local,
	        ph_address_local(address)))
		return false;
	return domain.n == 0 ? local.n > 0 :
	                       host_fits(domain, ph_address_domain(address));
}

bool
rule_fits(const struct rule *rule, const struct rule_question *question)
{
	if (rule->what != question->what)
		return false;
	switch (rule->what) {
	case RULE_CLIENT:
		return ph_net_has(&rule->net, question->addr);
	case RULE_HOST:
	case RULE_HELO:
		return question->text.n > 0 &&
		    host_fits(rule->pattern, question->text);
	case RULE_SENDER:
	case RULE_RECIPIENT:
		return address_fits(rule->pattern, question->text);
	}
	return false;
}
