/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_milter - asks a milter, a filter program of the kind that Sendmail and
 * Postfix have, at each stage, and does what it wants of the message. An example
 * of a check that keeps a connection of its own for as long as the session lasts.
 * Our Received field is one of those that the milter sees, so that places of
 * fields are the same on both sides.
 */
#include <posthouse/check.h>
#include <posthouse/mail.h>

#include "wire.h"

enum {
	VERSION = 6,
	/* what a milter may do: all but choosing its own macros */
	ACTIONS = 0xff,
	/* what it may leave out, "NO" */
	NO_CONNECT = 0x1, NO_HELO = 0x2, NO_MAIL = 0x4, NO_RCPT = 0x8,
	NO_BODY = 0x10, NO_HEADER = 0x20, NO_HEADER_END = 0x40, NO_DATA = 0x200,
	/* and not answer, "NR" */
	MUTE_HEADER = 0x80, MUTE_CONNECT = 0x1000, MUTE_HELO = 0x2000,
	MUTE_MAIL = 0x4000, MUTE_RCPT = 0x8000, MUTE_DATA = 0x10000,
	MUTE_HEADER_END = 0x40000, MUTE_BODY = 0x80000,
	SKIPS = 0x400, LEADING_BLANK = 0x100000,
	STEPS = 0x1fffff & ~0x800 & ~0x100 & ~0x20000,
};

struct milter_conf {
	const char *socket;
	unsigned timeout_ms, when_down;
};

static const char *const downs[] = { "defer", "next", NULL };
enum { DOWN_DEFER, DOWN_NEXT };

/* Of the session. */
struct bridge {
	struct wire wire;
	uint32_t steps;   /* what it leaves out or doesn't answer */
	bool is_open, is_busy, is_broken;
	bool is_accepted; /* it has no interest in this client */
	bool has_message; /* one was begun and not ended */
};

/* Of the message. */
struct letter {
	bool is_begun, is_accepted, is_discarded;
	const char *held_for;
};

/* One stage. */
struct talk {
	struct ph_call *call;
	const struct milter_conf *conf;
	struct bridge *bridge;
	struct letter *letter;     /* NULL: before mail */
	struct wire_packet answer; /* the last one */
};

/* --- packets --- */

/* Put macros in front of a command that is not left out: pairs of texts, the
 * last name NULL. */
static int
send_macros(struct talk *talk, char letter, const char *const *pairs,
    uint32_t no)
{
	struct ph_buf data;

	if ((talk->bridge->steps & no) != 0)
		return PH_OK;
	ph_buf_init(&data, ph_call_arena(talk->call), 4096);
	ph_buf_char(&data, letter);
	for (; pairs[0] != NULL; pairs += 2) {
		if (pairs[1] == NULL)
			continue;
		wire_put_text(&data, ph_slice_str(pairs[0]));
		wire_put_text(&data, ph_slice_str(pairs[1]));
	}
	return wire_send(&talk->bridge->wire, WIRE_MACROS,
	    ph_buf_content(&data));
}

/* What a milter may want before it is done with a message. */
static int change(struct talk *talk);

/* Its answer, with all that comes before it carried out. */
static int
hear(struct talk *talk)
{
	int status = ph_stream_flush(talk->bridge->wire.stream);

	while (status == PH_OK) {
		status = wire_receive(&talk->bridge->wire,
		    ph_call_arena(talk->call), &talk->answer);
		if (status != PH_OK)
			break;
		if (strchr("cartdysf4", talk->answer.letter) != NULL &&
		    talk->answer.letter != '\0')
			return PH_OK;
		if (talk->answer.letter != REPLY_PROGRESS)
			status = change(talk);
	}
	return status;
}

/* no, mute: the bits of this step. */
static int
say(struct talk *talk, char letter, struct ph_slice data, uint32_t no,
    uint32_t mute)
{
	int status;

	talk->answer = (struct wire_packet){ REPLY_CONTINUE, { NULL, 0 } };
	if ((talk->bridge->steps & no) != 0)
		return PH_OK;
	status = wire_send(&talk->bridge->wire, letter, data);
	if (status != PH_OK || (talk->bridge->steps & mute) != 0)
		return status;
	return hear(talk);
}

/* --- the connection --- */

