/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_sasl.h - SASL exchanges in progress (RFC 4422), over libgsasl.
 *
 * An exchange collects what the client says; nothing is verified in here. It
 * belongs to one edge process, lives AUTH_SASL_MS and is bounded in number, in
 * all and for each edge. Whatever is broken in it harms it alone.
 */
#ifndef CORE_ROLE_AUTH_SASL_H
#define CORE_ROLE_AUTH_SASL_H

#include <posthouse/arena.h>
#include <posthouse/listener.h>

enum {
	AUTH_SASL_MS = 60000,
	AUTH_SASL_EXCHANGES = 4096,
	AUTH_SASL_EDGE = 2048, /* of one edge process */
};

/* Who tries to log in, and as whom. Slices in the arena, which ends with the
 * attempt; the password is wiped then. */
struct auth_attempt {
	struct ph_arena *arena;
	struct ph_slice session, service, client, tls, mechanism;
	struct ph_slice user, acting_as, password; /* acting_as: the authzid */
};
struct auth_attempt *auth_attempt_create(void);
void auth_attempt_free(struct auth_attempt *attempt);

/*
 * SASLprep (RFC 4013), which PLAIN asks for; what it refuses is taken octet
 * for octet. Both in the arena; the caller wipes passwords.
 */
struct ph_slice auth_prepare(struct ph_arena *arena, struct ph_slice text);

struct auth_sasl;       /* the table */
struct auth_exchange;

/* NULL: libgsasl does not start. */
struct auth_sasl *auth_sasl_create(void);
void auth_sasl_free(struct auth_sasl *table);
unsigned auth_sasl_count(const struct auth_sasl *table);

/*
 * PH_AUTH_CONTINUE: *exchange_out is in the table and owns the attempt. Else
 * the attempt stays the caller's: PH_AUTH_UNKNOWN_MECHANISM, or
 * PH_AUTH_UNAVAILABLE when there are too many.
 */
enum ph_auth_result auth_sasl_start(struct auth_sasl *table, unsigned edge,
    uint64_t now_ms, struct auth_attempt *attempt,
    struct auth_exchange **exchange_out);
/* NULL when there is none, it is over or another edge's. */
struct auth_exchange *auth_sasl_find(struct auth_sasl *table, unsigned edge,
    uint64_t number, uint64_t now_ms);
uint64_t auth_exchange_number(const struct auth_exchange *exchange);
/*
 * One response (absent: none was given). PH_AUTH_CONTINUE with the challenge,
 * which lives till the next step; PH_AUTH_OK: the attempt is complete and to be
 * verified; PH_AUTH_MALFORMED.
 */
enum ph_auth_result auth_sasl_step(struct auth_exchange *exchange,
    struct ph_slice response, struct ph_slice *challenge_out);
/* Out of the table; the attempt is given to the caller. */
struct auth_attempt *auth_sasl_end(struct auth_sasl *table,
    struct auth_exchange *exchange);
/* An edge process is gone. */
void auth_sasl_forget(struct auth_sasl *table, unsigned edge);

#endif
