/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - what posthousectl may ask, as a table.
 *
 * Request: F_ARGUMENT* (the words), F_PASSWORD?. Reply: F_TEXT (what to print,
 * lines), F_EXIT, and for `trace` F_DESTINATION (the log's path, when it is a
 * file). In front of the reply to `queue backup` come frames with F_CONTENT, the
 * octets of the file.
 */
#ifndef CORE_MASTER_COMMAND_H
#define CORE_MASTER_COMMAND_H

#include <posthouse/arena.h>

enum {
	COMMAND_DONE = 0,
	COMMAND_FAILED = 1,
	COMMAND_USAGE = 2,
	COMMAND_UNREACHABLE = 3, /* posthousectl's own: no server answers */
};

struct command_caller {
	unsigned uid;
	int pid;
	int fd; /* the connection */
};

/* Carry a request out and write the reply. Suspends. Returns whether the
 * caller asked for the end of the server, which comes after the reply. */
bool command_run(struct ph_slice request, const struct command_caller *caller,
    struct ph_arena *arena, struct ph_buf *reply);

#endif