static int
negotiate(struct talk *talk)
{
	struct wire_packet packet;
	struct ph_buf data;
	int status;

	ph_buf_init(&data, ph_call_arena(talk->call), 16);
	wire_put_number(&data, VERSION);
	wire_put_number(&data, ACTIONS);
	wire_put_number(&data, STEPS);
	status = wire_send(&talk->bridge->wire, WIRE_OPTIONS,
	    ph_buf_content(&data));
	if (status == PH_OK)
		status = ph_stream_flush(talk->bridge->wire.stream);
	if (status == PH_OK)
		status = wire_receive(&talk->bridge->wire,
		    ph_call_arena(talk->call), &packet);
	if (status != PH_OK)
		return status;
	if (packet.letter != WIRE_OPTIONS || packet.data.n < 12)
		return PH_PROTOCOL;
	wire_take_number(&packet.data); /* its version */
	wire_take_number(&packet.data); /* what it will do */
	talk->bridge->steps = wire_take_number(&packet.data);
	return PH_OK;
}

/* "/path" or "ADDRESS:PORT" */
static int
reach(struct talk *talk, struct ph_err *err)
{
	const struct milter_conf *c = talk->conf;
	struct ph_arena *arena = ph_call_session_arena(talk->call);
	const char *colon = strrchr(c->socket, ':');
	struct bridge *bridge = talk->bridge;
	struct ph_addr addr;
	uint64_t port = 0;
	int status;

	if (c->socket[0] == '/') {
		status = ph_connect_unix(arena, c->socket, c->timeout_ms,
		    &bridge->wire.stream, err);
	} else {
		ph_addr_parse((struct ph_slice){ c->socket,
		    (size_t)(colon - c->socket) }, &addr);
		ph_slice_number(ph_slice_str(colon + 1), 65535, &port);
		status = ph_connect(arena, &addr, (uint16_t)port,
		    c->timeout_ms, &bridge->wire.stream, err);
	}
	bridge->wire.timeout_ms = c->timeout_ms;
	return status == PH_OK ? negotiate(talk) : status;
}

/* The client's name, if its address has it and the name the address. */
static const char *
client_name(struct ph_call *call)
{
	struct ph_arena *arena = ph_call_arena(call);
	const struct ph_dns_answer *ptr = ph_dns_ptr(arena,
	    ph_call_client(call)), *back;
	char text[PH_ADDR_TEXT_MAX];

	for (size_t i = 0; i < ptr->count && i < 3; i++) {
		back = ph_dns_host(arena, ptr->ptr[i]);
		for (size_t j = 0; j < back->count; j++)
			if (ph_addr_eq(&back->addr[j], ph_call_client(call)))
				return ptr->ptr[i];
	}
	return ph_arena_printf(arena, "[%s]", ph_addr_format(
	    ph_call_client(call), text));
}

static int
say_connect(struct talk *talk)
{
	const struct ph_session *session = ph_call_session(talk->call);
	const struct ph_addr *addr = ph_call_client(talk->call);
	const char *name = client_name(talk->call);
	uint16_t port = ph_session_client_port(session);
	char client[PH_ADDR_TEXT_MAX];
	const char *const macros[] = { "j", ph_session_hostname(session),
		"{daemon_name}", ph_session_listener(session), "{client_addr}",
		ph_addr_format(addr, client), "{client_name}", name, NULL };
	struct ph_buf data;
	int status;

	ph_buf_init(&data, ph_call_arena(talk->call), 1024);
	wire_put_text(&data, ph_slice_str(name));
	ph_buf_char(&data, addr->family == 6 ? '6' : '4');
	ph_buf_char(&data, (char)(port >> 8));
	ph_buf_char(&data, (char)(port & 0xff));
	wire_put_text(&data, ph_slice_str(client));
	status = send_macros(talk, WIRE_CONNECT, macros, NO_CONNECT);
	return status != PH_OK ? status :
	    say(talk, WIRE_CONNECT, ph_buf_content(&data), NO_CONNECT,
	        MUTE_CONNECT);
}

/* --- what it wants of the message --- */

/* "<address>" without its brackets, NUL behind it. */
static const char *
address_of(struct talk *talk, struct ph_slice text)
{
	if (text.n >= 2 && text.p[0] == '<' && text.p[text.n - 1] == '>')
		text = (struct ph_slice){ text.p + 1, text.n - 2 };
	return ph_arena_slice(ph_call_arena(talk->call), text).p;
}

static unsigned
count_fields(struct ph_call *call, const char *name)
{
	struct ph_slice rest = ph_call_header(call);
	struct ph_header_field field;
	unsigned n = 0;

	while (ph_header_next(&rest, &field))
		n += ph_slice_eq_nocase(field.name, ph_slice_str(name));
	return n;
}

