/* SPDX-License-Identifier: Apache-2.0 */
/* dkim.c - see dkim.h. */
#include "dkim.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

enum {
	RSA_BITS_MIN = 1024, /* RFC 8301 s3.2 */
	FIELDS_MAX = 1000,
	WORD = 64,           /* of base64 in a field, so that it can be folded */
};

struct ph_slice
dkim_tag(struct ph_slice list, const char *name)
{
	while (list.p != NULL) {
		struct ph_slice value = ph_slice_cut(&list, ';'), tag;

		tag = ph_slice_trim(ph_slice_cut(&value, '='));
		if (ph_slice_eq(tag, ph_slice_str(name)) && value.p != NULL)
			return ph_slice_trim(value);
	}
	return (struct ph_slice){ NULL, 0 };
}

static bool
is(struct ph_slice text, const char *what)
{
	return ph_slice_eq_nocase(text, ph_slice_str(what));
}

/* --- base64 --- */

/* Blanks and folds may stand anywhere. Absent: it is none. */
static struct ph_slice
decode(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice out = { NULL, 0 };
	struct ph_buf packed;
	unsigned char *p;
	int n;

	ph_buf_init(&packed, arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++)
		if (strchr(" \t\r\n", text.p[i]) == NULL)
			ph_buf_char(&packed, text.p[i]);
	p = ph_arena_alloc(arena, packed.n / 4 * 3 + 4);
	n = EVP_DecodeBlock(p, (const unsigned char *)packed.p, (int)packed.n);
	if (n <= 0 || packed.n % 4 != 0)
		return out;
	for (size_t i = packed.n; i > 0 && packed.p[i - 1] == '='; i--)
		n--; /* DecodeBlock counts the padding */
	return (struct ph_slice){ (char *)p, (size_t)n };
}

static void
encode(struct ph_buf *buf, const unsigned char *p, size_t n, bool in_words)
{
	char *text = ph_arena_alloc(buf->arena, n / 3 * 4 + 5);

	EVP_EncodeBlock((unsigned char *)text, p, (int)n);
	for (; in_words && strlen(text) > WORD; text += WORD)
		ph_buf_printf(buf, "%.*s ", WORD, text);
	ph_buf_str(buf, text);
}

/* --- what a signature says --- */

static const char *
take_canon(struct ph_slice canon, struct dkim *dkim)
{
	struct ph_slice body = canon, header;

	if (canon.p == NULL)
		return NULL; /* simple, both */
	header = ph_slice_cut(&body, '/');
	dkim->is_header_relaxed = is(header, "relaxed");
	dkim->is_body_relaxed = is(body, "relaxed");
	if ((!dkim->is_header_relaxed && !is(header, "simple")) ||
	    (body.p != NULL && !dkim->is_body_relaxed && !is(body, "simple")))
		return "unknown canonicalization";
	return NULL;
}

static bool
signs_from(struct ph_slice names)
{
	while (names.p != NULL)
		if (is(ph_slice_trim(ph_slice_cut(&names, ':')), "from"))
			return true;
	return false;
}

static const char *
take_numbers(struct ph_slice list, struct dkim *dkim)
{
	struct ph_slice length = dkim_tag(list, "l");
	struct ph_slice expires = dkim_tag(list, "x");

	dkim->body_limit = UINT64_MAX;
	if (length.p != NULL && !ph_slice_number(length, INT64_MAX,
	        &dkim->body_limit))
		return "l= is no number";
	if (expires.p != NULL && !ph_slice_number(expires, INT64_MAX,
	        &dkim->expires_at))
		return "x= is no number";
	return NULL;
}

const char *
dkim_parse(struct ph_arena *arena, const struct ph_header_field *field,
    struct dkim *dkim_out)
{
	struct ph_slice list = ph_header_unfold(arena, field->value);
	struct dkim dkim = { .field = *field,
		.domain = ph_domain_canonical(arena, dkim_tag(list, "d")),
		.selector = dkim_tag(list, "s"),
		.algorithm = dkim_tag(list, "a"), .names = dkim_tag(list, "h"),
		.body_hash = decode(arena, dkim_tag(list, "bh")),
		.signature = decode(arena, dkim_tag(list, "b")) };
	struct ph_slice identity = dkim_tag(list, "i");
	const char *wrong;

