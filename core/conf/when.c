/* SPDX-License-Identifier: Apache-2.0 */
/* when.c - see when.h. */
#include "conf/when.h"

#include <ctype.h>
#include <stdio.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "conf/conf_inner.h"

enum { ANY, NO, YES };
const char *const when_authenticated[] = { "any", "no", "yes", NULL };

/* What one condition says of the facts. */
enum answer { SAYS_NOTHING, HOLDS, HOLDS_NOT, UNKNOWN };

static bool
group_is_set(const struct when_group *group)
{
	return group->listeners[0] != NULL || group->authenticated != ANY ||
	    group->clients.count > 0 || group->sender_domains[0] != NULL ||
	    group->recipient_domains[0] != NULL;
}

bool
when_is_set(const struct when *when)
{
	return when->when.listeners != NULL &&
	    (group_is_set(&when->when) || group_is_set(&when->unless));
}

static bool
has_domain(const char *const *domains, struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	for (; domain.p != NULL && *domains != NULL; domains++)
		if (ph_domain_fits(ph_slice_str(*domains), domain))
			return true;
	return false;
}

static enum answer
of_listener(const struct when_group *group, const struct when_facts *facts)
{
	if (group->listeners[0] == NULL)
		return SAYS_NOTHING;
	for (const char *const *at = group->listeners; *at != NULL; at++)
		if (strcmp(*at, facts->listener) == 0)
			return HOLDS;
	return HOLDS_NOT;
}

static enum answer
of_login(const struct when_group *group, const struct when_facts *facts)
{
	if (group->authenticated == ANY)
		return SAYS_NOTHING;
	return (group->authenticated == YES) == facts->is_authenticated ?
	    HOLDS : HOLDS_NOT;
}

static enum answer
of_client(const struct when_group *group, const struct when_facts *facts)
{
	if (group->clients.count == 0)
		return SAYS_NOTHING;
	return ph_net_list_has(&group->clients, facts->client) ? HOLDS :
	                                                         HOLDS_NOT;
}

static enum answer
of_sender(const struct when_group *group, const struct when_facts *facts)
{
	if (group->sender_domains[0] == NULL)
		return SAYS_NOTHING;
	if (facts->sender.p == NULL)
		return UNKNOWN;
	return has_domain(group->sender_domains, facts->sender) ? HOLDS :
	                                                          HOLDS_NOT;
}

/* is_enough: one who fits is enough; else all must. */
static enum answer
of_recipients(const struct when_group *group, const struct when_facts *facts,
    bool is_enough)
{
	if (group->recipient_domains[0] == NULL)
		return SAYS_NOTHING;
	if (facts->recipient_count == 0)
		return UNKNOWN;
	for (size_t i = 0; i < facts->recipient_count; i++)
		if (has_domain(group->recipient_domains,
		        facts->recipients[i]) == is_enough)
			return is_enough ? HOLDS : HOLDS_NOT;
	return is_enough ? HOLDS_NOT : HOLDS;
}

static bool
any_answers(const struct when_group *group, const struct when_facts *facts,
    enum answer wanted)
{
	return of_listener(group, facts) == wanted ||
	    of_login(group, facts) == wanted ||
	    of_client(group, facts) == wanted ||
	    of_sender(group, facts) == wanted ||
	    of_recipients(group, facts, wanted == HOLDS_NOT) == wanted;
}

bool
when_holds(const struct when *when, const struct when_facts *facts)
{
	return !any_answers(&when->when, facts, HOLDS_NOT) &&
	    !any_answers(&when->unless, facts, HOLDS);
}

/* --- what a table can't say --- */

static bool
is_domain(const char *text)
{
	text += *text == '.';
	if (*text == '\0' || *text == '.' || strlen(text) > 255)
		return false;
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) && *text != '-' &&
		    *text != '.' && (unsigned char)*text < 0x80)
			return false;
	return true;
}

struct checking {
	const struct conf *conf;
	const char *section, *group;
	struct conf_errors *errors;
};

static const struct conf_setting *
setting_of(const struct checking *c, const char *option)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", c->group, option);
	return conf_setting(conf_section(c->conf, c->section), name);
}

static void
check_domains(const struct checking *c, const char *option,
    const char *const *domains)
{
	const struct conf_setting *at = setting_of(c, option);

	for (; at != NULL && *domains != NULL; domains++)
		if (!is_domain(*domains))
			conf_error_add(c->errors, at->file, at->line,
			    "%s: \"%s\" is no domain", at->name, *domains);
}

