/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.c - see args.h. Parameters of MAIL and RCPT are a table each: a name,
 * whether it has a value, and a function that takes it.
 */
#include "args.h"
#include "future_release.h"

static const struct smtp_reply bad_syntax = { 501, "5.5.4",
	"syntax error in the argument", false };
static const struct smtp_reply bad_param = { 501, "5.5.4",
	"syntax error in a parameter", false };
static const struct smtp_reply unknown_param = { 555, "5.5.4",
	"a parameter is not recognized", false };
static const struct smtp_reply twice_param = { 501, "5.5.4",
	"a parameter is given twice", false };
static const struct smtp_reply bad_sender = { 501, "5.1.7",
	"syntax error in the sender address", false };
static const struct smtp_reply bad_recipient = { 501, "5.1.3",
	"syntax error in the recipient address", false };
static const struct smtp_reply long_sender = { 501, "5.1.7",
	"the sender address is too long", false };
static const struct smtp_reply long_recipient = { 501, "5.1.3",
	"the recipient address is too long", false };
static const struct smtp_reply bad_helo = { 501, "5.5.4",
	"a host name or an address literal is needed", false };
static const struct smtp_reply bad_bdat = { 501, "5.5.4",
	"BDAT needs a size and perhaps LAST", false };

enum { ENVID_MAX = 100, ORCPT_MAX = 500, HELO_MAX = 255 };

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

bool
smtp_xtext_is_valid(struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '+') {
			if (text.n - i < 3 || !is_hex(text.p[i + 1]) ||
			    !is_hex(text.p[i + 2]))
				return false;
			i += 2;
		} else if (text.p[i] <= ' ' || text.p[i] >= 0x7f ||
		    text.p[i] == '=') {
			return false;
		}
	}
	return true;
}

/* --- parameters: esmtp-keyword ["=" esmtp-value], RFC 5321 s4.1.2 --- */

struct param {
	const char *name;
	bool has_value;
	bool (*take)(void *args, struct ph_slice value);
};

static bool
is_keyword(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		const char c = (char)(s.p[i] | 0x20);

		if (!(c >= 'a' && c <= 'z') &&
		    !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    (s.p[i] != '-' || i == 0))
			return false;
	}
	return s.n > 0;
}

static const struct smtp_reply *
take_param(const struct param *table, size_t count, void *args,
    struct ph_slice word, unsigned *seen)
{
	struct ph_slice value = word, name = ph_slice_cut(&value, '=');

	if (!is_keyword(name) || (value.p != NULL && (value.n == 0 ||
	                             memchr(value.p, '=', value.n) != NULL)))
		return &bad_param;
	for (size_t i = 0; i < count; i++) {
		if (!ph_slice_eq_nocase(name, ph_slice_str(table[i].name)))
			continue;
		if (*seen & (1u << i))
			return &twice_param;
		*seen |= 1u << i;
		if (table[i].has_value != (value.p != NULL) ||
		    !table[i].take(args, value))
			return &bad_param;
		return NULL;
	}
	return &unknown_param;
}

static const struct smtp_reply *
take_params(const struct param *table, size_t count, void *args,
    struct ph_slice rest)
{
	const struct smtp_reply *wrong;
	struct ph_slice word;
	unsigned seen = 0;

