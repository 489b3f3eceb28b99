/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_smtp_bdat.c - messages in chunks, over a fake session: the content that
 * is queued is the octets of the chunks, whatever they hold (commands, dots,
 * NUL) and however they and the wire were cut; nothing of a chunk is ever
 * taken for a command. Lines end in CRLF then; binary content is as it was, to
 * the last octet.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"
#include "fake_session.h"

static const struct smtp_conf conf = {
	.message_size_bytes = 1 << 20,
	.header_limit_bytes = 1 << 16,
	.max_recipients = 4,
	.max_hops = 1000,
	.max_errors = 50,
	.max_unknown = 10,
	.max_idle_commands = 1000,
	.command_timeout_ms = 1000,
	.data_timeout_ms = 10000000,
	.bare_newline = SMTP_BARE_NORMALIZE,
};

/* What the first octet of the input chooses. */
struct form {
	unsigned seed;
	bool binary;
};
static const char header[] = "A: b\r\n\r\n";

/* data in chunks whose sizes its own octets give. */
static void
add_chunks(struct ph_buf *script, struct ph_slice data, unsigned seed)
{
	size_t at = 0, n;

	while (at < data.n) {
		seed = seed * 31 + (unsigned char)data.p[at] + 1;
		n = seed % 23;
		if (n > data.n - at)
			n = data.n - at;
		if (n == 0 && seed % 3 != 0)
			n = 1;
		ph_buf_printf(script, "BDAT %zu\r\n", n);
		ph_buf_add(script, data.p + at, n);
		at += n;
	}
	ph_buf_str(script, "BDAT 0 LAST\r\nQUIT\r\n");
}

static void
talk(struct ph_slice data, struct form form, bool in_one, size_t step)
{
	static const struct smtp_policy inbound = { .submission = false };
	struct ph_buf script;

	fake_reset();
	fake.step = step;
	ph_buf_init(&script, NULL, 1 << 24);
	ph_buf_printf(&script, "EHLO c.test\r\nMAIL FROM:<x@out.test>%s\r\n"
	    "RCPT TO:<alice@example.test>\r\n",
	    form.binary ? " BODY=BINARYMIME" : "");
	if (form.binary)
		ph_buf_printf(&script, "BDAT %zu\r\n%s", strlen(header),
		    header);
	if (in_one) {
		ph_buf_printf(&script, "BDAT %zu LAST\r\n", data.n);
		ph_buf_slice(&script, data);
		ph_buf_str(&script, "QUIT\r\n");
	} else {
		add_chunks(&script, data, form.seed);
	}
	fake_input_octets(script.p, script.n);
	ph_buf_fini(&script);
	smtp_serve(fake_session(), &conf, &inbound);
	if (fake.mail != NULL || fake.committed != 1 ||
	    strstr(fake_text(&fake.log), "end=quit") == NULL)
		abort();
}

static void
check_binary(struct ph_slice s, struct ph_slice data)
{
	if (s.n < data.n ||
	    memcmp(s.p + s.n - data.n, data.p, data.n) != 0)
		abort();
	s.n -= data.n;
	if (s.n < strlen(header) || memcmp(s.p + s.n - strlen(header), header,
	                                strlen(header)) != 0)
		abort();
}

/* CRLF alone is left, and the message ends in it. */
static void
check_clean(struct ph_slice s)
{
	if (s.n < 2 || memcmp(s.p + s.n - 2, "\r\n", 2) != 0)
		abort();
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n'))
			abort();
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice all, whole;
	struct form form;

	if (size > 1 && size < 4096) {
		all = (struct ph_slice){ (const char *)data + 1, size - 1 };
		form = (struct form){ data[0], data[0] & 0x80 };
		talk(all, form, true, 0);
		whole = ph_arena_slice(arena, ph_buf_content(&fake.content));
		if (form.binary)
			check_binary(whole, all);
		else
			check_clean(whole);
		talk(all, form, false, data[0] % 7u);
		if (!ph_slice_eq(whole, ph_buf_content(&fake.content)))
			abort();
	}
	ph_arena_free(arena);
	return 0;
}
