/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program posthouse-sdk(1), for those who write modules. */
#include <stdio.h>
#include <string.h>

#include "fakes.h"

static const char usage[] =
    "usage: posthouse-sdk new [--kind check | delivery | router] NAME\n"
    "       posthouse-sdk run [-v] MODULE SESSION...\n"
    "posthouse-sdk(7) is the guide, posthouse-sdk(1) tells what may stand in a "
    "session.\n";

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return posthouse_sdk_run(&fakes, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "new") == 0)
		return new_main(argc - 1, argv + 1);
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
