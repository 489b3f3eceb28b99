/* SPDX-License-Identifier: Apache-2.0 */
/* posthousectl.c - the program posthousectl(8); all of it is in the library. */
#include "master/main.h"

int
main(int argc, char **argv)
{
	return posthousectl_main(argc, argv);
}
