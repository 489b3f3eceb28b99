/* SPDX-License-Identifier: Apache-2.0 */
/* tls_client.c - TLS towards servers we connect to. */
#include "net/stream_inner.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static SSL_CTX *client_ctx; /* of the process; CAs are read once */

int
tls_client_init(const char *ca_file, struct ph_err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char reason[160];
	int good;

	ph_assert(ctx != NULL);
	good = ca_file[0] != '\0' ?
	    SSL_CTX_load_verify_file(ctx, ca_file) :
	    SSL_CTX_load_verify_file(ctx,
	        "/etc/ssl/certs/ca-certificates.crt");
	if (good != 1 && ca_file[0] != '\0') {
		ph_err_set(err, PH_TLS, 0, "%s: %s", ca_file,
		    tls_reason(reason, sizeof(reason)));
		SSL_CTX_free(ctx);
		return PH_TLS;
	}
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	tls_client_fini();
	client_ctx = ctx;
	return PH_OK;
}

void
tls_client_fini(void)
{
	SSL_CTX_free(client_ctx);
	client_ctx = NULL;
}

/*
 * Say whom we want, and in verify insist on it. An address is not sent as SNI
 * (RFC 6066 s3), and fits a certificate's address only.
 */
static bool
expect_name(SSL *ssl, const char *name, enum ph_tls_verify verify)
{
	struct ph_addr addr;
	bool is_addr = ph_addr_parse(ph_slice_str(name), &addr);

	if (!is_addr && name[0] != '\0')
		SSL_set_tlsext_host_name(ssl, name);
	if (verify != PH_TLS_VERIFY)
		return true;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_addr)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
		           name) == 1;
	return name[0] != '\0' && SSL_set1_host(ssl, name) == 1;
}

int
ph_stream_tls_client(struct ph_stream *stream, const char *name,
    enum ph_tls_verify verify, unsigned timeout_ms, struct ph_err *err)
{
	char reason[160];
	SSL *ssl;
	int status;

	if (client_ctx == NULL && tls_client_init("", err) != PH_OK)
		return PH_TLS;
	ssl = SSL_new(client_ctx);
	ph_assert(ssl != NULL);
	SSL_set_connect_state(ssl);
	if (!expect_name(ssl, name, verify)) {
		SSL_free(ssl);
		return ph_err_set(err, PH_INVALID, 0,
		    "no name that a certificate could have");
	}
	status = tls_handshake(stream, ssl, timeout_ms);
	if (status != PH_OK)
		ph_err_set(err, status, 0, "TLS handshake: %s",
		    status == PH_TLS ? tls_reason(reason, sizeof(reason)) :
		    ph_status_name(status));
	ERR_clear_error();
	return status;
}
