/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail.c - the role that owns mailboxes: deliveries from the queue, and POP3
 * and IMAP sessions after login. It believes only what auth's token proves.
 */
#include "role/role.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <posthouse/store.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/stream.h"
#include "pipeline/place.h"
#include "role/content.h"
#include "role/mailbox.h"
#include "session/session.h"

enum {
	RECIPIENTS_MAX = 10000,
	FAREWELL_MS = 2000,
	FIBERS_SPARE = 4000, /* for deliveries */
};

struct user_session {
	struct user_session *next, *prev;
	struct ph_session *session;
	struct fiber *fiber;
	struct ph_slice state;
};

static struct {
	struct generation *first; /* the store's configuration lives in it */
	struct user_session *sessions;
	unsigned count, delivering;
	uint64_t delivered, failed;
	bool is_stopping;
	struct ph_event moved;
} mail;

static bool
owns(struct ph_slice user)
{
	const struct core_conf *core = &generation_current()->core;

	return partition_of(user, core->mail.partitions) %
	    bus_role_size(ROLE_MAIL) == role_index();
}

/* --- deliveries --- */

static bool
is_sane_name(struct ph_slice text)
{
	if (text.p == NULL || text.n == 0 || text.n > 320)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	return true;
}

/* Where he wants it; what is no place counts for nothing. */
static void
take_places(struct ph_slice record, struct ph_delivery_job *job, size_t n)
{
	struct ph_delivery_places *places;
	struct ph_delivery_place *item;
	struct record_field field;

	if (record_get(record, F_PLACE).p == NULL)
		return;
	if (job->places == NULL)
		job->places = ph_arena_array(job->arena, n,
		    sizeof(*job->places));
	places = &job->places[job->target_count];
	item = ph_arena_array(job->arena, PLACES_MAX, sizeof(*item));
	places->item = item;
	while (record_next(&record, &field))
		if (field.tag == F_PLACE && places->count < PLACES_MAX)
			places->count += place_take(job->arena, field.value,
			    &item[places->count]);
}

/* False: the request is not one of ours. */
static bool
take_targets(struct ph_slice record, struct ph_delivery_job *job)
{
	struct ph_slice rest = record;
	struct record_field field;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_RCPT;
	if (n == 0 || n > RECIPIENTS_MAX)
		return false;
	job->targets = ph_arena_array(job->arena, n, sizeof(*job->targets));
	while (record_next(&record, &field)) {
		struct ph_delivery_target *target =
		    &job->targets[job->target_count];

		if (field.tag != F_RCPT)
			continue;
		target->user = record_get(field.value, F_USER);
		target->recipient = record_get(field.value, F_ADDRESS);
		target->recipient_no = (uint32_t)record_get_u64(field.value,
		    F_NUMBER, 0);
		target->status = PH_UNAVAILABLE;
		if (!is_sane_name(target->user) ||
		    !is_sane_name(target->recipient) || !owns(target->user))
			return false;
		take_places(field.value, job, n);
		job->target_count++;
	}
	return true;
}

static void
reply_results(struct bus_request *request, const struct ph_delivery_job *job)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, BUS_MESSAGE_LIMIT);
	for (size_t i = 0; i < job->target_count; i++) {
		const struct ph_delivery_target *target = &job->targets[i];
		size_t mark = record_begin(&buf, F_RESULT);

		record_put_u64(&buf, F_NUMBER, target->recipient_no);
		record_put_u64(&buf, F_STATUS,
		    (uint64_t)(int64_t)target->status);
		record_put_u64(&buf, F_UID, target->uid);
		if (target->detail != NULL)
			record_put_str(&buf, F_TEXT, target->detail);
		record_end(&buf, mark);
		mail.delivered += target->status == PH_OK;
		mail.failed += target->status != PH_OK;
	}
	bus_reply(request, buf.full ? PH_TOO_BIG : PH_OK,
	    ph_buf_content(&buf), NULL, 0);
}

