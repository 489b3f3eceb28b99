/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delivery.c - results, and the rule for a message that no host took: it is
 * tried again unless every host refused it for good.
 */
#include "delivery.h"

#include <posthouse/mail.h>
#include <stdio.h>

struct delivery *
delivery_create(struct ph_attempt *attempt, const struct client_conf *conf)
{
	struct ph_arena *arena = ph_attempt_arena(attempt);
	struct delivery *delivery = ph_arena_alloc(arena, sizeof(*delivery));
	struct smtp_envelope *envelope = &delivery->envelope;
	struct ph_slice content = ph_attempt_content(attempt), header = content;
	bool is_utf8 = ph_attempt_get(attempt, "smtputf8").p != NULL;

	delivery->attempt = attempt;
	delivery->arena = arena;
	delivery->conf = conf;
	delivery->content = content;
	delivery->open = ph_attempt_recipient_count(attempt);
	delivery->has_result = ph_arena_array(arena, delivery->open,
	    sizeof(*delivery->has_result));
	envelope->sender = ph_attempt_sender(attempt);
	envelope->ret = ph_attempt_get(attempt, "ret");
	envelope->envid = ph_attempt_get(attempt, "envid");
	envelope->size_bytes = content.n;
	envelope->is_binary = ph_slice_eq(ph_attempt_get(attempt, "body"),
	    PH_LIT("BINARYMIME"));
	envelope->has_eight_bit = !is_ascii(content);
	header.n = ph_header_size(content);
	envelope->has_utf8_header = envelope->has_eight_bit && is_utf8 &&
	    !is_ascii(header);
	delivery->knows_parts = !envelope->has_eight_bit || !is_utf8 ||
	    envelope->has_utf8_header;
	return delivery;
}

static void
mark(struct delivery *delivery, size_t i)
{
	if (!delivery->has_result[i])
		delivery->open--;
	delivery->has_result[i] = true;
}

void
delivery_result(struct delivery *delivery, size_t i, enum ph_delivery result,
    const struct smtp_reply *reply, const char *host)
{
	ph_attempt_result(delivery->attempt, i, result, reply->code,
	    reply->enhanced[0] != '\0' ? reply->enhanced : NULL, host, "%s",
	    reply->text);
	delivery->delivered += result == PH_DELIVERED;
	mark(delivery, i);
}

void
delivery_refuse(struct delivery *delivery, size_t i, const char *enhanced,
    const char *host, const char *fmt, ...)
{
	char text[REPLY_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ph_attempt_result(delivery->attempt, i, PH_FAILED, 0, enhanced, host,
	    "%s", text);
	mark(delivery, i);
}

void
delivery_fail(struct delivery *delivery, const struct failure *failure)
{
	if (failure->is_permanent && delivery->seen_temporary)
		return;
	delivery->failure = *failure;
	if (!failure->is_permanent)
		delivery->seen_temporary = true;
}

void
delivery_end(struct delivery *delivery)
{
	const struct failure *why = &delivery->failure;

	if (delivery->open == 0)
		return;
	ph_attempt_result(delivery->attempt, PH_ALL_RECIPIENTS,
	    why->is_permanent ? PH_FAILED : PH_DEFERRED, why->code,
	    why->enhanced[0] != '\0' ? why->enhanced : NULL, why->host, "%s",
	    why->text != NULL ? why->text : "no host could be tried");
}
