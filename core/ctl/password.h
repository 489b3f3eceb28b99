/* SPDX-License-Identifier: Apache-2.0 */
/* password.h - reading a password where nobody sees it: never from argv. */
#ifndef CORE_CTL_PASSWORD_H
#define CORE_CTL_PASSWORD_H

#include <posthouse/base.h>

#define PASSWORD_MAX 1024

/*
 * From the terminal without echo, twice, or, when standard input is no
 * terminal, its first line. False, with a message on standard error: none, too
 * long, or the two differ. The caller wipes text.
 */
bool password_read(char text[PASSWORD_MAX + 1]);

#endif
