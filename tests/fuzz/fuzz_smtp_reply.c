/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_smtp_reply.c - what a hostile mail host says: replies stay in their
 * bounds, offers are read, and content we send never holds a lone dot.
 */
#include <stdlib.h>

#include "../../modules/smtp_client/offer.h"
#include "../../modules/smtp_client/reply.h"
#include "../../modules/smtp_client/stuff.h"

static void
check_replies(struct ph_slice rest)
{
	struct smtp_offer offer = { 0 };
	struct smtp_reply reply;

	reply_init(&reply);
	while (rest.p != NULL) {
		struct ph_slice line = ph_slice_cut(&rest, '\n'), text;

		switch (reply_line(&reply, line, &text)) {
		case REPLY_MORE:
			offer_line(&offer, text);
			break;
		case REPLY_COMPLETE:
			if (reply.code < 200 || reply.code > 599 ||
			    strlen(reply.text) != reply.text_n ||
			    (reply.enhanced[0] != '\0' &&
			        reply.enhanced[0] - '0' != reply.code / 100))
				abort();
			reply_init(&reply);
			break;
		case REPLY_BROKEN:
			reply_init(&reply);
			break;
		}
	}
}

static bool
is_end(char c)
{
	return c == '\r' || c == '\n';
}

/* Pieces of any length, the first octet's: no line is a dot alone. */
static void
check_stuffing(struct ph_slice content)
{
	size_t limit = content.n > 0 ? (unsigned char)content.p[0] + 1u : 1;
	size_t dots = 0, seen = 0, octets = 0;
	char last[2] = { '\r', '\n' };
	struct ph_slice piece;
	struct stuff stuff;

	stuff_begin(&stuff, content);
	while (stuff_next(&stuff, limit, &piece)) {
		octets += piece.n;
		for (size_t i = 0; i < piece.n; i++) {
			if (is_end(piece.p[i]) && last[1] == '.' &&
			    is_end(last[0]))
				abort();
			last[0] = last[1];
			last[1] = piece.p[i];
		}
	}
	for (size_t i = 0; i < content.n; i++) {
		seen = i == 0 || is_end(content.p[i - 1]);
		dots += seen && content.p[i] == '.';
	}
	if (octets != content.n + dots)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_slice input = { (const char *)data, size };

	check_replies(input);
	check_stuffing(input);
	return 0;
}
