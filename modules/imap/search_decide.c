/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search_decide.c - whether a message is what a SEARCH looks for. Pure, so it
 * may run in the thread pool once the content is at hand.
 */
#include <posthouse/mail.h>

#include "search.h"

static enum verdict
verdict(bool yes)
{
	return yes ? SEARCH_YES : SEARCH_NO;
}

static bool
has(struct ph_slice text, struct ph_slice needle)
{
	return needle.n == 0 ||
	    (text.n > 0 &&
	        memmem(text.p, text.n, needle.p, needle.n) != NULL);
}

static struct ph_slice
readable(struct ph_arena *arena, struct ph_slice value)
{
	return search_squeeze(arena, search_fold(arena,
	    ph_encoded_words(arena, ph_header_unfold(arena, value))));
}

/* Of any field when the name is absent. */
static bool
header_has(struct search_facts *facts, struct ph_slice header,
    const struct search_key *key)
{
	struct ph_header_field field;

	while (ph_header_next(&header, &field)) {
		if (key->op == SEARCH_HEADER &&
		    !ph_slice_eq_nocase(field.name, key->name))
			continue;
		if (has(readable(facts->arena, field.value), key->phrase))
			return true;
		if (key->op != SEARCH_HEADER &&
		    has(search_fold(facts->arena, field.whole), key->needle))
			return true;
	}
	return false;
}

static bool
in_summary(struct ph_slice name)
{
	static const char *const kept[] = { "From", "To", "Cc", "Bcc",
		"Sender", "Reply-To", "Subject", "Date", "Message-ID",
		"In-Reply-To", "References", "List-Id" };

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(kept[i])))
			return true;
	return false;
}

static enum verdict
decide_header(const struct search_key *key, struct search_facts *facts)
{
	if (facts->content.p != NULL)
		return verdict(header_has(facts, facts->content, key));
	if (facts->summary.p != NULL && in_summary(key->name))
		return verdict(header_has(facts, facts->summary, key));
	return SEARCH_UNKNOWN;
}

static int64_t
day_of(int64_t time)
{
	return time / 86400 - (time % 86400 < 0);
}

/* RFC 3501 s6.4.4: the day as the Date field says it, its zone disregarded. */
static enum verdict
decide_sent(const struct search_key *key, struct search_facts *facts)
{
	struct ph_slice header = facts->summary.p != NULL ? facts->summary :
	                                                    facts->content;
	struct ph_header_field field;
	int64_t time, day;
	int zone;

	if (header.p == NULL)
		return SEARCH_UNKNOWN;
	if (!ph_header_find(header, "Date", &field) ||
	    !ph_date_parse(field.value, &time, &zone))
		return SEARCH_NO;
	day = day_of(time + zone * 60);
	return verdict(day >= key->first && day <= key->last);
}

/* --- bodies --- */

static struct ph_slice
charset_of(const struct ph_mime_part *part)
{
	for (size_t i = 0; i < part->param_count; i++)
		if (ph_slice_eq_nocase(part->params[i].name,
		        PH_LIT("charset")))
			return part->params[i].value;
	return PH_LIT("utf-8");
}

static void
add_text(struct search_facts *facts, struct ph_buf *texts, struct ph_slice text)
{
	text = search_fold(facts->arena, text);
	ph_buf_add(texts, &text, sizeof(text));
}

static void
add_leaf(struct search_facts *facts, const struct ph_mime_part *part,
    struct ph_buf *texts)
{
	struct ph_slice body = { facts->content.p + part->body_at,
		part->end - part->body_at };

	body = ph_mime_decode_body(facts->arena, part->encoding, body,
	    facts->budget);
	facts->budget -= body.n;
	body = ph_charset_to_utf8(facts->arena, charset_of(part), body,
	    body.n * 3 + 16);
	add_text(facts, texts, body);
}

