/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - envelope addresses, RFC 5321 s4.1.2 with RFC 6531.
 *
 * One pass over the text with a cursor. A source route is read and forgotten
 * (RFC 5321 appendix C); a quoted local part loses its quotes at once, so that
 * "a"@x and a@x are one address everywhere behind this file. Nothing here
 * decides whether an address is ours.
 */
#include <posthouse/mail.h>

#include "base/domain.h"
#include "mail/octet.h"

enum {
	LOCAL_MAX = 64,   /* RFC 5321 s4.5.3.1.1 */
	DOMAIN_MAX = 255, /* RFC 5321 s4.5.3.1.2 */
	PATH_MAX_OCTETS = 256, /* RFC 5321 s4.5.3.1.3, with the brackets */
	LABEL_MAX = 63,
	ROUTE_MAX = 1000, /* a route is ignored, but not of any length */
};

struct cursor {
	struct ph_slice text;
	size_t at;
};

static int
cursor_peek(const struct cursor *c)
{
	return c->at < c->text.n ? (unsigned char)c->text.p[c->at] : -1;
}

static bool
cursor_skip(struct cursor *c, char octet)
{
	if (cursor_peek(c) != (unsigned char)octet)
		return false;
	c->at++;
	return true;
}

static struct ph_slice
cursor_from(const struct cursor *c, size_t start)
{
	return (struct ph_slice){ c->text.p + start, c->at - start };
}

struct ph_slice
ph_address_domain(struct ph_slice address)
{
	const char *at = address.n > 0 ? memrchr(address.p, '@', address.n) :
	                                 NULL;

	if (at == NULL)
		return (struct ph_slice){ NULL, 0 };
	at++;
	return (struct ph_slice){ at, (size_t)(address.p + address.n - at) };
}

struct ph_slice
ph_address_local(struct ph_slice address)
{
	const char *at = address.n > 0 ? memrchr(address.p, '@', address.n) :
	                                 NULL;

	if (at == NULL)
		return address;
	return (struct ph_slice){ address.p, (size_t)(at - address.p) };
}

/* Host names have no underscores, but names in DNS do, and honest
 * mail comes from such domains. */
static bool
label_is_valid(struct ph_slice label)
{
	if (label.n == 0 || label.n > LABEL_MAX)
		return false;
	if (label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		unsigned char c = (unsigned char)label.p[i];

		if (!octet_is_alnum(c) && c != '-' && c != '_' && c < 0x80)
			return false;
	}
	return true;
}

bool
ph_domain_is_valid(struct ph_slice domain)
{
	struct ph_slice rest = domain;

	if (domain.n == 0 || domain.n > DOMAIN_MAX || !utf8_is_valid(domain))
		return false;
	while (rest.p != NULL)
		if (!label_is_valid(ph_slice_cut(&rest, '.')))
			return false;
	return true;
}

struct ph_slice
ph_address_to_ascii(struct ph_arena *arena, struct ph_slice address)
{
	const struct ph_slice none = { NULL, 0 };
	struct ph_slice local = ph_address_local(address);
	struct ph_slice domain = ph_address_domain(address);
	char ascii[DOMAIN_TEXT];

	if (!octet_any_high(address))
		return address;
	if (domain.p == NULL || octet_any_high(local) ||
	    !domain_to_ascii(domain, ascii) ||
	    !ph_domain_is_valid(ph_slice_str(ascii)))
		return none;
	return ph_slice_str(ph_arena_printf(arena, PH_SLICE_FMT "@%s",
	    PH_SLICE_ARG(local), ascii));
}

/*
 * address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr ) "]"
 * RFC 5321 s4.1.3. The general form names nothing we could reach.
 */
bool
ph_address_literal_parse(struct ph_slice text, struct ph_addr *addr_out)
{
	struct ph_slice inside;

	if (text.n < 3 || text.p[0] != '[' || text.p[text.n - 1] != ']')
		return false;
	inside = (struct ph_slice){ text.p + 1, text.n - 2 };
	if (ph_slice_starts_nocase(inside, "IPv6:")) {
		inside.p += 5;
		inside.n -= 5;
		if (inside.n == 0 || memchr(inside.p, ':', inside.n) == NULL)
			return false;
	} else if (memchr(inside.p, ':', inside.n) != NULL) {
		return false;
	}
	return ph_addr_parse(inside, addr_out);
}

