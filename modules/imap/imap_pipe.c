/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imap_pipe.c - the fake session on standard input and output, so that real
 * clients (imaplib's IMAP4_stream, mbsync's and mutt's tunnels) can talk to
 * the module alone. Each argument is a file with a message for INBOX.
 */
#include "fake_sdk.h"

#include <stdio.h>

int
main(int argc, char **argv)
{
	fake_begin();
	for (int i = 1; i < argc; i++) {
		static char text[1 << 20];
		FILE *file = fopen(argv[i], "rb");

		if (file == NULL)
			return 1;
		fake_deliver("INBOX", (struct ph_slice){ text,
		                          fread(text, 1, sizeof(text), file) },
		    0);
		fclose(file);
	}
	fake.fd_in = 0;
	fake.fd_out = 1;
	imap_login_session(NULL, &fake.conf);
	fake_end();
	return 0;
}
