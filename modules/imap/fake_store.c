/* SPDX-License-Identifier: Apache-2.0 */
/* fake_store.c - the mailboxes of fake_sdk.h, in memory. */
#include "fake_sdk.h"

#include <stdlib.h>

#include <posthouse/mail.h>
#include <posthouse/mime.h>

enum { MAILBOXES = 64, MESSAGES = 4096, KEYWORDS = 64 };

struct stored {
	struct ph_message_meta meta;
	struct ph_slice content;
	uint64_t gone_modseq; /* 0: there */
};

struct folder {
	struct ph_slice name;
	bool exists, subscribed;
	uint32_t uid_next, uid_validity;
	uint64_t modseq;
	struct stored *message;
	size_t count;
	const char *keyword[KEYWORDS];
	size_t keyword_count;
};

struct ph_mailbox {
	struct folder *folder;
	bool read_only;
};

struct ph_append {
	struct folder *folder;
	uint32_t flags;
	uint64_t keywords;
	int64_t date;
	struct ph_buf buf;
};

static struct folder folders[MAILBOXES];
static size_t folder_count;
static uint32_t next_validity;

static struct folder *
folder_find(struct ph_slice name, bool create)
{
	struct folder *folder;

	for (size_t i = 0; i < folder_count; i++)
		if (ph_slice_eq(folders[i].name, name))
			return &folders[i];
	if (!create)
		return NULL;
	ph_assert(folder_count < MAILBOXES);
	folder = &folders[folder_count++];
	*folder = (struct folder){
		.name = ph_arena_slice(fake.arena, name),
		.message = ph_arena_array(fake.arena, MESSAGES,
		    sizeof(*folder->message)),
	};
	return folder;
}

static struct folder *
folder_open(struct ph_slice name)
{
	struct folder *folder = folder_find(name, false);

	return folder != NULL && folder->exists ? folder : NULL;
}

static uint32_t
folder_add(struct folder *folder, struct ph_slice content, uint32_t flags,
    uint64_t keywords, int64_t date)
{
	struct stored *stored = &folder->message[folder->count++];

	ph_assert(folder->count < MESSAGES);
	stored->content = ph_arena_slice(fake.arena, content);
	stored->meta = (struct ph_message_meta){
		.uid = folder->uid_next++,
		.flags = flags | PH_RECENT,
		.keywords = keywords,
		.modseq = ++folder->modseq,
		.internal_date = date,
		.size = content.n,
	};
	return stored->meta.uid;
}

static struct stored *
folder_message(struct folder *folder, uint32_t uid)
{
	for (size_t i = 0; i < folder->count; i++)
		if (folder->message[i].meta.uid == uid &&
		    folder->message[i].gone_modseq == 0)
			return &folder->message[i];
	return NULL;
}

uint32_t
fake_deliver(const char *mailbox, struct ph_slice content, uint32_t flags)
{
	return folder_add(folder_find(ph_slice_str(mailbox), false), content,
	    flags, 0, ph_wall_time());
}

static bool
is_inside(struct ph_slice name, struct ph_slice parent)
{
	return name.n > parent.n && name.p[parent.n] == '/' &&
	    memcmp(name.p, parent.p, parent.n) == 0;
}

static bool
has_children(struct ph_slice name)
{
	for (size_t i = 0; i < folder_count; i++)
		if (folders[i].exists && is_inside(folders[i].name, name))
			return true;
	return false;
}

static int
by_name(const void *a, const void *b)
{
	const struct ph_mailbox_name *x = a, *y = b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int order = memcmp(x->name.p, y->name.p, n);

	return order != 0 ? order : (int)x->name.n - (int)y->name.n;
}

int
ph_mailbox_list(struct ph_session *session, struct ph_arena *arena,
    const struct ph_mailbox_name **names_out, size_t *count_out)
{
	struct ph_mailbox_name *names = ph_arena_array(arena, folder_count,
	    sizeof(*names));
	size_t n = 0;

	(void)session;
	for (size_t i = 0; i < folder_count; i++)
		if (folders[i].exists || folders[i].subscribed)
			names[n++] = (struct ph_mailbox_name){
				.name = folders[i].name,
				.subscribed = folders[i].subscribed,
				.selectable = folders[i].exists,
				.exists = folders[i].exists,
				.has_children = has_children(folders[i].name),
			};
	qsort(names, n, sizeof(*names), by_name);
	*names_out = names;
	*count_out = n;
	return PH_OK;
}

