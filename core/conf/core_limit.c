/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_limit.c - the list destination_limits: "NAME KEY=VALUE ...".
 *
 * NAME is a destination as `posthousectl queue counts` shows it, ".example.org"
 * for all names below one, or "TRANSPORT/" for a transport as a whole ("/": for
 * what no route sends elsewhere). The first entry that fits counts.
 */
#include "conf/core_conf.h"

#include <posthouse/domain.h>

enum { CONCURRENCY_MAX = 10000, MESSAGES_MAX = 1000000 };

static bool
parse_count(struct ph_slice text, unsigned max, unsigned *count_out)
{
	unsigned count = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || count > max)
			return false;
		count = count * 10 + (unsigned)(text.p[i] - '0');
	}
	if (text.n == 0 || count == 0 || count > max)
		return false;
	*count_out = count;
	return true;
}

/* setting = ( "concurrency" / "start" ) "=" count
 *         / "rate=" count "/" duration / "delay=" duration */
static bool
parse_setting(struct ph_slice text, struct core_limit *limit)
{
	struct ph_slice value = text;
	struct ph_slice key = ph_slice_cut(&value, '=');

	if (value.p == NULL)
		return false;
	if (ph_slice_eq(key, PH_LIT("concurrency")))
		return parse_count(value, CONCURRENCY_MAX,
		    &limit->concurrency);
	if (ph_slice_eq(key, PH_LIT("start")))
		return parse_count(value, CONCURRENCY_MAX, &limit->start);
	if (ph_slice_eq(key, PH_LIT("delay")))
		return conf_duration_parse(value, &limit->delay_ms);
	if (ph_slice_eq(key, PH_LIT("rate"))) {
		struct ph_slice count = ph_slice_cut(&value, '/');

		return value.p != NULL && parse_count(count, MESSAGES_MAX,
		    &limit->messages) &&
		    conf_duration_parse(value, &limit->interval_ms) &&
		    limit->interval_ms > 0;
	}
	return false;
}

static bool
parse(const char *entry, struct ph_slice *name_out, struct core_limit *limit)
{
	struct ph_slice rest = ph_slice_trim(ph_slice_str(entry));

	*name_out = ph_slice_cut(&rest, ' ');
	if (name_out->n == 0 || rest.p == NULL)
		return false;
	while (rest.p != NULL) {
		struct ph_slice word;

		rest = ph_slice_trim(rest);
		word = ph_slice_cut(&rest, ' ');
		if (!parse_setting(word, limit))
			return false;
	}
	return true;
}

bool
core_limit_is_entry(const char *entry)
{
	struct core_limit limit;
	struct ph_slice name;

	return parse(entry, &name, &limit);
}

void
core_limit_find(const struct core_queue *queue, const char *name,
    struct core_limit *limit_inout)
{
	struct core_limit limit;
	struct ph_slice pattern;

	for (const char *const *at = queue->destination_limits; at != NULL &&
	     *at != NULL; at++) {
		limit = *limit_inout; /* what the entry leaves out stays */
		if (parse(*at, &pattern, &limit) &&
		    ph_domain_fits(pattern, ph_slice_str(name))) {
			*limit_inout = limit;
			return;
		}
	}
}
