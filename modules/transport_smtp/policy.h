/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - how much TLS a destination needs: entries "NAME MODE", where NAME
 * is a domain, or ".domain" for all below it. Pure.
 */
#ifndef TRANSPORT_SMTP_POLICY_H
#define TRANSPORT_SMTP_POLICY_H

#include <posthouse/base.h>

#include "smtp_client/peer.h"

/* "none", "may", ...; ends with NULL. */
extern const char *const tls_mode_names[];

bool policy_is_entry(const char *entry);
/* Of the first entry that fits the name; otherwise: when none does. */
enum tls_mode policy_find(const char *const *entries, struct ph_slice name,
    enum tls_mode otherwise);

#endif