/* Domain / address-literal, up to what can't belong to it. */
static int
parse_domain(struct cursor *c, struct ph_path *path)
{
	size_t start = c->at;
	struct ph_slice host;
	struct ph_addr addr;

	if (cursor_peek(c) == '[') {
		while (cursor_peek(c) > ' ' && cursor_peek(c) != '>' &&
		    cursor_peek(c) != ']')
			c->at++;
		if (!cursor_skip(c, ']'))
			return PH_INVALID;
		path->is_literal = true;
		path->domain = cursor_from(c, start);
		if (path->domain.n > DOMAIN_MAX)
			return PH_TOO_BIG;
		if (ph_address_literal_parse(path->domain, &addr))
			return PH_OK;
		c->at = start;
		return PH_INVALID;
	}
	while (octet_is_alnum(cursor_peek(c)) || cursor_peek(c) == '-' ||
	    cursor_peek(c) == '_' || cursor_peek(c) == '.' ||
	    cursor_peek(c) >= 0x80)
		c->at++;
	host = path->domain = cursor_from(c, start);
	if (host.n > DOMAIN_MAX)
		return PH_TOO_BIG;
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	if (ph_domain_is_valid(host))
		return PH_OK;
	c->at = start;
	return PH_INVALID;
}

/* Dot-string = Atom *("." Atom); atext with UTF-8 (RFC 6531 s3.3). */
static int
parse_dot_string(struct cursor *c, struct ph_path *path)
{
	size_t start = c->at;

	do {
		size_t atom = c->at;

		while (octet_is_atext(cursor_peek(c)))
			c->at++;
		if (c->at == atom)
			return PH_INVALID;
	} while (cursor_skip(c, '.'));
	path->local = cursor_from(c, start);
	return PH_OK;
}

/*
 * Quoted-string = DQUOTE *QcontentSMTP DQUOTE. The empty one names nobody and
 * crashed others (CVE-2020-10967): refused.
 */
static int
parse_quoted(struct cursor *c, struct ph_arena *arena, struct ph_path *path)
{
	size_t start = c->at;
	struct ph_buf buf;
	int octet;

	ph_buf_init(&buf, arena, LOCAL_MAX);
	c->at++;
	for (;;) {
		octet = cursor_peek(c);
		if (octet == '"')
			break;
		if (octet == '\\') {
			c->at++;
			octet = cursor_peek(c);
			if (octet >= 0x7f)
				return PH_INVALID;
		}
		if (octet < ' ' || octet == 0x7f)
			return PH_INVALID;
		ph_buf_char(&buf, (char)octet);
		c->at++;
		if (buf.full)
			return PH_TOO_BIG;
	}
	c->at++;
	if (buf.n == 0) {
		c->at = start;
		return PH_INVALID;
	}
	path->was_quoted = true;
	path->local = ph_buf_content(&buf);
	return PH_OK;
}

/* A-d-l = At-domain *( "," At-domain ), then ":"; accepted and ignored. */
static int
parse_route(struct cursor *c, struct ph_path *path)
{
	size_t start = c->at;

	if (cursor_peek(c) != '@')
		return PH_OK;
	do {
		struct ph_path hop = { 0 };
		int rc;

		if (!cursor_skip(c, '@'))
			return PH_INVALID;
		rc = parse_domain(c, &hop);
		if (rc != PH_OK)
			return rc;
		if (c->at - start > ROUTE_MAX)
			return PH_TOO_BIG;
	} while (cursor_skip(c, ','));
	path->had_route = true;
	return cursor_skip(c, ':') ? PH_OK : PH_INVALID;
}

static int
check_local(struct cursor *c, size_t start, const struct ph_path *path)
{
	if (path->local.n > LOCAL_MAX)
		return PH_TOO_BIG;
	if (!utf8_is_valid(path->local)) {
		c->at = start;
		return PH_INVALID;
	}
	return PH_OK;
}

/* A U-label becomes its A-label here, so that no one behind this sees two names
 * of one domain. PH_INVALID: it has none, or stands for what is no host name;
 * PH_TOO_BIG: an A-label may be longer, and no path is written with this one. */
