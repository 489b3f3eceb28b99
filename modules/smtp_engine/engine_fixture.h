/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_fixture.h - what the tests of whole conversations share: a configuration
 * and policies to begin with, a way to RCPT, and asking what came of it.
 */
#ifndef SMTP_ENGINE_FIXTURE_H
#define SMTP_ENGINE_FIXTURE_H

#include <check.h>

#include "conversation.h"
#include "fake_session.h"

#define OPENING "EHLO c.test\r\nMAIL FROM:<x@out.test>\r\n"
#define TO_ALICE OPENING "RCPT TO:<alice@example.test>\r\n"
#define MESSAGE "Subject: s\r\n\r\nbody\r\n"

/* For a test's own to follow, in an initializer of struct smtp_conf. */
#define FIXTURE_CONF \
	.message_size_bytes = 1 << 20, \
	.header_limit_bytes = 4096, \
	.address_brackets = true, \
	.max_recipients = 5, \
	.max_hops = 3, \
	.max_errors = 20, \
	.max_unknown = 3, \
	.max_idle_commands = 50, \
	.command_timeout_ms = 1000, \
	.data_timeout_ms = 100000, \
	.rate_window_ms = 3600000, \
	.sender_check = SMTP_SENDER_ALIASES

static const struct smtp_policy inbound = { .submission = false };
static const struct smtp_policy submission = { .submission = true };
static struct smtp_conf conf; /* the test's setup fills it */

/* A whole conversation; the codes of the replies. */
static inline const char *
talk_as(const char *text, const struct smtp_policy *policy)
{
	fake_input(text);
	smtp_serve(fake_session(), &conf, policy);
	ck_assert_ptr_null(fake.mail);
	return fake_codes();
}

static inline const char *
talk(const char *text)
{
	return talk_as(text, &inbound);
}

static inline bool
said(const char *text)
{
	return strstr(fake_output(), text) != NULL;
}

static inline bool
logged(const char *text)
{
	return strstr(fake_text(&fake.log), text) != NULL;
}

#endif
