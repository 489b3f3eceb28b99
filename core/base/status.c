/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - failures in words, and the end of a process that found a bug of
 * its own: it says where on standard error and aborts; its master restarts it.
 */
#include <posthouse/base.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const status_names[] = {
	"ok", "eof", "timeout", "canceled", "too_big", "invalid", "no_memory",
	"io", "not_found", "exists", "denied", "unavailable", "full",
	"protocol", "tls", "busy", "defect",
};

const char *
ph_status_name(int status)
{
	const int count = sizeof(status_names) / sizeof(status_names[0]);

	if (status > 0 || status <= -count)
		return "unknown";
	return status_names[-status];
}

bool
ph_status_is_temporary(int status)
{
	switch (status) {
	case PH_TOO_BIG:
	case PH_INVALID:
	case PH_NOT_FOUND:
	case PH_EXISTS:
	case PH_DENIED:
		return false;
	default:
		return true;
	}
}

int
ph_err_set(struct ph_err *err, int status, int errnum, const char *fmt, ...)
{
	va_list args;

	if (err == NULL)
		return status;
	err->status = status;
	err->errnum = errnum;
	err->where[0] = '\0';
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return status;
}

void
ph_assert_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "posthouse[%d]: bug: %s at %s:%d\n", (int)getpid(),
	    cond, file, line);
	abort();
}
