/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submit.c - what a submission server does with a header section (RFC 6409):
 * not more than one From and one Sender, of which every address is the user's; a
 * From, Date and Message-ID when the client left them out, and a Sender when that
 * is wished; and no field that is not for the recipients' eyes.
 */
#include "conversation.h"

/* A field that says whose a message is, and what is said when it lies. */
struct field {
	const char *name;
	struct smtp_reply twice, bad, not_yours;
};

static const struct field from_field = {
	.name = "From", /* without one it gets the sender's address */
	.twice = { 550, "5.6.0", "only one From field is allowed", false },
	.bad = { 550, "5.6.0", "the From field has no usable address", false },
	.not_yours = { 550, "5.7.1",
		"the From field must name an address of yours", false },
};
static const struct field sender_field = {
	.name = "Sender",
	.twice = { 550, "5.6.0", "only one Sender field is allowed", false },
	.bad = { 550, "5.6.0", "the Sender field has no usable address",
		false },
	.not_yours = { 550, "5.7.1",
		"the Sender field must name an address of yours", false },
};
static const struct smtp_reply unsure = { 451, "4.4.3",
	"whose address that is could not be looked up, try again later",
	false };

enum { FROM_ADDRESSES_MAX = 64 };

static size_t
count_fields(struct ph_slice header, struct ph_slice name,
    struct ph_header_field *last_out)
{
	struct ph_header_field field;
	size_t count = 0;

	while (ph_header_next(&header, &field)) {
		if (field.name.p == NULL ||
		    !ph_slice_eq_nocase(ph_slice_trim(field.name), name))
			continue;
		*last_out = field;
		count++;
	}
	return count;
}

enum ph_ownership
smtp_owns(const struct smtp *c, struct ph_slice address)
{
	if (c->conf->sender_check != SMTP_SENDER_OWN)
		return ph_session_owns_address(c->session, address);
	return address.n == 0 ||
	        ph_address_eq(address,
	            ph_slice_str(ph_session_user(c->session))) ?
	    PH_OWNED : PH_NOT_OWNED;
}

static enum ph_ownership
owns(struct smtp *c, const struct ph_mailbox_addr *addr)
{
	struct ph_buf text;

	ph_buf_init(&text, smtp_scratch(c), 512);
	ph_buf_slice(&text, addr->local);
	ph_buf_char(&text, '@');
	ph_buf_slice(&text, ph_domain_canonical(smtp_scratch(c), addr->domain));
	return text.full ? PH_NOT_OWNED :
	                   smtp_owns(c, ph_buf_content(&text));
}

/* A field that may stand once, and every address in it is the user's. */
static const struct smtp_reply *
check_field(struct smtp *c, struct ph_slice header, const struct field *field)
{
	const struct ph_mailbox_addr *list;
	struct ph_header_field found;
	size_t count = count_fields(header, ph_slice_str(field->name), &found);
	size_t addresses = 0;
	enum ph_ownership owned;

	if (count == 0)
		return NULL;
	if (count > 1)
		return &field->twice;
	/* What we can't read another reader may. */
	if (!ph_address_list_strict(smtp_scratch(c), found.value,
	        FROM_ADDRESSES_MAX, &list, &count))
		return &field->bad;
	for (size_t i = 0; i < count; i++) {
		if (list[i].domain.p == NULL)
			continue; /* a group begins or ends */
		addresses++;
		owned = owns(c, &list[i]);
		if (owned != PH_OWNED)
			return owned == PH_NOT_OWNED ? &field->not_yours :
			                               &unsure;
	}
	return addresses == 0 ? &field->bad : NULL;
}

const struct smtp_reply *
smtp_submit_check(struct smtp *c, struct ph_slice header)
{
	const struct smtp_reply *wrong;

	if (!c->policy->submission || !c->conf->check_from)
		return NULL;
	wrong = check_field(c, header, &from_field);
	return wrong != NULL || c->conf->sender_field != SMTP_SENDER_CHECK ?
	    wrong : check_field(c, header, &sender_field);
}

/* RFC 5322 s3.6.3: the others are not to know; RFC 5321 s4.4: the last server
 * writes it. Postfix drops the same (message_drop_headers). */
bool
smtp_submit_keeps(const struct smtp *c, const struct ph_header_field *field)
{
	static const char *const dropped[] = { "Bcc", "Resent-Bcc",
		"Return-Path", "Sender" };
	const size_t n = sizeof(dropped) / sizeof(dropped[0]) -
	    (c->conf->sender_field != SMTP_SENDER_SET); /* ours stands there */

	for (size_t i = 0; i < n; i++)
		if (field->name.p != NULL &&
		    ph_slice_eq_nocase(ph_slice_trim(field->name),
		        ph_slice_str(dropped[i])))
			return false;
	return true;
}

static void
add_address(struct smtp *c, const char *name, struct ph_slice address,
    struct ph_buf *out)
{
	struct ph_slice path = ph_path_format(smtp_scratch(c), address);

	if (path.n > 0)
		ph_buf_printf(out, "%s: <" PH_SLICE_FMT ">\r\n", name,
		    PH_SLICE_ARG(path));
}

/* RFC 6409 s6 lets the server mend what is missing. */
static struct ph_slice
missing_from(const struct smtp *c)
{
	/* sender_check may be off where check_from is on */
	const bool is_good = c->sender.n > 0 &&
	    (!c->conf->check_from || smtp_owns(c, c->sender) == PH_OWNED);

	return is_good ? c->sender :
	                 ph_slice_str(ph_session_user(c->session));
}

/* Whether the From says that it is the user's, and nobody else's. */
static bool
is_from(struct smtp *c, struct ph_slice header, struct ph_slice user)
{
	const struct ph_mailbox_addr *list;
	struct ph_header_field from;
	size_t count = count_fields(header, PH_LIT("From"), &from);

	if (count == 0)
		return ph_address_eq(missing_from(c), user);
	return count == 1 &&
	    ph_address_list_strict(smtp_scratch(c), from.value,
	        FROM_ADDRESSES_MAX, &list, &count) && count == 1 &&
	    ph_slice_eq_nocase(list[0].local, ph_address_local(user)) &&
	    ph_domain_eq(list[0].domain, ph_address_domain(user));
}

void
smtp_submit_complete(struct smtp *c, struct ph_slice header,
    struct ph_buf *out)
{
	const struct ph_slice user = ph_slice_str(ph_session_user(c->session));
	struct ph_header_field field;
	char date[PH_DATE_MAX];

	if (!c->policy->submission)
		return;
	if (count_fields(header, PH_LIT("From"), &field) == 0)
		add_address(c, "From", missing_from(c), out);
	if (c->conf->sender_field == SMTP_SENDER_SET &&
	    !is_from(c, header, user)) /* RFC 6409 s8.1 */
		add_address(c, "Sender", user, out);
	if (count_fields(header, PH_LIT("Date"), &field) == 0) {
		ph_date_format(ph_wall_time(), date);
		ph_buf_printf(out, "Date: %s\r\n", date);
	}
	if (count_fields(header, PH_LIT("Message-ID"), &field) == 0)
		ph_buf_printf(out, "Message-ID: <%s@%s>\r\n",
		    smtp_message_id(c, smtp_scratch(c)),
		    ph_session_hostname(c->session));
}