static void
check_listeners(const struct checking *c, const char *const *wanted,
    const char *const *known)
{
	const struct conf_setting *at = setting_of(c, "listeners");

	for (; at != NULL && *wanted != NULL; wanted++) {
		struct nearest nearest = { .wanted = *wanted };
		const char *const *one = known;
		const char *name;

		for (; *one != NULL && strcmp(*one, *wanted) != 0; one++)
			nearest_offer(&nearest, *one);
		if (*one != NULL)
			continue;
		name = nearest_name(&nearest);
		conf_error_add(c->errors, at->file, at->line,
		    "%s: there is no listener \"%s\"%s%s%s", at->name, *wanted,
		    name != NULL ? "; did you mean \"" : "",
		    name != NULL ? name : "", name != NULL ? "\"?" : "");
	}
}

void
when_check(const struct conf *conf, const char *section,
    const struct when *when, const char *const *listeners,
    struct conf_errors *errors)
{
	const struct when_group *groups[] = { &when->when, &when->unless };
	struct checking c = { conf, section, NULL, errors };

	for (unsigned i = 0; i < 2; i++) {
		c.group = i == 0 ? "when" : "unless";
		if (listeners != NULL) {
			check_listeners(&c, groups[i]->listeners, listeners);
			continue;
		}
		check_domains(&c, "sender_domains", groups[i]->sender_domains);
		check_domains(&c, "recipient_domains",
		    groups[i]->recipient_domains);
	}
}

/* --- on the bus --- */

enum tag {
	W_WHEN = 1, /* the following, nested */
	W_UNLESS,
	W_LISTENER, /* repeated, as the next ones */
	W_AUTHENTICATED,
	W_CLIENT,   /* struct ph_net: family, bits, 16 octets */
	W_SENDER,
	W_RECIPIENT,
};
enum { NET_SIZE = 18 };

static void
put_list(struct ph_buf *buf, uint16_t tag, const char *const *list)
{
	for (; *list != NULL; list++)
		record_put_str(buf, tag, *list);
}

static void
put_group(struct ph_buf *buf, uint16_t tag, const struct when_group *group)
{
	size_t mark = record_begin(buf, tag);

	put_list(buf, W_LISTENER, group->listeners);
	record_put_u64(buf, W_AUTHENTICATED, group->authenticated);
	for (size_t i = 0; i < group->clients.count; i++) {
		const struct ph_net *net = &group->clients.net[i];
		char packed[NET_SIZE] = { (char)net->addr.family,
			(char)net->bits };

		memcpy(packed + 2, net->addr.octet, 16);
		record_put(buf, W_CLIENT,
		    (struct ph_slice){ packed, NET_SIZE });
	}
	put_list(buf, W_SENDER, group->sender_domains);
	put_list(buf, W_RECIPIENT, group->recipient_domains);
	record_end(buf, mark);
}

void
when_encode(const struct when *when, struct ph_buf *buf)
{
	put_group(buf, W_WHEN, &when->when);
	put_group(buf, W_UNLESS, &when->unless);
}

static size_t
count_of(struct ph_slice record, uint16_t tag)
{
	struct record_field field;
	size_t n = 0;

	while (record_next(&record, &field))
		n += field.tag == tag;
	return n;
}

static const char *const *
take_list(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	const char **list = ph_arena_array(arena, count_of(record, tag) + 1,
	    sizeof(*list));
	struct record_field field;
	size_t n = 0;

	while (record_next(&record, &field))
		if (field.tag == tag)
			list[n++] = ph_arena_slice(arena, field.value).p;
	return list;
}

static struct ph_net_list
take_nets(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_net *nets = ph_arena_array(arena,
	    count_of(record, W_CLIENT) + 1, sizeof(*nets));
	struct record_field field;
	size_t n = 0;

	while (record_next(&record, &field)) {
		if (field.tag != W_CLIENT || field.value.n != NET_SIZE)
			continue;
		nets[n].addr.family = (uint8_t)field.value.p[0];
		nets[n].bits = (uint8_t)field.value.p[1];
		memcpy(nets[n++].addr.octet, field.value.p + 2, 16);
	}
	return (struct ph_net_list){ nets, n };
}

static struct when_group
take_group(struct ph_arena *arena, struct ph_slice record)
{
	struct when_group group = {
		.listeners = take_list(arena, record, W_LISTENER),
		.authenticated = (unsigned)record_get_u64(record,
		    W_AUTHENTICATED, ANY),
		.clients = take_nets(arena, record),
		.sender_domains = take_list(arena, record, W_SENDER),
		.recipient_domains = take_list(arena, record, W_RECIPIENT) };

	if (group.authenticated > YES)
		group.authenticated = ANY;
	return group;
}

void
when_decode(struct ph_arena *arena, struct ph_slice record,
    struct when *when_out)
{
	when_out->when = take_group(arena, record_get(record, W_WHEN));
	when_out->unless = take_group(arena, record_get(record, W_UNLESS));
}
