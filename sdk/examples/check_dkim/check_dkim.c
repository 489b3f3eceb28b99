/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_dkim - verifies the signatures of mail that comes, and signs mail that
 * our users send (RFC 6376). An example of a check that reads header and body
 * as they are stored, uses a library in a thread, takes keys from DNS and from
 * files. Its result is a field Authentication-Results and, for checks of a
 * later order, the notes dkim.result and dkim.pass: the domains whose signatures
 * are good. It refuses nothing: a broken signature is as good as none (s6.1).
 */
#include <posthouse/check.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "dkim.h"

enum { SIGNATURES_MAX = 5 }; /* each may cost a question to DNS */

struct dkim_conf {
	bool verify;
	const char *const *keys;
};

/* What a thread does. */
struct job {
	struct ph_arena *arena;
	const struct dkim *dkim;
	struct ph_slice header, body;
	EVP_PKEY *key;
	const char *file; /* of the key */
	int64_t now;
	const char *text; /* why not; the field's value */
};

static struct job
job_of(struct ph_call *call, const struct dkim *dkim)
{
	struct job job = { .arena = ph_call_arena(call), .dkim = dkim,
		.header = ph_call_header(call), .body = ph_call_content(call),
		.now = ph_wall_time() };

	job.body.p += job.header.n;
	job.body.n -= job.header.n;
	return job;
}

/* --- verifying --- */

struct finding {
	struct dkim dkim;
	const char *result, *why; /* RFC 8601 s2.7.1 */
};

static void
verify_work(void *arg)
{
	struct job *job = arg;

	job->text = dkim_verify(job->dkim, job->key, job->header, job->body);
	OPENSSL_thread_stop(); /* the thread is not ours to keep things in */
}

static void
judge(struct ph_call *call, struct finding *f, struct ph_slice record)
{
	struct job job = job_of(call, &f->dkim);

	job.key = dkim_key(job.arena, record, &f->dkim, &f->why);
	f->result = "permerror";
	if (job.key == NULL)
		return;
	ph_work(verify_work, &job);
	EVP_PKEY_free(job.key);
	f->result = job.text == NULL ? "pass" : "fail";
	f->why = job.text;
}

static void
verify_one(struct ph_call *call, struct finding *f)
{
	struct ph_arena *arena = ph_call_arena(call);
	const struct ph_dns_answer *answer;

	f->result = "neutral";
	if (f->why != NULL)
		return;
	if (f->dkim.expires_at != 0 &&
	    f->dkim.expires_at < (uint64_t)ph_wall_time()) {
		f->why = "expired";
		return;
	}
	answer = ph_dns_txt(arena, ph_arena_printf(arena, PH_SLICE_FMT
	    "._domainkey." PH_SLICE_FMT, PH_SLICE_ARG(f->dkim.selector),
	    PH_SLICE_ARG(f->dkim.domain)));
	if (answer->result == PH_DNS_OK) {
		judge(call, f, answer->txt[0]);
		return;
	}
	f->result = answer->result == PH_DNS_NO_ANSWER ? "temperror" :
	                                                 "permerror";
	f->why = "no key";
}

/* What says that it is ours and is not. */
static void
remove_forged(struct ph_call *call)
{
	struct ph_slice rest = ph_call_header(call), id;
	struct ph_slice host = ph_slice_str(
	    ph_session_hostname(ph_call_session(call)));
	struct ph_header_field field;
	unsigned n = 0;

	while (ph_header_next(&rest, &field)) {
		if (!ph_slice_eq_nocase(field.name,
		        PH_LIT("Authentication-Results")))
			continue;
		n++;
		id = ph_header_unfold(ph_call_arena(call), field.value);
		id = ph_slice_trim(ph_slice_cut(&id, ';'));
		if (ph_domain_eq(ph_slice_cut(&id, ' '), host))
			ph_remove_header(call, "Authentication-Results", n--);
	}
}

static void
tell(struct ph_call *call, const struct finding *findings, size_t count)
{
	struct ph_arena *arena = ph_call_arena(call);
	const char *result = "none";
	struct ph_buf field, pass;

	ph_buf_init(&field, arena, 8192);
	ph_buf_init(&pass, arena, 400);
	ph_buf_printf(&field, "%s",
	    ph_session_hostname(ph_call_session(call)));
	for (const struct finding *f = findings; f < findings + count; f++) {
		bool is_good = strcmp(f->result, "pass") == 0;

		ph_buf_printf(&field, "; dkim=%s%s%s%s header.d=" PH_SLICE_FMT
		    " header.s=" PH_SLICE_FMT, f->result,
		    f->why != NULL ? " (" : "", f->why != NULL ? f->why : "",
		    f->why != NULL ? ")" : "", PH_SLICE_ARG(f->dkim.domain),
		    PH_SLICE_ARG(f->dkim.selector));
		ph_log(PH_INFO, "dkim", ph_f_str("result", f->result),
		    ph_f_slice("domain", f->dkim.domain),
		    ph_f_slice("selector", f->dkim.selector),
		    ph_f_str("reason", f->why));
		if (is_good)
			ph_buf_printf(&pass, "%s" PH_SLICE_FMT, pass.n > 0 ?
			    " " : "", PH_SLICE_ARG(f->dkim.domain));
		if (is_good || strcmp(result, "none") == 0)
			result = f->result;
		ph_count(f->result, 1);
	}
	ph_note(call, "dkim.result", "%s", result);
	ph_note(call, "dkim.pass", PH_SLICE_FMT,
	    PH_SLICE_ARG(ph_buf_content(&pass)));
	ph_add_header(call, "Authentication-Results", PH_SLICE_FMT "%s",
	    PH_SLICE_ARG(ph_buf_content(&field)),
	    count == 0 ? "; dkim=none" : "");
}

