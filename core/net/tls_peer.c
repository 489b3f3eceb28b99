/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_peer.c - see tls_peer.h. Names in a certificate are whatever its maker
 * wrote, NUL and all: they are made harmless here, for header fields and logs.
 */
#include "net/tls_peer.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>

enum { NAME_MAX_OCTETS = 64 }; /* of X.520 */

static bool
is_harmless(unsigned char c)
{
	return c >= ' ' && c < 0x7f && memchr("\"()\\", c, 4) == NULL;
}

static const char *
common_name(struct ph_arena *arena, const X509_NAME *name)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int n = at < 0 ? 0 : ASN1_STRING_to_UTF8(&utf8,
	    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	char *text;

	if (n > NAME_MAX_OCTETS)
		n = NAME_MAX_OCTETS;
	text = ph_arena_alloc(arena, (n > 0 ? (size_t)n : 0) + 1);
	for (int i = 0; i < n; i++)
		text[i] = is_harmless(utf8[i]) ? (char)utf8[i] : '?';
	if (n >= 0)
		OPENSSL_free(utf8);
	return text;
}

static const char *
fingerprint(struct ph_arena *arena, const X509 *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char *text;

	if (X509_digest(certificate, EVP_sha256(), digest, &n) != 1)
		return NULL;
	text = ph_arena_alloc(arena, 2 * n + 1);
	for (unsigned i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

const struct tls_peer *
tls_peer_of(struct ph_arena *arena, const SSL *ssl)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct tls_peer *peer;

	if (certificate == NULL)
		return NULL;
	peer = ph_arena_alloc(arena, sizeof(*peer));
	peer->fingerprint = fingerprint(arena, certificate);
	if (peer->fingerprint == NULL)
		return NULL;
	peer->subject = common_name(arena,
	    X509_get_subject_name(certificate));
	peer->issuer = common_name(arena, X509_get_issuer_name(certificate));
	peer->is_verified = SSL_get_verify_result(ssl) == X509_V_OK;
	return peer;
}
