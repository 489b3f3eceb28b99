/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frozen.c - a check as a third party built it once, and never again: uses what
 * the SDK of its minor number had. Its binaries, check_frozen_1_N.so, are kept
 * as they are; README.md tells how they were made.
 */
#include <posthouse/check.h>
#include <posthouse/mail.h>
#if PH_ABI_MINOR >= 2
#include <posthouse/kv.h>
#include <posthouse/lines.h>
#endif
#if PH_ABI_MINOR >= 4
#include <posthouse/delivery.h>
#endif

struct frozen_conf {
	bool loud;
	unsigned points, wait_ms, mode;
	uint64_t limit;
	const char *word;
	const char *const *names;
	struct ph_net_list nets;
#if PH_ABI_MINOR >= 2
	const char *file;
#endif
#if PH_ABI_MINOR >= 5
	const char *const *files;
#endif
};

struct frozen_session {
	unsigned calls;
	struct ph_dns_batch *batch;
};

static const char *const modes[] = { "one", "two", NULL };

static enum ph_verdict
frozen_on_connect(struct ph_call *call, const void *conf)
{
	const struct frozen_conf *c = conf;
	struct frozen_session *session = ph_call_session_state(call,
	    sizeof(*session));
	char text[PH_ADDR_TEXT_MAX];

	session->calls++;
#if PH_ABI_MINOR >= 3
	ph_note(call, "frozen.calls", "%u", session->calls);
	*(unsigned *)ph_call_message_state(call, sizeof(unsigned)) = 1;
	ph_remove_header(call, "X-Frozen", 0);
	if (strcmp(ph_call_note(call, "frozen.calls"), "1") != 0)
		return ph_reject(call, 554, "5.7.1", "no note");
#endif
	ph_log(PH_INFO, "frozen_connect",
	    ph_f_str("client", ph_addr_format(ph_call_client(call), text)),
	    ph_f_int("calls", session->calls),
	    ph_f_str("word", c->word), ph_f_int("mode", c->mode),
	    ph_f_int("limit", (int64_t)c->limit));
	if (ph_net_list_has(&c->nets, ph_call_client(call)))
		return ph_reject(call, 554, "5.7.1", "frozen out: %s", text);
	return PH_NEXT;
}

static enum ph_verdict
frozen_on_helo(struct ph_call *call, const void *conf)
{
	const struct frozen_conf *c = conf;
	struct ph_slice helo = ph_session_helo(ph_call_session(call));

	for (const char *const *at = c->names; *at != NULL; at++)
		if (ph_slice_eq_nocase(helo, ph_slice_str(*at)))
			return ph_reject(call, 550, "5.7.1", "%s is frozen",
			    *at);
	return ph_sleep_ms(c->wait_ms) == PH_OK ? PH_NEXT : PH_DEFER;
}

static enum ph_verdict
frozen_on_mail(struct ph_call *call, const void *conf)
{
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_slice domain = ph_address_domain(ph_call_sender(call));
	struct ph_dns_batch *batch = ph_dns_batch(arena, 2000);
	const struct ph_dns_answer *answer;
	const char *name = ph_arena_slice(arena, domain).p;
	size_t count;

	(void)conf;
	if (domain.n == 0)
		return PH_NEXT;
	answer = ph_dns_mx(arena, name);
	count = answer->count;
	ph_dns_batch_a(batch, name);
	ph_dns_batch_txt(batch, name);
	while ((answer = ph_dns_batch_next(batch)) != NULL)
		count += answer->result == PH_DNS_OK ? answer->count : 0;
	ph_log(PH_INFO, "frozen_mail", ph_f_slice("domain", domain),
	    ph_f_int("records", (int64_t)count));
	return PH_NEXT;
}

static enum ph_verdict
frozen_on_rcpt(struct ph_call *call, const void *conf)
{
#if PH_ABI_MINOR >= 2
	const struct frozen_conf *c = conf;
	const struct ph_lines *lines;
	int64_t sum = 0;

	(void)ph_kv_add(ph_call_recipient(call), 1, 60000, &sum);
#if PH_ABI_MINOR >= 5
	ph_count("recipients", 1);
	(void)ph_arena_strdup(ph_call_message_arena(call), "kept");
	for (const char *const *at = c->files; *at != NULL; at++)
		if (ph_lines_read(ph_call_arena(call), *at, &lines, NULL) ==
		    PH_OK)
			ph_count("lists", 1);
#endif
	if (c->file[0] != '\0' && ph_lines_read(ph_call_arena(call), c->file,
	    &lines, NULL) == PH_OK &&
	    ph_lines_has(lines, ph_call_recipient(call)))
		return ph_defer(call, 450, "4.2.1", "frozen list, seen %d",
		    (int)sum);
#else
	(void)conf;
	if (ph_slice_starts_nocase(ph_call_recipient(call), "frozen"))
		return ph_defer(call, 450, "4.2.1", "frozen recipient");
#endif
	return PH_NEXT;
}

