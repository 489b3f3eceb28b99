/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - the words of a queue command, and whether a message is meant. */
#include "queue/select.h"

#include <posthouse/mail.h>

#include <stdio.h>

#include "base/record.h"
#include "queue/admin_text.h"

enum { LIMIT_MAX = 100000 };

static bool
take_age(struct ph_slice value, int64_t *ms_out)
{
	uint64_t ms;

	if (!conf_duration_parse(value, &ms) || ms > INT64_MAX)
		return false;
	*ms_out = (int64_t)ms;
	return true;
}

static bool
is_state(struct ph_slice word)
{
	static const char *const states[] = { "quarantine", "held", "bouncing",
		"suspended", "active", "deferred", "waiting" };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (ph_slice_eq(word, ph_slice_str(states[i])))
			return true;
	return false;
}

/* As lists show it. */
static struct ph_slice
without_brackets(struct ph_slice address)
{
	if (address.n > 1 && address.p[0] == '<' &&
	    address.p[address.n - 1] == '>')
		return (struct ph_slice){ address.p + 1, address.n - 2 };
	return address;
}

/* "--name=value"; false: no such name, or no such value. */
static bool
take_option(struct ph_slice word, struct selection *s)
{
	struct ph_slice value = word, name;

	name = ph_slice_cut(&value, '=');
	if (ph_slice_eq(name, PH_LIT("--json")) && value.p == NULL)
		return s->json = true;
	if (value.p == NULL)
		return false;
	if (ph_slice_eq(name, PH_LIT("--after")))
		return id_parse(value, &s->after);
	if (ph_slice_eq(name, PH_LIT("--limit")))
		return ph_slice_number(value, LIMIT_MAX, &s->limit);
	s->is_filtered = true;
	if (ph_slice_eq(name, PH_LIT("--sender")))
		s->sender = without_brackets(value);
	else if (ph_slice_eq(name, PH_LIT("--recipient")))
		s->recipient = without_brackets(value);
	else if (ph_slice_eq(name, PH_LIT("--domain")))
		s->domain = value;
	else if (ph_slice_eq(name, PH_LIT("--state")) && is_state(value))
		s->state = value;
	else if (ph_slice_eq(name, PH_LIT("--older")))
		return take_age(value, &s->older_ms);
	else if (ph_slice_eq(name, PH_LIT("--younger")))
		return take_age(value, &s->younger_ms);
	else
		return false;
	return true;
}

/* The range is that of RFC 6710. */
static bool
take_level(struct ph_slice word, struct selection *s)
{
	bool is_less = word.n > 0 && word.p[0] == '-';
	uint64_t level;

	if (is_less || (word.n > 0 && word.p[0] == '+')) {
		word.p++;
		word.n--;
	}
	if (!ph_slice_number(word, QUEUE_DB_PRIORITY_MAX, &level))
		return false;
	s->level = is_less ? -(int)level : (int)level;
	return true;
}

static bool
take_id(struct ph_slice word, struct selection *s)
{
	return s->id_count < SELECT_IDS_MAX &&
	    id_parse(word, &s->ids[s->id_count]) &&
	    s->ids[s->id_count++] != 0;
}

static size_t
count_words(struct ph_slice record)
{
	struct record_field field;
	size_t n = 0;

	while (record_next(&record, &field))
		n += field.tag == F_ARGUMENT;
	return n;
}

bool
select_parse(struct ph_slice record, bool with_level,
    struct selection *selection, char wrong[200])
{
	size_t left = count_words(record);
	struct selection s = { .all = false };
	struct record_field field;

	if (with_level && left == 0) {
		snprintf(wrong, 200, "there is no priority: -9 to 9");
		return false;
	}
	while (record_next(&record, &field)) {
		struct ph_slice word = field.value;

		if (field.tag != F_ARGUMENT)
			continue;
		if (--left == 0 && with_level) {
			if (take_level(word, &s))
				continue;
			snprintf(wrong, 200, "%.*s is no priority: -9 to 9",
			    (int)(word.n < 60 ? word.n : 60), word.p);
			return false;
		}
		if (ph_slice_eq(word, PH_LIT("all"))) {
			s.all = true;
		} else if (word.n > 1 && word.p[0] == '-') {
			if (take_option(word, &s))
				continue;
			snprintf(wrong, 200, "%.*s: no such option or value; "
			    "posthousectl(8) lists them",
			    (int)(word.n < 60 ? word.n : 60), word.p);
			return false;
		} else if (!take_id(word, &s)) {
			snprintf(wrong, 200, "%.*s is not a queue id",
			    (int)(word.n < 60 ? word.n : 60), word.p);
			return false;
		}
	}
	*selection = s;
	return true;
}

const char *
select_state(const struct entry *entry, const struct queue_recipient *r)
{
	switch (r->state) {
	case QUEUE_DB_DELIVERED:
		return "delivered";
	case QUEUE_DB_FAILED:
		return "failed";
	case QUEUE_DB_REPLACED:
		return "replaced";
	default:
		if (entry->is_held)
			return entry_quarantine(entry) != NULL ? "quarantine" :
			                                   "held";
		if (entry->is_bounced && r->where == AT_REST)
			return "bouncing";
		if (r->where != AT_WORK && suspend_holds(r))
			return "suspended";
		return r->where != AT_REST ? "active" :
		    r->attempts > 0 ? "deferred" : "waiting";
	}
}

static bool
goes_to(const struct queue_recipient *r, struct ph_slice destination)
{
	char name[LANE_NAME_MAX];

	return ph_domain_eq(destination, ph_slice_str(lane_name(r, name))) ||
	    ph_domain_eq(destination, ph_address_domain(
	        ph_slice_str(r->address)));
}

/* As it is kept, and in the log, or as SMTP writes it. */
static bool
is_address(struct ph_slice wanted, const char *address)
{
	return ph_address_eq(wanted, ph_slice_str(address)) ||
	    (memchr(wanted.p, '"', wanted.n) != NULL &&
	        ph_address_eq(wanted, ph_slice_str(text_address(address))));
}

/* One recipient that waits must fit all of what is asked of recipients. */
static bool
has_recipient(const struct selection *s, const struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];
		struct ph_slice address = ph_slice_str(r->address);

		if (r->state != QUEUE_DB_WAITING)
			continue;
		if (s->recipient.p != NULL &&
		    !is_address(s->recipient, r->address))
			continue;
		if (s->domain.p != NULL && !ph_domain_eq(s->domain,
		        ph_address_domain(address)))
			continue;
		if (s->destination.p != NULL && !goes_to(r, s->destination))
			continue;
		if (s->state.p != NULL && !ph_slice_eq(s->state,
		        ph_slice_str(select_state(entry, r))))
			continue;
		return true;
	}
	return s->recipient.p == NULL && s->domain.p == NULL &&
	    s->destination.p == NULL && s->state.p == NULL;
}

static bool
is_id(const struct selection *s, uint64_t id)
{
	for (size_t i = 0; i < s->id_count; i++)
		if (s->ids[i] == id)
			return true;
	return false;
}

bool
select_has(const struct selection *s, const struct entry *entry,
    int64_t now_ms)
{
	int64_t age_ms = now_ms - id_wall_ms(entry->id);

	if (s->id_count > 0)
		return is_id(s, entry->id);
	if (entry->id <= s->after)
		return false;
	if (s->sender.p != NULL && !is_address(s->sender, entry->sender))
		return false;
	if ((s->older_ms > 0 && age_ms < s->older_ms) ||
	    (s->younger_ms > 0 && age_ms > s->younger_ms))
		return false;
	return has_recipient(s, entry);
}
