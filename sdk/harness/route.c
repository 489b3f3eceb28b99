/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - one recipient through a router, by the code of the server's check
 * role; which addresses have a mailbox the session says.
 */
#include <posthouse/domain.h>

#include "base/record.h"
#include "role/route.h"
#include "run.h"

enum { RESULTS_MAX = 1 << 20 };

struct mailbox {
	struct mailbox *next;
	struct ph_slice address, user; /* user absent: can't be told */
};

static struct {
	struct mailbox *first;
} mailboxes;

void
run_forget_mailboxes(void)
{
	mailboxes.first = NULL;
}

/* "ADDRESS [USER | unsure]" */
void
run_mailbox(struct run *run, const struct script_command *command)
{
	const char *rest = command->rest;
	struct mailbox *mailbox = ph_arena_alloc(run->arena, sizeof(*mailbox));
	struct ph_slice address = ph_slice_str(script_word(run->arena, &rest));
	struct ph_slice user = ph_slice_str(script_word(run->arena, &rest));

	if (address.n == 0 || *rest != '\0')
		run_fail(run, command->line, "mailbox: wanted ADDRESS [USER | "
		    "unsure]");
	mailbox->address = ph_address_fold(run->arena, address);
	if (!ph_slice_eq(user, PH_LIT("unsure")))
		mailbox->user = user.n > 0 ? user : mailbox->address;
	mailbox->next = mailboxes.first;
	mailboxes.first = mailbox;
}

static enum route_answer
look_up(struct ph_arena *arena, struct ph_slice address,
    struct ph_slice *user_out)
{
	const struct mailbox *at = mailboxes.first;

	(void)arena;
	while (at != NULL && !ph_slice_eq(at->address, address))
		at = at->next;
	if (at == NULL)
		return ROUTE_NO_USER;
	*user_out = at->user;
	return at->user.p != NULL ? ROUTE_LOCAL : ROUTE_UNSURE;
}

/* "copy local ADDRESS of USER", "remote ADDRESS via TRANSPORT to HOST accepted" */
static void
put_result(struct ph_buf *lines, struct ph_slice result)
{
	static const char *const answers[] = { [ROUTE_LOCAL] = "local",
		[ROUTE_REMOTE] = "remote", [ROUTE_NO_USER] = "unknown",
		[ROUTE_UNSURE] = "unsure" };
	static const struct {
		uint16_t tag;
		const char *word;
	} more[] = { { F_USER, "of" }, { F_TRANSPORT, "via" },
		{ F_DESTINATION, "to" } };
	struct ph_slice address = record_get(result, F_ADDRESS);

	ph_buf_printf(lines, "%s%s " PH_SLICE_FMT,
	    record_get_u64(result, F_FLAG, 0) == 2 ? "copy " : "",
	    answers[record_get_u64(result, F_ANSWER, ROUTE_UNSURE)],
	    PH_SLICE_ARG(address));
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		struct ph_slice value = record_get(result, more[i].tag);

		if (value.p != NULL && !ph_slice_eq(value, address))
			ph_buf_printf(lines, " %s " PH_SLICE_FMT, more[i].word,
			    PH_SLICE_ARG(value));
	}
	ph_buf_str(lines, record_get_u64(result, F_ACCEPTED, 0) != 0 ?
	    " accepted\n" : "\n");
}

struct asking {
	struct route_question question;
	struct ph_slice address;
	struct ph_buf reply;
};

static void
ask(void *arg)
{
	struct asking *asking = arg;

	route_recipient(&asking->question, 0, asking->address,
	    &asking->reply);
}

/* "ADDRESS [from SENDER]" */
void
run_recipient(struct run *run, const struct script_command *step,
    struct run_outcome *outcome_out)
{
	const char *rest = step->rest;
	struct asking asking = { .question = { .arena =
	    ph_arena_create(run->arena), .generation = run->generation,
	    .look_up = look_up } };
	struct ph_slice reply;
	struct record_field field;
	struct ph_buf results;

	asking.address = run_path(run->arena, script_word(run->arena, &rest));
	if (strcmp(script_word(run->arena, &rest), "from") == 0)
		asking.question.sender = run_path(run->arena, rest);
	ph_buf_init(&asking.reply, run->arena, RESULTS_MAX);
	ph_buf_init(&results, run->arena, RESULTS_MAX);
	run_measured(run, step, "route", ask, &asking, outcome_out);
	reply = ph_buf_content(&asking.reply);
	while (record_next(&reply, &field)) {
		put_result(&results, field.value);
		outcome_out->is_refused |= record_get_u64(field.value,
		    F_ANSWER, 0) == ROUTE_NO_USER;
	}
	outcome_out->is_routed = true;
	outcome_out->results = ph_buf_content(&results);
	ph_arena_free(asking.question.arena);
}
