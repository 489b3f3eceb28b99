/* SPDX-License-Identifier: Apache-2.0 */
/* offer.c - EHLO keywords (RFC 5321 s4.1.1.1) that the transport makes use of. */
#include "offer.h"

/* RFC 4954 s3: mechanisms with spaces between. */
static void
take_mechanisms(struct smtp_offer *offer, struct ph_slice rest)
{
	while (rest.p != NULL) {
		struct ph_slice name = ph_slice_cut(&rest, ' ');

		if (ph_slice_eq_nocase(name, PH_LIT("PLAIN")))
			offer->auth_plain = true;
		else if (ph_slice_eq_nocase(name, PH_LIT("LOGIN")))
			offer->auth_login = true;
	}
}

void
offer_line(struct smtp_offer *offer, struct ph_slice line)
{
	struct ph_slice rest = ph_slice_trim(line);
	struct ph_slice keyword = ph_slice_cut(&rest, ' ');
	const struct {
		struct ph_slice keyword;
		bool *flag;
	} known[] = {
		{ PH_LIT("PIPELINING"), &offer->pipelining },
		{ PH_LIT("STARTTLS"), &offer->starttls },
		{ PH_LIT("SIZE"), &offer->size },
		{ PH_LIT("8BITMIME"), &offer->eight_bit },
		{ PH_LIT("SMTPUTF8"), &offer->smtputf8 },
		{ PH_LIT("DSN"), &offer->dsn },
		{ PH_LIT("CHUNKING"), &offer->chunking },
		{ PH_LIT("BINARYMIME"), &offer->binary },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (ph_slice_eq_nocase(keyword, known[i].keyword))
			*known[i].flag = true;
	if (ph_slice_eq_nocase(keyword, PH_LIT("AUTH")))
		take_mechanisms(offer, rest);
	/* RFC 1870 s4: a limit of 0, or none, means none is known */
	if (ph_slice_eq_nocase(keyword, PH_LIT("SIZE")) && rest.p != NULL)
		ph_slice_number(ph_slice_trim(rest), UINT64_MAX,
		    &offer->size_limit_bytes);
}
