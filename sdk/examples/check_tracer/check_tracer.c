/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_tracer - a hook at every stage that says what it sees, and refuses
 * nobody: an example of all that a check may look at, and of memory that lasts
 * for the session. Not for a server that has secrets to keep from its log.
 */
#include <posthouse/delivery.h>
#include <posthouse/mail.h>

struct tracer_conf {
	bool add_header;
};

/* Zeroed when the session begins; found by every hook. */
struct tracer_session {
	unsigned hooks, messages;
	uint64_t began_ms;
};

static struct tracer_session *
enter(struct ph_call *call)
{
	struct tracer_session *session = ph_call_session_state(call,
	    sizeof(*session));

	if (session->hooks++ == 0)
		session->began_ms = ph_now_ms();
	return session;
}

static enum ph_verdict
tracer_on_connect(struct ph_call *call, const void *conf)
{
	const struct ph_session *session = ph_call_session(call);
	char client[PH_ADDR_TEXT_MAX], local[PH_ADDR_TEXT_MAX];

	(void)conf;
	enter(call);
	ph_log(PH_INFO, "trace_connect",
	    ph_f_str("client", ph_addr_format(ph_call_client(call), client)),
	    ph_f_int("client_port", ph_session_client_port(session)),
	    ph_f_str("local", ph_addr_format(ph_session_local(session), local)),
	    ph_f_int("local_port", ph_session_local_port(session)),
	    ph_f_str("listener", ph_session_listener(session)),
	    ph_f_str("service", ph_session_service(session)));
	return PH_NEXT;
}

static enum ph_verdict
tracer_on_tls(struct ph_call *call, const void *conf)
{
	const struct ph_session *session = ph_call_session(call);

	(void)conf;
	enter(call);
	ph_log(PH_INFO, "trace_tls", ph_f_str("tls", ph_session_tls(session)),
	    ph_f_str("certificate", ph_session_certificate(session)));
	return PH_NEXT;
}

/* helo, auth: one function for two stages. */
static enum ph_verdict
tracer_on_name(struct ph_call *call, const void *conf)
{
	const struct ph_session *session = ph_call_session(call);

	(void)conf;
	enter(call);
	ph_log(PH_INFO, "trace_name",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("helo", ph_session_helo(session)),
	    ph_f_str("user", ph_session_user(session)));
	return PH_NEXT;
}

static enum ph_verdict
tracer_on_envelope(struct ph_call *call, const void *conf)
{
	(void)conf;
	enter(call);
	ph_log(PH_INFO, "trace_envelope",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("from", ph_call_sender(call)),
	    ph_f_slice("rcpt", ph_call_recipient(call)),
	    ph_f_int("accepted", (int64_t)ph_call_recipient_count(call)));
	return PH_NEXT;
}

static enum ph_verdict
tracer_on_data(struct ph_call *call, const void *conf)
{
	struct ph_slice rest = ph_call_header(call);
	struct ph_header_field field;
	int64_t fields = 0;

	(void)conf;
	enter(call);
	while (ph_header_next(&rest, &field))
		fields++;
	for (size_t i = 0; i < ph_call_recipient_count(call); i++)
		ph_log(PH_INFO, "trace_recipient",
		    ph_f_slice("rcpt", ph_call_recipient_at(call, i)));
	ph_log(PH_INFO, "trace_data", ph_f_int("fields", fields),
	    ph_f_slice("subject", ph_header_find(ph_call_header(call),
	        "Subject", &field) ? ph_header_unfold(ph_call_arena(call),
	            field.value) : (struct ph_slice){ NULL, 0 }));
	return PH_NEXT;
}

static enum ph_verdict
tracer_on_message(struct ph_call *call, const void *conf)
{
	const struct tracer_conf *c = conf;
	struct tracer_session *session = enter(call);

	ph_log(PH_INFO, "trace_message",
	    ph_f_int("octets", (int64_t)ph_call_content(call).n),
	    ph_f_int("messages", ++session->messages),
	    ph_f_int("ms", (int64_t)(ph_now_ms() - session->began_ms)));
	ph_reason(call, "traced by %u hooks", session->hooks);
	ph_note(call, "tracer.message", "%u", session->messages);
	if (c->add_header)
		ph_add_header(call, "X-Tracer", "message %u of the session",
		    session->messages);
	return PH_NEXT;
}

/* route, deliver: the message is in the queue, its client gone. */
static enum ph_verdict
tracer_before(struct ph_call *call, const void *conf)
{
	const struct ph_delivery_facts *delivery = ph_call_delivery(call);

	(void)conf;
	ph_log(PH_INFO, "trace_before",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("from", ph_call_sender(call)),
	    ph_f_slice("rcpt", ph_call_recipient(call)),
	    ph_f_slice("mailbox", delivery->user),
	    ph_f_slice("destination", delivery->destination),
	    ph_f_str("login", ph_session_user(ph_call_session(call))),
	    ph_f_str("tracer", ph_call_note(call, "tracer.message")),
	    ph_f_int("octets", (int64_t)ph_call_content(call).n),
	    ph_f_int("attempts", delivery->attempts));
	return PH_NEXT;
}

/* delivered, deferred, bounced: what came of it. */
static enum ph_verdict
tracer_after(struct ph_call *call, const void *conf)
{
	const struct ph_delivery_facts *delivery = ph_call_delivery(call);

	(void)conf;
	ph_log(PH_INFO, "trace_after",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("rcpt", ph_call_recipient(call)),
	    ph_f_slice("host", delivery->host),
	    ph_f_int("code", delivery->code),
	    ph_f_slice("text", delivery->text),
	    ph_f_int("attempts", delivery->attempts));
	return PH_NEXT;
}

static const struct ph_option tracer_options[] = {
	PH_OPT_BOOL("add_header", struct tracer_conf, add_header, "false",
	    "add a field X-Tracer to each message"),
	PH_OPT_END,
};

static const struct ph_check_ops tracer_ops = {
	.at = { [PH_AT_CONNECT] = tracer_on_connect,
	    [PH_AT_TLS] = tracer_on_tls, [PH_AT_HELO] = tracer_on_name,
	    [PH_AT_AUTH] = tracer_on_name, [PH_AT_MAIL] = tracer_on_envelope,
	    [PH_AT_RCPT] = tracer_on_envelope, [PH_AT_DATA] = tracer_on_data,
	    [PH_AT_MESSAGE] = tracer_on_message },
};

static const struct ph_delivery_ops tracer_delivery = {
	.route = tracer_before, .deliver = tracer_before,
	.delivered = tracer_after, .deferred = tracer_after,
	.bounced = tracer_after,
};

PH_MODULE(check_tracer) = {
	.abi = PH_ABI,
	.name = "check_tracer",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct tracer_conf),
	.options = tracer_options,
	.doc = "says what it sees at every stage",
	.check = &tracer_ops,
	.delivery = &tracer_delivery,
};
