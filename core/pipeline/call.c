/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - what a hook may see and say (<posthouse/check.h>). */
#include <stdarg.h>
#include <stdio.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "pipeline/envelope_edit.h"
#include "pipeline/field.h"
#include "pipeline/pipeline.h"
#include "pipeline/place.h"
#include "pipeline/reply.h"
#include "pipeline/value.h"

enum {
	TEXT_MAX = 400,
	NOTE_KEY_MAX = 64,
	ADDRESS_MAX = 320,
	REDIRECTS_MAX = 8,
	KEYWORDS_MAX = 16,
};

struct ph_arena *
ph_call_arena(struct ph_call *call)
{
	return call->arena;
}

const struct ph_session *
ph_call_session(const struct ph_call *call)
{
	return call->session;
}

enum ph_stage
ph_call_stage(const struct ph_call *call)
{
	return call->stage;
}

const struct ph_addr *
ph_call_client(const struct ph_call *call)
{
	return &call->session->client;
}

const struct ph_decision *
ph_call_decision(const struct ph_call *call)
{
	return call->decision;
}

const struct ph_delivery_facts *
ph_call_delivery(const struct ph_call *call)
{
	return call->delivery;
}

struct ph_slice
ph_call_sender(const struct ph_call *call)
{
	return call->sender;
}

struct ph_slice
ph_call_recipient(const struct ph_call *call)
{
	return call->recipient;
}

size_t
ph_call_recipient_count(const struct ph_call *call)
{
	return call->recipient_count;
}

struct ph_slice
ph_call_recipient_at(const struct ph_call *call, size_t i)
{
	if (i >= call->recipients_known)
		return (struct ph_slice){ NULL, 0 };
	return call->recipients[i];
}

struct ph_slice
ph_call_header(const struct ph_call *call)
{
	return call->header;
}

struct ph_slice
ph_call_content(const struct ph_call *call)
{
	return call->content;
}

/* One printable line; what is neither becomes '?'. */
static const char *
clean(struct ph_call *call, const char *fmt, va_list args)
{
	char *text = ph_arena_vprintf(call->arena, fmt, args);

	if (strlen(text) > TEXT_MAX)
		text[TEXT_MAX] = '\0';
	for (char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f)
			*at = '?';
	return text;
}

static const char *
field_value(struct ph_call *call, const char *fmt, va_list args)
{
	return value_clean(call->arena,
	    ph_slice_str(ph_arena_vprintf(call->arena, fmt, args)));
}

/* "x.y.z" of the class, RFC 3463. */
static const char *
enhanced_of(struct ph_call *call, const char *enhanced, int class)
{
	if (enhanced != NULL && strlen(enhanced) < 12 &&
	    enhanced[0] == '0' + class && enhanced[1] == '.')
		return ph_arena_strdup(call->arena, enhanced);
	return class == 5 ? "5.7.1" : "4.7.1";
}

static enum ph_verdict
refuse(struct ph_call *call, int class, int code, const char *enhanced,
    const char *text)
{
	call->code = code / 100 == class ? code : class == 5 ? 550 : 451;
	call->enhanced = enhanced_of(call, enhanced, class);
	call->text = text;
	call->answers++;
	return class == 5 ? PH_REJECT : PH_DEFER;
}

enum ph_verdict
ph_reject(struct ph_call *call, int code, const char *enhanced,
    const char *fmt, ...)
{
	const char *text;
	va_list args;

	va_start(args, fmt);
	text = clean(call, fmt, args);
	va_end(args);
	return refuse(call, 5, code, enhanced, text);
}

enum ph_verdict
ph_defer(struct ph_call *call, int code, const char *enhanced,
    const char *fmt, ...)
{
	const char *text;
	va_list args;

	va_start(args, fmt);
	text = clean(call, fmt, args);
	va_end(args);
	return refuse(call, 4, code, enhanced, text);
}

void
ph_reason(struct ph_call *call, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	call->text = clean(call, fmt, args);
	va_end(args);
}

void
ph_score(struct ph_call *call, double points)
{
	if (points > -1e6 && points < 1e6)
		call->score += points;
}

double
ph_call_score(const struct ph_call *call)
{
	return (double)call->score_so_far / 1000 + call->score;
}

static bool
is_address(struct ph_slice address)
{
	for (size_t i = 0; i < address.n; i++)
		if ((unsigned char)address.p[i] <= 0x20 ||
		    address.p[i] == 0x7f)
			return false;
	return address.n <= ADDRESS_MAX && ph_address_domain(address).n > 0;
}

bool
ph_redirect(struct ph_call *call, struct ph_slice address)
{
	if (call->stage != PH_AT_DELIVER || !is_address(address) ||
	    call->redirects == REDIRECTS_MAX)
		return false;
	call->redirects++;
	record_put(&call->changes, F_REDIRECT, address);
	return true;
}

bool
ph_send_reply(struct ph_call *call, struct ph_slice address,
    struct ph_slice content)
{
	size_t mark;

	if (call->stage != PH_AT_DELIVER || call->sender.n == 0 ||
	    reply_is_automatic(call->header) || !is_address(address) ||
	    !reply_is_sound(content) || call->replies == REPLIES_MAX ||
	    call->reply_octets + content.n > REPLY_OCTETS_MAX)
		return false;
	call->replies++;
	call->reply_octets += content.n;
	mark = record_begin(&call->changes, F_REPLY);
	record_put(&call->changes, F_ADDRESS, address);
	record_put(&call->changes, F_CONTENT, content);
	record_end(&call->changes, mark);
	return true;
}

