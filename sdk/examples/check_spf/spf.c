/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf.c - check_host(), RFC 7208 s4: a record's terms from left to right, the
 * first that fits decides. Mistakes behind that one are not looked for.
 */
#include "spf.h"

#include <posthouse/dns.h>
#include <posthouse/mail.h>

#include "macro.h"

/* s4.6.4 */
enum { LOOKUPS_MAX = 10, VOIDS_MAX = 2, HOSTS_MAX = 10 };

/* What a mechanism came to, s4.6.2. */
enum fit { FITS, FITS_NOT, FIT_TEMPERROR, FIT_PERMERROR };

/* A directive: qualifier, name, ":" domain-spec, "/" cidr "//" cidr. */
struct term {
	char qualifier;
	struct ph_slice name, spec, cidr; /* absent: not there */
};

const char *
spf_result_name(enum spf_result result)
{
	static const char *const names[] = { "none", "neutral", "pass", "fail",
		"softfail", "temperror", "permerror" };

	return names[result];
}

static bool
is(struct ph_slice name, const char *what)
{
	return ph_slice_eq_nocase(name, ph_slice_str(what));
}

/* One of the ten; false: it is too much. */
static bool
may_ask(struct spf *spf)
{
	return ++spf->lookups <= LOOKUPS_MAX;
}

/* Whether an answer says what is there; else *fit_out is what that makes. */
static bool
has_answer(struct spf *spf, const struct ph_dns_answer *answer,
    enum fit *fit_out)
{
	if (answer->result == PH_DNS_OK)
		return true;
	*fit_out = answer->result == PH_DNS_NO_ANSWER ? FIT_TEMPERROR :
	    ++spf->voids > VOIDS_MAX                  ? FIT_PERMERROR :
	                                                FITS_NOT;
	return false;
}

/* "/24", "//64", "/24//64": the length for the client's family; false: wrong. */
static bool
prefix_length(const struct spf *spf, struct ph_slice cidr, uint8_t *bits_out)
{
	bool is_six = spf->client->family == 6;
	uint64_t four = 32, six = 128;
	struct ph_slice text;

	if (cidr.p == NULL) {
		*bits_out = is_six ? 128 : 32;
		return true;
	}
	(void)ph_slice_cut(&cidr, '/'); /* it begins with one */
	text = ph_slice_cut(&cidr, '/');
	if ((text.n > 0 || cidr.p == NULL) && !ph_slice_number(text, 32, &four))
		return false;
	if (cidr.p != NULL) {
		if (cidr.n > 0 && cidr.p[0] == '/')
			(void)ph_slice_cut(&cidr, '/');
		if (!ph_slice_number(cidr, 128, &six))
			return false;
	}
	*bits_out = (uint8_t)(is_six ? six : four);
	return true;
}

static bool
is_client(const struct spf *spf, const struct ph_addr *addr, uint8_t bits)
{
	const struct ph_net net = { *addr, bits };

	return ph_net_has(&net, spf->client);
}

static enum fit
fit_addresses(struct spf *spf, const char *name, uint8_t bits)
{
	const struct ph_dns_answer *answer = spf->client->family == 6 ?
	    ph_dns_aaaa(spf->arena, name) : ph_dns_a(spf->arena, name);
	enum fit fit;

	if (!has_answer(spf, answer, &fit))
		return fit;
	for (size_t i = 0; i < answer->count; i++)
		if (is_client(spf, &answer->addr[i], bits))
			return FITS;
	return FITS_NOT;
}

static enum fit
fit_mx(struct spf *spf, const char *name, uint8_t bits)
{
	const struct ph_dns_answer *answer = ph_dns_mx(spf->arena, name);
	enum fit fit = FITS_NOT;

	if (!has_answer(spf, answer, &fit))
		return fit;
	if (answer->count > HOSTS_MAX)
		return FIT_PERMERROR;
	for (size_t i = 0; i < answer->count && fit == FITS_NOT; i++)
		fit = fit_addresses(spf, answer->mx[i].host, bits);
	return fit;
}

