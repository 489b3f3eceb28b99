/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex.h - the words of a command, RFC 3501 s9. Pure.
 *
 * A cursor over a whole command. Each function takes one thing or nothing:
 * false leaves the cursor where it was. Results are borrowed from the text or
 * live in the arena.
 */
#ifndef IMAP_LEX_H
#define IMAP_LEX_H

#include <posthouse/arena.h>

struct lex {
	struct ph_slice text;
	size_t at;
	struct ph_arena *arena;
};

/* The next octet, -1 at the end. */
int lex_peek(const struct lex *lex);
bool lex_char(struct lex *lex, char c);
bool lex_space(struct lex *lex);
/* Nothing is left but blanks. */
bool lex_end(struct lex *lex);
/* tag = 1*<any ASTRING-CHAR except "+">, at most 64 octets. */
bool lex_tag(struct lex *lex, struct ph_slice *tag_out);
bool lex_atom(struct lex *lex, struct ph_slice *atom_out);
/* 1*(ALPHA / DIGIT / "."): names of data items, which end at "[". */
bool lex_item(struct lex *lex, struct ph_slice *item_out);
/* The atom, case folded, is this word. */
bool lex_word(struct lex *lex, const char *word);
/* quoted / literal; no NUL in it. */
bool lex_string(struct lex *lex, struct ph_slice *string_out);
bool lex_astring(struct lex *lex, struct ph_slice *string_out);
bool lex_nil(struct lex *lex);
/* list-mailbox = 1*list-char / string: an astring that may have wildcards. */
bool lex_pattern(struct lex *lex, struct ph_slice *pattern_out);
/* An astring that is a mailbox name; to UTF-8, INBOX folded (mutf7.h). */
bool lex_mailbox(struct lex *lex, struct ph_slice *name_out);
bool lex_number(struct lex *lex, uint64_t max, uint64_t *number_out);
/* sequence-set, its characters only; seqset.h reads it. */
bool lex_set_text(struct lex *lex, struct ph_slice *text_out);
/* date = day "-" month "-" year, maybe quoted; days since 1970-01-01. */
bool lex_date(struct lex *lex, int64_t *day_out);
/* date-time = DQUOTE dd-Mon-yyyy SP hh:mm:ss SP zone DQUOTE; UTC seconds. */
bool lex_date_time(struct lex *lex, int64_t *time_out);

/* System flags as PH_SEEN ..., and the names of keywords. */
struct flag_list {
	uint32_t flags;
	const struct ph_slice *keywords;
	size_t keyword_count;
};
enum { KEYWORDS_MAX = 64, KEYWORD_LENGTH_MAX = 100 };
/* flag-list = "(" [flag *(SP flag)] ")"; without brackets too when bare. */
bool lex_flags(struct lex *lex, bool bare, struct flag_list *flags_out);

#endif
