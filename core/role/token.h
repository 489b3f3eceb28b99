/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - the proof, made by auth, that a session logged in as a user.
 *
 * A token binds user, session id and an expiry with HMAC-SHA-256 under a key
 * that only auth, mail and queue hold; edge carries it. Without one, edge can
 * neither open a mailbox nor relay for a user.
 */
#ifndef CORE_ROLE_TOKEN_H
#define CORE_ROLE_TOKEN_H

#include <posthouse/arena.h>

#define TOKEN_KEY_SIZE 32

struct ph_slice token_make(struct ph_arena *arena,
    const uint8_t key[TOKEN_KEY_SIZE], struct ph_slice user,
    struct ph_slice session, int64_t expires_at);
/* Constant time. False: forged, expired, or of another user or session. */
bool token_check(const uint8_t key[TOKEN_KEY_SIZE], struct ph_slice token,
    struct ph_slice user, struct ph_slice session, int64_t now);

#endif