static void
on_deliver(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	const struct module_instance *store = mailbox_store();
	struct ph_delivery_job job = { .arena = request->arena };
	char name[ID_TEXT_MAX];
	struct log_context log = { .queue = name, .hook = "deliver" };
	int status;

	job.queue_id = record_get_u64(record, F_QUEUE_ID, 0);
	job.queue_name = id_format(job.queue_id, name);
	job.sender = record_get(record, F_SENDER);
	job.received_at = (int64_t)record_get_u64(record, F_RECEIVED_AT, 0);
	status = content_take(request, &job.content);
	if (mail.is_stopping || store == NULL)
		status = PH_UNAVAILABLE;
	if (status == PH_OK && (job.sender.p == NULL ||
	        !take_targets(record, &job)))
		status = PH_INVALID;
	if (status != PH_OK) {
		bus_reply(request, status, PH_LIT(""), NULL, 0);
		return;
	}
	log.module = store->name;
	mail.delivering++;
	fiber_context_set(&log);
	store->module->store->deliver(mailbox_state(), &job);
	fiber_context_set(NULL);
	mail.delivering--;
	reply_results(request, &job);
	ph_event_signal(&mail.moved);
}

/* --- sessions --- */

static void
say_farewell(void *arg)
{
	struct ph_session *session = arg;
	const struct ph_listener_ops *ops = session->instance->module->listener;

	fiber_deadline_set(ph_now_ms() + FAREWELL_MS);
	ph_stream_write_timeout(session->stream, FAREWELL_MS);
	if (ops->farewell != NULL)
		ops->farewell(session->stream, session->instance->conf,
		    ph_session_hostname(session), PH_CANCELED);
	stream_end(session->stream);
}

static void
session_main(void *arg)
{
	struct user_session *user = arg;
	struct ph_session *session = user->session;
	const struct module_instance *instance = session->instance;

	user->fiber = fiber_self();
	if (mail.is_stopping) /* since it was handed over */
		fiber_cancel(user->fiber);
	session->log.module = instance->name;
	session->log.hook = "user_session";
	session_enter_log(session);
	instance->module->listener->user_session(session, instance->conf,
	    user->state);
	mailbox_close_all(session);
	if (fiber_is_canceled())
		fiber_join(fiber_start_joinable(say_farewell, session));
	else
		stream_end(session->stream);
	fiber_context_set(NULL);
	*(user->prev != NULL ? &user->prev->next : &mail.sessions) =
	    user->next;
	if (user->next != NULL)
		user->next->prev = user->prev;
	mail.count--;
	session_free(session); /* user lies in its arena */
	ph_event_signal(&mail.moved);
}

/* Everything a hand-over claims, checked; NULL: no. */
static struct ph_session *
take_session(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct generation *generation = generation_current();
	const struct module_instance *instance = session_instance(generation,
	    record_get(record, F_LISTENER));
	struct ph_slice user = record_get(record, F_USER);
	struct ph_session *session;

	if (instance == NULL ||
	    instance->module->listener->user_session == NULL ||
	    !is_sane_name(user) || !owns(user))
		return NULL;
	session = session_create(generation, instance);
	if (session_take(session, record) != PH_OK || session->user == NULL ||
	    !token_check(generation->key, record_get(record, F_TOKEN),
	        ph_slice_str(session->user), ph_slice_str(session->id),
	        ph_wall_time())) {
		ph_log(PH_ERROR, "handover_denied",
		    ph_f_slice("session", record_get(record, F_SESSION)),
		    ph_f_slice("user", user),
		    ph_f_str("reason", "no valid token"));
		session_free(session);
		return NULL;
	}
	session->listener = instance->name;
	session->service = instance->module->listener->service;
	return session;
}

