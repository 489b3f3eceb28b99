/* SPDX-License-Identifier: Apache-2.0 */
/* fake_peer.c - servers that do what a test's table says. */
#include "peer_fixture.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/dns_packet.h"

/* --- SMTP --- */

struct link {
	struct fake_peer *peer;
	int fd;
	SSL *ssl;
};

static bool
link_say(struct link *link, const char *text, size_t n)
{
	return (link->ssl != NULL ? SSL_write(link->ssl, text, (int)n) :
	        (int)send(link->fd, text, n, MSG_NOSIGNAL)) == (int)n;
}

static int
link_octet(struct link *link)
{
	char c;

	if ((link->ssl != NULL ? SSL_read(link->ssl, &c, 1) :
	        (int)recv(link->fd, &c, 1, 0)) != 1)
		return -1;
	if (link->peer->log_n + 1 < sizeof(link->peer->log))
		link->peer->log[link->peer->log_n++] = c;
	return (unsigned char)c;
}

static bool
link_line(struct link *link, char *line, size_t size)
{
	size_t n = 0;
	int c;

	while ((c = link_octet(link)) != '\n') {
		if (c < 0)
			return false;
		if (n + 1 < size && c != '\r')
			line[n++] = (char)c;
	}
	line[n] = '\0';
	return true;
}

static bool
link_content(struct link *link)
{
	char line[2048];

	do {
		if (!link_line(link, line, sizeof(line)))
			return false;
	} while (strcmp(line, ".") != 0);
	return true;
}

static bool
link_expect(struct link *link, const char *prefix)
{
	char line[2048];

	if (!link_line(link, line, sizeof(line)))
		return false;
	if (strncmp(line, prefix, strlen(prefix)) == 0)
		return true;
	if (link->peer->wrong[0] == '\0')
		snprintf(link->peer->wrong, sizeof(link->peer->wrong),
		    "wanted \"%.100s\", came \"%.100s\"", prefix, line);
	return false;
}

static bool
link_tls(struct link *link)
{
	link->ssl = SSL_new(link->peer->ssl_ctx);
	SSL_set_fd(link->ssl, link->fd);
	return SSL_accept(link->ssl) == 1;
}

static bool
link_repeat(struct link *link, const char *text, bool is_slow)
{
	static const struct timespec pause = { 0, 20 * 1000 * 1000 };
	size_t n = strlen(text);
	bool good = true;

	for (size_t i = 0; good; i = is_slow ? (i + 1) % n : 0) {
		good = link_say(link, text + i, is_slow ? 1 : n);
		if (is_slow)
			nanosleep(&pause, NULL);
	}
	return false;
}

static bool
link_say_nul(struct link *link, const char *text)
{
	char copy[512];
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		copy[i] = text[i] == '@' ? '\0' : text[i];
	return link_say(link, copy, n);
}

static bool
link_step(struct link *link, const char *step)
{
	switch (step[0]) {
	case '>':
		return link_say(link, step + 1, strlen(step + 1)) &&
		    link_say(link, "\r\n", 2);
	case '#':
		return link_say(link, step + 1, strlen(step + 1));
	case '<':
		return link_expect(link, step + 1);
	case '.':
		return link_content(link);
	case 'T':
		return link_tls(link);
	case '*':
	case '%':
		return link_repeat(link, step + 1, step[0] == '%');
	case '@':
		return link_say_nul(link, step + 1);
	default:
		while (link_octet(link) >= 0)
			;
		return false;
	}
}

static void *
peer_run(void *arg)
{
	struct fake_peer *peer = arg;
	int fd;

	while ((fd = accept(peer->fd, NULL, NULL)) >= 0) {
		struct link link = { .peer = peer, .fd = fd };
		const char *const *step = peer->connections < 4 ?
		    peer->script[peer->connections] : NULL;

		peer->connections++;
		while (step != NULL && *step != NULL && link_step(&link, *step))
			step++;
		if (link.ssl != NULL)
			SSL_free(link.ssl);
		close(fd);
	}
	return NULL;
}