static int
join_address(struct ph_arena *arena, struct ph_path *path)
{
	char text[DOMAIN_TEXT], *p;
	struct ph_slice host = domain_comparable(path->domain, text);

	if (host.p == text ? !ph_domain_is_valid(host) : octet_any_high(host))
		return PH_INVALID;
	if (path->local.n + 1 + host.n > PATH_MAX_OCTETS - 2)
		return PH_TOO_BIG;
	p = ph_arena_alloc(arena, path->local.n + host.n + 2);
	memcpy(p, path->local.p, path->local.n);
	p[path->local.n] = '@';
	memcpy(p + path->local.n + 1, host.p, host.n);
	ph_lower_in_place(p + path->local.n + 1, host.n);
	path->address = (struct ph_slice){ p, path->local.n + 1 + host.n };
	return PH_OK;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ), or "postmaster". */
static int
parse_mailbox(struct cursor *c, struct ph_arena *arena, struct ph_path *path)
{
	size_t start = c->at;
	int rc;

	rc = cursor_peek(c) == '"' ? parse_quoted(c, arena, path) :
	                             parse_dot_string(c, path);
	if (rc == PH_OK)
		rc = check_local(c, start, path);
	if (rc != PH_OK)
		return rc;
	if (cursor_peek(c) == '>' && !path->was_quoted &&
	    ph_slice_eq_nocase(path->local, PH_LIT("postmaster"))) {
		path->address = PH_LIT("postmaster");
		return PH_OK;
	}
	if (!cursor_skip(c, '@'))
		return PH_INVALID;
	rc = parse_domain(c, path);
	if (rc != PH_OK)
		return rc;
	if (c->at - start > PATH_MAX_OCTETS - 2)
		return PH_TOO_BIG;
	rc = join_address(arena, path);
	if (rc == PH_INVALID)
		c->at -= path->domain.n;
	return rc;
}

int
ph_path_parse(struct ph_arena *arena, struct ph_slice text,
    struct ph_path *path_out, struct ph_slice *rest_out, size_t *error_at_out)
{
	struct cursor c = { text, 0 };
	struct ph_path path = { 0 };
	int rc = PH_INVALID;

	if (!cursor_skip(&c, '<'))
		goto done;
	if (cursor_peek(&c) == '>') {
		path.is_null = true;
		path.local = path.domain = path.address = PH_LIT("");
		rc = PH_OK;
	} else {
		rc = parse_route(&c, &path);
		if (rc == PH_OK)
			rc = parse_mailbox(&c, arena, &path);
	}
	if (rc == PH_OK && !cursor_skip(&c, '>'))
		rc = PH_INVALID;
done:
	if (rc != PH_OK) {
		if (error_at_out != NULL)
			*error_at_out = c.at;
		return rc;
	}
	path.has_utf8 = octet_any_high(path.local) ||
	    octet_any_high(path.domain);
	*path_out = path;
	*rest_out = (struct ph_slice){ text.p + c.at, text.n - c.at };
	return PH_OK;
}

static bool
is_dot_string(struct ph_slice local)
{
	bool after_dot = true;

	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '.') {
			if (after_dot)
				return false;
			after_dot = true;
		} else if (!octet_is_atext((unsigned char)local.p[i])) {
			return false;
		} else {
			after_dot = false;
		}
	}
	return !after_dot;
}

/* Control octets are left out: an address never ends a line of a protocol. */
struct ph_slice
ph_path_format(struct ph_arena *arena, struct ph_slice address)
{
	struct ph_slice local = ph_address_local(address);
	struct ph_slice domain = ph_address_domain(address);
	bool quote = local.n > 0 && !is_dot_string(local);
	struct ph_buf buf;

	if (address.n == 0)
		return PH_LIT("");
	ph_buf_init(&buf, arena, 2 * address.n + 4);
	if (quote)
		ph_buf_char(&buf, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (octet_is_control((unsigned char)local.p[i]))
			continue;
		if (local.p[i] == '"' || local.p[i] == '\\')
			ph_buf_char(&buf, '\\');
		ph_buf_char(&buf, local.p[i]);
	}
	if (quote)
		ph_buf_char(&buf, '"');
	if (domain.p != NULL)
		ph_buf_char(&buf, '@');
	for (size_t i = 0; i < domain.n; i++)
		if (!octet_is_control((unsigned char)domain.p[i]))
			ph_buf_char(&buf, domain.p[i]);
	return ph_buf_content(&buf);
}