static void
on_handover(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	int fd = request->message.fds[0];
	struct ph_session *session = fd >= 0 && !mail.is_stopping &&
	    fiber_has_room(FIBERS_SPARE) && mailbox_store() != NULL ?
	    take_session(request) : NULL;
	struct user_session *user;

	if (session == NULL) {
		if (fd >= 0)
			close(fd);
		bus_reply(request, PH_DENIED, PH_LIT(""), NULL, 0);
		return;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	session->stream = stream_create(session->arena, fd);
	stream_unread(session->stream, record_get(record, F_UNREAD));
	user = ph_arena_alloc(session->arena, sizeof(*user));
	user->session = session;
	user->state = ph_arena_slice(session->arena,
	    record_get(record, F_STATE));
	user->next = mail.sessions;
	if (mail.sessions != NULL)
		mail.sessions->prev = user;
	mail.sessions = user;
	mail.count++;
	bus_reply(request, PH_OK, PH_LIT(""), NULL, 0);
	fiber_start(session_main, user);
}

/* --- the number of partitions --- */

/* 0: not known. */
static unsigned
read_partitions(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	unsigned found = 0;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		found = (unsigned)strtoul(text, NULL, 10);
	if (fd >= 0)
		close(fd);
	return found;
}

/* Under another name first, so that whoever reads it, now or after a crash,
 * finds all of it. Processes that begin together write the same. */
static bool
write_partitions(const char *path, unsigned partitions)
{
	char own[1150], text[32];
	int n = snprintf(text, sizeof(text), "%u\n", partitions), fd;
	bool good;

	snprintf(own, sizeof(own), "%s.%u", path, role_index());
	fd = open(own, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	good = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	good = good && rename(own, path) == 0;
	fd = good ? open(role_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	good = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return good;
}

/* It is written once, beside the partitions. */
static int
fix_partitions(unsigned partitions, struct ph_err *err)
{
	char path[1100];
	unsigned found;

	snprintf(path, sizeof(path), "%s/partitions", role_dir());
	found = read_partitions(path);
	if (found == 0 && !write_partitions(path, partitions))
		return ph_err_set(err, PH_IO, 0, "%s can't be written", path);
	if (found == 0 || found == partitions)
		return PH_OK;
	return ph_err_set(err, PH_INVALID, 0,
	    "the mailboxes were made with %u partitions, mail.partitions is "
	    "%u: it can't be changed afterwards", found, partitions);
}

/* --- the role --- */

static int
mail_start(struct generation *generation, struct ph_err *err)
{
	const struct core_conf *core = &generation->core;
	int status = fix_partitions(core->mail.partitions, err);

	if (status != PH_OK)
		return status;
	mail.first = generation_get(generation);
	status = mailbox_start(generation, role_dir(),
	    bus_role_size(ROLE_MAIL), err);
	if (status != PH_OK)
		return status;
	bus_serve(MSG_DELIVER, ROLE_BIT(ROLE_QUEUE), on_deliver);
	bus_serve(MSG_HANDOVER, ROLE_BIT(ROLE_EDGE), on_handover);
	return PH_OK;
}

static void
mail_stop(unsigned timeout_ms)
{
	uint64_t end = ph_now_ms() + timeout_ms;

	mail.is_stopping = true;
	for (struct user_session *at = mail.sessions; at != NULL;
	     at = at->next)
		if (at->fiber != NULL)
			fiber_cancel(at->fiber);
	while ((mail.sessions != NULL || mail.delivering > 0) &&
	    ph_now_ms() < end)
		ph_event_wait(&mail.moved, (unsigned)(end - ph_now_ms()));
	if (mail.sessions == NULL && mail.delivering == 0)
		mailbox_stop();
}

static void
mail_status(struct ph_buf *items)
{
	role_status_item(items, "sessions", "%u", mail.count);
	role_status_item(items, "delivered", "%llu",
	    (unsigned long long)mail.delivered);
	role_status_item(items, "failed", "%llu",
	    (unsigned long long)mail.failed);
}

const struct role_ops role_mail = {
	.role = ROLE_MAIL,
	.kinds = PH_KIND_STORE | PH_KIND_LISTENER,
	.start = mail_start,
	.stop = mail_stop,
	.status = mail_status,
};
