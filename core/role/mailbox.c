/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox.c - <posthouse/mailbox.h> on the configured store: whose mailboxes a
 * session sees is decided here, by its user, and nowhere else.
 */
#include "role/mailbox.h"

#include <posthouse/log.h>

#include "session/session.h"

static struct {
	const struct module_instance *instance;
	const struct ph_store_ops *ops;
	struct ph_store *state;
} store;

struct ph_mailbox {
	struct ph_mailbox *next, *prev; /* of the session */
	struct ph_session *session;
	struct ph_arena *arena;
	struct ph_store_mailbox *inner;
};

int
mailbox_start(const struct generation *generation, const char *dir,
    unsigned shares, struct ph_err *err)
{
	const struct module_instance *at = generation->modules.first;

	while (at != NULL && (at->module->kinds & PH_KIND_STORE) == 0)
		at = at->next;
	if (at == NULL) { /* a server that only relays has none */
		ph_log(PH_NOTICE, "no_store", ph_f_str("reason",
		    "no store module is configured, mail for local users "
		    "waits in the queue"));
		return PH_OK;
	}
	store.instance = at;
	store.ops = at->module->store;
	return store.ops->open(generation->arena, at->conf, dir,
	    generation->core.mail.partitions, role_index(), shares,
	    &store.state, err);
}

void
mailbox_stop(void)
{
	if (store.state != NULL)
		store.ops->close(store.state);
	store.state = NULL;
}

const struct module_instance *
mailbox_store(void)
{
	return store.instance;
}

struct ph_store *
mailbox_state(void)
{
	return store.state;
}

static struct ph_slice
user_of(const struct ph_session *session)
{
	return ph_slice_str(session->user);
}

/* --- names --- */

int
ph_mailbox_list(struct ph_session *session, struct ph_arena *arena,
    const struct ph_mailbox_name **names_out, size_t *count_out)
{
	return store.ops->list(store.state, user_of(session), arena, names_out,
	    count_out);
}

int
ph_mailbox_create(struct ph_session *session, struct ph_slice name)
{
	return store.ops->create(store.state, user_of(session), name);
}

int
ph_mailbox_delete(struct ph_session *session, struct ph_slice name)
{
	return store.ops->del(store.state, user_of(session), name);
}

int
ph_mailbox_rename(struct ph_session *session, struct ph_slice from,
    struct ph_slice to)
{
	return store.ops->rename(store.state, user_of(session), from, to);
}

int
ph_mailbox_subscribe(struct ph_session *session, struct ph_slice name, bool on)
{
	return store.ops->subscribe(store.state, user_of(session), name, on);
}

int
ph_mailbox_status_of(struct ph_session *session, struct ph_slice name,
    struct ph_mailbox_status *status_out)
{
	return store.ops->status_of(store.state, user_of(session), name,
	    status_out);
}

/* --- an open mailbox --- */

int
ph_mailbox_open(struct ph_session *session, struct ph_slice name,
    bool read_only, struct ph_mailbox **mailbox_out)
{
	struct ph_store_mailbox *inner;
	int status = store.ops->mailbox_open(store.state, user_of(session),
	    name, read_only, &inner);
	struct ph_mailbox *mailbox;
	struct ph_arena *arena;

	if (status != PH_OK)
		return status;
	arena = ph_arena_create(session->arena);
	mailbox = ph_arena_alloc(arena, sizeof(*mailbox));
	mailbox->arena = arena;
	mailbox->session = session;
	mailbox->inner = inner;
	mailbox->next = session->mailboxes;
	if (mailbox->next != NULL)
		mailbox->next->prev = mailbox;
	session->mailboxes = mailbox;
	*mailbox_out = mailbox;
	return PH_OK;
}

void
ph_mailbox_close(struct ph_mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	store.ops->mailbox_close(mailbox->inner);
	if (mailbox->prev != NULL)
		mailbox->prev->next = mailbox->next;
	else
		mailbox->session->mailboxes = mailbox->next;
	if (mailbox->next != NULL)
		mailbox->next->prev = mailbox->prev;
	ph_arena_free(mailbox->arena);
}

void
mailbox_close_all(struct ph_session *session)
{
	while (session->mailboxes != NULL)
		ph_mailbox_close(session->mailboxes);
}

void
ph_mailbox_status(struct ph_mailbox *mailbox,
    struct ph_mailbox_status *status_out)
{
	store.ops->mailbox_status(mailbox->inner, status_out);
}

size_t
ph_mailbox_keywords(struct ph_mailbox *mailbox, const char *const **names_out)
{
	return store.ops->keywords(mailbox->inner, names_out);
}

int
ph_mailbox_keyword(struct ph_mailbox *mailbox, struct ph_slice name,
    bool create)
{
	return store.ops->keyword(mailbox->inner, name, create);
}

size_t
ph_mailbox_messages(struct ph_mailbox *mailbox, struct ph_arena *arena,
    const struct ph_message_meta **metas_out)
{
	return store.ops->messages(mailbox->inner, arena, metas_out);
}

void
ph_mailbox_changes(struct ph_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, struct ph_mailbox_changes *changes_out)
{
	store.ops->changes(mailbox->inner, since, arena, changes_out);
}

int
ph_mailbox_refresh(struct ph_mailbox *mailbox)
{
	return store.ops->refresh(mailbox->inner);
}

struct ph_event *
ph_mailbox_event(struct ph_mailbox *mailbox)
{
	return store.ops->event(mailbox->inner);
}

int
ph_mailbox_store_flags(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count, enum ph_flag_op op, uint32_t flags, uint64_t keywords,
    uint64_t unchanged_since, struct ph_arena *arena,
    const uint32_t **modified_out, size_t *modified_count_out)
{
	return store.ops->store_flags(mailbox->inner, uids, count, op, flags,
	    keywords, unchanged_since, arena, modified_out,
	    modified_count_out);
}

int
ph_mailbox_expunge(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	return store.ops->expunge(mailbox->inner, uids, count);
}

int
ph_mailbox_remove(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	return store.ops->remove(mailbox->inner, uids, count);
}

int
ph_mailbox_copy(struct ph_mailbox *mailbox, const uint32_t *uids, size_t count,
    struct ph_slice to, struct ph_arena *arena, struct ph_uid_map *map_out)
{
	return store.ops->copy(mailbox->inner, uids, count, to, arena,
	    map_out);
}

/* --- content --- */

int
ph_message_content(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out)
{
	return store.ops->content(mailbox->inner, uid, arena, content_out);
}

int
ph_message_summary(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out)
{
	return store.ops->summary(mailbox->inner, uid, arena, summary_out);
}

int
ph_append_begin(struct ph_session *session, struct ph_slice mailbox,
    uint32_t flags, const struct ph_slice *keywords, size_t keyword_count,
    int64_t internal_date, struct ph_append **append_out)
{
	return store.ops->append_begin(store.state, user_of(session), mailbox,
	    flags, keywords, keyword_count, internal_date, append_out);
}

int
ph_append_write(struct ph_append *append, const void *p, size_t n)
{
	return store.ops->append_write(append, p, n);
}

int
ph_append_commit(struct ph_append *append, struct ph_arena *arena,
    struct ph_uid_map *map_out)
{
	return store.ops->append_commit(append, arena, map_out);
}

void
ph_append_abort(struct ph_append *append)
{
	store.ops->append_abort(append);
}
