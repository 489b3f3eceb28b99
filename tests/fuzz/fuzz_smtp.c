/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_smtp.c - a whole SMTP conversation of hostile octets over a fake
 * session: it ends, leaves no transaction open, replies in lines that are
 * harmless, and does the same however the input is cut. The last octet draws
 * what the pipeline and the queue say; a line's end lets all pass.
 */
#include <stdlib.h>

#include "engine.h"
#include "fake_session.h"

static const struct smtp_conf conf = {
	.message_size_bytes = 1 << 16,
	.header_limit_bytes = 1024,
	.max_recipients = 4,
	.max_hops = 3,
	.max_errors = 50,
	.max_unknown = 10,
	.max_idle_commands = 100,
	.command_timeout_ms = 1000,
	.data_timeout_ms = 10000000,
	.auth = true,
	.allow_plain_auth = true,
	.sender_check = SMTP_SENDER_ALIASES,
	.rate_window_ms = 3600000,
	.check_from = true,
};

static void
check_replies(void)
{
	struct ph_slice rest = ph_buf_content(&fake.out), line;

	while (rest.n > 0) {
		line = ph_slice_cut(&rest, '\n');
		if (rest.p == NULL || line.n < 4 || line.n > 511 ||
		    line.p[line.n - 1] != '\r')
			abort();
		for (size_t i = 0; i + 1 < line.n; i++)
			if (line.p[i] < 0x20 || line.p[i] > 0x7e)
				abort();
	}
}

static void
set_outcomes(unsigned n)
{
	static const enum ph_verdict verdict[] = { PH_REJECT, PH_DEFER,
		PH_DISCARD, PH_QUARANTINE };
	static const int status[] = { PH_FULL, PH_TOO_BIG, PH_UNAVAILABLE,
		PH_DENIED };

	if (n == '\n')
		return;
	fake.may_relay = n % 2 != 0;
	if (n % 4 < 2)
		fake.outcome[n / 4 % PH_STAGES].verdict = verdict[n / 32 % 4];
	else if (n % 16 == 2)
		fake.refused_helo = PH_LIT("d.test");
	else if (n % 16 == 3)
		fake.commit_status = status[n / 16 % 4];
	else if (n % 16 == 6)
		fake.room_status = status[n / 16 % 4];
	else if (n % 16 == 7)
		fake.write_status = status[n / 16 % 4];
}

static void
talk(const uint8_t *data, size_t size, bool is_submission, size_t step)
{
	static const struct smtp_policy inbound = { false }, submit = { true };

	fake_reset();
	set_outcomes(size > 0 ? data[size - 1] : '\n');
	fake.step = step;
	fake_input_octets(data, size);
	smtp_serve(fake_session(), &conf, is_submission ? &submit : &inbound);
	if (fake.mail != NULL || (fake.commit_status == PH_OK &&
	        fake.begun != fake.aborted + fake.committed))
		abort();
	check_replies();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice out, content;
	bool is_submission;

	if (size > 0) {
		is_submission = data[0] & 1;
		talk(data + 1, size - 1, is_submission, 0);
		out = ph_arena_slice(arena, ph_buf_content(&fake.out));
		content = ph_arena_slice(arena, ph_buf_content(&fake.content));
		talk(data + 1, size - 1, is_submission, data[0] / 2 % 7u + 1);
		if (!ph_slice_eq(out, ph_buf_content(&fake.out)) ||
		    !ph_slice_eq(content, ph_buf_content(&fake.content)))
			abort();
	}
	ph_arena_free(arena);
	return 0;
}
