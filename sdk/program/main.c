/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program posthouse-sdk(1), for those who write modules. */
#include <stdio.h>

#include "fakes.h"

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return posthouse_sdk_run(&fakes, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "new") == 0)
		return new_main(argc - 1, argv + 1);
	fputs("usage: posthouse-sdk new NAME\n"
	      "       posthouse-sdk run [-v] MODULE SESSION...\n", stderr);
	return 2;
}
