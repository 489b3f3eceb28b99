/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/base.h - the words every other header uses: slices, statuses,
 * errors, assertions. Pure: nothing here suspends.
 */
#ifndef POSTHOUSE_BASE_H
#define POSTHOUSE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_EXPORT __attribute__((visibility("default")))
#define PH_PRINTF(f, a) __attribute__((format(printf, f, a)))

/*
 * Text from the network or a file: n octets at p, any octet may occur, never
 * assumed NUL-terminated. Always borrowed; the owner is named where it is
 * returned. An absent value has p == NULL; an empty one has p != NULL.
 */
struct ph_slice {
	const char *p;
	size_t n;
};

#define PH_SLICE_FMT "%.*s"
#define PH_SLICE_ARG(s) (int)(s).n, (s).p
/* A slice of a string literal. */
#define PH_LIT(s) ((struct ph_slice){ "" s, sizeof(s) - 1 })

/* The slice of a C string (borrowed); absent for NULL. */
static inline struct ph_slice
ph_slice_str(const char *s)
{
	return (struct ph_slice){ s, s != NULL ? strlen(s) : 0 };
}

/* Octet for octet. */
PH_EXPORT bool ph_slice_eq(struct ph_slice a, struct ph_slice b);
/* Equal when ASCII letters are folded; other octets must be the same. */
PH_EXPORT bool ph_slice_eq_nocase(struct ph_slice a, struct ph_slice b);
/* Whether s begins with prefix, ASCII letters folded. */
PH_EXPORT bool ph_slice_starts_nocase(struct ph_slice s, const char *prefix);
/* Without leading and trailing SP, HTAB, CR and LF. */
PH_EXPORT struct ph_slice ph_slice_trim(struct ph_slice s);
/*
 * Cut the part before the first sep off *rest and return it; when sep does not
 * occur the whole is returned and *rest becomes absent.
 */
PH_EXPORT struct ph_slice ph_slice_cut(struct ph_slice *rest, char sep);
/* An ASCII letter in lower case, any other octet as it is: never the locale's
 * idea of it. Since minor 3. */
static inline char
ph_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
/* The n octets at p so. Since minor 3. */
static inline void
ph_lower_in_place(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = ph_lower(p[i]);
}
/* An unsigned decimal number, digits only. False: not one, or above max. */
PH_EXPORT bool ph_slice_number(struct ph_slice s, uint64_t max,
    uint64_t *number_out);

/*
 * How a call failed: 0 is success, everything else is negative. An answer of
 * the domain ("not listed", "no such user") is never a status but an enum of
 * its own.
 */
enum ph_status {
	PH_OK = 0,
	PH_EOF = -1,         /* the peer closed in an orderly way */
	PH_TIMEOUT = -2,     /* the deadline of the call or its fiber passed */
	PH_CANCELED = -3,    /* the scope that owns the fiber is ending */
	PH_TOO_BIG = -4,     /* a limit of ours would be exceeded */
	PH_INVALID = -5,     /* malformed input or argument */
	PH_NO_MEMORY = -6,
	PH_IO = -7,          /* the system refused; errno tells */
	PH_NOT_FOUND = -8,
	PH_EXISTS = -9,
	PH_DENIED = -10,     /* the right to do it is missing */
	PH_UNAVAILABLE = -11, /* a part is down or restarting; try later */
	PH_FULL = -12,       /* no room: disk, quota, table */
	PH_PROTOCOL = -13,   /* the peer broke the protocol */
	PH_TLS = -14,        /* TLS refused or failed */
	PH_BUSY = -15,       /* in use; try later */
	PH_DEFECT = -16,     /* data that was ours is damaged (CRC, version) */
};

/* A constant English word for a status ("timeout"); never NULL. */
PH_EXPORT const char *ph_status_name(int status);
/* True for failures that may pass by themselves: they become 4xx, not 5xx. */
PH_EXPORT bool ph_status_is_temporary(int status);

/* What an operator must be able to read about a failure. Plain data, copied. */
struct ph_err {
	int status;      /* enum ph_status */
	int errnum;      /* errno, 0 when it does not apply */
	char text[256];  /* one sentence without a newline */
	char where[160]; /* "file:line" of the configuration, or "" */
};

/* Fill err (may be NULL) and return status, so that it can be returned on. */
PH_EXPORT int ph_err_set(struct ph_err *err, int status, int errnum,
    const char *fmt, ...) PH_PRINTF(4, 5);

/* Check for a bug of ours; stays on in release. Remote input never reaches one. */
#define ph_assert(cond) \
	((cond) ? (void)0 : ph_assert_failed(#cond, __FILE__, __LINE__))
PH_EXPORT void ph_assert_failed(const char *cond, const char *file,
    int line) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
#endif
