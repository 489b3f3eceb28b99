/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - hashes of what strangers name: a sum that anybody can work out, as a
 * CRC is, lets them put all they name into one bucket (CVE-2021-33582). */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

#include <posthouse/base.h>

enum { HASH_KEY = 16 };

/* SipHash-2-4. */
uint64_t hash_with(const uint8_t key[HASH_KEY], const void *p, size_t n);
/* With a key that this process made up: nothing to keep or to send. In the
 * loop's thread. */
uint64_t hash_of(const void *p, size_t n);

#endif
