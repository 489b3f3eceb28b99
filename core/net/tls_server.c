/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_server.c - TLS for clients that come to us: TLS 1.2 and later, the
 * certificate from memory, session tickets under keys that all edge processes
 * share, ALPN taken strictly (ALPACA): a client that names protocols must name
 * ours.
 */
#include "net/stream_inner.h"
#include "net/tls_peer.h"
#include "net/tls_tickets.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* A certificate for clients that ask for a name it holds. */
struct named {
	struct named *next;
	SSL_CTX *ctx;
};

struct tls_server {
	SSL_CTX *ctx;
	/* Sessions of clients that were asked for a certificate are resumed
	 * only where the same CAs decide. */
	unsigned char client_id[32];
	struct named *named, **named_end;
	unsigned references;
};

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	const struct ph_stream *stream = SSL_get_app_data(ssl);
	size_t want = stream->alpn != NULL ? strlen(stream->alpn) : 0;

	(void)arg;
	if (want == 0)
		return SSL_TLSEXT_ERR_NOACK;
	for (unsigned i = 0; i < in_n && in[i] < in_n - i; i += in[i] + 1u) {
		if (in[i] != want ||
		    memcmp(in + i + 1, stream->alpn, want) != 0)
			continue;
		*out = in + i + 1;
		*out_n = in[i];
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool
fits(const SSL_CTX *ctx, const char *name)
{
	return X509_check_host(SSL_CTX_get0_certificate(ctx), name, 0, 0,
	           NULL) == 1;
}

/* The first certificate that holds the name; else the default: who asks for a
 * name that nobody has is told so by its own check. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct ph_stream *stream = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	if (name == NULL || fits(stream->server->ctx, name))
		return SSL_TLSEXT_ERR_OK;
	for (const struct named *at = stream->server->named; at != NULL;
	     at = at->next) {
		if (!fits(at->ctx, name))
			continue;
		SSL_set_SSL_CTX(ssl, at->ctx);
		break;
	}
	return SSL_TLSEXT_ERR_OK;
}

/* The first certificate is ours, what follows is its chain. */
static bool
use_certificates(SSL_CTX *ctx, struct ph_slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool good = cert != NULL && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (good && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) !=
	    NULL) {
		good = SSL_CTX_add1_chain_cert(ctx, cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	return good;
}

static bool
use_key(SSL_CTX *ctx, struct ph_slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	bool good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
	    SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

static void
set_manners(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"posthouse",
	    9);
	SSL_CTX_set_num_tickets(ctx, 1);
	tls_tickets_attach(ctx);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
}

/* NULL with err filled. */
static SSL_CTX *
make_ctx(struct ph_slice certificate_pem, struct ph_slice key_pem,
    struct ph_err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char reason[160];

	ph_assert(ctx != NULL);
	set_manners(ctx);
	if (!use_certificates(ctx, certificate_pem))
		ph_err_set(err, PH_TLS, 0, "the certificate can't be used: %s",
		    tls_reason(reason, sizeof(reason)));
	else if (!use_key(ctx, key_pem))
		ph_err_set(err, PH_TLS, 0,
		    "the key can't be used with the certificate: %s",
		    tls_reason(reason, sizeof(reason)));
	else
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

struct tls_server *
tls_server_create(struct ph_slice certificate_pem, struct ph_slice key_pem,
    struct ph_err *err)
{
	SSL_CTX *ctx = make_ctx(certificate_pem, key_pem, err);
	struct tls_server *server;

	if (ctx == NULL)
		return NULL;
	server = calloc(1, sizeof(*server));
	ph_assert(server != NULL);
	server->ctx = ctx;
	server->named_end = &server->named;
	server->references = 1;
	return server;
}

int
tls_server_add(struct tls_server *server, struct ph_slice pem,
    struct ph_err *err)
{
	SSL_CTX *ctx = make_ctx(pem, pem, err);
	struct named *named;

	if (ctx == NULL)
		return PH_TLS;
	named = calloc(1, sizeof(*named));
	ph_assert(named != NULL);
	named->ctx = ctx;
	*server->named_end = named;
	server->named_end = &named->next;
	return PH_OK;
}

/* --- certificates of clients --- */

/* NULL with err filled. */
static X509_STORE *
read_store(struct ph_slice pem, STACK_OF(X509_NAME) *names,
    struct ph_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509_STORE *store = X509_STORE_new();
	bool good = true;
	X509 *ca;
	char reason[160];

	while (good && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) !=
	    NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

		good = X509_STORE_add_cert(store, ca) == 1 &&
		    sk_X509_NAME_push(names, name) > 0;
		if (!good)
			X509_NAME_free(name);
		X509_free(ca);
	}
	BIO_free(bio);
	good = good && sk_X509_NAME_num(names) > 0 &&
	    ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (good)
		ERR_clear_error();
	else
		ph_err_set(err, PH_TLS, 0, "the CAs can't be used: %s",
		    tls_reason(reason, sizeof(reason)));
	if (good)
		return store;
	X509_STORE_free(store);
	return NULL;
}

static void
trust(SSL_CTX *ctx, X509_STORE *store, const STACK_OF(X509_NAME) *names)
{
	SSL_CTX_set1_verify_cert_store(ctx, store);
	SSL_CTX_set0_CA_list(ctx, SSL_dup_CA_list(names));
}

int
tls_server_trust(struct tls_server *server, struct ph_slice ca_pem,
    struct ph_err *err)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_STORE *store = read_store(ca_pem, names, err);

	if (store != NULL) {
		trust(server->ctx, store, names);
		for (struct named *at = server->named; at != NULL;
		     at = at->next)
			trust(at->ctx, store, names);
		EVP_Digest(ca_pem.p, ca_pem.n, server->client_id, NULL,
		    EVP_sha256(), NULL);
	}
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	X509_STORE_free(store);
	return store != NULL ? PH_OK : PH_TLS;
}

/* Whoever shows one proves to have its key; whether a CA of ours signed it is
 * in the verify result, and no reason to end the handshake. */
static int
on_client_certificate(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
	return 1;
}

static void
ask_client(SSL *ssl, const struct tls_server *server)
{
	SSL_set_verify(ssl, SSL_VERIFY_PEER, on_client_certificate);
	SSL_set_session_id_context(ssl, server->client_id,
	    sizeof(server->client_id));
}

/* --- */

void
tls_server_get(struct tls_server *server)
{
	server->references++;
}

void
tls_server_free(struct tls_server *server)
{
	if (server == NULL || --server->references > 0)
		return;
	SSL_CTX_free(server->ctx);
	while (server->named != NULL) {
		struct named *named = server->named;

		server->named = named->next;
		SSL_CTX_free(named->ctx);
		free(named);
	}
	free(server);
}

int
stream_tls_server(struct ph_stream *stream, struct tls_server *server,
    const struct tls_wish *wish)
{
	SSL *ssl = SSL_new(server->ctx);
	int status;

	ph_assert(ssl != NULL);
	tls_server_get(server);
	stream->server = server;
	stream->alpn = wish->alpn;
	SSL_set_app_data(ssl, stream);
	SSL_set_accept_state(ssl);
	if (wish->ask_client)
		ask_client(ssl, server);
	status = tls_handshake(stream, ssl, wish->timeout_ms);
	if (status == PH_OK)
		stream->tls_peer = tls_peer_of(stream->arena, ssl);
	ERR_clear_error();
	return status;
}