static void
make_certificate(SSL_CTX *ctx, char *pem, size_t size)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *cert = X509_new();
	int n;

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
	    MBSTRING_ASC, (const unsigned char *)"mail.test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_sign(cert, key, EVP_sha256());
	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	PEM_write_bio_X509(bio, cert);
	n = BIO_read(bio, pem, (int)size - 1);
	pem[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void
fake_peer_start(struct fake_peer *peer, const char *address, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	socklen_t n = sizeof(at);
	int one = 1;

	signal(SIGPIPE, SIG_IGN); /* as in every process of the server */
	inet_pton(AF_INET, address, &at.sin_addr);
	peer->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(peer->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(peer->fd, (struct sockaddr *)&at, n) != 0 ||
	    listen(peer->fd, 8) != 0)
		perror("fake_peer");
	getsockname(peer->fd, (struct sockaddr *)&at, &n);
	peer->port = ntohs(at.sin_port);
	peer->ssl_ctx = SSL_CTX_new(TLS_server_method());
	make_certificate(peer->ssl_ctx, peer->certificate,
	    sizeof(peer->certificate));
	pthread_create(&peer->thread, NULL, peer_run, peer);
}

void
fake_peer_stop(struct fake_peer *peer)
{
	shutdown(peer->fd, SHUT_RDWR);
	pthread_join(peer->thread, NULL);
	close(peer->fd);
	SSL_CTX_free(peer->ssl_ctx);
	peer->log[peer->log_n] = '\0';
}

/* --- DNS --- */

static const struct row {
	const char *name;
	unsigned kind, preference;
	const char *value;
} rows[] = {
	{ "two.test", DNS_KIND_MX, 20, "mx2.test" },
	{ "two.test", DNS_KIND_MX, 10, "mx1.test" },
	{ "mx1.test", DNS_KIND_A, 0, "127.0.0.2" },
	{ "mx2.test", DNS_KIND_A, 0, "127.0.0.3" },
	{ "equal.test", DNS_KIND_MX, 10, "mx1.test" },
	{ "equal.test", DNS_KIND_MX, 10, "mx2.test" },
	{ "equal.test", DNS_KIND_MX, 5, "mx0.test" },
	{ "equal.test", DNS_KIND_MX, 20, "mail.test" },
	{ "twins.test", DNS_KIND_MX, 10, "mx1.test" },
	{ "twins.test", DNS_KIND_MX, 10, "mx2.test" },
	{ "mx0.test", DNS_KIND_A, 0, "127.0.0.9" },
	{ "bare.test", DNS_KIND_A, 0, "127.0.0.2" },
	{ "null.test", DNS_KIND_MX, 0, "" },
	{ "loop.test", DNS_KIND_MX, 5, "mail.example.test" },
	{ "nowhere.test", DNS_KIND_MX, 5, "none.test" },
	{ "empty.test", DNS_KIND_TXT, 0, "x" },
	{ "verify.test", DNS_KIND_MX, 5, "mail.test" },
	{ "mail.test", DNS_KIND_A, 0, "127.0.0.2" },
	{ "any.test", DNS_KIND_MX, 5, "zero.test" },
	{ "zero.test", DNS_KIND_A, 0, "0.0.0.0" },
	{ "both.test", DNS_KIND_AAAA, 0, "2001:db8::1" },
	{ "both.test", DNS_KIND_AAAA, 0, "2001:db8::2" },
	{ "both.test", DNS_KIND_AAAA, 0, "2001:db8::3" },
	{ "both.test", DNS_KIND_A, 0, "127.0.0.2" },
};

static void
put16(uint8_t **at, unsigned value)
{
	*(*at)++ = (uint8_t)(value >> 8);
	*(*at)++ = (uint8_t)value;
}

static uint8_t *
put_row(uint8_t *at, const struct row *row)
{
	uint8_t data[300], *end = data;

	if (row->kind == DNS_KIND_MX) {
		put16(&end, row->preference);
		if (row->value[0] == '\0')
			*end++ = 0;
		else
			end += dns_name_encode(row->value, end);
	} else if (row->kind == DNS_KIND_A) {
		inet_pton(AF_INET, row->value, end);
		end += 4;
	} else if (row->kind == DNS_KIND_AAAA) {
		inet_pton(AF_INET6, row->value, end);
		end += 16;
	}
	put16(&at, 0xc00c);
	put16(&at, row->kind);
	put16(&at, 1);
	put16(&at, 0);
	put16(&at, 5);
	put16(&at, (unsigned)(end - data));
	memcpy(at, data, (size_t)(end - data));
	return at + (end - data);
}

static size_t
dns_answer(uint8_t *packet, size_t n)
{
	uint8_t wire[DNS_NAME_WIRE], *at;
	size_t name_n = 0, name_at = 12;
	unsigned kind, count = 0;
	bool known = false;

	while (name_at + name_n < n && packet[name_at + name_n] != 0)
		name_n += packet[name_at + name_n] + 1u;
	name_n++;
	kind = (unsigned)packet[name_at + name_n] << 8 |
	    packet[name_at + name_n + 1];
	at = packet + name_at + name_n + 4;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (dns_name_encode(rows[i].name, wire) != name_n ||
		    memcmp(wire, packet + name_at, name_n) != 0)
			continue;
		known = true;
		if (rows[i].kind == kind) {
			at = put_row(at, &rows[i]);
			count++;
		}
	}
	packet[2] = 0x81;
	packet[3] = known ? 0x80 : 0x83;
	if (memcmp(packet + name_at, "\4fail", 5) == 0)
		packet[3] = 0x82;
	memset(packet + 6, 0, 6);
	packet[7] = (uint8_t)count;
	return (size_t)(at - packet);
}

static void *
dns_run(void *arg)
{
	struct fake_dns *dns = arg;
	static uint8_t packet[4096];

	for (;;) {
		struct sockaddr_in from;
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(dns->fd, packet, 1024, 0,
		    (struct sockaddr *)&from, &from_n);

		if (n < 17)
			return NULL;
		n = (ssize_t)dns_answer(packet, (size_t)n);
		sendto(dns->fd, packet, (size_t)n, 0,
		    (struct sockaddr *)&from, from_n);
	}
}

void
fake_dns_start(struct fake_dns *dns)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	dns->fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(dns->fd, (struct sockaddr *)&at, n) != 0)
		perror("fake_dns");
	getsockname(dns->fd, (struct sockaddr *)&at, &n);
	dns->port = ntohs(at.sin_port);
	pthread_create(&dns->thread, NULL, dns_run, dns);
}

void
fake_dns_stop(struct fake_dns *dns)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(dns->port) };

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sendto(dns->fd, "x", 1, 0, (struct sockaddr *)&at, sizeof(at));
	pthread_join(dns->thread, NULL);
	close(dns->fd);
}