	if (rest.n > 0 && rest.p[0] != ' ')
		return &bad_syntax;
	while (rest.p != NULL && rest.n > 0) {
		word = ph_slice_cut(&rest, ' ');
		if (word.n == 0)
			continue;
		wrong = take_param(table, count, args, word, &seen);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

/* --- MAIL --- */

static bool
take_size(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	a->has_size = true;
	return value.n <= 20 && ph_slice_number(value, UINT64_MAX, &a->size);
}

static bool
take_body(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	if (ph_slice_eq_nocase(value, PH_LIT("7BIT")))
		a->body = PH_LIT("7BIT");
	else if (ph_slice_eq_nocase(value, PH_LIT("8BITMIME")))
		a->body = PH_LIT("8BITMIME");
	else if (ph_slice_eq_nocase(value, PH_LIT("BINARYMIME")))
		a->body = PH_LIT("BINARYMIME");
	return a->body.p != NULL;
}

static bool
take_smtputf8(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	(void)value;
	a->smtputf8 = true;
	return true;
}

static bool
take_ret(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	if (ph_slice_eq_nocase(value, PH_LIT("FULL")))
		a->ret = PH_LIT("FULL");
	else if (ph_slice_eq_nocase(value, PH_LIT("HDRS")))
		a->ret = PH_LIT("HDRS");
	return a->ret.p != NULL;
}

static bool
take_envid(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	a->envid = value;
	return value.n <= ENVID_MAX && smtp_xtext_is_valid(value);
}

static bool
take_auth(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	a->auth = value;
	return smtp_xtext_is_valid(value);
}

static bool
take_hold_for(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	return smtp_hold_for_parse(value, &a->hold_for);
}

static bool
take_hold_until(void *args, struct ph_slice value)
{
	struct smtp_mail_args *a = args;

	return smtp_hold_until_parse(value, &a->hold_until);
}

static const struct param mail_params[] = {
	{ "SIZE", true, take_size },
	{ "BODY", true, take_body },
	{ "SMTPUTF8", false, take_smtputf8 },
	{ "RET", true, take_ret },
	{ "ENVID", true, take_envid },
	{ "AUTH", true, take_auth },
	{ "HOLDFOR", true, take_hold_for },
	{ "HOLDUNTIL", true, take_hold_until },
};

void
smtp_skip_blanks(struct ph_slice *text)
{
	while (text->n > 0 && text->p[0] == ' ') {
		text->p++;
		text->n--;
	}
}

/* "FROM:" or "TO:"; blanks behind it, which many clients send, are passed. */
static bool
skip_word(struct ph_slice *text, const char *word)
{
	const size_t n = strlen(word);

	if (!ph_slice_starts_nocase(*text, word))
		return false;
	text->p += n;
	text->n -= n;
	smtp_skip_blanks(text);
	return true;
}

/* "a@b SIZE=1" as "<a@b> SIZE=1": what old devices and hands on a keyboard
 * send. An address that could end elsewhere than at the blank stays as it is. */
static struct ph_slice
with_brackets(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice rest = text, word = ph_slice_cut(&rest, ' ');

	if (word.n == 0 || memchr(word.p, '<', word.n) != NULL ||
	    memchr(word.p, '>', word.n) != NULL ||
	    memchr(word.p, '"', word.n) != NULL)
		return text;
	return ph_slice_str(ph_arena_printf(arena,
	    "<" PH_SLICE_FMT ">" PH_SLICE_FMT, PH_SLICE_ARG(word),
	    (int)(text.n - word.n), text.p + word.n));
}

const struct smtp_reply *
smtp_mail_parse(struct ph_arena *arena, bool strict, struct ph_slice text,
    struct smtp_mail_args *args_out)
{
	struct smtp_mail_args args = { 0 };
	const struct smtp_reply *wrong;
	struct ph_slice rest;
	int status;

	if (!skip_word(&text, "FROM:"))
		return &bad_syntax;
	if (!strict)
		text = with_brackets(arena, text);
	status = ph_path_parse(arena, text, &args.path, &rest, NULL);
	if (status != PH_OK)
		return status == PH_TOO_BIG ? &long_sender : &bad_sender;
	args.has_params = rest.n > 0;
	wrong = take_params(mail_params,
	    sizeof(mail_params) / sizeof(mail_params[0]), &args, rest);
	if (wrong == NULL)
		*args_out = args;
	return wrong;
}

/* --- RCPT --- */

/* RFC 3461 s4.1: NEVER, or a list of the others, none twice. */
static bool
take_notify(void *args, struct ph_slice value)
{
	static const char *const word[] = { "NEVER", "SUCCESS", "FAILURE",
		"DELAY" };
	struct smtp_rcpt_args *a = args;
	struct ph_slice rest = value, item;
	unsigned seen = 0, i;

	a->notify = value;
	do {
		item = ph_slice_cut(&rest, ',');
		for (i = 0; i < 4; i++)
			if (ph_slice_eq_nocase(item, ph_slice_str(word[i])))
				break;
		if (i == 4 || (seen & (1u << i)))
			return false;
		seen |= 1u << i;
	} while (rest.p != NULL);
	return !(seen & 1u) || seen == 1;
}

/* RFC 6533 s3: printable, UTF-8 and \x{HEX}; the rest is the sender's. */
static bool
is_utf8_address(struct ph_slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if ((value.p[i] >= 0 && value.p[i] <= ' ') ||
		    value.p[i] == 0x7f || value.p[i] == '=')
			return false;
	return true;
}

static bool
take_orcpt(void *args, struct ph_slice value)
{
	struct smtp_rcpt_args *a = args;
	struct ph_slice rest = value, type = ph_slice_cut(&rest, ';');

	a->orcpt = value;
	if (value.n > ORCPT_MAX || !is_keyword(type) || rest.p == NULL ||
	    rest.n == 0)
		return false;
	if (ph_slice_eq_nocase(type, PH_LIT("utf-8")))
		return is_utf8_address(rest);
	return smtp_xtext_is_valid(rest);
}

static const struct param rcpt_params[] = {
	{ "NOTIFY", true, take_notify },
	{ "ORCPT", true, take_orcpt },
};

const struct smtp_reply *
smtp_rcpt_parse(struct ph_arena *arena, bool strict, struct ph_slice text,
    struct smtp_rcpt_args *args_out)
{
	static const char postmaster[] = "<postmaster>";
	struct smtp_rcpt_args args = { 0 };
	const struct smtp_reply *wrong;
	struct ph_slice rest;
	int status;

	if (!skip_word(&text, "TO:"))
		return &bad_syntax;
	if (!strict)
		text = with_brackets(arena, text);
	if (ph_slice_starts_nocase(text, postmaster)) { /* s4.1.1.3 */
		args.is_postmaster = true;
		args.path.local = args.path.address = PH_LIT("postmaster");
		rest.p = text.p + sizeof(postmaster) - 1;
		rest.n = text.n - (sizeof(postmaster) - 1);
	} else {
		status = ph_path_parse(arena, text, &args.path, &rest, NULL);
		if (status == PH_TOO_BIG)
			return &long_recipient;
		if (status != PH_OK || args.path.is_null ||
		    args.path.domain.n == 0)
			return &bad_recipient;
	}
	args.has_params = rest.n > 0;
	wrong = take_params(rcpt_params,
	    sizeof(rcpt_params) / sizeof(rcpt_params[0]), &args, rest);
	if (wrong == NULL)
		*args_out = args;
	return wrong;
}

/* --- the others --- */

/* RFC 3030 s2: bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] */
const struct smtp_reply *
smtp_bdat_parse(struct ph_slice text, struct smtp_bdat_args *args_out)
{
	struct smtp_bdat_args args = { 0 };
	struct ph_slice size = ph_slice_cut(&text, ' ');

	if (size.n > 20 || !ph_slice_number(size, INT64_MAX, &args.size))
		return &bad_bdat;
	if (text.p != NULL) {
		if (!ph_slice_eq_nocase(ph_slice_trim(text), PH_LIT("LAST")))
			return &bad_bdat;
		args.last = true;
	}
	*args_out = args;
	return NULL;
}

const struct smtp_reply *
smtp_helo_parse(struct ph_slice text, struct ph_slice *name_out)
{
	if (text.n == 0 || text.n > HELO_MAX)
		return &bad_helo;
	for (size_t i = 0; i < text.n; i++) {
		const char c = (char)(text.p[i] | 0x20);

		if (!(c >= 'a' && c <= 'z') &&
		    (text.p[i] <= 0 || strchr("0123456789.-_:[]%'+/",
		                           text.p[i]) == NULL))
			return &bad_helo;
	}
	*name_out = text;
	return NULL;
}

/* RFC 4954 s4: sasl-mech of RFC 4422, then base64 or "=". */
const struct smtp_reply *
smtp_auth_parse(struct ph_slice text, struct ph_slice *mechanism_out,
    struct ph_slice *initial_out)
{
	struct ph_slice mechanism = ph_slice_cut(&text, ' ');

	smtp_skip_blanks(&text);
	if (mechanism.n == 0 || mechanism.n > 20 ||
	    (text.p != NULL &&
	        (text.n == 0 || memchr(text.p, ' ', text.n) != NULL)))
		return &bad_syntax;
	*mechanism_out = mechanism;
	*initial_out = text;
	return NULL;
}