/* The client's names below the domain whose address is the client's, s5.5. */
static enum fit
fit_ptr(struct spf *spf, const char *name)
{
	const struct ph_dns_answer *answer = ph_dns_ptr(spf->arena,
	    spf->client);
	const char *below = ph_arena_printf(spf->arena, ".%s", name);
	uint8_t all = spf->client->family == 6 ? 128 : 32;

	for (size_t i = 0; i < answer->count && i < HOSTS_MAX; i++) {
		struct ph_slice host = ph_slice_str(answer->ptr[i]);

		if ((ph_domain_eq(ph_slice_str(name), host) ||
		        ph_domain_fits(ph_slice_str(below), host)) &&
		    fit_addresses(spf, answer->ptr[i], all) == FITS)
			return FITS;
	}
	return FITS_NOT;
}

static enum fit
fit_exists(struct spf *spf, const char *name)
{
	enum fit fit = FITS;

	return has_answer(spf, ph_dns_a(spf->arena, name), &fit) ? FITS : fit;
}

/* s5.2: what the other record comes to, as a mechanism. */
static enum fit
fit_include(struct spf *spf, const char *name)
{
	switch (spf_check(spf, name)) {
	case SPF_PASS:
		return FITS;
	case SPF_TEMPERROR:
		return FIT_TEMPERROR;
	case SPF_NONE:
	case SPF_PERMERROR:
		return FIT_PERMERROR;
	default:
		return FITS_NOT;
	}
}

static enum fit
fit_ip(const struct spf *spf, const struct term *term, uint8_t family)
{
	struct ph_slice cidr = term->cidr;
	uint64_t bits = family == 6 ? 128 : 32;
	struct ph_addr addr;

	if (cidr.p != NULL && !ph_slice_number((struct ph_slice){ cidr.p + 1,
	        cidr.n - 1 }, bits, &bits))
		return FIT_PERMERROR;
	if (!ph_addr_parse(term->spec, &addr) || addr.family != family)
		return FIT_PERMERROR;
	return is_client(spf, &addr, (uint8_t)bits) ? FITS : FITS_NOT;
}

/* A mechanism that asks DNS. */
static enum fit
fit_asked(struct spf *spf, const char *domain, const struct term *term)
{
	const char *name = term->spec.p != NULL ?
	    macro_expand(spf, domain, term->spec) : domain;
	uint8_t bits;

	if (!may_ask(spf) || name == NULL || *name == '\0' ||
	    !prefix_length(spf, term->cidr, &bits))
		return FIT_PERMERROR;
	if (is(term->name, "a"))
		return fit_addresses(spf, name, bits);
	if (is(term->name, "mx"))
		return fit_mx(spf, name, bits);
	if (is(term->name, "ptr"))
		return fit_ptr(spf, name);
	if (is(term->name, "exists") && term->spec.p != NULL)
		return fit_exists(spf, name);
	if (is(term->name, "include") && term->spec.p != NULL)
		return fit_include(spf, name);
	return FIT_PERMERROR;
}

static enum fit
fit(struct spf *spf, const char *domain, const struct term *term)
{
	if (is(term->name, "all"))
		return FITS;
	if (is(term->name, "ip4"))
		return fit_ip(spf, term, 4);
	if (is(term->name, "ip6"))
		return fit_ip(spf, term, 6);
	return fit_asked(spf, domain, term);
}

