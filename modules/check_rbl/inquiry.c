/* SPDX-License-Identifier: Apache-2.0 */
/* inquiry.c - see inquiry.h. */
#include "inquiry.h"

#include <posthouse/log.h>

/* --- asking --- */

static void
ask_test_points(struct rbl_inquiry *inquiry, size_t i)
{
	struct rbl_asked *asked = &inquiry->asked[i];

	asked->liar = rbl_test_point(inquiry->arena, &inquiry->lists[i], 1);
	asked->sample = rbl_test_point(inquiry->arena, &inquiry->lists[i], 2);
	if (strcmp(asked->liar, asked->question) != 0)
		ph_dns_batch_a(inquiry->batch, asked->liar);
	if (strcmp(asked->sample, asked->question) != 0)
		ph_dns_batch_a(inquiry->batch, asked->sample);
}

/* Entries of one zone share its questions: the first one's. */
static struct rbl_asked *
asked_before(struct rbl_inquiry *inquiry, size_t i, const char *question)
{
	for (size_t k = 0; k < i; k++)
		if (inquiry->asked[k].question != NULL &&
		    strcmp(inquiry->asked[k].question, question) == 0)
			return &inquiry->asked[k];
	return NULL;
}

static void
ask_list(struct rbl_inquiry *inquiry, size_t i, enum rbl_health health)
{
	const char *question = ph_dns_reverse(inquiry->arena,
	    &inquiry->client, ph_arena_slice(inquiry->arena,
	    inquiry->lists[i].zone).p);
	const struct rbl_asked *before = asked_before(inquiry, i, question);
	struct rbl_asked *asked = &inquiry->asked[i];

	inquiry->states[i] = RBL_OPEN;
	if (before != NULL) {
		*asked = *before;
		asked->is_first = false;
		return;
	}
	*asked = (struct rbl_asked){ .question = question, .is_first = true,
		.health = health };
	ph_dns_batch_a(inquiry->batch, question);
	if (health == RBL_UNTESTED)
		ask_test_points(inquiry, i);
}

struct rbl_inquiry *
rbl_inquire(struct ph_arena *arena, const struct ph_addr *client,
    const struct rbl_list *lists, size_t count,
    const struct rbl_memory *memory, unsigned timeout_ms)
{
	struct rbl_inquiry *inquiry = ph_arena_alloc(arena, sizeof(*inquiry));

	inquiry->arena = arena;
	inquiry->client = *client;
	inquiry->lists = lists;
	inquiry->count = count;
	inquiry->listed_s = inquiry->free_s = UINT32_MAX;
	inquiry->batch = ph_dns_batch(arena, timeout_ms);
	for (size_t i = 0; i < count; i++)
		if ((client->family == 4 ? lists[i].v4 : lists[i].v6) &&
		    !memory->is_dead[i] && memory->health[i] != RBL_LYING)
			ask_list(inquiry, i, memory->health[i]);
	return inquiry;
}

/* --- hearing --- */

static void
take_health(struct rbl_inquiry *inquiry, size_t i, bool lies,
    struct ph_arena *call_arena)
{
	struct rbl_asked *asked = &inquiry->asked[i];

	asked->health = lies ? RBL_LYING : RBL_HONEST;
	if (!asked->is_first)
		return;
	rbl_know_health(call_arena, inquiry->lists[i].zone, lies);
	if (lies)
		rbl_tell(call_arena, "list_names_everybody",
		    inquiry->lists[i].zone, "it names 127.0.0.1");
}

/* Not in the batch: its time may be over. */
static void
test_again(struct rbl_inquiry *inquiry, size_t i, struct ph_arena *call_arena)
{
	const struct ph_dns_answer *answer = ph_dns_a(call_arena,
	    rbl_test_point(call_arena, &inquiry->lists[i], 1));

	if (rbl_names_test_point(answer))
		take_health(inquiry, i, true, call_arena);
}

