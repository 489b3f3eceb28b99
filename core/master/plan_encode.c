/* SPDX-License-Identifier: Apache-2.0 */
/* plan_encode.c - what each role is told of a generation. */
#include "master/plan.h"

#include "base/record.h"
#include "role/messages.h"
#include "role/role.h"

struct audience {
	const struct plan *plan;
	unsigned kinds;
};

static bool
is_for(const struct conf_section *section, void *arg)
{
	const struct audience *audience = arg;
	const struct module_facts *facts;

	if (core_section_is(section->name))
		return true;
	facts = plan_module(audience->plan, ph_slice_str(section->name));
	return facts != NULL && (facts->kinds & audience->kinds) != 0;
}

static void
encode_conf(const struct plan *plan, enum role role, struct ph_buf *record)
{
	const struct role_ops *ops = role_ops_of(role);
	struct audience audience = { plan, ops != NULL ? ops->kinds : 0 };
	size_t mark = record_begin(record, F_CONF);

	conf_encode(plan->conf, is_for, &audience, record);
	record_end(record, mark);
}

static void
encode_sizes(const unsigned sizes[ROLES], struct ph_buf *record)
{
	for (unsigned role = ROLE_EDGE; role < ROLES; role++) {
		size_t mark = record_begin(record, F_COUNT);

		record_put_u64(record, F_ROLE, role);
		record_put_u64(record, F_NUMBER, sizes[role]);
		record_end(record, mark);
	}
}

static void
encode_checks(const struct plan *plan, struct ph_buf *record)
{
	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next) {
		size_t mark;

		if (!(facts->kinds & PH_KIND_CHECK))
			continue;
		mark = record_begin(record, F_CHECK);
		record_put_str(record, F_SECTION, facts->section);
		record_put_u64(record, F_STAGES, facts->stages);
		record_put_u64(record, F_ORDER, facts->order);
		record_put_u64(record, F_ON_FAILURE, facts->on_failure);
		record_put_u64(record, F_MODE, facts->mode);
		record_put_u64(record, F_TIMEOUT, facts->timeout_ms);
		if (facts->when.p != NULL)
			record_put(record, F_WHEN, facts->when);
		record_end(record, mark);
	}
}

static void
put_read(const struct conf_setting *setting, struct ph_buf *record)
{
	if (setting->type == CONF_TEXT && setting->text[0] == '/')
		record_put_str(record, F_READ, setting->text);
	for (size_t i = 0; setting->type == CONF_LIST &&
	     setting->list[i] != NULL; i++)
		if (setting->list[i][0] == '/')
			record_put_str(record, F_READ, setting->list[i]);
}

/* Files that options name, as the operator wrote them: a module's own word is
 * no right to read. */
static void
encode_reads(const struct plan *plan, enum role role, struct ph_buf *record)
{
	const struct role_ops *ops = role_ops_of(role);

	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next) {
		const struct conf_section *section = conf_section(plan->conf,
		    facts->section);

		if (section == NULL || ops == NULL ||
		    (facts->kinds & ops->kinds) == 0)
			continue;
		for (const char *const *name = facts->paths; *name != NULL;
		     name++) {
			const struct conf_setting *at = conf_setting(section,
			    *name);

			if (at != NULL)
				put_read(at, record);
		}
	}
}

static unsigned
count_routers(const struct plan *plan)
{
	unsigned count = 0;

	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next)
		count += (facts->kinds & PH_KIND_ROUTER) != 0;
	return count;
}

static bool
is_for_routes(const struct conf_section *section, void *arg)
{
	const struct module_facts *facts = plan_module(arg,
	    ph_slice_str(section->name));

	return section->name[0] == '\0' || (facts != NULL &&
	    (facts->kinds & (PH_KIND_ROUTER | PH_KIND_TRANSPORT)) != 0);
}

/* So that the queue knows when a reload may have changed where mail goes. */
static uint64_t
routes_sum(const struct plan *plan)
{
	struct ph_buf buf;
	uint64_t sum;

	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	conf_encode(plan->conf, is_for_routes, (void *)(uintptr_t)plan, &buf);
	sum = record_crc(0, buf.p, buf.n);
	ph_buf_fini(&buf);
	return sum;
}

void
plan_encode(const struct plan *plan, enum role role,
    const unsigned sizes[ROLES], const struct plan_secrets *secrets,
    struct ph_buf *record)
{
	const unsigned with_key = ROLE_BIT(ROLE_AUTH) | ROLE_BIT(ROLE_MAIL) |
	    ROLE_BIT(ROLE_QUEUE);
	const unsigned with_checks = ROLE_BIT(ROLE_EDGE) |
	    ROLE_BIT(ROLE_CHECK) | ROLE_BIT(ROLE_QUEUE);

	encode_conf(plan, role, record);
	if (role == ROLE_CHECK || role == ROLE_RELAY)
		encode_reads(plan, role, record);
	record_put_u64(record, F_GENERATION, plan->number);
	encode_sizes(sizes, record);
	record_put_u64(record, F_ROUTERS, count_routers(plan));
	if (ROLE_BIT(role) & with_key)
		record_put(record, F_KEY,
		    (struct ph_slice){ (const char *)secrets->key,
		        TOKEN_KEY_SIZE });
	if (ROLE_BIT(role) & with_checks)
		encode_checks(plan, record);
	if (role == ROLE_QUEUE) {
		record_put(record, F_NOTICES, plan->notices);
		record_put_u64(record, F_ROUTES_SUM, routes_sum(plan));
	}
	if (role != ROLE_EDGE)
		return;
	record_put(record, F_CERT, plan->tls.certificate);
	record_put(record, F_CERT_KEY, plan->tls.key);
	ph_buf_slice(record, plan->tls.more);
	record_put(record, F_TICKETS, secrets->tickets);
}
