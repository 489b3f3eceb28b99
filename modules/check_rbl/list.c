/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - see list.h. */
#include "list.h"

#include <posthouse/mail.h>

static const uint32_t LOCALHOST = 0x7f000001, LOOPBACK_NET = 127;
static const char *const action_words[] = { "weigh", "tag", "defer", "reject",
	"accept" };

static uint32_t
number_of(const struct ph_addr *addr)
{
	return (uint32_t)addr->octet[0] << 24 | (uint32_t)addr->octet[1] << 16 |
	    (uint32_t)addr->octet[2] << 8 | addr->octet[3];
}

static bool
parse_code(struct ph_slice text, uint32_t *low_out, uint32_t *high_out)
{
	struct ph_slice rest = text, first = ph_slice_cut(&rest, '-');
	struct ph_addr from, to;
	struct ph_net net;

	if (rest.p != NULL) {
		if (!ph_addr_parse(first, &from) || from.family != 4 ||
		    !ph_addr_parse(rest, &to) || to.family != 4)
			return false;
		*low_out = number_of(&from);
		*high_out = number_of(&to);
		return *low_out <= *high_out;
	}
	if (!ph_net_parse(text, &net) || net.addr.family != 4)
		return false;
	*low_out = number_of(&net.addr);
	*high_out = net.bits == 0 ? UINT32_MAX :
	    *low_out | (uint32_t)((1ull << (32 - net.bits)) - 1);
	return true;
}

static const char *
parse_codes(struct ph_slice text, struct rbl_list *list)
{
	while (text.p != NULL) {
		size_t n = list->code_count;

		if (n == RBL_CODES_MAX)
			return "too many codes";
		if (!parse_code(ph_slice_cut(&text, ','), &list->codes[n].low,
		        &list->codes[n].high))
			return "a code is neither an IPv4 address, a network "
			       "nor a range";
		if (list->codes[n].low >> 24 > LOOPBACK_NET ||
		    list->codes[n].high >> 24 < LOOPBACK_NET)
			return "a code that is not in 127.0.0.0/8 never counts";
		list->code_count++;
	}
	return NULL;
}

static const char *
parse_weight(struct ph_slice text, struct rbl_list *list)
{
	bool is_negative = text.n > 0 && text.p[0] == '-';
	uint64_t number;

	if (is_negative)
		text = (struct ph_slice){ text.p + 1, text.n - 1 };
	if (!ph_slice_number(text, RBL_WEIGHT_MAX, &number))
		return "a weight is a number from -1000 to 1000";
	list->weight = is_negative ? -(int)number : (int)number;
	return NULL;
}

static const char *
parse_action(struct ph_slice text, struct rbl_list *list)
{
	for (unsigned i = 0; i < 5; i++) {
		if (ph_slice_eq(text, ph_slice_str(action_words[i]))) {
			list->action = (enum rbl_action)i;
			return NULL;
		}
	}
	return "an action is weigh, tag, defer, reject or accept";
}

static const char *
parse_word(struct ph_slice word, struct rbl_list *list)
{
	struct ph_slice value = word, name = ph_slice_cut(&value, '=');

	if (ph_slice_eq(word, PH_LIT("v4")))
		list->v4 = true;
	else if (ph_slice_eq(word, PH_LIT("v6")))
		list->v6 = true;
	else if (value.p == NULL)
		return "after the zone come weight=, action=, codes=, v4, v6";
	else if (ph_slice_eq(name, PH_LIT("weight")))
		return parse_weight(value, list);
	else if (ph_slice_eq(name, PH_LIT("action")))
		return parse_action(value, list);
	else if (ph_slice_eq(name, PH_LIT("codes")))
		return parse_codes(value, list);
	else
		return "after the zone come weight=, action=, codes=, v4, v6";
	return NULL;
}

const char *
rbl_list_parse(const char *text, struct rbl_list *list_out)
{
	struct ph_slice rest = ph_slice_trim(ph_slice_str(text));
	struct rbl_list list = { .weight = 1 };
	const char *wrong = NULL;

	list.zone = ph_slice_cut(&rest, ' ');
	if (!ph_domain_is_valid(list.zone) || list.zone.n > 180)
		return "it does not begin with the name of a zone";
	while (wrong == NULL && rest.p != NULL) {
		struct ph_slice word = ph_slice_cut(&rest, ' ');

		if (word.n > 0)
			wrong = parse_word(word, &list);
	}
	if (wrong != NULL)
		return wrong;
	if (!list.v4 && !list.v6)
		list.v4 = list.v6 = true;
	*list_out = list;
	return NULL;
}

/* Whether a list that serves us may answer so. */
static bool
is_code(const struct ph_addr *addr)
{
	return ph_addr_in(addr, "127.0.0.0/8") &&
	    !ph_addr_in(addr, "127.255.255.0/24");
}

static bool
counts(const struct rbl_list *list, const struct ph_addr *addr)
{
	uint32_t code = number_of(addr);

	if (!is_code(addr))
		return false;
	for (size_t i = 0; i < list->code_count; i++)
		if (code >= list->codes[i].low && code <= list->codes[i].high)
			return true;
	return list->code_count == 0 && code != LOCALHOST;
}

const struct ph_addr *
rbl_list_code(const struct rbl_list *list, const struct ph_dns_answer *answer)
{
	for (size_t i = 0; answer->result == PH_DNS_OK && answer->addr != NULL &&
	    i < answer->count; i++)
		if (counts(list, &answer->addr[i]))
			return &answer->addr[i];
	return NULL;
}

bool
rbl_names_test_point(const struct ph_dns_answer *answer)
{
	for (size_t i = 0; answer->result == PH_DNS_OK && answer->addr != NULL &&
	    i < answer->count; i++)
		if (is_code(&answer->addr[i]) &&
		    number_of(&answer->addr[i]) != LOCALHOST)
			return true;
	return false;
}

const char *
rbl_test_point(struct ph_arena *arena, const struct rbl_list *list,
    uint8_t last)
{
	const struct ph_addr v4 = { 4, { 127, 0, 0, last } },
	    v6 = { 6, { [10] = 0xff, 0xff, 127, 0, 0, last } };

	return ph_dns_reverse(arena, list->v4 ? &v4 : &v6,
	    ph_arena_slice(arena, list->zone).p);
}
