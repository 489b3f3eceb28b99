/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_tickets.c - see tls_tickets.h. A ticket is sealed by AES-256-CBC, then
 * HMAC-SHA-256. One under the former key is opened, and the client gets a new
 * one.
 */
#include "net/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

enum { NAME_OCTETS = 16 };

/* As the octets of one key lie. */
struct ticket_key {
	unsigned char name[NAME_OCTETS], mac[32], cipher[32];
};
_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY, "a key");

static struct ticket_key ring[TLS_TICKET_KEYS]; /* newest first */
static size_t ring_count;

int
tls_tickets_use(struct ph_slice keys)
{
	if (keys.n % TLS_TICKET_KEY != 0 || keys.n == 0 ||
	    keys.n > sizeof(ring))
		return PH_DEFECT;
	tls_tickets_forget();
	memcpy(ring, keys.p, keys.n);
	ring_count = keys.n / TLS_TICKET_KEY;
	return PH_OK;
}

void
tls_tickets_forget(void)
{
	ph_wipe(ring, sizeof(ring));
	ring_count = 0;
}

static bool
set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
		    sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
		    0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int
seal(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	struct ticket_key *key = &ring[0];

	if (ring_count == 0)
		return 0; /* no ticket then */
	memcpy(name, key->name, NAME_OCTETS);
	return RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) ==
	            1 &&
	        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL,
	            key->cipher, iv) == 1 &&
	        set_mac(mac, key) ? 1 : -1;
}

/* 0: no key of ours, so a full handshake; 2: with a new ticket. */
static int
open_sealed(const unsigned char *name, const unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	size_t at = 0;

	while (at < ring_count &&
	    memcmp(ring[at].name, name, NAME_OCTETS) != 0)
		at++;
	if (at == ring_count)
		return 0;
	if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL,
	        ring[at].cipher, iv) != 1 || !set_mac(mac, &ring[at]))
		return -1;
	return at == 0 ? 1 : 2;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_new)
{
	(void)ssl;
	return is_new ? seal(name, iv, cipher, mac) :
	                open_sealed(name, iv, cipher, mac);
}

void
tls_tickets_attach(SSL_CTX *ctx)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
