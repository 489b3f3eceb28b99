/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.c - the mailboxes that are open, in memory, one copy for all sessions:
 * every change of a job is applied here once and wakes who waits for it.
 */
#include "store.h"

#include <stdlib.h>

/* --- the table of open boxes --- */

static struct box **
bucket_of(struct ph_store *store, struct ph_slice user, struct ph_slice name)
{
	uint32_t hash = name_partition(user, UINT32_MAX) * 31 +
	    name_partition(name, UINT32_MAX);

	return &store->boxes[hash % BOX_BUCKETS];
}

static struct box *
box_find_any(struct partition *partition, struct ph_slice user,
    struct ph_slice name)
{
	struct box *box = *bucket_of(partition->store, user, name);

	while (box != NULL && !(ph_slice_eq(box->user, user) &&
	    ph_slice_eq(box->name, name)))
		box = box->next;
	return box;
}

struct box *
box_find(struct partition *partition, struct ph_slice user,
    struct ph_slice name)
{
	struct box *box = box_find_any(partition, user, name);

	return box != NULL && box->loaded ? box : NULL;
}

static void
box_link(struct box *box)
{
	struct box **bucket = bucket_of(box->partition->store, box->user,
	    box->name);

	box->next = *bucket;
	*bucket = box;
}

static void
box_unlink(struct box *box)
{
	struct box **at = bucket_of(box->partition->store, box->user,
	    box->name);

	while (*at != NULL && *at != box)
		at = &(*at)->next;
	if (*at == box)
		*at = box->next;
	box->next = NULL;
}

static void
box_put(struct box *box)
{
	if (--box->refs > 0)
		return;
	box_unlink(box);
	free(box->metas);
	free(box->expunged);
	ph_arena_free(box->arena);
	free(box);
}

static struct box *
box_create(struct partition *partition, const struct box_ref *ref)
{
	struct box *box = calloc(1, sizeof(*box));

	ph_assert(box != NULL);
	box->partition = partition;
	box->arena = ph_arena_create(NULL);
	box->user = ph_arena_slice(box->arena, ref->user);
	box->name = ph_arena_slice(box->arena, ref->name);
	box->path = ph_arena_strdup(box->arena, ref->path);
	box_link(box);
	return box;
}

void
box_rename(struct box *box, struct ph_slice name, const char *path)
{
	box_unlink(box);
	box->name = ph_arena_slice(box->arena, name);
	box->path = ph_arena_strdup(box->arena, path);
	box_link(box);
}

void
box_set_gone(struct box *box)
{
	box_unlink(box); /* a new one of the name is another mailbox */
	box->gone = true;
	ph_event_signal(&box->changed);
}

/* --- changes --- */

void
box_change_init(struct box_change *change, struct ph_arena *arena)
{
	memset(change, 0, sizeof(*change));
	ph_buf_init(&change->metas, arena, SIZE_MAX / 4);
	ph_buf_init(&change->expunged, arena, SIZE_MAX / 4);
}

void
box_change_meta(struct box_change *change, const struct ph_message_meta *meta)
{
	ph_buf_add(&change->metas, meta, sizeof(*meta));
}

void
box_change_expunged(struct box_change *change, uint32_t uid)
{
	const struct index_expunged entry = { change->row.modseq, uid };

	ph_buf_add(&change->expunged, &entry, sizeof(entry));
}