	*dkim_out = dkim; /* so that it can be named, whatever is wrong */
	if (!is(dkim_tag(list, "v"), "1"))
		return "no version 1";
	if (!ph_domain_is_valid(dkim.domain) || dkim.selector.n == 0 ||
	    !ph_domain_is_valid(dkim.selector))
		return "no domain or selector";
	if (!is(dkim.algorithm, "rsa-sha256") &&
	    !is(dkim.algorithm, "ed25519-sha256"))
		return "unknown algorithm";
	if (dkim.body_hash.n != DIGEST_OCTETS || dkim.signature.n == 0)
		return "no hash or signature";
	if (!signs_from(dkim.names))
		return "From is not signed"; /* s5.4 */
	if (identity.p != NULL) { /* s3.5: of the domain or below */
		struct ph_slice below = ph_slice_str(ph_arena_printf(arena,
		    "." PH_SLICE_FMT, PH_SLICE_ARG(dkim.domain)));
		struct ph_slice of = ph_address_domain(identity);

		if (!ph_domain_eq(of, dkim.domain) &&
		    !ph_domain_fits(below, of))
			return "i= is not of d=";
	}
	wrong = take_canon(dkim_tag(list, "c"), &dkim);
	if (wrong == NULL)
		wrong = take_numbers(list, &dkim);
	*dkim_out = dkim;
	return wrong;
}

EVP_PKEY *
dkim_key(struct ph_arena *arena, struct ph_slice record,
    const struct dkim *dkim, const char **why_out)
{
	struct ph_slice version = dkim_tag(record, "v"), octets;
	struct ph_slice type = dkim_tag(record, "k");
	bool is_ed = is(type, "ed25519");
	const unsigned char *p;
	EVP_PKEY *key;

	*why_out = "no key that fits";
	if ((version.p != NULL && !ph_slice_eq(version, PH_LIT("DKIM1"))) ||
	    (type.p != NULL && !is_ed && !is(type, "rsa")) ||
	    is_ed != is(dkim->algorithm, "ed25519-sha256"))
		return NULL;
	if (dkim_tag(record, "p").n == 0) {
		*why_out = "revoked"; /* s3.6.1 */
		return NULL;
	}
	octets = decode(arena, dkim_tag(record, "p"));
	p = (const unsigned char *)octets.p;
	key = octets.p == NULL ? NULL : is_ed ?
	    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, octets.n) :
	    d2i_PUBKEY(NULL, &p, (long)octets.n);
	if (key != NULL && !is_ed && (EVP_PKEY_base_id(key) != EVP_PKEY_RSA ||
	    EVP_PKEY_bits(key) < RSA_BITS_MIN)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

/* --- hashes --- */

/* The field as it was before it was signed: b= is empty. s3.7 */
static struct ph_slice
without_signature(struct ph_arena *arena, struct ph_slice text, size_t from)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, text.n + 1);
	ph_buf_add(&buf, text.p, from);
	text = (struct ph_slice){ text.p + from, text.n - from };
	while (text.p != NULL) {
		struct ph_slice value = ph_slice_cut(&text, ';'), tag;
		struct ph_slice all = value;

		tag = ph_slice_cut(&value, '=');
		if (value.p != NULL && ph_slice_eq(ph_slice_trim(tag),
		        PH_LIT("b")))
			all.n = tag.n + 1;
		ph_buf_slice(&buf, all);
		if (text.p != NULL)
			ph_buf_char(&buf, ';');
	}
	return ph_buf_content(&buf);
}

/* Of fields with one name the last counts first. s5.4.2 */
static void
hash_fields(EVP_MD_CTX *md, struct ph_arena *arena, const struct dkim *dkim,
    struct ph_slice header)
{
	struct ph_header_field *fields = ph_arena_array(arena, FIELDS_MAX,
	    sizeof(*fields));
	struct ph_slice names = dkim->names;
	size_t count = 0;

	while (count < FIELDS_MAX && ph_header_next(&header, &fields[count]))
		count++;
	while (names.p != NULL) {
		struct ph_slice name = ph_slice_trim(ph_slice_cut(&names, ':'));
		size_t i = count;

		while (i > 0 && (fields[i - 1].name.p == NULL ||
		    !ph_slice_eq_nocase(ph_slice_trim(fields[i - 1].name),
		        name)))
			i--;
		if (i == 0)
			continue;
		canon_field(md, &fields[i - 1], dkim->is_header_relaxed, false);
		fields[i - 1].name = (struct ph_slice){ NULL, 0 };
	}
}

static void
hash_header(const struct dkim *dkim, struct ph_slice header,
    unsigned char digest[DIGEST_OCTETS])
{
	struct ph_arena *arena = ph_arena_create(NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct ph_header_field own = dkim->field;

	own.value = without_signature(arena, own.value, 0);
	own.whole = without_signature(arena, own.whole,
	    (size_t)(dkim->field.value.p - dkim->field.whole.p));
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	hash_fields(md, arena, dkim, header);
	canon_field(md, &own, dkim->is_header_relaxed, true);
	EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	ph_arena_free(arena);
}

/* False: there is less of the body than was signed. */
static bool
hash_body(const struct dkim *dkim, struct ph_slice body,
    unsigned char digest[DIGEST_OCTETS])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint64_t all;

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	all = canon_body(md, body, dkim->is_body_relaxed, dkim->body_limit);
	EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	return dkim->body_limit == UINT64_MAX || dkim->body_limit <= all;
}

