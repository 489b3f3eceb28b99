/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one line an event, gathered in memory and written once a turn of the
 * loop. Every value passes one escaping function, so that neither line nor
 * field can be forged. The descriptor is opened by the master in append mode:
 * one write of up to 64 KiB lands whole between those of other processes.
 */
#include "log/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <posthouse/arena.h>

#include "loop/fiber.h"

enum {
	LOG_GATHER = 16 << 10, /* flush when this much is gathered */
	LOG_LINE = 16 << 10,   /* longer lines are cut */
	LOG_VALUE = 1024,      /* so is a longer value */
};

static struct {
	int fd;
	enum ph_level level;
	char process[32];
	struct ph_buf pending;
	pthread_mutex_t lock;
	int pid; /* of this process, also after a fork */
} logger = { .fd = -1, .level = PH_INFO, .process = "posthouse",
	.lock = PTHREAD_MUTEX_INITIALIZER };

static const char *const level_names[] = { "debug", "info", "notice", "warn",
	"error" };

static void
learn_pid(void)
{
	logger.pid = (int)getpid();
}

void
log_init(int fd, enum ph_level level, const char *process)
{
	if (logger.pid == 0)
		pthread_atfork(NULL, NULL, learn_pid);
	learn_pid();
	logger.fd = fd;
	logger.level = level;
	snprintf(logger.process, sizeof(logger.process), "%s", process);
	if (logger.pending.limit == 0)
		ph_buf_init(&logger.pending, NULL, 1 << 20);
}

void
log_set_level(enum ph_level level)
{
	logger.level = level;
}

void
log_set_fd(int fd)
{
	log_flush();
	logger.fd = fd;
}

bool
ph_log_enabled(enum ph_level level)
{
	return level >= logger.level;
}

static void
log_stamp(struct ph_buf *buf)
{
	static time_t cached;
	static char text[32];
	struct timespec now;
	struct tm tm;
	long ms;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != cached) {
		cached = now.tv_sec;
		gmtime_r(&cached, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm);
	}
	ms = now.tv_nsec / 1000000;
	ph_buf_str(buf, text);
	ph_buf_char(buf, (char)('0' + ms / 100));
	ph_buf_char(buf, (char)('0' + ms / 10 % 10));
	ph_buf_char(buf, (char)('0' + ms % 10));
	ph_buf_char(buf, 'Z');
}

/* As printf's %lld; a line has several and printf is half of its cost. */
static void
log_number(struct ph_buf *buf, int64_t number)
{
	char text[24], *p = text + sizeof(text);
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (number < 0)
		*--p = '-';
	ph_buf_add(buf, p, (size_t)(text + sizeof(text) - p));
}

static void
log_key(struct ph_buf *buf, const char *key)
{
	ph_buf_char(buf, ' ');
	ph_buf_str(buf, key);
	ph_buf_char(buf, '=');
}

static bool
is_plain(struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return text.n > 0;
}

static void
log_value(struct ph_buf *buf, struct ph_slice text)
{
	bool cut = text.n > LOG_VALUE;

	if (cut)
		text.n = LOG_VALUE;
	if (is_plain(text) && !cut) {
		ph_buf_slice(buf, text);
		return;
	}
	ph_buf_char(buf, '"');
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\') {
			ph_buf_char(buf, '\\');
			ph_buf_char(buf, (char)c);
		} else if (c < ' ' || c >= 0x7f) {
			ph_buf_printf(buf, "\\x%02x", c);
		} else {
			ph_buf_char(buf, (char)c);
		}
	}
	ph_buf_str(buf, cut ? "...\"" : "\"");
}

static void
log_id(struct ph_buf *buf, const char *key, const char *value)
{
	if (value == NULL)
		return;
	log_key(buf, key);
	log_value(buf, ph_slice_str(value));
}

void
log_format(struct ph_buf *buf, enum ph_level level, const char *event,
    const struct log_context *context, const struct ph_field *fields)
{
	log_stamp(buf);
	ph_buf_char(buf, ' ');
	ph_buf_str(buf, level_names[level]);
	ph_buf_char(buf, ' ');
	ph_buf_str(buf, logger.process);
	ph_buf_char(buf, '[');
	log_number(buf, logger.pid);
	ph_buf_str(buf, "] ");
	ph_buf_str(buf, event);
	if (context != NULL) {
		log_id(buf, "session", context->session);
		log_id(buf, "queue", context->queue);
		log_id(buf, "module", context->module);
	}
	for (; fields->key != NULL; fields++) {
		if (!fields->is_number && fields->text.p == NULL)
			continue;
		log_key(buf, fields->key);
		if (fields->is_number)
			log_number(buf, fields->number);
		else
			log_value(buf, fields->text);
	}
	ph_buf_char(buf, '\n');
}

static void
flush_locked(void)
{
	const char *p = logger.pending.p;
	size_t left = logger.pending.n;

	while (left > 0 && logger.fd >= 0) {
		ssize_t n = write(logger.fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nowhere to say it: mail goes on */
		p += n;
		left -= (size_t)n;
	}
	logger.pending.n = 0;
	logger.pending.full = false;
}

void
log_flush(void)
{
	if (logger.pending.n == 0)
		return;
	pthread_mutex_lock(&logger.lock);
	flush_locked();
	pthread_mutex_unlock(&logger.lock);
}

void
ph_log_fields(enum ph_level level, const char *event,
    const struct ph_field *fields)
{
	struct ph_buf line;

	if (!ph_log_enabled(level) || logger.fd < 0)
		return;
	ph_buf_init(&line, NULL, LOG_LINE);
	log_format(&line, level, event, fiber_context(), fields);
	if (line.full && line.n > 0)
		line.p[line.n - 1] = '\n';
	pthread_mutex_lock(&logger.lock);
	ph_buf_slice(&logger.pending, ph_buf_content(&line));
	if (level >= PH_WARN || fiber_self() == NULL ||
	    logger.pending.n >= LOG_GATHER)
		flush_locked();
	pthread_mutex_unlock(&logger.lock);
	ph_buf_fini(&line);
}