/* The place of the first meta whose UID is not below uid. */
static size_t
box_place(const struct box *box, uint32_t uid)
{
	size_t low = 0, high = box->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (box->metas[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ph_message_meta *
box_meta(const struct box *box, uint32_t uid)
{
	size_t i = box_place(box, uid);

	return i < box->count && box->metas[i].uid == uid ? &box->metas[i] :
	                                                    NULL;
}

static void *
grow(void *p, size_t *capacity, size_t need, size_t size)
{
	if (need <= *capacity)
		return p;
	*capacity = need + need / 2 + 16;
	p = realloc(p, *capacity * size);
	ph_assert(p != NULL);
	return p;
}

static void
box_set_meta(struct box *box, const struct ph_message_meta *meta)
{
	size_t i = box_place(box, meta->uid);

	if (i == box->count || box->metas[i].uid != meta->uid) {
		box->metas = grow(box->metas, &box->capacity, box->count + 1,
		    sizeof(*box->metas));
		memmove(box->metas + i + 1, box->metas + i,
		    (box->count - i) * sizeof(*box->metas));
		box->count++;
	}
	box->metas[i] = *meta;
	box->metas[i].flags &= ~(uint32_t)PH_RECENT;
}

/* Drop many in one pass: they are marked by UID 0 first. */
static void
box_drop(struct box *box, const struct index_expunged *list, size_t count)
{
	size_t kept = 0;

	box->expunged = grow(box->expunged, &box->expunged_capacity,
	    box->expunged_count + count, sizeof(*box->expunged));
	for (size_t i = 0; i < count; i++) {
		size_t at = box_place(box, list[i].uid);

		box->expunged[box->expunged_count++] = list[i];
		if (at < box->count && box->metas[at].uid == list[i].uid)
			box->metas[at].modseq = 0; /* none is 0 otherwise */
	}
	for (size_t i = 0; i < box->count; i++)
		if (box->metas[i].modseq != 0)
			box->metas[kept++] = box->metas[i];
	box->count = kept;
}

static void
box_take_row(struct box *box, const struct index_box *row)
{
	box->id = row->id;
	box->uid_validity = row->uid_validity;
	if (row->uid_next > box->uid_next)
		box->uid_next = row->uid_next;
	if (row->recent_from > box->recent_from)
		box->recent_from = row->recent_from;
	if (row->modseq > box->modseq)
		box->modseq = row->modseq;
	if (row->history_floor > box->history_floor)
		box->history_floor = row->history_floor;
	box->unseen = row->unseen;
	box->deleted = row->deleted;
	box->size = row->size;
	for (; box->keyword_count < row->keyword_count; box->keyword_count++)
		box->keywords[box->keyword_count] = ph_arena_slice(box->arena,
		    row->keywords[box->keyword_count]).p;
}

void
box_apply(struct box *box, const struct box_change *change)
{
	const struct ph_message_meta *metas;
	const struct index_expunged *expunged;
	uint64_t modseq;

	if (box == NULL || !box->loaded)
		return;
	modseq = box->modseq;
	metas = (const void *)change->metas.p;
	for (size_t i = 0; i < change->metas.n / sizeof(*metas); i++)
		box_set_meta(box, &metas[i]);
	expunged = (const void *)change->expunged.p;
	if (change->expunged.n > 0)
		box_drop(box, expunged,
		    change->expunged.n / sizeof(*expunged));
	box_take_row(box, &change->row);
	if (change->has_stamps) {
		box->own_changed = true;
		if (box->stamps.new_ns == change->stamps_before.new_ns)
			box->stamps.new_ns = change->stamps.new_ns;
		if (box->stamps.cur_ns == change->stamps_before.cur_ns)
			box->stamps.cur_ns = change->stamps.cur_ns;
	}
	if (box->modseq != modseq)
		ph_event_signal(&box->changed);
}

size_t
box_uids(const struct box *box, const uint32_t *among, size_t count,
    uint32_t flags, struct ph_arena *arena, const uint32_t **uids_out)
{
	size_t n = among != NULL ? count : box->count, found = 0;
	uint32_t *uids = ph_arena_array(arena, n, sizeof(*uids));

	for (size_t i = 0; i < n; i++) {
		const struct ph_message_meta *meta = among != NULL ?
		    box_meta(box, among[i]) : &box->metas[i];

		if (meta != NULL && (meta->flags & flags) == flags)
			uids[found++] = meta->uid;
	}
	*uids_out = uids;
	return found;
}

/* --- loading --- */

struct load_job {
	struct index_job job;
	struct box *box;
	struct scan scan;
	struct box_change change;
	struct ph_buf metas; /* malloc'ed: becomes the box's */
	struct index_expunged *expunged;
	size_t expunged_count;
};

enum { PRUNE_MOST = 10000 };

static int
load_meta(void *arg, const struct index_message *message)
{
	struct ph_buf *metas = arg;

	ph_buf_add(metas, &message->meta, sizeof(message->meta));
	return PH_OK;
}

static int
load_prune(struct partition *partition, struct index_box *row)
{
	int64_t kept_s = partition->store->conf.history_ms / 1000;

	return mail_index_history_prune(partition->mi, row,
	    ph_wall_time() - kept_s, PRUNE_MOST);
}

static int
load_work(struct index_job *job)
{
	struct load_job *load = (struct load_job *)job;
	struct mail_index *mi = job->partition->mi;
	struct index_box *row = &load->change.row;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = row_open_box(job->partition, &load->scan.ref,
		    load->scan.arena, row);
	if (status == PH_OK)
		status = load_prune(job->partition, row);
	if (status == PH_OK &&
	    scan_is_due(job->partition, &load->scan.ref, row))
		status = scan_folders(job->partition, &load->scan,
		    &load->change);
	if (status == PH_OK)
		status = mail_index_box_put(mi, load->scan.ref.user,
		    load->scan.ref.name, row);
	status = index_finish(mi, status);
	if (status == PH_OK)
		status = mail_index_messages(mi, row->id, 0, load_meta,
		    &load->metas);
	if (status == PH_OK)
		status = mail_index_history(mi, row->id, &load->expunged,
		    &load->expunged_count);
	return status;
}

static void
load_done(struct index_job *job)
{
	struct load_job *load = (struct load_job *)job;
	struct box *box = load->box;

	if (job->status != PH_OK)
		return;
	box_take_row(box, &load->change.row);
	box->metas = (void *)load->metas.p;
	box->count = load->metas.n / sizeof(*box->metas);
	box->capacity = load->metas.capacity / sizeof(*box->metas);
	ph_buf_init(&load->metas, NULL, 0); /* taken */
	box->expunged = load->expunged;
	box->expunged_count = box->expunged_capacity = load->expunged_count;
	load->expunged = NULL;
	box->stamps.new_ns = load->change.row.new_stamp;
	box->stamps.cur_ns = load->change.row.cur_stamp;
	box->scanned_at_ms = ph_now_ms();
	box->loaded = true;
}

static int
box_load(struct box *box)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct load_job *load = ph_arena_alloc(arena, sizeof(*load));
	int status;

	load->job.work = load_work;
	load->job.done = load_done;
	load->job.durable = true;
	load->box = box;
	load->scan.arena = arena;
	load->scan.ref = box_ref(box);
	ph_buf_init(&load->scan.unknown, arena, SIZE_MAX / 4);
	ph_buf_init(&load->metas, NULL, SIZE_MAX / 4);
	box_change_init(&load->change, arena);
	status = index_do(box->partition, &load->job);
	if (status == PH_OK)
		status = scan_adopt(box->partition, &load->scan);
	ph_buf_fini(&load->metas);
	free(load->expunged);
	ph_arena_free(arena);
	return status;
}

static int
box_get_first(struct partition *partition, const struct box_ref *ref,
    struct box **box_out)
{
	struct box *box = box_create(partition, ref);

	box->refs = 1;
	box->loading = true;
	box->load_status = box_load(box);
	box->loading = false;
	if (box->load_status != PH_OK && !box->gone) {
		box_unlink(box);
		box->gone = true;
	}
	ph_event_signal(&box->load_event);
	*box_out = box;
	return box->load_status;
}

static int
box_get_loading(struct box *box)
{
	int status = PH_OK;

	box->refs++;
	while (box->loading && status == PH_OK)
		status = ph_event_wait(&box->load_event, PH_NO_LIMIT_MS);
	return status;
}

/* The box, loaded, with a reference; the first that asks loads it. */
static int
box_get(struct partition *partition, const struct box_ref *ref,
    struct box **box_out)
{
	for (;;) {
		struct box *box = box_find_any(partition, ref->user,
		    ref->name);
		bool first = box == NULL;
		int status = first ? box_get_first(partition, ref, &box) :
		                     box_get_loading(box);

		if (status == PH_OK && box->load_status == PH_OK) {
			*box_out = box;
			return PH_OK;
		}
		if (status == PH_OK)
			status = box->load_status;
		else if (!first)
			first = true; /* our own wait was cut short */
		box_put(box);
		/* who loaded it gave up: that is no answer for us */
		if (first || (status != PH_CANCELED && status != PH_TIMEOUT))
			return status;
	}
}

/* --- sessions --- */

/* Note in the row that sessions have seen what is below recent_from. */
struct recent_job {
	struct index_job job;
	struct ph_arena *arena;
	struct box_ref ref;
	uint64_t box_id;
	uint32_t recent_from;
};

static int
recent_work(struct index_job *job)
{
	struct recent_job *recent = (struct recent_job *)job;
	struct mail_index *mi = job->partition->mi;
	struct index_box row;
	int status = mail_index_box_get(mi, recent->ref.user,
	    recent->ref.name, recent->arena, &row);

	if (status != PH_OK || row.id != recent->box_id ||
	    row.recent_from >= recent->recent_from)
		return status;
	row.recent_from = recent->recent_from;
	status = mail_index_begin(mi);
	if (status == PH_OK)
		status = mail_index_box_put(mi, recent->ref.user,
		    recent->ref.name, &row);
	return index_finish(mi, status);
}

static void
recent_detached(struct line_job *line_job)
{
	struct recent_job *recent = (struct recent_job *)(void *)line_job;

	ph_arena_free(recent->arena);
}

static void
recent_post(struct box *box)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct recent_job *recent = ph_arena_alloc(arena, sizeof(*recent));

	_Static_assert(offsetof(struct recent_job, job.line) == 0,
	    "a line job is cast back to its recent job");
	recent->arena = arena;
	recent->ref = (struct box_ref){ ph_arena_slice(arena, box->user),
		ph_arena_slice(arena, box->name), NULL };
	recent->box_id = box->id;
	recent->recent_from = box->recent_from;
	recent->job.partition = box->partition;
	recent->job.work = recent_work;
	recent->job.line.detached = recent_detached;
	line_post(&box->partition->index_line, &recent->job.line);
}

/* What no session saw before is recent in this one. */
static void
claim_recent(struct ph_store_mailbox *mailbox)
{
	struct box *box = mailbox->box;
	struct uid_range range = { box->recent_from, box->uid_next };

	if (mailbox->read_only || range.from >= range.to || box->gone)
		return;
	ph_buf_add(&mailbox->recent, &range, sizeof(range));
	box->recent_from = range.to;
	recent_post(box);
}

static bool
is_recent(const struct ph_store_mailbox *mailbox, uint32_t uid)
{
	const struct uid_range *range = (const void *)mailbox->recent.p;
	size_t count = mailbox->recent.n / sizeof(*range);

	if (mailbox->read_only) /* EXAMINE sees them and takes none away */
		return uid >= mailbox->box->recent_from;
	while (count-- > 0)
		if (uid >= range[count].from && uid < range[count].to)
			return true;
	return false;
}

int
maildir_mailbox_open(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, bool read_only,
    struct ph_store_mailbox **mailbox_out)
{
	struct partition *partition = store_partition(store, user);
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_store_mailbox *mailbox;
	struct box *box = NULL;
	struct box_ref ref;
	int status = partition == NULL ? PH_UNAVAILABLE :
	    box_ref_of(arena, user, name, &ref);

	if (status == PH_OK)
		status = box_get(partition, &ref, &box);
	ph_arena_free(arena);
	if (status != PH_OK)
		return status;
	mailbox = calloc(1, sizeof(*mailbox));
	ph_assert(mailbox != NULL);
	mailbox->store = store;
	mailbox->box = box;
	mailbox->read_only = read_only;
	ph_buf_init(&mailbox->recent, NULL, SIZE_MAX / 4);
	status = maildir_refresh(mailbox); /* cheap when just loaded */
	if (status == PH_OK) {
		claim_recent(mailbox);
		*mailbox_out = mailbox;
	} else {
		maildir_mailbox_close(mailbox);
	}
	return status;
}

void
maildir_mailbox_close(struct ph_store_mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	summary_ahead_free(mailbox->ahead);
	ph_buf_fini(&mailbox->recent);
	box_put(mailbox->box);
	free(mailbox);
}

void
maildir_mailbox_status(struct ph_store_mailbox *mailbox,
    struct ph_mailbox_status *status_out)
{
	const struct box *box = mailbox->box;
	uint32_t recent = 0;

	claim_recent(mailbox);
	if (mailbox->recent.n > 0 || mailbox->read_only)
		for (size_t i = 0; i < box->count; i++)
			recent += is_recent(mailbox, box->metas[i].uid);
	*status_out = (struct ph_mailbox_status){
		.messages = (uint32_t)box->count, .recent = recent,
		.unseen = box->unseen, .deleted = box->deleted,
		.uid_next = box->uid_next, .uid_validity = box->uid_validity,
		.highest_modseq = box->modseq, .size = box->size };
}

size_t
maildir_keywords(struct ph_store_mailbox *mailbox,
    const char *const **names_out)
{
	*names_out = mailbox->box->keywords;
	return mailbox->box->keyword_count;
}

/* Copies of the metas that changed since, \Recent as this session has it. */
static size_t
copy_metas(struct ph_store_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, const struct ph_message_meta **metas_out)
{
	const struct box *box = mailbox->box;
	struct ph_message_meta *metas;
	size_t count = 0, n = 0;

	for (size_t i = 0; i < box->count; i++)
		count += box->metas[i].modseq > since;
	metas = ph_arena_array(arena, count, sizeof(*metas));
	for (size_t i = 0; i < box->count && n < count; i++) {
		if (box->metas[i].modseq <= since)
			continue;
		metas[n] = box->metas[i];
		if (is_recent(mailbox, metas[n].uid))
			metas[n].flags |= PH_RECENT;
		n++;
	}
	*metas_out = metas;
	return count;
}

size_t
maildir_messages(struct ph_store_mailbox *mailbox, struct ph_arena *arena,
    const struct ph_message_meta **metas_out)
{
	claim_recent(mailbox);
	return copy_metas(mailbox, 0, arena, metas_out);
}

static int
compare_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Without the history so far back: every UID that is not there. */
static size_t
all_missing(const struct box *box, struct ph_arena *arena,
    const uint32_t **uids_out)
{
	size_t given = box->uid_next - 1, n = 0, at = 0;
	uint32_t *uids = ph_arena_array(arena,
	    given > box->count ? given - box->count : 0, sizeof(*uids));

	for (uint32_t uid = 1; uid < box->uid_next; uid++)
		if (at < box->count && box->metas[at].uid == uid)
			at++;
		else if (n < given - box->count)
			uids[n++] = uid;
	*uids_out = uids;
	return n;
}

static size_t
vanished_since(const struct box *box, uint64_t since, struct ph_arena *arena,
    const uint32_t **uids_out)
{
	size_t first = box->expunged_count, n;
	uint32_t *uids;

	if (since < box->history_floor && since > 0)
		return all_missing(box, arena, uids_out);
	while (first > 0 && box->expunged[first - 1].modseq > since)
		first--;
	n = box->expunged_count - first;
	uids = ph_arena_array(arena, n, sizeof(*uids));
	for (size_t i = 0; i < n; i++)
		uids[i] = box->expunged[first + i].uid;
	qsort(uids, n, sizeof(*uids), compare_uids);
	*uids_out = uids;
	return n;
}

void
maildir_changes(struct ph_store_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, struct ph_mailbox_changes *changes_out)
{
	const struct box *box = mailbox->box;

	*changes_out = (struct ph_mailbox_changes){ .modseq = box->modseq,
		.gone = box->gone };
	claim_recent(mailbox);
	if (since >= box->modseq)
		return;
	changes_out->changed_count = copy_metas(mailbox, since, arena,
	    &changes_out->changed);
	changes_out->vanished_count = vanished_since(box, since, arena,
	    &changes_out->vanished);
}

struct ph_event *
maildir_event(struct ph_store_mailbox *mailbox)
{
	return &mailbox->box->changed;
}
