/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - one encoding, and one look at what may stand in it. What names a
 * mailbox can have beyond that is the store's to say. */
#include "pipeline/place.h"

#include "base/record.h"
#include "role/messages.h"

enum {
	SETTABLE = PH_SEEN | PH_ANSWERED | PH_FLAGGED | PH_DELETED | PH_DRAFT,
	KEYWORDS_MAX = 16,
	KEYWORD_OCTETS_MAX = 64,
};

static bool
is_name(struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	return text.n > 0 && text.n < PLACE_OCTETS_MAX / 2;
}

/* RFC 3501 s9: flag-keyword = atom */
static bool
is_keyword(struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c) != NULL)
			return false;
	}
	return text.n > 0 && text.n <= KEYWORD_OCTETS_MAX;
}

static bool
is_sound(const struct ph_delivery_place *place)
{
	if (place->keyword_count > KEYWORDS_MAX)
		return false;
	for (size_t i = 0; i < place->keyword_count; i++)
		if (!is_keyword(place->keywords[i]))
			return false;
	return is_name(place->mailbox);
}

bool
place_put(struct ph_buf *buf, const struct ph_delivery_place *place)
{
	size_t start = buf->n, mark;

	if (!is_sound(place))
		return false;
	mark = record_begin(buf, F_PLACE);
	record_put(buf, F_NAME, place->mailbox);
	record_put_u64(buf, F_FLAGS, place->flags & SETTABLE);
	for (size_t i = 0; i < place->keyword_count; i++)
		record_put(buf, F_KEYWORD, place->keywords[i]);
	record_end(buf, mark);
	if (buf->n - start <= PLACE_OCTETS_MAX)
		return true;
	buf->n = start;
	return false;
}

bool
place_take(struct ph_arena *arena, struct ph_slice record,
    struct ph_delivery_place *place_out)
{
	struct ph_slice *keywords = ph_arena_array(arena, KEYWORDS_MAX,
	    sizeof(*keywords));
	struct ph_delivery_place place = { .keywords = keywords,
		.mailbox = record_get(record, F_NAME),
		.flags = (uint32_t)record_get_u64(record, F_FLAGS, 0) &
		    SETTABLE };
	struct record_field field;

	if (record.n > PLACE_OCTETS_MAX || !record_is_sound(record))
		return false;
	while (record_next(&record, &field)) {
		if (field.tag != F_KEYWORD)
			continue;
		if (place.keyword_count == KEYWORDS_MAX)
			return false;
		keywords[place.keyword_count++] = field.value;
	}
	if (!is_sound(&place))
		return false;
	*place_out = place;
	return true;
}
