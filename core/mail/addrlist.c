/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addrlist.c - address lists of header fields, RFC 5322 s3.4 with s4.4.
 *
 * One pass of tokens. Each element keeps two readings while it is open: the
 * phrase (words with their blanks) and the spec (words without), and its end
 * tells which it was. So nothing is read twice and CVE-2024-23184's lists of
 * any length cost their length. Broken elements are dropped and remembered, the
 * list goes on after the next comma.
 */
#include <posthouse/mail.h>

#include "mail/octet.h"

enum { ELEMENT_MAX = 64 * 1024 };

struct list_parser {
	struct ph_slice text;
	size_t at;
	struct ph_arena *arena;
	struct ph_buf entries; /* struct ph_mailbox_addr */
	bool in_group;
	bool is_broken; /* something was dropped */
	/* the open element */
	struct ph_buf phrase, spec; /* reused; what leaves is copied */
	struct ph_buf comment;      /* the last one: "a@b (Alice)" */
	struct ph_slice local;      /* once an @ was seen */
	size_t words;
	bool blank; /* before the next word */
	bool has_at;
};

static int
peek(const struct list_parser *p)
{
	return p->at < p->text.n ? (unsigned char)p->text.p[p->at] : -1;
}

/* What did not fit is as good as broken. */
static void
empty(struct list_parser *p, struct ph_buf *buf)
{
	p->is_broken |= buf->full;
	buf->n = 0;
	buf->full = false;
}

static void
element_reset(struct list_parser *p)
{
	empty(p, &p->phrase);
	empty(p, &p->spec);
	empty(p, &p->comment);
	p->local = (struct ph_slice){ NULL, 0 };
	p->words = 0;
	p->blank = p->has_at = false;
}

static void
emit(struct list_parser *p, const struct ph_mailbox_addr *entry)
{
	ph_buf_add(&p->entries, entry, sizeof(*entry));
}

/* comment = "(" *([FWS] ccontent) [FWS] ")", nested, without its brackets. */
static void
take_comment(struct list_parser *p)
{
	size_t depth = 1;

	empty(p, &p->comment);
	for (p->at++; p->at < p->text.n; p->at++) {
		char c = p->text.p[p->at];

		if (c == ')' && --depth == 0) {
			p->at++;
			return;
		}
		if (c == '(')
			depth++;
		if (c == '\\' && p->at + 1 < p->text.n)
			c = p->text.p[++p->at];
		if (c != '\r' && c != '\n' && c != '\0')
			ph_buf_char(&p->comment, c);
	}
	p->is_broken = true;
}

/* CFWS; remembers that something was there. */
static void
skip_cfws(struct list_parser *p)
{
	for (;;) {
		int c = peek(p);

		if (octet_is_blank(c)) {
			p->at++;
		} else if (c == '(') {
			take_comment(p);
		} else {
			return;
		}
		p->blank = true;
	}
}

static void
add_quoted(struct list_parser *p, struct ph_buf *to, struct ph_buf *too)
{
	for (p->at++; p->at < p->text.n; p->at++) {
		char c = p->text.p[p->at];

		if (c == '"') {
			p->at++;
			return;
		}
		if (c == '\\' && p->at + 1 < p->text.n)
			c = p->text.p[++p->at];
		if (c == '\r' || c == '\n' || c == '\0') {
			p->is_broken |= c == '\0';
			continue;
		}
		ph_buf_char(to, c);
		if (too != NULL)
			ph_buf_char(too, c);
	}
	p->is_broken = true;
}

/* An atom, quoted string, domain literal, dot or stray octet. */
static void
add_word(struct list_parser *p)
{
	int c = peek(p);
	size_t start = p->at;

	if (p->blank && p->phrase.n > 0)
		ph_buf_char(&p->phrase, ' ');
	p->words += p->blank || p->spec.n == 0;
	p->blank = false;
	if (c == '"') {
		add_quoted(p, &p->phrase, &p->spec);
		return;
	}
	if (c == '[') {
		while (p->at < p->text.n && peek(p) != ']' &&
		    !octet_is_blank(peek(p)))
			p->at++;
		p->at += peek(p) == ']';
	} else if (octet_is_atext(c)) {
		while (octet_is_atext(peek(p)))
			p->at++;
	} else {
		p->at++;
		if (octet_is_control(c)) {
			p->is_broken = true;
			return;
		}
	}
	ph_buf_add(&p->phrase, p->text.p + start, p->at - start);
	ph_buf_add(&p->spec, p->text.p + start, p->at - start);
}

/* A copy that stays, absent when there is nothing but blanks. */
static struct ph_slice
present(struct list_parser *p, const struct ph_buf *buf)
{
	struct ph_slice s = ph_slice_trim(ph_buf_content(buf));

	return s.n > 0 ? ph_arena_slice(p->arena, s) :
	                 (struct ph_slice){ NULL, 0 };
}

static struct ph_slice
copy(struct list_parser *p, const struct ph_buf *buf)
{
	return ph_arena_slice(p->arena, ph_buf_content(buf));
}

/* The rest of a broken or finished element. */
static void
skip_to_separator(struct list_parser *p)
{
	struct ph_buf dropped;

	ph_buf_init(&dropped, p->arena, 0);
	for (;;) {
		skip_cfws(p);
		if (peek(p) < 0 || peek(p) == ',' || peek(p) == ';')
			return;
		p->is_broken = true;
		if (peek(p) == '"')
			add_quoted(p, &dropped, NULL);
		else
			p->at++;
	}
}