/* Text parts, and the header fields of messages inside. */
static void
add_texts(struct search_facts *facts, const struct ph_mime_part *part,
    struct ph_buf *texts)
{
	if (part->end > facts->content.n || facts->budget == 0)
		return;
	for (size_t i = 0; i < part->child_count; i++) {
		const struct ph_mime_part *child = &part->children[i];

		if (ph_slice_eq_nocase(part->type, PH_LIT("message"))) {
			struct ph_slice header = { facts->content.p +
				    child->header_at,
				child->body_at - child->header_at };
			struct ph_header_field field;

			while (ph_header_next(&header, &field))
				add_text(facts, texts,
				    ph_encoded_words(facts->arena,
				        ph_header_unfold(facts->arena,
				            field.whole)));
		}
		add_texts(facts, child, texts);
	}
	if (part->child_count == 0 &&
	    (ph_slice_eq_nocase(part->type, PH_LIT("text")) ||
	        ph_slice_eq_nocase(part->type, PH_LIT("multipart"))))
		add_leaf(facts, part, texts);
}

static bool
body_has(const struct search_key *key, struct search_facts *facts)
{
	if (facts->texts == NULL) {
		struct ph_buf texts;

		ph_buf_init(&texts, facts->arena, SEARCH_BUDGET);
		facts->budget = SEARCH_BUDGET;
		add_texts(facts, facts->tree, &texts);
		facts->texts = (const void *)ph_buf_content(&texts).p;
		facts->text_count = texts.n / sizeof(*facts->texts);
	}
	for (size_t i = 0; i < facts->text_count; i++)
		if (has(facts->texts[i], key->needle))
			return true;
	return key->needle.n == 0;
}

/* In the header of a part, or of one of its parts. */
static bool
headers_have(const struct search_key *key, struct search_facts *facts,
    const struct ph_mime_part *part)
{
	struct ph_slice header = { facts->content.p + part->header_at,
		part->body_at - part->header_at };

	if (part->body_at > facts->content.n)
		return false;
	if (header_has(facts, header, key))
		return true;
	for (size_t i = 0; i < part->child_count; i++)
		if (headers_have(key, facts, &part->children[i]))
			return true;
	return false;
}

static enum verdict
decide_text(const struct search_key *key, struct search_facts *facts)
{
	if (facts->content.p == NULL || facts->tree == NULL)
		return SEARCH_UNKNOWN;
	return verdict((key->op == SEARCH_TEXT &&
	                   headers_have(key, facts, facts->tree)) ||
	    body_has(key, facts));
}

/* --- all of it --- */

static enum verdict
decide_children(const struct search_key *key, struct search_facts *facts)
{
	enum verdict settles = key->op == SEARCH_AND ? SEARCH_NO : SEARCH_YES;
	enum verdict all = key->op == SEARCH_AND ? SEARCH_YES : SEARCH_NO;

	for (const struct search_key *child = key->child; child != NULL;
	     child = child->next) {
		enum verdict one = search_decide(child, facts);

		if (one == settles)
			return settles;
		if (one == SEARCH_UNKNOWN)
			all = SEARCH_UNKNOWN;
	}
	return all;
}

static enum verdict
decide(const struct search_key *key, struct search_facts *facts)
{
	const struct ph_message_meta *meta = &facts->meta;
	int64_t number;

	switch (key->op) {
	case SEARCH_ALL:
		return SEARCH_YES;
	case SEARCH_FLAG:
		return verdict((meta->flags & key->mask) == key->value);
	case SEARCH_KEYWORD:
		return verdict((meta->keywords & key->keyword) != 0);
	case SEARCH_SET:
		return verdict(seqset_has(key->set, facts->number));
	case SEARCH_UID:
		return verdict(seqset_has(key->set, meta->uid));
	case SEARCH_DAY:
		number = day_of(meta->internal_date);
		return verdict(number >= key->first && number <= key->last);
	case SEARCH_SIZE:
		number = (int64_t)meta->size;
		return verdict(number >= key->first && number <= key->last);
	case SEARCH_SENT:
		return decide_sent(key, facts);
	case SEARCH_HEADER:
		return decide_header(key, facts);
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return decide_text(key, facts);
	default:
		return decide_children(key, facts);
	}
}

enum verdict
search_decide(const struct search_key *key, struct search_facts *facts)
{
	enum verdict one = decide(key, facts);

	if (!key->negate || one == SEARCH_UNKNOWN)
		return one;
	return one == SEARCH_YES ? SEARCH_NO : SEARCH_YES;
}
