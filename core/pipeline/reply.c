/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - what keeps two machines from answering each other, and a reply from
 * being anything but a message. */
#include "pipeline/reply.h"

#include <posthouse/mail.h>

#include "pipeline/envelope_edit.h"

enum { LINE_OCTETS_MAX = 1000 }; /* RFC 5321 s4.5.3.1.6, with its CRLF */

/* RFC 3834 s5.2: auto-submitted-field = "Auto-Submitted:" [CFWS] auto-submitted [CFWS] CRLF
 * Whatever is not a plain "no" counts as the other. */
bool
reply_is_automatic(struct ph_slice header)
{
	struct ph_header_field field;

	while (ph_header_next(&header, &field))
		if (ph_slice_eq_nocase(field.name, PH_LIT("Auto-Submitted")) &&
		    !ph_slice_eq_nocase(ph_slice_trim(field.value),
		        PH_LIT("no")))
			return true;
	return false;
}

static bool
has_sound_lines(struct ph_slice content)
{
	struct body_scan scan = { 0 };
	size_t start = 0;

	body_scan_next(&scan, content);
	if (!body_scan_end(&scan) || content.n == 0 ||
	    content.p[content.n - 1] != '\n')
		return false;
	for (size_t i = 0; i < content.n; i++) {
		if (i - start >= LINE_OCTETS_MAX)
			return false;
		if (content.p[i] == '\n')
			start = i + 1;
	}
	return true;
}

bool
reply_is_sound(struct ph_slice content)
{
	struct ph_slice rest = content;
	struct ph_header_field field;
	bool has_from = false;

	if (content.n > REPLY_OCTETS_MAX || !has_sound_lines(content))
		return false;
	while (ph_header_next(&rest, &field)) {
		if (field.name.p == NULL)
			return false;
		has_from |= ph_slice_eq_nocase(field.name, PH_LIT("From"));
	}
	return has_from && reply_is_automatic(content);
}