/* Pure. */
static struct term
term_of(struct ph_slice text)
{
	struct term term = { '+', { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	size_t colon = 0, slash;

	if (text.n > 0 && strchr("+-?~", text.p[0]) != NULL) {
		term.qualifier = text.p[0];
		text = (struct ph_slice){ text.p + 1, text.n - 1 };
	}
	while (colon < text.n && text.p[colon] != ':' && text.p[colon] != '/')
		colon++;
	for (slash = colon; slash < text.n; slash++) {
		/* one inside of "%{...}" is no prefix length */
		if (text.p[slash] == '{')
			while (slash < text.n && text.p[slash] != '}')
				slash++;
		else if (text.p[slash] == '/')
			break;
	}
	if (slash > text.n)
		slash = text.n;
	term.name = (struct ph_slice){ text.p, colon };
	if (slash > colon)
		term.spec = (struct ph_slice){ text.p + colon + 1,
			slash - colon - 1 };
	if (slash < text.n)
		term.cidr = (struct ph_slice){ text.p + slash,
			text.n - slash };
	return term;
}

static enum spf_result
result_of(char qualifier)
{
	return qualifier == '-' ? SPF_FAIL : qualifier == '~' ? SPF_SOFTFAIL :
	    qualifier == '?'                                  ? SPF_NEUTRAL :
	                                                        SPF_PASS;
}

/* "name=value", s4.6.1: what is no mechanism. */
static bool
is_modifier(struct ph_slice text, struct ph_slice *value_out)
{
	const char *equals = memchr(text.p, '=', text.n);

	for (const char *at = text.p; equals != NULL && at < equals; at++)
		if (*at == ':' || *at == '/' || *at == '%')
			return false;
	if (equals == NULL)
		return false;
	*value_out = (struct ph_slice){ equals + 1,
		(size_t)(text.p + text.n - equals) - 1 };
	return true;
}

static enum spf_result
redirect(struct spf *spf, const char *domain, struct ph_slice to)
{
	const char *name = may_ask(spf) ? macro_expand(spf, domain, to) : NULL;
	enum spf_result result = name != NULL ? spf_check(spf, name) :
	                                        SPF_PERMERROR;

	return result == SPF_NONE ? SPF_PERMERROR : result; /* s6.1 */
}

static enum spf_result
evaluate(struct spf *spf, const char *domain, struct ph_slice rest)
{
	struct ph_slice to = { NULL, 0 }, value;

	(void)ph_slice_cut(&rest, ' '); /* the version */
	while (rest.p != NULL) {
		struct ph_slice text = ph_slice_cut(&rest, ' ');
		struct term term;

		if (text.n == 0)
			continue;
		if (is_modifier(text, &value)) {
			if (ph_slice_starts_nocase(text, "redirect="))
				to = value;
			continue;
		}
		term = term_of(text);
		switch (fit(spf, domain, &term)) {
		case FITS:
			return result_of(term.qualifier);
		case FITS_NOT:
			break;
		case FIT_TEMPERROR:
			return SPF_TEMPERROR;
		case FIT_PERMERROR:
			return SPF_PERMERROR;
		}
	}
	return to.p != NULL ? redirect(spf, domain, to) : SPF_NEUTRAL;
}

static bool
is_record(struct ph_slice text)
{
	return ph_slice_starts_nocase(text, "v=spf1") &&
	    (text.n == 6 || text.p[6] == ' ');
}

enum spf_result
spf_check(struct spf *spf, const char *domain)
{
	const struct ph_dns_answer *answer;
	const struct ph_slice *record = NULL;

	if (!ph_domain_is_valid(ph_slice_str(domain)) ||
	    strchr(domain, '.') == NULL)
		return SPF_NONE; /* s4.3 */
	answer = ph_dns_txt(spf->arena, domain);
	if (answer->result == PH_DNS_NO_ANSWER)
		return SPF_TEMPERROR;
	for (size_t i = 0; i < answer->count; i++) {
		if (!is_record(answer->txt[i]))
			continue;
		if (record != NULL)
			return SPF_PERMERROR; /* s4.5 */
		record = &answer->txt[i];
	}
	return record != NULL ? evaluate(spf, domain, *record) : SPF_NONE;
}