static void
verify(struct ph_call *call)
{
	struct finding *findings = ph_arena_array(ph_call_arena(call),
	    SIGNATURES_MAX, sizeof(*findings));
	struct ph_slice rest = ph_call_header(call);
	struct ph_header_field field;
	size_t count = 0;

	while (count < SIGNATURES_MAX && ph_header_next(&rest, &field)) {
		if (!ph_slice_eq_nocase(ph_slice_trim(field.name),
		        PH_LIT("DKIM-Signature")))
			continue;
		findings[count].why = dkim_parse(ph_call_arena(call), &field,
		    &findings[count].dkim);
		count++;
	}
	for (size_t i = 0; i < count; i++)
		verify_one(call, &findings[i]);
	remove_forged(call);
	tell(call, findings, count);
}

/* --- signing --- */

static EVP_PKEY *
read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key;

	if (file == NULL)
		return NULL;
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	return key;
}

static void
sign_work(void *arg)
{
	struct job *job = arg;
	EVP_PKEY *key = read_key(job->file);

	if (key != NULL)
		job->text = dkim_sign(job->arena, job->dkim, key, job->header,
		    job->body, job->now);
	EVP_PKEY_free(key);
	OPENSSL_thread_stop();
}

/* "/path/SELECTOR.DOMAIN.pem". False: no such name. */
static bool
take_name(struct ph_slice path, struct dkim *dkim)
{
	struct ph_slice name = path;

	while (memchr(name.p, '/', name.n) != NULL)
		(void)ph_slice_cut(&name, '/');
	if (name.n < 5 || memcmp(name.p + name.n - 4, ".pem", 4) != 0)
		return false;
	name.n -= 4;
	dkim->selector = ph_slice_cut(&name, '.');
	dkim->domain = name;
	return dkim->selector.n > 0 && name.n > 0;
}

/* Of the first address in From; absent: none. */
static struct ph_slice
from_domain(struct ph_call *call)
{
	const struct ph_mailbox_addr *from;
	struct ph_header_field field;

	if (!ph_header_find(ph_call_header(call), "From", &field) ||
	    ph_address_list(ph_call_arena(call), field.value, 1, &from) == 0)
		return (struct ph_slice){ NULL, 0 };
	return from->domain;
}

static enum ph_verdict
sign(struct ph_call *call, const struct dkim_conf *c)
{
	struct ph_slice domain = from_domain(call);
	struct dkim dkim = { .body_limit = 0 };
	struct job job = job_of(call, &dkim);

	for (const char *const *file = c->keys; *file != NULL; file++) {
		if (!take_name(ph_slice_str(*file), &dkim) ||
		    !ph_domain_eq(dkim.domain, domain))
			continue;
		job.file = *file;
		ph_work(sign_work, &job);
		if (job.text == NULL) {
			ph_log(PH_ERROR, "dkim_not_signed",
			    ph_f_str("file", *file));
			return ph_defer(call, 451, "4.7.5",
			    "this can't be signed now, try again later");
		}
		ph_log(PH_INFO, "dkim_signed", ph_f_slice("domain", domain),
		    ph_f_slice("selector", dkim.selector));
		ph_count("signed", 1);
		ph_add_header(call, "DKIM-Signature", "%s", job.text);
	}
	return PH_NEXT;
}

static enum ph_verdict
dkim_on_message(struct ph_call *call, const void *conf)
{
	const struct ph_session *session = ph_call_session(call);
	const struct dkim_conf *c = conf;

	if (ph_session_user(session) != NULL || ph_session_may_relay(session))
		return sign(call, c);
	if (c->verify)
		verify(call);
	return PH_NEXT;
}

static int
dkim_check_conf(const void *conf, struct ph_err *err)
{
	const struct dkim_conf *c = conf;
	struct dkim dkim;

	for (const char *const *file = c->keys; *file != NULL; file++)
		if (!take_name(ph_slice_str(*file), &dkim))
			return ph_err_set(err, PH_INVALID, 0,
			    "keys: %s is not SELECTOR.DOMAIN.pem", *file);
	return PH_OK;
}

static const struct ph_option dkim_options[] = {
	PH_OPT_BOOL("verify", struct dkim_conf, verify, "true",
	    "look at the signatures of mail from elsewhere"),
	PH_OPT_PATHS("keys", struct dkim_conf, keys, 0, 100, "[]",
	    "private keys to sign with, each SELECTOR.DOMAIN.pem"),
	PH_OPT_END,
};

static const struct ph_check_ops dkim_ops = {
	.at = { [PH_AT_MESSAGE] = dkim_on_message },
};

PH_MODULE(check_dkim) = {
	.abi = PH_ABI,
	.name = "check_dkim",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct dkim_conf),
	.options = dkim_options,
	.check_conf = dkim_check_conf,
	.doc = "verifies signatures of mail, and signs it",
	.check = &dkim_ops,
};