int
ph_mailbox_create(struct ph_session *session, struct ph_slice name)
{
	struct folder *folder = folder_find(name, true);

	(void)session;
	if (folder->exists)
		return PH_EXISTS;
	folder->exists = true;
	folder->uid_next = 1;
	folder->uid_validity = next_validity++;
	folder->modseq = 1;
	folder->count = 0;
	return PH_OK;
}

int
ph_mailbox_delete(struct ph_session *session, struct ph_slice name)
{
	struct folder *folder = folder_open(name);

	(void)session;
	if (ph_slice_eq(name, PH_LIT("INBOX")))
		return PH_DENIED;
	if (folder == NULL)
		return PH_NOT_FOUND;
	folder->exists = false;
	return PH_OK;
}

int
ph_mailbox_rename(struct ph_session *session, struct ph_slice from,
    struct ph_slice to)
{
	struct folder *folder = folder_open(from);

	(void)session;
	if (folder == NULL)
		return PH_NOT_FOUND;
	if (folder_open(to) != NULL)
		return PH_EXISTS;
	folder->name = ph_arena_slice(fake.arena, to);
	return PH_OK;
}

int
ph_mailbox_subscribe(struct ph_session *session, struct ph_slice name, bool on)
{
	(void)session;
	folder_find(name, true)->subscribed = on;
	return PH_OK;
}

static void
folder_status(const struct folder *folder, struct ph_mailbox_status *status_out)
{
	struct ph_mailbox_status status = { .uid_next = folder->uid_next,
		.uid_validity = folder->uid_validity,
		.highest_modseq = folder->modseq };

	for (size_t i = 0; i < folder->count; i++) {
		const struct stored *stored = &folder->message[i];

		if (stored->gone_modseq != 0)
			continue;
		status.messages++;
		status.recent += (stored->meta.flags & PH_RECENT) != 0;
		status.unseen += (stored->meta.flags & PH_SEEN) == 0;
	}
	*status_out = status;
}

int
ph_mailbox_status_of(struct ph_session *session, struct ph_slice name,
    struct ph_mailbox_status *status_out)
{
	struct folder *folder = folder_open(name);

	(void)session;
	if (folder == NULL)
		return PH_NOT_FOUND;
	folder_status(folder, status_out);
	return PH_OK;
}

int
ph_mailbox_open(struct ph_session *session, struct ph_slice name,
    bool read_only, struct ph_mailbox **mailbox_out)
{
	struct folder *folder = folder_open(name);

	(void)session;
	if (folder == NULL)
		return PH_NOT_FOUND;
	*mailbox_out = ph_arena_alloc(fake.arena, sizeof(**mailbox_out));
	**mailbox_out = (struct ph_mailbox){ folder, read_only };
	return PH_OK;
}

void
ph_mailbox_close(struct ph_mailbox *mailbox)
{
	mailbox->folder = NULL;
}

void
ph_mailbox_status(struct ph_mailbox *mailbox,
    struct ph_mailbox_status *status_out)
{
	folder_status(mailbox->folder, status_out);
}

size_t
ph_mailbox_keywords(struct ph_mailbox *mailbox, const char *const **names_out)
{
	*names_out = mailbox->folder->keyword;
	return mailbox->folder->keyword_count;
}

int
ph_mailbox_keyword(struct ph_mailbox *mailbox, struct ph_slice name,
    bool create)
{
	struct folder *folder = mailbox->folder;

	for (size_t i = 0; i < folder->keyword_count; i++)
		if (ph_slice_eq_nocase(ph_slice_str(folder->keyword[i]), name))
			return (int)i;
	if (!create || folder->keyword_count == KEYWORDS)
		return -1;
	folder->keyword[folder->keyword_count] = ph_arena_slice(fake.arena,
	    name).p;
	return (int)folder->keyword_count++;
}

size_t
ph_mailbox_messages(struct ph_mailbox *mailbox, struct ph_arena *arena,
    const struct ph_message_meta **metas_out)
{
	struct folder *folder = mailbox->folder;
	struct ph_message_meta *metas = ph_arena_array(arena, folder->count,
	    sizeof(*metas));
	size_t n = 0;

	for (size_t i = 0; i < folder->count; i++)
		if (folder->message[i].gone_modseq == 0)
			metas[n++] = folder->message[i].meta;
	*metas_out = metas;
	return n;
}

