/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_imap_session.c - a hostile client against a whole session with a
 * message in its INBOX. The first octet says in what pieces the rest arrives
 * and whether the client has logged in and selected INBOX.
 */
#include <stdlib.h>

#include "fake_sdk.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const before[] = { "", "l LOGIN bob secret\r\n",
		"l LOGIN bob secret\r\ns SELECT INBOX\r\n" };
	struct ph_buf script;

	/* lines with "!" are the fake's, not the client's */
	if (size == 0 || memmem(data, size, "!", 1) != NULL)
		return 0;
	fake_begin();
	fake_deliver("INBOX", PH_LIT("From: a@b\r\nSubject: c\r\n"
	                             "Content-Type: multipart/mixed; "
	                             "boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
	                             "--b\r\nContent-Type: message/rfc822"
	                             "\r\n\r\nSubject: d\r\n\r\nin\r\n"
	                             "--b--\r\n"), 0);
	ph_buf_init(&script, fake.arena, size + 100);
	ph_buf_str(&script, before[data[0] % 3]);
	ph_buf_add(&script, data + 1, size - 1);
	fake.script = ph_buf_content(&script).p;
	fake.script_size = script.n;
	fake.piece = data[0] < 128 ? SIZE_MAX : data[0] % 16 + 1;
	fake_run();
	fake_end();
	return 0;
}
