/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search_parse.c - search keys, RFC 3501 s6.4.4, as a table. Nesting and the
 * number of keys are limited, since each key is asked of each message.
 */
#include "search.h"

struct parser {
	struct lex *lex;
	size_t keys;
};

enum argument { NONE, STRING, DAY, SIZE, WORD };

static const struct {
	const char *name;
	enum argument argument;
	enum search_op op;
	bool negate;
	uint32_t mask, value;
	const char *field;
} forms[] = {
	{ "ALL", NONE, SEARCH_ALL, 0, 0, 0, NULL },
	{ "ANSWERED", NONE, SEARCH_FLAG, 0, PH_ANSWERED, PH_ANSWERED, NULL },
	{ "DELETED", NONE, SEARCH_FLAG, 0, PH_DELETED, PH_DELETED, NULL },
	{ "DRAFT", NONE, SEARCH_FLAG, 0, PH_DRAFT, PH_DRAFT, NULL },
	{ "FLAGGED", NONE, SEARCH_FLAG, 0, PH_FLAGGED, PH_FLAGGED, NULL },
	{ "RECENT", NONE, SEARCH_FLAG, 0, PH_RECENT, PH_RECENT, NULL },
	{ "SEEN", NONE, SEARCH_FLAG, 0, PH_SEEN, PH_SEEN, NULL },
	{ "NEW", NONE, SEARCH_FLAG, 0, PH_RECENT | PH_SEEN, PH_RECENT, NULL },
	{ "OLD", NONE, SEARCH_FLAG, 0, PH_RECENT, 0, NULL },
	{ "UNANSWERED", NONE, SEARCH_FLAG, 0, PH_ANSWERED, 0, NULL },
	{ "UNDELETED", NONE, SEARCH_FLAG, 0, PH_DELETED, 0, NULL },
	{ "UNDRAFT", NONE, SEARCH_FLAG, 0, PH_DRAFT, 0, NULL },
	{ "UNFLAGGED", NONE, SEARCH_FLAG, 0, PH_FLAGGED, 0, NULL },
	{ "UNSEEN", NONE, SEARCH_FLAG, 0, PH_SEEN, 0, NULL },
	{ "KEYWORD", WORD, SEARCH_KEYWORD, 0, 0, 0, NULL },
	{ "UNKEYWORD", WORD, SEARCH_KEYWORD, 1, 0, 0, NULL },
	{ "FROM", STRING, SEARCH_HEADER, 0, 0, 0, "From" },
	{ "TO", STRING, SEARCH_HEADER, 0, 0, 0, "To" },
	{ "CC", STRING, SEARCH_HEADER, 0, 0, 0, "Cc" },
	{ "BCC", STRING, SEARCH_HEADER, 0, 0, 0, "Bcc" },
	{ "SUBJECT", STRING, SEARCH_HEADER, 0, 0, 0, "Subject" },
	{ "BODY", STRING, SEARCH_BODY, 0, 0, 0, NULL },
	{ "TEXT", STRING, SEARCH_TEXT, 0, 0, 0, NULL },
	{ "BEFORE", DAY, SEARCH_DAY, 0, 0, '<', NULL },
	{ "ON", DAY, SEARCH_DAY, 0, 0, '=', NULL },
	{ "SINCE", DAY, SEARCH_DAY, 0, 0, '>', NULL },
	{ "SENTBEFORE", DAY, SEARCH_SENT, 0, 0, '<', NULL },
	{ "SENTON", DAY, SEARCH_SENT, 0, 0, '=', NULL },
	{ "SENTSINCE", DAY, SEARCH_SENT, 0, 0, '>', NULL },
	{ "LARGER", SIZE, SEARCH_SIZE, 0, 0, '>', NULL },
	{ "SMALLER", SIZE, SEARCH_SIZE, 0, 0, '<', NULL },
};

static struct search_key *take_key(struct parser *p, size_t depth);

/* The range of days or sizes that a relation leaves. SINCE takes its day in,
 * BEFORE, LARGER and SMALLER leave theirs out. */
static void
set_range(struct search_key *key, uint32_t relation, int64_t number)
{
	key->first = relation == '<' ? INT64_MIN : number;
	key->last = relation == '>' ? INT64_MAX : number;
	if (relation == '<')
		key->last = number - 1;
	if (key->op == SEARCH_SIZE && relation == '>')
		key->first = number + 1;
}

