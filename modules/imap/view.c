/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c - see view.h. Changes are merged by UID; expunged messages keep their
 * place, marked, until EXPUNGE may be sent (RFC 3501 s5.5, s7.4.1).
 */
#include "view.h"

#include <stdlib.h>

enum { KNOWN_FLAGS = PH_SEEN | PH_ANSWERED | PH_FLAGGED | PH_DELETED |
	PH_DRAFT };

static void
view_reserve(struct view *view, size_t count)
{
	size_t capacity = view->capacity > 0 ? view->capacity : 64;
	void *grown;

	if (count <= view->capacity)
		return;
	while (capacity < count)
		capacity *= 2;
	grown = reallocarray(view->message, capacity, sizeof(*view->message));
	ph_assert(grown != NULL);
	view->message = grown;
	view->capacity = capacity;
}

static void
view_add(struct view *view, const struct ph_message_meta *meta)
{
	view_reserve(view, view->count + 1);
	view->message[view->count++] = (struct view_message){ .meta = *meta };
	view->recent += (meta->flags & PH_RECENT) != 0;
}

size_t
view_find(const struct view *view, uint32_t uid)
{
	size_t low = 0, high = view->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (view->message[middle].meta.uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
view_mark(struct view *view, size_t index, bool dirty)
{
	struct view_message *message = &view->message[index];

	if (message->dirty == dirty)
		return;
	message->dirty = dirty;
	if (dirty)
		view->dirty_count++;
	else
		view->dirty_count--;
}

static void
view_free(void *object)
{
	struct view *view = object;

	free(view->message);
	view->message = NULL;
}

int
view_open(struct imap *imap, struct ph_slice name, bool read_only)
{
	struct ph_arena *arena = ph_arena_create(imap->arena);
	struct view *view = ph_arena_alloc(arena, sizeof(*view));
	const struct ph_message_meta *metas;
	struct ph_mailbox_status status;
	struct ph_arena *own;
	size_t count;
	int rc;

	rc = ph_mailbox_open(imap->session, name, read_only, &view->mailbox);
	if (rc != PH_OK) {
		ph_arena_free(arena);
		return rc;
	}
	view->arena = arena;
	view->name = ph_arena_slice(arena, name);
	view->read_only = read_only;
	ph_arena_on_end(arena, view_free, view);
	ph_mailbox_status(view->mailbox, &status);
	view->modseq = status.highest_modseq;
	own = ph_arena_create(arena);
	count = ph_mailbox_messages(view->mailbox, own, &metas);
	view_reserve(view, count);
	for (size_t i = 0; i < count; i++)
		view_add(view, &metas[i]);
	ph_arena_free(own);
	imap->view = view;
	return PH_OK;
}

void
view_close(struct imap *imap)
{
	struct view *view = imap->view;

	if (view == NULL)
		return;
	imap->view = NULL;
	ph_mailbox_close(view->mailbox);
	ph_arena_free(view->arena);
}

static int
by_uid(const void *a, const void *b)
{
	const struct ph_message_meta *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

/* One changed or new message. */
static void
merge_changed(struct view *view, const struct ph_message_meta *meta)
{
	size_t at = view_find(view, meta->uid);
	struct view_message *message;
	uint32_t differ;

	if (at == view->count) {
		view_add(view, meta);
		return;
	}
	message = &view->message[at];
	if (message->meta.uid != meta->uid)
		return; /* expunged, and the client was told */
	differ = (message->meta.flags ^ meta->flags) & KNOWN_FLAGS;
	if (differ != 0 || message->meta.keywords != meta->keywords)
		view_mark(view, at, true);
	message->meta.flags = (message->meta.flags & PH_RECENT) |
	    (meta->flags & KNOWN_FLAGS);
	message->meta.keywords = meta->keywords;
	message->meta.modseq = meta->modseq;
}

static void
merge_vanished(struct view *view, uint32_t uid)
{
	size_t at = view_find(view, uid);

	if (at < view->count && view->message[at].meta.uid == uid &&
	    !view->message[at].gone) {
		view->message[at].gone = true;
		view->gone_count++;
	}
}

bool
view_pull(struct imap *imap)
{
	struct view *view = imap->view;
	struct ph_mailbox_changes changes = { 0 };
	struct ph_message_meta *changed;
	struct ph_arena *arena;

	if (view == NULL)
		return true;
	arena = ph_arena_create(view->arena);
	ph_mailbox_changes(view->mailbox, view->modseq, arena, &changes);
	if (changes.changed_count > 0) {
		changed = ph_arena_array(arena, changes.changed_count,
		    sizeof(*changed));
		memcpy(changed, changes.changed,
		    changes.changed_count * sizeof(*changed));
		qsort(changed, changes.changed_count, sizeof(*changed), by_uid);
		for (size_t i = 0; i < changes.changed_count; i++)
			merge_changed(view, &changed[i]);
	}
	for (size_t i = 0; i < changes.vanished_count; i++)
		merge_vanished(view, changes.vanished[i]);
	if (changes.modseq > view->modseq)
		view->modseq = changes.modseq;
	ph_arena_free(arena);
	if (!changes.gone)
		return true;
	view_close(imap);
	imap_puts(imap, "* BYE The selected mailbox was deleted\r\n");
	imap_end(imap, "mailbox_deleted");
	return false;
}

/* --- flags as text --- */

static void
format_system_flags(uint32_t flags, struct ph_buf *buf)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = { { PH_ANSWERED, "\\Answered" }, { PH_FLAGGED, "\\Flagged" },
		{ PH_DELETED, "\\Deleted" }, { PH_SEEN, "\\Seen" },
		{ PH_DRAFT, "\\Draft" }, { PH_RECENT, "\\Recent" } };
	bool any = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((flags & names[i].flag) == 0)
			continue;
		ph_buf_printf(buf, "%s%s", any ? " " : "", names[i].name);
		any = true;
	}
}

static void
format_keywords(struct imap *imap, uint64_t bits, struct ph_buf *buf)
{
	const char *const *names;
	size_t count = ph_mailbox_keywords(imap->view->mailbox, &names);

	for (size_t i = 0; i < count && i < 64; i++) {
		if ((bits >> i & 1) == 0)
			continue;
		if (buf->n > 0 && buf->p[buf->n - 1] != '(')
			ph_buf_char(buf, ' ');
		ph_buf_str(buf, names[i]);
	}
}

void
view_format_flags(struct imap *imap, const struct view_message *message,
    struct ph_buf *buf)
{
	ph_buf_char(buf, '(');
	format_system_flags(message->meta.flags, buf);
	format_keywords(imap, message->meta.keywords, buf);
	ph_buf_char(buf, ')');
}

void
view_tell_flags(struct imap *imap, bool always)
{
	struct view *view = imap->view;
	const char *const *names;
	size_t count = ph_mailbox_keywords(view->mailbox, &names);
	struct ph_buf buf;

	if (!always && count == view->keywords_told)
		return;
	view->keywords_told = count;
	ph_buf_init(&buf, NULL, COMMAND_MAX);
	ph_buf_char(&buf, '(');
	format_system_flags(KNOWN_FLAGS, &buf);
	format_keywords(imap, UINT64_MAX, &buf);
	imap_printf(imap, "* FLAGS " PH_SLICE_FMT ")\r\n", PH_SLICE_ARG(buf));
	imap_printf(imap, "* OK [PERMANENTFLAGS " PH_SLICE_FMT "%s)] %s\r\n",
	    (int)(view->read_only ? 1 : buf.n), buf.p,
	    view->read_only ? "" : count < 64 ? " \\*" : "",
	    view->read_only ? "No change is kept" : "Flags that are kept");
	ph_buf_fini(&buf);
}

/* --- untagged responses --- */

static void
report_flags(struct imap *imap)
{
	struct view *view = imap->view;

	for (size_t i = 0; i < view->told && view->dirty_count > 0; i++) {
		struct view_message *message = &view->message[i];
		struct ph_buf buf;

		if (imap->ended)
			return;
		if (!message->dirty || message->gone)
			continue;
		view_mark(view, i, false);
		view_tell_flags(imap, false);
		ph_buf_init(&buf, NULL, COMMAND_MAX);
		view_format_flags(imap, message, &buf);
		imap_printf(imap, "* %zu FETCH (UID %u FLAGS " PH_SLICE_FMT
		                  ")\r\n", i + 1, message->meta.uid,
		    PH_SLICE_ARG(buf));
		ph_buf_fini(&buf);
	}
}

/* Numbers are told from the first on, so each is less what went before. */
static void
report_expunged(struct imap *imap)
{
	struct view *view = imap->view;
	size_t kept = 0, told = view->told;

	for (size_t i = 0; i < view->count; i++) {
		struct view_message *message = &view->message[i];

		if (!message->gone) {
			view->message[kept++] = *message;
			continue;
		}
		view->recent -= (message->meta.flags & PH_RECENT) != 0;
		view->dirty_count -= message->dirty;
		if (i < told) {
			view->told--;
			imap_printf(imap, "* %zu EXPUNGE\r\n", kept + 1);
		}
	}
	view->count = kept;
	view->gone_count = 0;
}

void
view_report(struct imap *imap, bool expunge)
{
	struct view *view = imap->view;

	if (view == NULL || imap->ended)
		return;
	if (expunge && view->gone_count > 0)
		report_expunged(imap);
	if (view->told != view->count) {
		imap_printf(imap, "* %zu EXISTS\r\n", view->count);
		view->told = view->count;
	}
	if (view->recent != view->recent_told) {
		imap_printf(imap, "* %u RECENT\r\n", view->recent);
		view->recent_told = view->recent;
	}
	report_flags(imap);
}

/* --- sets --- */

static void
add_pick(const struct view *view, size_t i, uint32_t *index, uint32_t *uid,
    size_t *n)
{
	if (view->message[i].gone)
		return;
	index[*n] = (uint32_t)i;
	uid[*n] = view->message[i].meta.uid;
	++*n;
}

bool
view_pick(struct imap *imap, struct command *command,
    struct view_picks *picks_out)
{
	const struct view *view = imap->view;
	bool by_number = !command->row->uid;
	uint32_t star = by_number ? (uint32_t)view->told :
	    view->told > 0 ? view->message[view->told - 1].meta.uid : 0;
	struct seqset set = seqset_resolve(command->arena, command->set, star);
	uint32_t *index, *uid;
	size_t n = 0;

	index = ph_arena_array(command->arena, view->told + 1, sizeof(*index));
	uid = ph_arena_array(command->arena, view->told + 1, sizeof(*uid));
	for (size_t r = 0; r < set.count; r++) {
		uint32_t low = set.range[r].low, high = set.range[r].high;

		if (by_number && high > view->told && view->told > 0)
			return false;
		if (by_number) {
			for (uint32_t i = low > 0 ? low : 1;
			     i <= high && i <= view->told; i++)
				add_pick(view, i - 1, index, uid, &n);
			continue;
		}
		for (size_t i = view_find(view, low);
		     i < view->told && view->message[i].meta.uid <= high; i++)
			add_pick(view, i, index, uid, &n);
	}
	*picks_out = (struct view_picks){ index, uid, n };
	return true;
}
