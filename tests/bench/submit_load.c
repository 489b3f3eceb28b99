/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submit_load.c - the client of submission.py: THREADS threads, each sending
 * MESSAGES mails of 4 KiB, each over a connection of its own with implicit TLS
 * and AUTH PLAIN. It prints the seconds from the first connection to the last
 * reply, and fails when one reply was not what it should be.
 *
 *     submit_load PORT THREADS MESSAGES USERS
 *
 * Users are u0001@example.test ..., password "secret"; each sends to itself.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 4096 };

static SSL_CTX *ctx;
static int port, messages, users;
static char body[BODY + 1];

/* Send text, read one reply; false unless its code begins with `want`. */
static int
say(SSL *ssl, const char *text, char want)
{
	char reply[4096];
	int n = 0, got;
	char *line;

	if (text != NULL && SSL_write(ssl, text, (int)strlen(text)) <= 0)
		return 0;
	for (;;) {
		got = SSL_read(ssl, reply + n, (int)sizeof(reply) - 1 - n);
		if (got <= 0)
			return 0;
		n += got;
		reply[n] = '\0';
		if (reply[n - 1] != '\n')
			continue;
		line = reply;
		for (char *p = reply; p < reply + n - 1; p++)
			if (*p == '\n')
				line = p + 1;
		if (line[3] != '-')
			break;
	}
	if (line[0] != want)
		fprintf(stderr, "%s -> %s", text != NULL ? text : "", reply);
	return line[0] == want;
}

static int
talk(SSL *ssl, int user)
{
	char line[256], plain[128];
	unsigned char base64[256];
	char data[BODY + 512];
	int n = snprintf(plain, sizeof(plain), "%cu%04d@example.test%csecret",
	    '\0', user, '\0');

	EVP_EncodeBlock(base64, (unsigned char *)plain, n);
	if (!say(ssl, NULL, '2') || !say(ssl, "EHLO client.test\r\n", '2'))
		return 0;
	snprintf(line, sizeof(line), "AUTH PLAIN %s\r\n", (char *)base64);
	if (!say(ssl, line, '2'))
		return 0;
	snprintf(line, sizeof(line), "MAIL FROM:<u%04d@example.test>\r\n",
	    user);
	if (!say(ssl, line, '2'))
		return 0;
	snprintf(line, sizeof(line), "RCPT TO:<u%04d@example.test>\r\n", user);
	if (!say(ssl, line, '2') || !say(ssl, "DATA\r\n", '3'))
		return 0;
	snprintf(data, sizeof(data), "From: u%04d@example.test\r\n"
	    "To: u%04d@example.test\r\nSubject: load\r\n\r\n%s\r\n.\r\n",
	    user, user, body);
	return say(ssl, data, '2') && say(ssl, "QUIT\r\n", '2');
}

static int
send_one(int user)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1, good;
	SSL *ssl = SSL_new(ctx);

	good = fd >= 0 && ssl != NULL &&
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0 &&
	    SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
	    talk(ssl, user);
	if (good)
		SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	return good;
}

static void *
thread_main(void *arg)
{
	const int number = *(int *)arg;
	long failed = 0;

	for (int i = 0; i < messages; i++)
		failed += !send_one(number % users + 1);
	return (void *)failed;
}

int
main(int argc, char **argv)
{
	pthread_t thread[256];
	int number[256], threads;
	struct timespec start, end;
	long failed = 0;
	void *result;

	if (argc != 5 || (threads = atoi(argv[2])) < 1 || threads > 256)
		return 2;
	port = atoi(argv[1]);
	messages = atoi(argv[3]);
	users = atoi(argv[4]);
	for (int i = 0; i < BODY; i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < threads; i++) {
		number[i] = i;
		if (pthread_create(&thread[i], NULL, thread_main,
		        &number[i]) != 0)
			return 2;
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(thread[i], &result);
		failed += (long)result;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f %ld\n", (double)(end.tv_sec - start.tv_sec) +
	    (double)(end.tv_nsec - start.tv_nsec) / 1e9, failed);
	return failed == 0 ? 0 : 1;
}
