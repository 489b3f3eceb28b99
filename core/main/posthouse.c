/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse.c - the program posthouse(8); all of it is in the library. */
#include "master/main.h"

int
main(int argc, char **argv)
{
	return posthouse_main(argc, argv);
}
