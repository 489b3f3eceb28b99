/* SPDX-License-Identifier: Apache-2.0 */
/*
 * password.c - a line of the terminal with its echo off, or of standard input.
 */
#include "ctl/password.h"

#include <posthouse/arena.h>

#include <errno.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* Octet by octet: what follows the line stays for others. */
static bool
read_line(int fd, char text[PASSWORD_MAX + 1])
{
	size_t n = 0;

	for (;;) {
		char c;
		ssize_t got = read(fd, &c, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (got == 0 && n == 0))
			return false;
		if (got == 0 || c == '\n')
			break;
		if (n == PASSWORD_MAX || c == '\0')
			return false;
		text[n++] = c;
	}
	if (n > 0 && text[n - 1] == '\r')
		n--;
	text[n] = '\0';
	return n > 0;
}

static bool
ask(const char *prompt, char text[PASSWORD_MAX + 1])
{
	struct termios old, quiet;
	bool good;

	if (tcgetattr(0, &old) != 0)
		return false;
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	if (tcsetattr(0, TCSAFLUSH, &quiet) != 0)
		return false;
	good = read_line(0, text);
	tcsetattr(0, TCSAFLUSH, &old);
	fputc('\n', stderr);
	return good;
}

bool
password_read(char text[PASSWORD_MAX + 1])
{
	char again[PASSWORD_MAX + 1];
	bool good, same;

	if (!isatty(0)) {
		good = read_line(0, text);
		if (!good)
			fputs("posthousectl: standard input holds no "
			      "password of 1 to 1024 octets\n", stderr);
		return good;
	}
	good = ask("Password: ", text) && ask("Again: ", again);
	same = good && strcmp(text, again) == 0;
	ph_wipe(again, sizeof(again));
	if (!good)
		fputs("posthousectl: no password of 1 to 1024 octets\n",
		    stderr);
	else if (!same)
		fputs("posthousectl: the two are not the same\n", stderr);
	return same;
}
