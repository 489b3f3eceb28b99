/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/log.h - structured log lines: an event and its fields.
 *
 * The session, queue id and module of the calling fiber are added by the core.
 * Values are escaped by one function; keys and events are literals of yours.
 * Never log a secret or message content. Nothing here suspends.
 */
#ifndef POSTHOUSE_LOG_H
#define POSTHOUSE_LOG_H

#include <posthouse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ph_level {
	PH_DEBUG,  /* for the developer */
	PH_INFO,   /* what was done */
	PH_NOTICE, /* policy said no */
	PH_WARN,   /* failed, will be tried again */
	PH_ERROR,  /* an operator must act */
};

/* One key=value; made by the functions below, all values borrowed. */
struct ph_field {
	const char *key; /* NULL ends a list */
	struct ph_slice text;
	int64_t number;
	bool is_number;
};

/* A field with text that came from outside; absent: the field is left out. */
static inline struct ph_field
ph_f_slice(const char *key, struct ph_slice value)
{
	return (struct ph_field){ key, value, 0, false };
}
/* A field with a C string; NULL: the field is left out. */
static inline struct ph_field
ph_f_str(const char *key, const char *value)
{
	return (struct ph_field){ key, ph_slice_str(value), 0, false };
}
/* A field with a number. */
static inline struct ph_field
ph_f_int(const char *key, int64_t value)
{
	return (struct ph_field){ key, { NULL, 0 }, value, true };
}

/* Fields with an absent text are left out. */
PH_EXPORT void ph_log_fields(enum ph_level level, const char *event,
    const struct ph_field *fields);
/* Whether lines of the level are written: for fields that cost something. */
PH_EXPORT bool ph_log_enabled(enum ph_level level);

/* ph_log(PH_INFO, "accepted", ph_f_slice("from", from), ph_f_int("size", n)) */
#define ph_log(level, event, ...)                   \
	ph_log_fields(level, event,                 \
	    (const struct ph_field[]){ __VA_ARGS__ __VA_OPT__(, ) \
	        (struct ph_field){ NULL, { NULL, 0 }, 0, false } })

#ifdef __cplusplus
}
#endif
#endif
