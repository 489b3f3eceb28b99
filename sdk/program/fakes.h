/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakes.h - what a module sees of the world outside in the harness: DNS, the
 * key-value store and other servers, as the session file tells. Written on the
 * SDK alone. Each answer takes a millisecond of the stepped clock, so that every
 * one of them is a wait.
 */
#ifndef SDK_PROGRAM_FAKES_H
#define SDK_PROGRAM_FAKES_H

#include <posthouse/arena.h>

#include "harness/harness.h"

extern const struct harness_fakes fakes;

/* Until the next reset. */
struct ph_arena *fakes_arena(void);
enum harness_fault fakes_fault(void);
/* "100ms", "3s", "5m", "2h", "1d". */
bool fakes_duration(struct ph_slice text, uint64_t *ms_out);
/* The first word of *rest, cut off; absent at the end. */
struct ph_slice fakes_word(struct ph_slice *rest);

/* fake_dns.c */
void fake_dns_reset(void);
const char *fake_dns_line(const char *line);
unsigned fake_dns_asked(void);
/* fake_kv.c */
void fake_kv_reset(void);
const char *fake_kv_line(const char *line);
struct ph_slice fake_kv_value(const char *key);
/* fake_stream.c */
void fake_stream_reset(void);
const char *fake_stream_line(const char *line, const char *block);
const char *fake_stream_missed(void);

/* new.c: "new NAME": the exit status. */
int new_main(int argc, char **argv);

#endif