void
ph_mailbox_changes(struct ph_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, struct ph_mailbox_changes *changes_out)
{
	struct folder *folder = mailbox->folder;
	struct ph_message_meta *changed = ph_arena_array(arena, folder->count,
	    sizeof(*changed));
	uint32_t *vanished = ph_arena_array(arena, folder->count,
	    sizeof(*vanished));
	struct ph_mailbox_changes changes = { .changed = changed,
		.vanished = vanished, .modseq = folder->modseq,
		.gone = !folder->exists };

	for (size_t i = 0; i < folder->count; i++) {
		const struct stored *stored = &folder->message[i];

		if (stored->gone_modseq > since)
			vanished[changes.vanished_count++] = stored->meta.uid;
		else if (stored->gone_modseq == 0 &&
		    stored->meta.modseq > since)
			changed[changes.changed_count++] = stored->meta;
	}
	*changes_out = changes;
}

int
ph_mailbox_refresh(struct ph_mailbox *mailbox)
{
	(void)mailbox;
	return PH_OK;
}

struct ph_event *
ph_mailbox_event(struct ph_mailbox *mailbox)
{
	static struct ph_event event;

	(void)mailbox;
	return &event;
}

static uint32_t
change(uint32_t old, enum ph_flag_op op, uint32_t flags)
{
	return op == PH_FLAGS_ADD ? old | flags :
	    op == PH_FLAGS_REMOVE ? old & ~flags :
	                            flags | (old & PH_RECENT);
}

int
ph_mailbox_store_flags(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count, enum ph_flag_op op, uint32_t flags, uint64_t keywords,
    uint64_t unchanged_since, struct ph_arena *arena,
    const uint32_t **modified_out, size_t *modified_count_out)
{
	(void)unchanged_since;
	(void)arena;
	(void)modified_out;
	(void)modified_count_out;
	ph_assert(!mailbox->read_only);
	for (size_t i = 0; i < count; i++) {
		struct stored *stored = folder_message(mailbox->folder,
		    uids[i]);
		uint64_t *kept;

		if (stored == NULL)
			continue;
		kept = &stored->meta.keywords;
		stored->meta.flags = change(stored->meta.flags, op, flags);
		*kept = op == PH_FLAGS_ADD ? *kept | keywords :
		    op == PH_FLAGS_REMOVE  ? *kept & ~keywords :
		                             keywords;
		stored->meta.modseq = ++mailbox->folder->modseq;
	}
	return PH_OK;
}

static bool
is_listed(const uint32_t *uids, size_t count, uint32_t uid)
{
	for (size_t i = 0; i < count; i++)
		if (uids[i] == uid)
			return true;
	return uids == NULL;
}

int
ph_mailbox_expunge(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	struct folder *folder = mailbox->folder;

	for (size_t i = 0; i < folder->count; i++) {
		struct stored *stored = &folder->message[i];

		if (stored->gone_modseq == 0 &&
		    (stored->meta.flags & PH_DELETED) != 0 &&
		    is_listed(uids, count, stored->meta.uid))
			stored->gone_modseq = ++folder->modseq;
	}
	return PH_OK;
}

int
ph_mailbox_remove(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stored *stored = folder_message(mailbox->folder,
		    uids[i]);

		if (stored != NULL)
			stored->gone_modseq = ++mailbox->folder->modseq;
	}
	return PH_OK;
}

int
ph_mailbox_copy(struct ph_mailbox *mailbox, const uint32_t *uids, size_t count,
    struct ph_slice to, struct ph_arena *arena, struct ph_uid_map *map_out)
{
	struct folder *target = folder_open(to);
	uint32_t *from = ph_arena_array(arena, count, sizeof(*from));
	uint32_t *made = ph_arena_array(arena, count, sizeof(*made));
	size_t n = 0;

	if (target == NULL)
		return PH_NOT_FOUND;
	for (size_t i = 0; i < count; i++) {
		struct stored *stored = folder_message(mailbox->folder,
		    uids[i]);

		if (stored == NULL)
			continue;
		from[n] = uids[i];
		made[n++] = folder_add(target, stored->content,
		    stored->meta.flags, 0, stored->meta.internal_date);
	}
	*map_out = (struct ph_uid_map){ target->uid_validity, from, made, n };
	return PH_OK;
}

