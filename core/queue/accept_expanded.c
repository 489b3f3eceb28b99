/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept_expanded.c - the report that a recipient became several when his message
 * was accepted: "expanded", RFC 3461 s5.2.7.3.
 */
#include "queue/accept.h"

#include <stdio.h>

/* The message as it was before: with the recipients that became several. */
static struct entry *
entry_of_expanded(const struct accepting *accepting)
{
	struct queue_db_message before = accepting->message;
	struct ph_arena *arena = accepting->request->arena;
	struct queue_db_recipient *all = ph_arena_array(arena,
	    accepting->claim_count, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < accepting->claim_count; i++) {
		const struct claim *claim = &accepting->claims[i];
		struct recipient_more more = { .notify = "SUCCESS" };
		struct queue_recipient memory = { .more = &more };

		if (claim->expanded == 0)
			continue;
		if (claim->orcpt.p != NULL)
			more.orcpt = ph_arena_slice(arena, claim->orcpt).p;
		all[n] = (struct queue_db_recipient){ .number = (uint32_t)n,
			.state = QUEUE_DB_DELIVERED,
			.address = claim->address,
			.record = recipient_record(arena, &memory) };
		n++;
	}
	before.recipients = all;
	before.recipient_count = n;
	return n > 0 ? entry_create(&before) : NULL;
}

static void
say_expanded(const struct accepting *accepting, struct entry *about)
{
	struct queue_recipient *r = about->recipients;

	for (size_t i = 0; i < accepting->claim_count; i++) {
		const struct claim *claim = &accepting->claims[i];
		char words[80];

		if (claim->expanded == 0)
			continue;
		snprintf(words, sizeof(words), "sent on to %zu recipients",
		    claim->expanded);
		recipient_say(r++, 0, PH_LIT("2.1.5"),
		    (struct ph_slice){ NULL, 0 }, ph_slice_str(words));
	}
}

int
accept_report_expanded(struct accepting *accepting, struct queue_db_op *op)
{
	const struct queue_db_message *message = &accepting->message;
	struct ph_arena *arena = accepting->request->arena;
	struct entry *about = entry_of_expanded(accepting);
	struct report report = { .about = about,
		.action = REPORT_EXPANDED };
	enum report_result result;
	bool *concerned;

	if (about == NULL)
		return PH_OK;
	say_expanded(accepting, about);
	concerned = ph_arena_array(arena, about->recipient_count,
	    sizeof(*concerned));
	memset(concerned, true, about->recipient_count * sizeof(*concerned));
	report.concerned = concerned;
	report.facts = envelope_facts(arena, message->envelope);
	report.content = report_content(arena, message->body.octets,
	    message->body.fd);
	result = report_make(&report, op, arena, &accepting->report);
	entry_free(about);
	return result == REPORT_LATER ? PH_UNAVAILABLE : PH_OK;
}