/* obs-route = *(CFWS / ",") "@" domain *("," [CFWS] ["@" domain]) ":" */
static struct ph_slice
take_route(struct list_parser *p)
{
	struct ph_slice route;

	empty(p, &p->spec);
	while (peek(p) >= 0 && peek(p) != ':' && peek(p) != '>') {
		if (!octet_is_blank(peek(p)))
			ph_buf_char(&p->spec, (char)peek(p));
		p->at++;
	}
	p->at += peek(p) == ':';
	route = present(p, &p->spec);
	empty(p, &p->spec);
	return route;
}

/* The local part is complete; false when there was an @ already. */
static bool
end_local(struct list_parser *p)
{
	if (p->has_at)
		return false;
	p->local = copy(p, &p->spec);
	empty(p, &p->spec);
	return p->has_at = true;
}

/* angle-addr = [CFWS] "<" [obs-route] addr-spec ">" [CFWS] */
static void
take_angle(struct list_parser *p)
{
	struct ph_mailbox_addr entry = { .display = present(p, &p->phrase) };
	bool sound = true;

	element_reset(p);
	p->at++;
	skip_cfws(p);
	if (peek(p) == '@')
		entry.route = take_route(p);
	for (;;) {
		skip_cfws(p);
		if (peek(p) < 0 || peek(p) == '>')
			break;
		if (peek(p) != '@') {
			add_word(p);
			continue;
		}
		sound = end_local(p) && sound;
		p->at++;
	}
	p->is_broken |= peek(p) != '>';
	p->at += peek(p) == '>';
	empty(p, &p->comment);
	skip_to_separator(p);
	if (sound && (p->has_at ? p->local.n : p->spec.n) > 0) {
		entry.local = p->has_at ? p->local : copy(p, &p->spec);
		entry.domain = p->has_at ? copy(p, &p->spec) : PH_LIT("");
		if (entry.display.p == NULL)
			entry.display = present(p, &p->comment);
		emit(p, &entry);
	} else {
		p->is_broken = true;
	}
	element_reset(p);
}

/* addr-spec without brackets, or a bare word. */
static void
end_element(struct list_parser *p)
{
	struct ph_mailbox_addr entry = { 0 };

	if (p->has_at ? p->local.n > 0 : p->words == 1 && p->spec.n > 0) {
		entry.local = p->has_at ? p->local : copy(p, &p->spec);
		entry.domain = p->has_at ? copy(p, &p->spec) : PH_LIT("");
		entry.display = present(p, &p->comment);
		emit(p, &entry);
	} else if (p->has_at || p->words > 0) {
		p->is_broken = true;
	}
	element_reset(p);
}

static void
start_group(struct list_parser *p)
{
	struct ph_mailbox_addr entry = { .local = present(p, &p->phrase) };

	p->at++;
	if (entry.local.p == NULL)
		entry.local = PH_LIT("");
	if (!p->in_group)
		emit(p, &entry);
	p->in_group = true;
	element_reset(p);
}

static void
end_group(struct list_parser *p)
{
	if (p->in_group)
		emit(p, &(struct ph_mailbox_addr){ 0 });
	p->in_group = false;
}

/* The @ of an addr-spec; a second one makes it a phrase at best. */
static void
take_at(struct list_parser *p)
{
	p->at++;
	if (p->blank && p->phrase.n > 0)
		ph_buf_char(&p->phrase, ' ');
	ph_buf_char(&p->phrase, '@');
	if (!end_local(p)) {
		p->is_broken = true;
		p->local = PH_LIT("");
		empty(p, &p->spec);
	}
	p->blank = false;
}

static void
parse_list(struct list_parser *p, struct ph_arena *arena, size_t limit)
{
	if (limit > SIZE_MAX / 2 / sizeof(struct ph_mailbox_addr))
		limit = SIZE_MAX / 2 / sizeof(struct ph_mailbox_addr);
	ph_buf_init(&p->entries, arena, limit * sizeof(struct ph_mailbox_addr));
	ph_buf_init(&p->phrase, arena, ELEMENT_MAX);
	ph_buf_init(&p->spec, arena, ELEMENT_MAX);
	ph_buf_init(&p->comment, arena, ELEMENT_MAX);
	while (!p->entries.full) {
		int c;

		skip_cfws(p);
		c = peek(p);
		if (c < 0)
			break;
		if (c == ',' || c == ';') {
			end_element(p);
			if (c == ';')
				end_group(p);
			p->at++;
		} else if (c == '<') {
			take_angle(p);
		} else if (c == ':' && !p->has_at) {
			start_group(p);
		} else if (c == '@') {
			take_at(p);
		} else {
			add_word(p);
		}
	}
	end_element(p);
	end_group(p);
}

size_t
ph_address_list(struct ph_arena *arena, struct ph_slice value, size_t limit,
    const struct ph_mailbox_addr **list_out)
{
	struct list_parser p = { .text = value, .arena = arena };

	parse_list(&p, arena, limit);
	*list_out = (const void *)ph_buf_content(&p.entries).p;
	return p.entries.n / sizeof(struct ph_mailbox_addr);
}

bool
ph_address_list_strict(struct ph_arena *arena, struct ph_slice value,
    size_t limit, const struct ph_mailbox_addr **list_out, size_t *count_out)
{
	struct list_parser p = { .text = value, .arena = arena };

	parse_list(&p, arena, limit);
	if (p.is_broken || p.entries.full)
		return false;
	*list_out = (const void *)ph_buf_content(&p.entries).p;
	*count_out = p.entries.n / sizeof(struct ph_mailbox_addr);
	return true;
}