static int
change_header(struct talk *talk, char letter, struct ph_slice data)
{
	uint32_t at = letter != REPLY_ADD_HEADER ? wire_take_number(&data) : 0;
	struct ph_slice name = wire_take_text(&data);
	struct ph_slice value = wire_take_text(&data);

	if (name.p == NULL || value.p == NULL)
		return PH_PROTOCOL;
	if (letter == REPLY_INSERT_HEADER)
		ph_insert_header(talk->call, at > 0 ? at : 1, name.p, "%s",
		    value.p);
	else if (letter == REPLY_CHANGE_HEADER && value.n == 0)
		ph_remove_header(talk->call, name.p, at > 0 ? at : 1);
	else if (letter == REPLY_CHANGE_HEADER &&
	    at <= count_fields(talk->call, name.p))
		ph_change_header(talk->call, name.p, at > 0 ? at : 1, "%s",
		    value.p);
	else /* the last of all */
		ph_insert_header(talk->call, UINT32_MAX, name.p, "%s",
		    value.p);
	return PH_OK;
}

static int
change_envelope(struct talk *talk, char letter, const char *address)
{
	int status = letter == REPLY_CHANGE_FROM ?
	    ph_change_sender(talk->call, address) :
	    letter == REPLY_REMOVE_RCPT ?
	    ph_remove_recipient(talk->call, address) :
	    ph_add_recipient(talk->call, address, NULL, NULL);

	if (status != PH_OK)
		ph_log(PH_WARN, "milter_address", ph_f_str("address", address),
		    ph_f_str("reason", ph_status_name(status)));
	return PH_OK;
}

static int
change(struct talk *talk)
{
	struct ph_slice rest = talk->answer.data;
	char letter = talk->answer.letter;

	switch (letter) {
	case REPLY_ADD_HEADER:
	case REPLY_INSERT_HEADER:
	case REPLY_CHANGE_HEADER:
		return change_header(talk, letter, rest);
	case REPLY_CHANGE_FROM:
	case REPLY_ADD_RCPT:
	case REPLY_ADD_RCPT_ARGS:
	case REPLY_REMOVE_RCPT:
		return change_envelope(talk, letter, address_of(talk,
		    wire_take_text(&rest)));
	case REPLY_REPLACE_BODY:
		return ph_replace_body(talk->call, rest.p, rest.n);
	case REPLY_QUARANTINE:
		if (talk->letter != NULL)
			talk->letter->held_for = ph_arena_slice(
			    ph_call_message_arena(talk->call),
			    wire_take_text(&rest)).p;
		return PH_OK;
	default:
		return PH_PROTOCOL;
	}
}

/* --- answers --- */

/* "550 5.7.1 text", or with 4. */
static enum ph_verdict
reply(struct talk *talk)
{
	struct ph_slice rest = ph_slice_trim(talk->answer.data), text;
	struct ph_slice code = ph_slice_cut(&rest, ' ');
	const char *enhanced = NULL, *said;
	uint64_t number = 0;

	ph_slice_number(code, 599, &number);
	text = rest;
	if (rest.n > 2 && rest.p[0] == code.p[0] && rest.p[1] == '.') {
		enhanced = ph_arena_slice(ph_call_arena(talk->call),
		    ph_slice_cut(&text, ' ')).p;
		if (text.p == NULL)
			text = PH_LIT("refused");
	}
	said = ph_arena_slice(ph_call_arena(talk->call), text).p;
	return number >= 500 ?
	    ph_reject(talk->call, (int)number, enhanced, "%s", said) :
	    ph_defer(talk->call, (int)number, enhanced, "%s", said);
}

static enum ph_verdict
verdict(struct talk *talk)
{
	switch (talk->answer.letter) {
	case REPLY_REJECT:
		return ph_reject(talk->call, 550, "5.7.1",
		    "refused by a filter");
	case REPLY_TEMPFAIL:
	case REPLY_CONN_FAIL:
	case REPLY_SHUTDOWN:
		return ph_defer(talk->call, 451, "4.7.1",
		    "a filter wants this later");
	case REPLY_CODE:
		return reply(talk);
	case REPLY_ACCEPT:
		*(talk->letter != NULL ? &talk->letter->is_accepted :
		                         &talk->bridge->is_accepted) = true;
		return PH_NEXT;
	case REPLY_DISCARD: /* it may be too early to say so */
		if (talk->letter != NULL)
			talk->letter->is_accepted =
			    talk->letter->is_discarded = true;
		return PH_NEXT;
	default:
		return PH_NEXT;
	}
}

/* --- stages --- */