static void
settle(struct rbl_inquiry *inquiry, size_t i)
{
	struct rbl_asked *asked = &inquiry->asked[i];

	if (!asked->is_named || asked->health == RBL_UNTESTED)
		return;
	inquiry->states[i] = asked->health == RBL_LYING ? RBL_FREE :
	                                                 RBL_LISTED;
}

static void
hear_of_client(struct rbl_inquiry *inquiry, size_t i,
    const struct ph_dns_answer *answer, struct ph_arena *call_arena)
{
	const struct ph_addr *code = rbl_list_code(&inquiry->lists[i], answer);
	struct rbl_asked *asked = &inquiry->asked[i];
	uint32_t *life_s = code != NULL ? &inquiry->listed_s :
	                                  &inquiry->free_s;

	if (answer->result == PH_DNS_NO_ANSWER)
		return;
	if (answer->ttl_s < *life_s)
		*life_s = answer->ttl_s;
	asked->is_named = code != NULL;
	if (code == NULL) {
		inquiry->states[i] = RBL_FREE;
		return;
	}
	asked->code = *code;
	if (asked->health == RBL_HONEST && asked->liar == NULL)
		test_again(inquiry, i, call_arena);
	settle(inquiry, i);
}

static void
hear_of_liar(struct rbl_inquiry *inquiry, size_t i,
    const struct ph_dns_answer *answer, struct ph_arena *call_arena)
{
	struct rbl_asked *asked = &inquiry->asked[i];

	asked->liar_is_heard = true;
	if (answer->result == PH_DNS_NO_ANSWER)
		return;
	take_health(inquiry, i, rbl_names_test_point(answer), call_arena);
	settle(inquiry, i);
}

static void
hear_of_sample(struct rbl_inquiry *inquiry, size_t i,
    const struct ph_dns_answer *answer, struct ph_arena *call_arena)
{
	char text[PH_ADDR_TEXT_MAX];

	inquiry->asked[i].sample_is_heard = true;
	if (answer->result == PH_DNS_NO_ANSWER || !inquiry->asked[i].is_first ||
	    rbl_names_test_point(answer))
		return;
	rbl_tell(call_arena, "list_names_nobody", inquiry->lists[i].zone,
	    answer->count == 0 ? "it does not name 127.0.0.2" :
	    ph_arena_printf(call_arena, "it says %s of 127.0.0.2",
	        ph_addr_format(&answer->addr[0], text)));
}

bool
rbl_hear(struct rbl_inquiry *inquiry, struct ph_arena *call_arena)
{
	const struct ph_dns_answer *answer = ph_dns_batch_next(inquiry->batch);

	for (size_t i = 0; answer != NULL && i < inquiry->count; i++) {
		const struct rbl_asked *asked = &inquiry->asked[i];

		if (asked->liar != NULL &&
		    strcmp(asked->liar, answer->name) == 0)
			hear_of_liar(inquiry, i, answer, call_arena);
		if (asked->sample != NULL &&
		    strcmp(asked->sample, answer->name) == 0)
			hear_of_sample(inquiry, i, answer, call_arena);
		if (inquiry->states[i] == RBL_OPEN && !asked->is_named &&
		    strcmp(asked->question, answer->name) == 0)
			hear_of_client(inquiry, i, answer, call_arena);
	}
	return answer != NULL;
}

bool
rbl_is_testing(const struct rbl_inquiry *inquiry)
{
	for (size_t i = 0; i < inquiry->count; i++) {
		const struct rbl_asked *asked = &inquiry->asked[i];

		if (asked->liar != NULL &&
		    (!asked->liar_is_heard || !asked->sample_is_heard))
			return true;
	}
	return false;
}

bool
rbl_note_missing(struct rbl_inquiry *inquiry, struct ph_arena *call_arena)
{
	bool is_missing = false;

	for (size_t i = 0; i < inquiry->count; i++) {
		if (inquiry->states[i] != RBL_OPEN)
			continue;
		is_missing = true;
		if (inquiry->asked[i].is_first)
			rbl_note_failure(call_arena, inquiry->lists[i].zone);
	}
	return is_missing;
}