static enum ph_verdict
frozen_on_message(struct ph_call *call, const void *conf)
{
	const struct frozen_conf *c = conf;
	struct ph_header_field field;

	ph_score(call, c->points);
	ph_reason(call, "%zu octets", ph_call_content(call).n);
	if (ph_header_find(ph_call_header(call), "Subject", &field))
		ph_add_header(call, "X-Frozen", "%.*s", PH_SLICE_ARG(
		    ph_header_unfold(ph_call_arena(call), field.value)));
	return PH_NEXT;
}

#if PH_ABI_MINOR >= 4
static enum ph_verdict
frozen_on_deliver(struct ph_call *call, const void *conf)
{
	static const char *const keywords[] = { "$Frozen", NULL };
	const struct ph_delivery_facts *facts = ph_call_delivery(call);

	(void)conf;
	if (facts->user.p == NULL)
		return ph_redirect(call, PH_LIT("ice@example.test")) ?
		    PH_DISCARD : PH_NEXT;
#if PH_ABI_MINOR >= 5
	ph_reason(call, "score %g", ph_call_score(call));
#endif
	if (ph_slice_starts_nocase(ph_call_recipient(call), "cold"))
		ph_file_into(call, PH_LIT("Ice"), PH_SEEN, keywords);
	return PH_NEXT;
}

static const struct ph_delivery_ops frozen_delivery = {
	.deliver = frozen_on_deliver,
};
#endif

static int
frozen_check_conf(const void *conf, struct ph_err *err)
{
	const struct frozen_conf *c = conf;

	return c->points == 13 ? ph_err_set(err, PH_INVALID, 0,
	    "13 is unlucky") : PH_OK;
}

static const struct ph_option frozen_options[] = {
	PH_OPT_BOOL("loud", struct frozen_conf, loud, "true", "a switch"),
	PH_OPT_UINT("points", struct frozen_conf, points, 0, 100, "2",
	    "points of a message"),
	PH_OPT_MSEC("wait", struct frozen_conf, wait_ms, 0, 1000, "1ms",
	    "how long a name takes"),
	PH_OPT_BYTES("limit", struct frozen_conf, limit, 1, 1 << 30, "64K",
	    "a size"),
	PH_OPT_CHOICE("kind", struct frozen_conf, mode, modes, "two",
	    "a choice"),
	PH_OPT_STRING("word", struct frozen_conf, word, 0, 100, "ice",
	    "a word"),
	PH_OPT_LIST("names", struct frozen_conf, names, 0, 10,
	    "[\"bad.example\"]", "names to refuse"),
	PH_OPT_NETS("nets", struct frozen_conf, nets, 0, 10,
	    "[\"192.0.2.128/25\"]", "clients to refuse"),
#if PH_ABI_MINOR >= 2
	PH_OPT_PATH("file", struct frozen_conf, file, "",
	    "recipients to put off"),
#endif
#if PH_ABI_MINOR >= 5
	PH_OPT_PATHS("files", struct frozen_conf, files, 0, 3, "[]",
	    "lists that are counted"),
#endif
	PH_OPT_END,
};

static const struct ph_check_ops frozen_ops = {
	.at = { [PH_AT_CONNECT] = frozen_on_connect,
	    [PH_AT_HELO] = frozen_on_helo, [PH_AT_MAIL] = frozen_on_mail,
	    [PH_AT_RCPT] = frozen_on_rcpt,
	    [PH_AT_MESSAGE] = frozen_on_message },
};

/* FROZEN_NAME: check_frozen_1_0 */
#define FROZEN_TEXT_(name) #name
#define FROZEN_TEXT(name) FROZEN_TEXT_(name)
#define FROZEN_MODULE(name) PH_MODULE(name)
FROZEN_MODULE(FROZEN_NAME) = {
	.abi = PH_ABI,
	.name = FROZEN_TEXT(FROZEN_NAME),
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct frozen_conf),
	.options = frozen_options,
	.doc = "is as it was",
	.check_conf = frozen_check_conf,
	.check = &frozen_ops,
#if PH_ABI_MINOR >= 4
	.delivery = &frozen_delivery,
#endif
};
