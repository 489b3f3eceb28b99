/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_fixture.h - for the tests: an SMTP server in a thread that plays a script
 * for each connection, and a DNS server that knows a few names.
 */
#ifndef TRANSPORT_SMTP_PEER_FIXTURE_H
#define TRANSPORT_SMTP_PEER_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A script is a list of steps that ends with NULL, then the peer hangs up:
 * ">text" say it and CRLF, "<text" read a line that begins so, "." read to the
 * lone dot, "T" be a TLS server, "#text" say it as it is, "~" wait for the
 * client to hang up, "*text" say it again and again until he does, "%text" the
 * same, an octet every 20 ms; "@text" say it with NUL for each "@".
 */
struct fake_peer {
	uint16_t port;
	const char *const *script[4]; /* of the first connections */
	unsigned connections;
	char log[1 << 16];            /* every line and all content read */
	size_t log_n;
	char wrong[256];              /* the first line not expected */
	int fd, tls_fd;
	pthread_t thread;
	void *ssl_ctx;
	char certificate[2048];       /* PEM; made out to mail.test */
};

/* Listens on address ("127.0.0.2"), port 0: any. */
void fake_peer_start(struct fake_peer *peer, const char *address,
    uint16_t port);
void fake_peer_stop(struct fake_peer *peer);

struct fake_dns {
	uint16_t port;
	int fd;
	pthread_t thread;
};
void fake_dns_start(struct fake_dns *dns);
void fake_dns_stop(struct fake_dns *dns);

/* What many scripts begin with. */
#define CLEAR_EHLO "#250-peer.test\r\n250 SIZE 1000000\r\n"
#define PIPE_EHLO \
	"#250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n" \
	"250-SMTPUTF8\r\n250 SIZE 1000000\r\n"
#define STARTS ">220 peer", "<EHLO", "#250-p\r\n250 STARTTLS\r\n"
#define SENT                                                                  \
	">220 peer", "<EHLO", CLEAR_EHLO, "<MAIL", ">250 ok", "<RCPT",         \
	    ">250 ok", "<DATA", ">354 go", ".", ">250 ok"
#define PIPED                                                                 \
	">220 peer", "<EHLO", PIPE_EHLO, "<MAIL", "<RCPT", "<DATA",            \
	    "#250 ok\r\n250 ok\r\n354 go\r\n", ".", ">250 ok"

#endif
