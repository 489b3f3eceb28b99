/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c - libxcrypt, with its 32 KiB of working data on the heap and wiped.
 */
#include "hash.h"

#include <posthouse/arena.h>

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

const char *const hash_schemes[] = { "yescrypt", "sha512", "sha256", "bcrypt",
	NULL };
static const char *const prefixes[] = { "$y$", "$6$", "$5$", "$2b$" };

bool
hash_is_locked(struct ph_slice hash)
{
	return hash.n > 0 && (hash.p[0] == '!' || hash.p[0] == '*');
}

/* Traditional DES would take any two letters for a salt, also those of a
 * password written in the clear: only "$" forms. */
bool
hash_is_usable(struct ph_slice hash)
{
	char text[HASH_TEXT_MAX];
	int answer;

	if (hash_is_locked(hash))
		return true;
	if (hash.n == 0 || hash.n >= sizeof(text) || hash.p[0] != '$' ||
	    memchr(hash.p, '\0', hash.n) != NULL)
		return false;
	memcpy(text, hash.p, hash.n);
	text[hash.n] = '\0';
	answer = crypt_checksalt(text);
	ph_wipe(text, sizeof(text));
	return answer == CRYPT_SALT_OK || answer == CRYPT_SALT_METHOD_LEGACY ||
	    answer == CRYPT_SALT_TOO_CHEAP;
}

size_t
hash_password_max(void)
{
	return CRYPT_MAX_PASSPHRASE_SIZE - 1;
}

bool
hash_fits(const char *password, const char *hash)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	size_t n = strlen(hash);
	bool fits = false;
	const char *made;

	if (data == NULL)
		return false;
	made = crypt_rn(password, hash, data, sizeof(*data));
	if (made != NULL && strlen(made) == n)
		fits = CRYPTO_memcmp(made, hash, n) == 0;
	ph_wipe(data, sizeof(*data));
	free(data);
	return fits;
}

bool
hash_make(const char *password, enum hash_scheme scheme,
    char out[HASH_TEXT_MAX])
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char *setting = crypt_gensalt_ra(prefixes[scheme], 0, NULL, 0);
	const char *made = NULL;

	if (data != NULL && setting != NULL)
		made = crypt_rn(password, setting, data, sizeof(*data));
	if (made != NULL)
		snprintf(out, HASH_TEXT_MAX, "%s", made);
	free(setting);
	if (data != NULL)
		ph_wipe(data, sizeof(*data));
	free(data);
	return made != NULL;
}
