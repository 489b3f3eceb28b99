/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/option.h - the option table: the one source for parsing,
 * validation, `posthouse -t`, the snippet in conf.d/ and the manual's table.
 *
 * A module declares a struct for its configuration and a table that says which
 * option fills which member. The core allocates the struct (zeroed), sets the
 * defaults, fills it, and hands it const to every operation. Strings and lists
 * live as long as the configuration generation.
 */
#ifndef POSTHOUSE_OPTION_H
#define POSTHOUSE_OPTION_H

#include <posthouse/addr.h>
#include <posthouse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ph_option_type {
	PH_OPTION_END = 0,
	PH_OPTION_BOOL,    /* bool */
	PH_OPTION_UINT,    /* unsigned, plain number */
	PH_OPTION_MSEC,    /* unsigned milliseconds; "500ms", "3s", "5m", "2h", "4d" */
	PH_OPTION_BYTES,   /* uint64_t; "64K", "20M", "1G" or a number */
	PH_OPTION_STRING,  /* const char * */
	PH_OPTION_PATH,    /* const char *, absolute */
	PH_OPTION_LIST,    /* const char *const *, NULL-terminated */
	PH_OPTION_NETS,    /* struct ph_net_list */
	PH_OPTION_CHOICE,  /* unsigned, index into choices */
	PH_OPTION_PATHS,   /* as LIST, each absolute; since minor 5 */
};

/* The value of a PH_OPTION_NETS member. */
struct ph_net_list {
	const struct ph_net *net;
	size_t count;
};
/* Whether one of the networks has the address. */
PH_EXPORT bool ph_net_list_has(const struct ph_net_list *list,
    const struct ph_addr *addr);

struct ph_option {
	const char *name;
	enum ph_option_type type;
	uint32_t offset;            /* of the member in the struct */
	int64_t min, max;           /* numbers: range; lists: count; strings: length */
	const char *fallback;       /* default, as written in a file; NULL: required */
	const char *const *choices; /* CHOICE: NULL-terminated */
	const char *doc;            /* one line, no full stop */
	bool secret;                /* never printed */
};

/*
 * The rows of a table. n: the option's name. s, m: the struct and its member, of
 * the type told above. lo, hi: the range, both inclusive: of the number
 * (milliseconds, octets), of how many entries a list has, of how many octets a
 * string. def: the default as written in a file, but for the quotes of a string;
 * NULL: the option must be set. ch: the choices, ended by NULL; the member is an
 * index. d: one line for the snippet and the manual. A PATH is absolute, or empty
 * where the default is; of PATHS each is absolute. A SECRET is a string that is never printed. def of LIST,
 * PATHS and NETS: "[]" or "[\"a\", \"b\"]". PH_OPT_END ends the table.
 */
#define PH_OPT_(n, t, s, m, lo, hi, def, ch, d, sec)                        \
	{ .name = n, .type = t, .offset = offsetof(s, m), .min = lo,        \
	    .max = hi, .fallback = def, .choices = ch, .doc = d,            \
	    .secret = sec }
#define PH_OPT_BOOL(n, s, m, def, d) \
	PH_OPT_(n, PH_OPTION_BOOL, s, m, 0, 1, def, NULL, d, false)
#define PH_OPT_UINT(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_UINT, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_MSEC(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_MSEC, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_BYTES(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_BYTES, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_STRING(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_STRING, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_SECRET(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_STRING, s, m, lo, hi, def, NULL, d, true)
#define PH_OPT_PATH(n, s, m, def, d) \
	PH_OPT_(n, PH_OPTION_PATH, s, m, 0, 1024, def, NULL, d, false)
#define PH_OPT_LIST(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_LIST, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_PATHS(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_PATHS, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_NETS(n, s, m, lo, hi, def, d) \
	PH_OPT_(n, PH_OPTION_NETS, s, m, lo, hi, def, NULL, d, false)
#define PH_OPT_CHOICE(n, s, m, ch, def, d) \
	PH_OPT_(n, PH_OPTION_CHOICE, s, m, 0, 0, def, ch, d, false)
#define PH_OPT_END { .name = NULL, .type = PH_OPTION_END }

#ifdef __cplusplus
}
#endif
#endif
