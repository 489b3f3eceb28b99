/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs.h - programs that run as a user for relay, which has no right to
 * become one: MSG_RUN, checked against the grants of the configuration.
 */
#ifndef CORE_MASTER_PROGRAMS_H
#define CORE_MASTER_PROGRAMS_H

/* Serve MSG_RUN and MSG_RUN_END. */
void programs_serve(void);

/* The word that makes posthouse become programs_main. */
#define PROGRAMS_WORD "--run-program"
/* Arguments between it and the program's own. */
enum { PROGRAM_ARGUMENTS = 12 };
/*
 * The child between master and program: gives up every right, sets limits,
 * becomes the program. Returns an exit status only when it can't.
 */
int programs_main(int argc, char **argv);

#endif
