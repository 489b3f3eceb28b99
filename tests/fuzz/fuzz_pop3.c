/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pop3.c - both halves of a POP3 session on hostile octets; a multi-line
 * response ends where it says it does.
 */
#include <stdlib.h>

#include "fake_session.h"
#include "multiline.h"
#include "pop3.h"

static struct fake_message message[] = {
	{ { .uid = 1, .size = 12 }, "A: b\r\n\r\n.\r\n..\r\n", false },
	{ { .uid = 7, .size = 3 }, ".", false },
};

uint64_t
ph_deadline_push(unsigned ms)
{
	return ms;
}

void
ph_deadline_restore(uint64_t deadline_ms)
{
	(void)deadline_ms;
}

static void
check_stuffing(struct ph_slice content)
{
	struct multiline walk = { .rest = content };
	struct ph_slice run;
	bool stuff, at_start = true;
	size_t total = 0;

	while (multiline_next(&walk, &run, &stuff)) {
		if (run.n == 0 || run.p != content.p + total)
			abort();
		for (size_t i = 0; i < run.n; i++) {
			if (at_start && run.p[i] == '.' && !(i == 0 && stuff))
				abort();
			at_start = run.p[i] == '\r' || run.p[i] == '\n';
		}
		total += run.n;
	}
	if (total != content.n)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pop3_conf conf = { 1000, 1000, 50, true };

	check_stuffing((struct ph_slice){ (const char *)data, size });
	fake_reset();
	fake_input_octets(data, size);
	pop3_session(fake_session(), &conf);
	fake_reset();
	fake.message = message;
	fake.messages = 2;
	message[0].removed = message[1].removed = false;
	fake.user = "alice@example.test";
	fake_input_octets(data, size);
	pop3_user_session(fake_session(), &conf, PH_LIT(""));
	return 0;
}
