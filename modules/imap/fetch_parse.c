/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_parse.c - which data items a FETCH wants, RFC 3501 s6.4.5. Items named
 * twice count once, so that a command can't multiply its answer.
 */
#include "fetch.h"

static const struct {
	const char *name;
	enum fetch_kind kind;
} plain_items[] = {
	{ "FLAGS", FETCH_FLAGS },
	{ "UID", FETCH_UID },
	{ "INTERNALDATE", FETCH_INTERNALDATE },
	{ "RFC822.SIZE", FETCH_SIZE },
	{ "ENVELOPE", FETCH_ENVELOPE },
	{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE },
};

static const struct {
	const char *name;
	enum section_what what;
	bool peek;
} old_items[] = {
	{ "RFC822", SECTION_WHOLE, false },
	{ "RFC822.HEADER", SECTION_HEADER, true },
	{ "RFC822.TEXT", SECTION_TEXT, false },
};

static const struct {
	const char *name;
	enum fetch_kind items[6];
	size_t count;
} macros[] = {
	{ "FAST", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE }, 3 },
	{ "ALL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE,
	             FETCH_ENVELOPE }, 4 },
	{ "FULL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE,
	              FETCH_ENVELOPE, FETCH_BODY }, 5 },
};

static bool
item_eq(const struct fetch_item *a, const struct fetch_item *b)
{
	return a->kind == b->kind && ph_slice_eq(a->label, b->label) &&
	    a->partial == b->partial && a->origin == b->origin &&
	    a->length == b->length && section_eq(&a->section, &b->section);
}

static bool
add_item(struct fetch_items *items, const struct fetch_item *item)
{
	for (size_t i = 0; i < items->count; i++) {
		if (item_eq(&items->item[i], item)) {
			items->item[i].peek = items->item[i].peek && item->peek;
			return true;
		}
	}
	if (items->count == FETCH_ITEMS_MAX)
		return false;
	items->item[items->count++] = *item;
	return true;
}

static const char *
label_of(enum fetch_kind kind)
{
	for (size_t i = 0; i < sizeof(plain_items) / sizeof(plain_items[0]);
	     i++)
		if (plain_items[i].kind == kind)
			return plain_items[i].name;
	return "BODY";
}

static bool
add_kind(struct fetch_items *items, enum fetch_kind kind)
{
	struct fetch_item item = { .kind = kind,
		.label = ph_slice_str(label_of(kind)), .peek = true };

	return add_item(items, &item);
}

/* ["<" number "." nz-number ">"] */
static bool
take_partial(struct lex *lex, struct fetch_item *item)
{
	uint64_t origin, length;

	if (!lex_char(lex, '<'))
		return true;
	if (!lex_number(lex, UINT32_MAX, &origin) || !lex_char(lex, '.') ||
	    !lex_number(lex, UINT32_MAX, &length) || length == 0)
		return false;
	item->partial = true;
	item->origin = (uint32_t)origin;
	item->length = (uint32_t)length;
	return lex_char(lex, '>');
}

/* "BODY" section ["<" ... ">"]; the "[" is next. */
static bool
take_section(struct lex *lex, struct fetch_items *items, bool peek)
{
	struct fetch_item item = { .kind = FETCH_SECTION, .peek = peek };
	struct ph_buf label;

	if (!section_parse(lex, &item.section) || !take_partial(lex, &item))
		return false;
	ph_buf_init(&label, lex->arena, COMMAND_MAX);
	ph_buf_str(&label, "BODY[");
	section_format(&item.section, &label);
	ph_buf_char(&label, ']');
	if (item.partial)
		ph_buf_printf(&label, "<%u>", item.origin);
	item.label = ph_buf_content(&label);
	return add_item(items, &item);
}

static bool
take_item(struct lex *lex, struct fetch_items *items)
{
	struct ph_slice word;
	bool peek;

	if (!lex_item(lex, &word))
		return false;
	peek = ph_slice_eq_nocase(word, PH_LIT("BODY.PEEK"));
	if (lex_peek(lex) == '[')
		return (peek || ph_slice_eq_nocase(word, PH_LIT("BODY"))) &&
		    take_section(lex, items, peek);
	if (ph_slice_eq_nocase(word, PH_LIT("BODY")))
		return add_kind(items, FETCH_BODY);
	for (size_t i = 0; i < sizeof(plain_items) / sizeof(plain_items[0]);
	     i++)
		if (ph_slice_eq_nocase(word,
		        ph_slice_str(plain_items[i].name)))
			return add_kind(items, plain_items[i].kind);
	for (size_t i = 0; i < sizeof(old_items) / sizeof(old_items[0]); i++) {
		struct fetch_item item = { .kind = FETCH_SECTION,
			.label = ph_slice_str(old_items[i].name),
			.section = { .what = old_items[i].what },
			.peek = old_items[i].peek };

		if (ph_slice_eq_nocase(word, item.label))
			return add_item(items, &item);
	}
	return false;
}

static bool
take_macro(struct lex *lex, struct fetch_items *items)
{
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		if (!lex_word(lex, macros[i].name))
			continue;
		for (size_t k = 0; k < macros[i].count; k++)
			add_kind(items, macros[i].items[k]);
		return true;
	}
	return false;
}

bool
fetch_in_summary(const struct section *section)
{
	static const char *const kept[] = { "From", "To", "Cc", "Bcc",
		"Sender", "Reply-To", "Subject", "Date", "Message-ID",
		"In-Reply-To", "References", "List-Id" };

	if (section->depth > 0 || section->what != SECTION_FIELDS)
		return false;
	for (size_t i = 0; i < section->field_count; i++) {
		bool found = false;

		for (size_t k = 0; k < sizeof(kept) / sizeof(kept[0]); k++)
			found = found || ph_slice_eq_nocase(section->fields[i],
			        ph_slice_str(kept[k]));
		if (!found)
			return false;
	}
	return true;
}

static void
find_needs(struct fetch_items *items)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct fetch_item *item = &items->item[i];

		switch (item->kind) {
		case FETCH_ENVELOPE:
			items->needs_summary = true;
			break;
		case FETCH_BODY:
		case FETCH_BODYSTRUCTURE:
			items->needs_tree = true;
			break;
		case FETCH_SECTION:
			items->marks_seen = items->marks_seen || !item->peek;
			if (fetch_in_summary(&item->section))
				items->needs_summary = true;
			else
				items->needs_content = true;
			if (item->section.depth > 0)
				items->needs_tree = true;
			break;
		default:
			break;
		}
	}
}

/* fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
 *         "(" fetch-att *(SP fetch-att) ")") */
bool
imap_parse_fetch(struct command *command)
{
	struct lex *lex = &command->lex;
	struct fetch_items *items = ph_arena_alloc(command->arena,
	    sizeof(*items));
	struct ph_slice set;

	if (!lex_space(lex) || !lex_set_text(lex, &set) ||
	    !seqset_parse(command->arena, set, &command->set) ||
	    !lex_space(lex))
		return false;
	items->item = ph_arena_array(command->arena, FETCH_ITEMS_MAX,
	    sizeof(*items->item));
	command->fetch = items;
	if (lex_char(lex, '(')) {
		do {
			if (!take_item(lex, items))
				return false;
		} while (lex_space(lex));
		if (!lex_char(lex, ')'))
			return false;
	} else if (!take_macro(lex, items) && !take_item(lex, items)) {
		return false;
	}
	if (command->row->uid)
		add_kind(items, FETCH_UID);
	find_needs(items);
	return true;
}