static int
say_envelope(struct talk *talk, char letter, struct ph_slice address,
    uint32_t no, uint32_t mute)
{
	const struct ph_session *session = ph_call_session(talk->call);
	const char *text = ph_arena_slice(ph_call_arena(talk->call),
	    address).p;
	const char *const macros[] = { "i", ph_session_id(session),
		"{auth_authen}", ph_session_user(session),
		letter == WIRE_MAIL ? "{mail_addr}" : "{rcpt_addr}", text,
		NULL };
	int status = send_macros(talk, letter, macros, no);
	struct ph_buf data;

	ph_buf_init(&data, ph_call_arena(talk->call), 1024);
	ph_buf_printf(&data, "<%s>%c", text, 0);
	return status != PH_OK ? status :
	    say(talk, letter, ph_buf_content(&data), no, mute);
}

static int
say_mail(struct talk *talk)
{
	int status = PH_OK;

	if (talk->bridge->has_message)
		status = wire_send(&talk->bridge->wire, WIRE_ABORT,
		    PH_LIT(""));
	talk->bridge->has_message = talk->letter->is_begun = true;
	return status != PH_OK ? status : say_envelope(talk, WIRE_MAIL,
	    ph_call_sender(talk->call), NO_MAIL, MUTE_MAIL);
}

/* Lines end in LF inside of a value, as milters know it. */
static int
say_field(struct talk *talk, const struct ph_header_field *field)
{
	struct ph_slice value = field->value;
	struct ph_buf data;

	if (field->name.p == NULL)
		return PH_OK;
	ph_buf_init(&data, ph_call_arena(talk->call), 1 << 20);
	wire_put_text(&data, field->name);
	while (value.n > 0 && (value.p[value.n - 1] == '\n' ||
	    value.p[value.n - 1] == '\r'))
		value.n--;
	if ((talk->bridge->steps & LEADING_BLANK) == 0 && value.n > 0 &&
	    value.p[0] == ' ')
		value = (struct ph_slice){ value.p + 1, value.n - 1 };
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r')
			ph_buf_char(&data, value.p[i]);
	ph_buf_char(&data, '\0');
	return say(talk, WIRE_HEADER, ph_buf_content(&data), NO_HEADER,
	    MUTE_HEADER);
}

/* Whether there is more to say of the message. */
static bool
goes_on(const struct talk *talk, int status)
{
	return status == PH_OK && talk->answer.letter == REPLY_CONTINUE;
}

static int
say_header(struct talk *talk)
{
	struct ph_slice rest = ph_call_header(talk->call);
	struct ph_header_field field;
	int status = PH_OK;

	while (goes_on(talk, status) && ph_header_next(&rest, &field))
		status = say_field(talk, &field);
	if (goes_on(talk, status))
		status = say(talk, WIRE_HEADER_END, PH_LIT(""), NO_HEADER_END,
		    MUTE_HEADER_END);
	return status;
}

static int
say_body(struct talk *talk)
{
	struct ph_slice rest = ph_call_content(talk->call);
	size_t skip = ph_call_header(talk->call).n;
	int status = PH_OK;

	rest = (struct ph_slice){ rest.p + skip, rest.n - skip };
	while (goes_on(talk, status) && rest.n > 0) {
		struct ph_slice chunk = { rest.p, rest.n < WIRE_BODY_MAX ?
			rest.n : WIRE_BODY_MAX };

		status = say(talk, WIRE_BODY, chunk, NO_BODY, MUTE_BODY);
		rest = (struct ph_slice){ rest.p + chunk.n, rest.n - chunk.n };
	}
	if (status == PH_OK && talk->answer.letter == REPLY_SKIP)
		talk->answer.letter = REPLY_CONTINUE; /* enough of the body */
	return status;
}

static int
say_message(struct talk *talk)
{
	int status = say_header(talk);

	if (goes_on(talk, status))
		status = say_body(talk);
	if (goes_on(talk, status))
		status = say(talk, WIRE_BODY_END, PH_LIT(""), 0, 0);
	talk->bridge->has_message = false;
	return status;
}

static int
converse(struct talk *talk)
{
	struct ph_call *call = talk->call;
	struct ph_slice helo = ph_session_helo(ph_call_session(call));
	struct ph_buf data;

	switch (ph_call_stage(call)) {
	case PH_AT_CONNECT:
		return say_connect(talk);
	case PH_AT_HELO:
		ph_buf_init(&data, ph_call_arena(call), 512);
		wire_put_text(&data, helo);
		return say(talk, WIRE_HELO, ph_buf_content(&data), NO_HELO,
		    MUTE_HELO);
	case PH_AT_MAIL:
		return say_mail(talk);
	case PH_AT_RCPT:
		return say_envelope(talk, WIRE_RCPT, ph_call_recipient(call),
		    NO_RCPT, MUTE_RCPT);
	case PH_AT_DATA:
		return say(talk, WIRE_DATA, PH_LIT(""), NO_DATA, MUTE_DATA);
	default:
		return say_message(talk);
	}
}