/* --- keys at work --- */

static bool
is_signed(EVP_PKEY *key, struct ph_slice signature,
    const unsigned char digest[DIGEST_OCTETS])
{
	const unsigned char *p = (const unsigned char *)signature.p;
	EVP_PKEY_CTX *rsa = EVP_PKEY_CTX_new(key, NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good;

	if (EVP_PKEY_base_id(key) == EVP_PKEY_ED25519)
		good = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(md, p, signature.n, digest,
		        DIGEST_OCTETS) == 1;
	else
		good = EVP_PKEY_verify_init(rsa) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(rsa, EVP_sha256()) == 1 &&
		    EVP_PKEY_verify(rsa, p, signature.n, digest,
		        DIGEST_OCTETS) == 1;
	EVP_PKEY_CTX_free(rsa);
	EVP_MD_CTX_free(md);
	return good;
}

static bool
sign(EVP_PKEY *key, const unsigned char digest[DIGEST_OCTETS],
    unsigned char *signature, size_t *n)
{
	EVP_PKEY_CTX *rsa = EVP_PKEY_CTX_new(key, NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good;

	if (EVP_PKEY_base_id(key) == EVP_PKEY_ED25519)
		good = EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(md, signature, n, digest,
		        DIGEST_OCTETS) == 1;
	else
		good = EVP_PKEY_sign_init(rsa) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(rsa, EVP_sha256()) == 1 &&
		    EVP_PKEY_sign(rsa, signature, n, digest,
		        DIGEST_OCTETS) == 1;
	EVP_PKEY_CTX_free(rsa);
	EVP_MD_CTX_free(md);
	return good;
}

const char *
dkim_verify(const struct dkim *dkim, EVP_PKEY *key, struct ph_slice header,
    struct ph_slice body)
{
	unsigned char digest[DIGEST_OCTETS];

	if (!hash_body(dkim, body, digest) ||
	    memcmp(digest, dkim->body_hash.p, DIGEST_OCTETS) != 0)
		return "the body was changed";
	hash_header(dkim, header, digest);
	return is_signed(key, dkim->signature, digest) ? NULL :
	    "the header was changed, or it is another key's";
}

/* "from: to: subject: ..." of those that are there; From once more, so that no
 * second one can be added. */
static const char *
names_of(struct ph_arena *arena, struct ph_slice header)
{
	static const char *const signed_ones[] = { "from", "reply-to", "to",
		"cc", "subject", "date", "message-id", "in-reply-to",
		"references", "mime-version", "content-type",
		"content-transfer-encoding" };
	struct ph_header_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1024);
	ph_buf_str(&buf, "from");
	for (size_t i = 0; i < sizeof(signed_ones) / sizeof(signed_ones[0]);
	     i++)
		if (ph_header_find(header, signed_ones[i], &field))
			ph_buf_printf(&buf, ": %s", signed_ones[i]);
	ph_buf_char(&buf, '\0');
	return buf.p;
}

const char *
dkim_sign(struct ph_arena *arena, const struct dkim *like, EVP_PKEY *key,
    struct ph_slice header, struct ph_slice body, int64_t now)
{
	struct dkim dkim = *like;
	unsigned char digest[DIGEST_OCTETS], *signature;
	size_t n = (size_t)EVP_PKEY_size(key);
	const char *names = names_of(arena, header);
	struct ph_buf value;

	dkim.is_header_relaxed = dkim.is_body_relaxed = true;
	dkim.body_limit = UINT64_MAX;
	dkim.names = ph_slice_str(names);
	hash_body(&dkim, body, digest);
	ph_buf_init(&value, arena, 8192);
	ph_buf_printf(&value, "v=1; a=%s-sha256; c=relaxed/relaxed; d="
	    PH_SLICE_FMT "; s=" PH_SLICE_FMT "; t=%lld; h=%s; bh=",
	    EVP_PKEY_base_id(key) == EVP_PKEY_ED25519 ? "ed25519" : "rsa",
	    PH_SLICE_ARG(dkim.domain), PH_SLICE_ARG(dkim.selector),
	    (long long)now, names);
	encode(&value, digest, DIGEST_OCTETS, false);
	ph_buf_str(&value, "; b=");
	dkim.field = (struct ph_header_field){ PH_LIT("DKIM-Signature"),
		ph_buf_content(&value), ph_buf_content(&value) };
	hash_header(&dkim, header, digest);
	signature = ph_arena_alloc(arena, n);
	if (!sign(key, digest, signature, &n))
		return NULL;
	encode(&value, signature, n, true);
	ph_buf_char(&value, '\0');
	return value.full ? NULL : value.p;
}
