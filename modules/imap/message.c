/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.c - see message.h. An index that is damaged or older than the file
 * costs time, not correctness: then the content is parsed.
 */
#include "message.h"

enum { TOUCH_STEP = 4096, TOUCH_LEAST = 64 * 1024 };

int
message_load_content(struct message *message)
{
	int rc;

	if (message->has_content)
		return PH_OK;
	rc = ph_message_content(message->mailbox, message->uid, message->arena,
	    &message->content);
	message->has_content = rc == PH_OK;
	return rc;
}

int
message_load_summary(struct message *message)
{
	int rc;

	if (message->has_summary)
		return PH_OK;
	rc = ph_message_summary(message->mailbox, message->uid, message->arena,
	    &message->summary);
	if (rc != PH_OK && rc != PH_NOT_FOUND && rc != PH_CANCELED) {
		rc = message_load_content(message);
		message->summary = (struct ph_message_summary){
			.header = message->content.octets,
		};
	}
	message->has_summary = rc == PH_OK;
	return rc;
}

static void
parse_work(void *arg)
{
	struct message *message = arg;

	message->tree = ph_mime_parse(message->arena, message->content.octets);
}

int
message_load_tree(struct message *message)
{
	const struct ph_mime_part *tree;
	int rc;

	if (message->tree != NULL)
		return PH_OK;
	rc = message_load_summary(message);
	if (rc != PH_OK)
		return rc;
	if (ph_mime_decode(message->arena, message->summary.mime, &tree) ==
	        PH_OK &&
	    (!message->has_content ||
	        tree->end == message->content.octets.n)) {
		message->tree = tree;
		return PH_OK;
	}
	rc = message_load_content(message);
	if (rc == PH_OK)
		ph_work(parse_work, message);
	return rc;
}

static void
touch_work(void *arg)
{
	const struct ph_slice *piece = arg;
	const volatile char *p = piece->p;

	for (size_t i = 0; i < piece->n; i += TOUCH_STEP)
		(void)p[i];
}

void
message_touch(struct ph_slice piece)
{
	if (piece.n >= TOUCH_LEAST)
		ph_work(touch_work, &piece);
}
