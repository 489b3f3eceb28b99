/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - a generation, from its files to what the checker says of it. */
#include "master/plan.h"

#include "master/checker.h"

static int
fill(struct plan *plan, const char *main_file, struct conf_errors *errors)
{
	int status;

	if (conf_load(plan->arena, main_file, &plan->conf, errors) != PH_OK ||
	    core_conf_fill(plan->arena, plan->conf, &plan->core, errors) !=
	        PH_OK)
		return PH_INVALID;
	status = plan_read_tls(plan->arena, plan->conf, &plan->core, &plan->tls,
	    errors);
	if (plan_read_notices(plan->arena, plan->conf, &plan->core,
	        &plan->notices, errors) != PH_OK)
		status = PH_INVALID;
	if (grants_read(plan->arena, plan->conf, &plan->core, &plan->grants,
	        errors) != PH_OK)
		status = PH_INVALID;
	if (checker_run(plan->arena, plan->conf, &plan->core, &plan->modules,
	        errors) != PH_OK)
		status = PH_INVALID;
	return status;
}

int
plan_make(const char *main_file, uint64_t number, struct plan **plan_out,
    struct conf_errors *errors)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct plan *plan = ph_arena_alloc(arena, sizeof(*plan));
	int status;

	plan->arena = arena;
	plan->references = 1;
	plan->number = number;
	status = fill(plan, main_file, errors);
	if (status != PH_OK) {
		plan_put(plan);
		return status;
	}
	*plan_out = plan;
	return PH_OK;
}

struct plan *
plan_get(struct plan *plan)
{
	plan->references++;
	return plan;
}

void
plan_put(struct plan *plan)
{
	if (plan == NULL || --plan->references > 0)
		return;
	ph_wipe((char *)(uintptr_t)plan->tls.key.p, plan->tls.key.n);
	ph_wipe((char *)(uintptr_t)plan->tls.more.p, plan->tls.more.n);
	ph_arena_free(plan->arena);
}

const struct module_facts *
plan_module(const struct plan *plan, struct ph_slice name)
{
	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next)
		if (ph_slice_eq(name, ph_slice_str(facts->section)))
			return facts;
	return NULL;
}

/* --- processes --- */

void
plan_role_sizes(const struct core_conf *core, unsigned sizes_out[ROLES])
{
	const struct core_processes *processes = &core->processes;
	const unsigned sizes[ROLES] = {
		[ROLE_MASTER] = 1,
		[ROLE_EDGE] = processes->edge,
		[ROLE_CHECK] = processes->check,
		[ROLE_AUTH] = 1,
		[ROLE_QUEUE] = 1,
		[ROLE_MAIL] = processes->mail,
		[ROLE_RELAY] = processes->relay,
	};

	memcpy(sizes_out, sizes, sizeof(sizes));
}