static bool
take_argument(struct parser *p, struct search_key *key, enum argument argument,
    uint32_t relation)
{
	struct lex *lex = p->lex;
	uint64_t size;
	int64_t day;

	if (argument == NONE)
		return true;
	if (!lex_space(lex))
		return false;
	switch (argument) {
	case STRING:
		if (!lex_astring(lex, &key->needle))
			return false;
		key->needle = search_fold(lex->arena, key->needle);
		key->phrase = search_squeeze(lex->arena, key->needle);
		return true;
	case WORD:
		return lex_atom(lex, &key->name);
	case DAY:
		if (!lex_date(lex, &day))
			return false;
		set_range(key, relation, day);
		return true;
	default:
		if (!lex_number(lex, INT64_MAX - 1, &size))
			return false;
		set_range(key, relation, (int64_t)size);
		return true;
	}
}

static bool
take_set(struct parser *p, struct search_key *key, enum search_op op)
{
	struct ph_slice text;

	key->op = op;
	return lex_set_text(p->lex, &text) &&
	    seqset_parse(p->lex->arena, text, &key->set);
}

/* "HEADER" SP header-fld-name SP astring */
static bool
take_header(struct parser *p, struct search_key *key)
{
	key->op = SEARCH_HEADER;
	return lex_space(p->lex) && lex_astring(p->lex, &key->name) &&
	    take_argument(p, key, STRING, 0);
}

/* count keys, each behind a space; as the children of key. */
static bool
take_children(struct parser *p, struct search_key *key, size_t count,
    size_t depth)
{
	struct search_key **last = &key->child;

	for (size_t i = 0; i < count; i++) {
		if (!lex_space(p->lex))
			return false;
		*last = take_key(p, depth + 1);
		if (*last == NULL)
			return false;
		last = &(*last)->next;
	}
	return true;
}

/* "(" search-key *(SP search-key) ")", the bracket read; or to the end. */
static bool
take_list(struct parser *p, struct search_key *key, size_t depth)
{
	struct search_key **last = &key->child;

	key->op = SEARCH_AND;
	do {
		*last = take_key(p, depth + 1);
		if (*last == NULL)
			return false;
		last = &(*last)->next;
	} while (lex_space(p->lex));
	return true;
}

static bool
take_named(struct parser *p, struct search_key *key, size_t depth)
{
	struct lex *lex = p->lex;

	if (lex_word(lex, "OR")) {
		key->op = SEARCH_OR;
		return take_children(p, key, 2, depth);
	}
	if (lex_word(lex, "NOT")) {
		key->op = SEARCH_AND;
		key->negate = true;
		return take_children(p, key, 1, depth);
	}
	if (lex_word(lex, "UID"))
		return lex_space(lex) && take_set(p, key, SEARCH_UID);
	if (lex_word(lex, "HEADER"))
		return take_header(p, key);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!lex_word(lex, forms[i].name))
			continue;
		key->op = forms[i].op;
		key->negate = forms[i].negate;
		key->mask = forms[i].mask;
		key->value = forms[i].value;
		key->name = ph_slice_str(forms[i].field);
		return take_argument(p, key, forms[i].argument,
		    forms[i].value);
	}
	return false;
}

static struct search_key *
take_key(struct parser *p, size_t depth)
{
	struct search_key *key = ph_arena_alloc(p->lex->arena, sizeof(*key));
	int c = lex_peek(p->lex);
	bool taken;

	if (depth > SEARCH_DEPTH_MAX || ++p->keys > SEARCH_KEYS_MAX)
		return NULL;
	if (c == '(') {
		p->lex->at++;
		taken = take_list(p, key, depth) && lex_char(p->lex, ')');
	} else if (c == '*' || (c >= '0' && c <= '9')) {
		taken = take_set(p, key, SEARCH_SET);
	} else {
		taken = take_named(p, key, depth);
	}
	return taken ? key : NULL;
}

/* search = "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key) */
bool
imap_parse_search(struct command *command)
{
	struct lex *lex = &command->lex;
	struct parser p = { lex, 0 };
	struct ph_slice charset;

	if (!lex_space(lex))
		return false;
	if (lex_word(lex, "CHARSET")) {
		if (!lex_space(lex) || !lex_astring(lex, &charset) ||
		    !lex_space(lex))
			return false;
		command->bad_charset =
		    !ph_slice_eq_nocase(charset, PH_LIT("UTF-8")) &&
		    !ph_slice_eq_nocase(charset, PH_LIT("US-ASCII"));
	}
	if (command->bad_charset) { /* what follows is not ours to read */
		lex->at = lex->text.n;
		return true;
	}
	command->search = ph_arena_alloc(command->arena,
	    sizeof(*command->search));
	return take_list(&p, command->search, 0);
}