static enum ph_verdict
unanswered(struct talk *talk, int status, const struct ph_err *err)
{
	talk->bridge->is_broken = true;
	if (talk->bridge->wire.stream != NULL)
		ph_stream_close(talk->bridge->wire.stream);
	ph_log(PH_WARN, "milter_unanswered", ph_f_str("reason",
	    err->text[0] != '\0' ? err->text : ph_status_name(status)));
	ph_count("unanswered", 1);
	if (talk->conf->when_down == DOWN_NEXT)
		return PH_NEXT;
	return ph_defer(talk->call, 451, "4.7.1",
	    "a filter does not answer, try again later");
}

static enum ph_verdict
conclude(struct talk *talk)
{
	enum ph_verdict found = verdict(talk);
	struct letter *letter = talk->letter;

	if (found == PH_NEXT && letter != NULL &&
	    ph_call_stage(talk->call) == PH_AT_MESSAGE) {
		if (letter->is_discarded)
			return PH_DISCARD;
		if (letter->held_for != NULL) {
			ph_reason(talk->call, "%s", letter->held_for);
			return PH_QUARANTINE;
		}
	}
	return found;
}

static enum ph_verdict
milter_on_stage(struct ph_call *call, const void *conf)
{
	struct talk talk = { .call = call, .conf = conf,
		.bridge = ph_call_session_state(call, sizeof(*talk.bridge)),
		.answer = { REPLY_CONTINUE, { NULL, 0 } } };
	struct bridge *bridge = talk.bridge;
	struct ph_err err = { .text = "" };
	int status = PH_OK;

	if (ph_call_stage(call) >= PH_AT_MAIL)
		talk.letter = ph_call_message_state(call,
		    sizeof(*talk.letter));
	/* a hook that was cut short leaves it in the middle of a packet */
	if (bridge->is_broken || bridge->is_busy)
		return unanswered(&talk, PH_PROTOCOL, &err);
	if (bridge->is_accepted || (talk.letter != NULL &&
	    talk.letter->is_accepted))
		return conclude(&talk);
	bridge->is_busy = true;
	if (!bridge->is_open)
		status = reach(&talk, &err);
	bridge->is_open = true;
	if (status == PH_OK)
		status = converse(&talk);
	if (status == PH_CANCELED)
		return PH_NEXT; /* nobody hears it; the connection is lost */
	bridge->is_busy = false;
	return status == PH_OK ? conclude(&talk) :
	                         unanswered(&talk, status, &err);
}

static int
milter_check_conf(const void *conf, struct ph_err *err)
{
	const struct milter_conf *c = conf;
	const char *colon = strrchr(c->socket, ':');
	struct ph_addr addr;
	uint64_t port;

	if (c->socket[0] == '/' || (colon != NULL &&
	    ph_addr_parse((struct ph_slice){ c->socket,
	        (size_t)(colon - c->socket) }, &addr) &&
	    ph_slice_number(ph_slice_str(colon + 1), 65535, &port)))
		return PH_OK;
	return ph_err_set(err, PH_INVALID, 0,
	    "socket: \"%s\" is neither a path nor ADDRESS:PORT", c->socket);
}

static const struct ph_option milter_options[] = {
	PH_OPT_STRING("socket", struct milter_conf, socket, 1, 107, NULL,
	    "where the milter listens: a path, or ADDRESS:PORT"),
	PH_OPT_MSEC("timeout", struct milter_conf, timeout_ms, 100, 600000,
	    "10s", "how long one answer of it may take"),
	PH_OPT_CHOICE("when_down", struct milter_conf, when_down, downs,
	    "defer", "what counts when it does not answer"),
	PH_OPT_END,
};

static const struct ph_check_ops milter_ops = {
	.at = { [PH_AT_CONNECT] = milter_on_stage,
	    [PH_AT_HELO] = milter_on_stage, [PH_AT_MAIL] = milter_on_stage,
	    [PH_AT_RCPT] = milter_on_stage, [PH_AT_DATA] = milter_on_stage,
	    [PH_AT_MESSAGE] = milter_on_stage },
};

PH_MODULE(check_milter) = {
	.abi = PH_ABI,
	.name = "check_milter",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct milter_conf),
	.options = milter_options,
	.check_conf = milter_check_conf,
	.doc = "asks a milter at each stage",
	.check = &milter_ops,
};
