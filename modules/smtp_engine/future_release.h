/* SPDX-License-Identifier: Apache-2.0 */
/* future_release.h - FUTURERELEASE (RFC 4865): its parameters. Pure. */
#ifndef SMTP_ENGINE_FUTURE_RELEASE_H
#define SMTP_ENGINE_FUTURE_RELEASE_H

#include <posthouse/base.h>

/* HOLDFOR: seconds, one to nine digits, not 0. */
bool smtp_hold_for_parse(struct ph_slice text, int64_t *seconds_out);
/* HOLDUNTIL: "2026-01-31T12:00:00Z" or with "+01:00", as seconds since 1970. */
bool smtp_hold_until_parse(struct ph_slice text, int64_t *time_out);

#endif