/* --- content --- */

int
ph_message_content(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out)
{
	struct stored *stored = folder_message(mailbox->folder, uid);

	(void)arena;
	if (stored == NULL)
		return PH_NOT_FOUND;
	fake.opened++;
	content_out->octets = stored->content;
	return PH_OK;
}

int
ph_message_summary(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out)
{
	static const char *const kept[] = { "From", "To", "Cc", "Bcc",
		"Sender", "Reply-To", "Subject", "Date", "Message-ID",
		"In-Reply-To", "References", "List-Id" };
	struct stored *stored = folder_message(mailbox->folder, uid);
	struct ph_header_field field;
	struct ph_slice rest;
	struct ph_buf buf;

	if (stored == NULL)
		return PH_NOT_FOUND;
	rest = stored->content;
	ph_buf_init(&buf, arena, rest.n);
	while (ph_header_next(&rest, &field))
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if (ph_slice_eq_nocase(field.name,
			        ph_slice_str(kept[i])))
				ph_buf_slice(&buf, field.whole);
	summary_out->header = ph_buf_content(&buf);
	summary_out->mime = ph_mime_encode(arena,
	    ph_mime_parse(arena, stored->content));
	return PH_OK;
}

int
ph_append_begin(struct ph_session *session, struct ph_slice mailbox,
    uint32_t flags, const struct ph_slice *keywords, size_t keyword_count,
    int64_t internal_date, struct ph_append **append_out)
{
	struct folder *folder = folder_open(mailbox);
	struct ph_append *append = ph_arena_alloc(fake.arena, sizeof(*append));
	struct ph_mailbox open = { folder, false };

	(void)session;
	if (folder == NULL)
		return PH_NOT_FOUND;
	append->folder = folder;
	append->flags = flags;
	for (size_t i = 0; i < keyword_count; i++)
		append->keywords |= (uint64_t)1 << ph_mailbox_keyword(&open,
		    keywords[i], true);
	append->date = internal_date;
	ph_buf_init(&append->buf, fake.arena, 64 << 20);
	*append_out = append;
	return PH_OK;
}

int
ph_append_write(struct ph_append *append, const void *p, size_t n)
{
	ph_buf_add(&append->buf, p, n);
	return PH_OK;
}

int
ph_append_commit(struct ph_append *append, struct ph_arena *arena,
    struct ph_uid_map *map_out)
{
	uint32_t *uid = ph_arena_alloc(arena, sizeof(*uid));

	*uid = folder_add(append->folder, ph_buf_content(&append->buf),
	    append->flags, append->keywords, append->date);
	*map_out = (struct ph_uid_map){ append->folder->uid_validity, NULL,
		uid, 1 };
	return PH_OK;
}

void
ph_append_abort(struct ph_append *append)
{
	append->folder = NULL;
}

/* --- what others do --- */

void
fake_action(struct ph_slice line)
{
	struct ph_slice word = ph_slice_cut(&line, ' ');
	struct folder *inbox = folder_find(PH_LIT("INBOX"), false);
	uint64_t uid = 0;

	if (ph_slice_eq(word, PH_LIT("!deliver"))) {
		fake_deliver("INBOX", ph_slice_str(ph_arena_printf(fake.arena,
		    "Subject: new\r\n\r\n" PH_SLICE_FMT "\r\n",
		    PH_SLICE_ARG(line))), 0);
		return;
	}
	if (ph_slice_eq(word, PH_LIT("!drop"))) {
		inbox->exists = false;
		inbox->modseq++;
		return;
	}
	ph_assert(ph_slice_number(line, UINT32_MAX, &uid));
	if (ph_slice_eq(word, PH_LIT("!expunge"))) {
		folder_message(inbox, (uint32_t)uid)->gone_modseq =
		    ++inbox->modseq;
	} else {
		struct stored *stored = folder_message(inbox, (uint32_t)uid);

		stored->meta.flags |= PH_FLAGGED;
		stored->meta.modseq = ++inbox->modseq;
	}
}

void
fake_store_begin(void)
{
	folder_count = 0;
	next_validity = 7;
	ph_mailbox_create(NULL, PH_LIT("INBOX"));
}
