/* SPDX-License-Identifier: Apache-2.0 */
/* macro.c - macro strings, RFC 7208 s7. Pure. */
#include "macro.h"

#include <stdlib.h>

enum { PARTS_MAX = 128, NAME_MAX_OCTETS = 253 };

/* "192.0.2.1", or 32 nibbles with dots: s7.3 */
static const char *
dotted(const struct spf *spf)
{
	char text[PH_ADDR_TEXT_MAX];
	struct ph_buf buf;

	if (spf->client->family == 4)
		return ph_arena_strdup(spf->arena,
		    ph_addr_format(spf->client, text));
	ph_buf_init(&buf, spf->arena, 128);
	for (unsigned i = 0; i < 16; i++)
		ph_buf_printf(&buf, "%s%x.%x", i > 0 ? "." : "",
		    spf->client->octet[i] >> 4, spf->client->octet[i] & 15);
	ph_buf_char(&buf, '\0');
	return buf.p;
}

/* NULL: there is no such letter. */
static const char *
value_of(const struct spf *spf, const char *domain, char letter)
{
	struct ph_arena *arena = spf->arena;

	switch (ph_lower(letter)) {
	case 's':
		return ph_arena_printf(arena, PH_SLICE_FMT "@" PH_SLICE_FMT,
		    PH_SLICE_ARG(spf->local), PH_SLICE_ARG(spf->domain));
	case 'l':
		return ph_arena_slice(arena, spf->local).p;
	case 'o':
		return ph_arena_slice(arena, spf->domain).p;
	case 'd':
		return domain;
	case 'i':
		return dotted(spf);
	case 'p':
		return "unknown"; /* s7.3: should not be asked for */
	case 'v':
		return spf->client->family == 4 ? "in-addr" : "ip6";
	case 'h':
		return spf->helo;
	default:
		return NULL;
	}
}

/* transformers = *DIGIT [ "r" ], then delimiters: the last so many parts, in
 * the order given or the other. how goes on to the "}". */
static bool
put_parts(struct ph_buf *out, const char *value, const char *how)
{
	const char *parts[PARTS_MAX], *separators = ".";
	size_t lengths[PARTS_MAX], count = 0, wanted, n;
	char *end;
	bool is_back;

	wanted = strtoul(how, &end, 10);
	if (end != how && wanted == 0)
		return false;
	is_back = ph_lower(*end) == 'r';
	end += is_back;
	n = strspn(end, ".-+,/_=");
	if (end[n] != '}')
		return false;
	if (n > 0)
		separators = ph_arena_slice(out->arena,
		    (struct ph_slice){ end, n }).p;
	do {
		if (count == PARTS_MAX)
			return false;
		parts[count] = value;
		lengths[count] = strcspn(value, separators);
		value += lengths[count++];
	} while (*value++ != '\0');
	if (wanted == 0 || wanted > count)
		wanted = count;
	for (size_t i = 0; i < wanted; i++) {
		size_t at = is_back ? wanted - 1 - i : count - wanted + i;

		ph_buf_str(out, i > 0 ? "." : "");
		ph_buf_add(out, parts[at], lengths[at]);
	}
	return true;
}

const char *
macro_expand(const struct spf *spf, const char *domain, struct ph_slice text)
{
	const char *at = ph_arena_slice(spf->arena, text).p, *value;
	struct ph_buf out;

	ph_buf_init(&out, spf->arena, 4096);
	for (; *at != '\0'; at++) {
		if (*at != '%') {
			ph_buf_char(&out, *at);
		} else if (*++at == '%' || *at == '_' || *at == '-') {
			ph_buf_str(&out, *at == '%' ? "%" : *at == '_' ? " " :
			                                                 "%20");
		} else {
			if (*at != '{' || strchr(at, '}') == NULL ||
			    (value = value_of(spf, domain, at[1])) == NULL ||
			    !put_parts(&out, value, at + 2))
				return NULL;
			at = strchr(at, '}');
		}
	}
	ph_buf_char(&out, '\0');
	if (out.full)
		return NULL;
	for (at = out.p; strlen(at) > NAME_MAX_OCTETS; at++) {
		at = strchr(at, '.'); /* s7.3: from the left, label by label */
		if (at == NULL)
			return NULL;
	}
	return at;
}