bool
ph_file_into(struct ph_call *call, struct ph_slice mailbox, uint32_t flags,
    const char *const *keywords)
{
	struct ph_slice names[KEYWORDS_MAX];
	struct ph_delivery_place place = { .mailbox = mailbox,
		.flags = flags, .keywords = names };

	if (call->stage != PH_AT_DELIVER || call->delivery->user.p == NULL ||
	    call->places == PLACES_MAX)
		return false;
	for (size_t i = 0; keywords != NULL && keywords[i] != NULL; i++) {
		if (i == KEYWORDS_MAX)
			return false;
		names[place.keyword_count++] = ph_slice_str(keywords[i]);
	}
	if (!place_put(&call->changes, &place))
		return false;
	call->places++;
	return true;
}

void
ph_add_header(struct ph_call *call, const char *name, const char *fmt, ...)
{
	struct ph_buf field;
	const char *value;
	va_list args;

	va_start(args, fmt);
	value = field_value(call, fmt, args);
	va_end(args);
	ph_buf_init(&field, call->arena, FIELD_MAX);
	if (call->stage < PH_STAGES && field_put(&field, name, value))
		record_put(&call->changes, F_ADD_HEADER,
		    ph_buf_content(&field));
}

static bool
may_change(const struct ph_call *call)
{
	return call->stage == PH_AT_DATA || call->stage == PH_AT_MESSAGE;
}

static void
change_field(struct ph_call *call, enum field_change change, unsigned at,
    const char *name, const char *fmt, va_list args)
{
	const char *value = field_value(call, fmt, args);

	if (may_change(call))
		field_put_change(&call->changes, change, at, name, value);
}

void
ph_insert_header(struct ph_call *call, unsigned at, const char *name,
    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	change_field(call, FIELD_INSERT, at, name, fmt, args);
	va_end(args);
}

void
ph_change_header(struct ph_call *call, const char *name, unsigned n,
    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	change_field(call, FIELD_CHANGE, n, name, fmt, args);
	va_end(args);
}

void
ph_remove_header(struct ph_call *call, const char *name, unsigned n)
{
	if (may_change(call))
		field_put_removal(&call->changes, name, n);
}

static int
change_envelope(struct ph_call *call, enum envelope_op op,
    const char *address, const char *notify, const char *orcpt)
{
	const struct ph_slice none = { NULL, 0 };
	struct envelope_edit edit = { .op = op,
		.address = ph_slice_str(address),
		.notify = notify != NULL ? ph_slice_str(notify) : none,
		.orcpt = orcpt != NULL ? ph_slice_str(orcpt) : none,
		.module = ph_slice_str(call->instance->name) };

	return call->stage == PH_AT_MESSAGE ?
	    envelope_edit_put(&call->changes, &edit) : PH_INVALID;
}

int
ph_add_recipient(struct ph_call *call, const char *address,
    const char *notify, const char *orcpt)
{
	return change_envelope(call, ENVELOPE_ADD, address, notify, orcpt);
}

int
ph_remove_recipient(struct ph_call *call, const char *address)
{
	return change_envelope(call, ENVELOPE_REMOVE, address, NULL, NULL);
}

int
ph_change_sender(struct ph_call *call, const char *address)
{
	return change_envelope(call, ENVELOPE_SENDER, address, NULL, NULL);
}

int
ph_replace_body(struct ph_call *call, const void *p, size_t n)
{
	return call->stage == PH_AT_MESSAGE ?
	    body_edit_add(call, (struct ph_slice){ p, n }) : PH_INVALID;
}

static bool
is_shadow(const struct ph_call *call)
{
	return call->instance->common.mode == MODE_SHADOW;
}

/* On the way to the queue, where a hook behind it may ask for it. */
static void
keep_note(struct ph_call *call, const char *key, const char *text)
{
	struct ph_buf note;

	if (call->session->generation->stages >> PH_STAGES == 0 ||
	    call->stage >= PH_STAGES || strlen(key) > NOTE_KEY_MAX)
		return;
	ph_buf_init(&note, call->arena, 1024);
	record_put_str(&note, F_NAME, key);
	record_put_str(&note, F_TEXT, text);
	record_put(&call->changes, F_NOTE, ph_buf_content(&note));
}

void
ph_note(struct ph_call *call, const char *key, const char *fmt, ...)
{
	const char *text;
	va_list args;

	va_start(args, fmt);
	text = clean(call, fmt, args);
	va_end(args);
	session_state_note(call->state, key, text, is_shadow(call));
	keep_note(call, key, text);
}

const char *
ph_call_note(const struct ph_call *call, const char *key)
{
	return session_state_noted(call->state, key, is_shadow(call));
}

void *
ph_call_message_state(struct ph_call *call, size_t size)
{
	return message_state_of(call->state, call->instance, size);
}

void *
ph_call_session_state(struct ph_call *call, size_t size)
{
	return session_state_of(call->state, call->instance, size);
}

struct ph_arena *
ph_call_message_arena(struct ph_call *call)
{
	return message_state_arena(call->state);
}

struct ph_arena *
ph_call_session_arena(struct ph_call *call)
{
	return session_state_arena(call->state);
}
