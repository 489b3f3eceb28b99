/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - a user's mailboxes: list, create, delete, rename, subscribe, status.
 *
 * Each is one transaction; what is to be done to folders follows it, and the
 * row remembers until it is done. Jobs that change what a mailbox is called run
 * alone in the index line, so that no other job of their batch holds the old
 * name.
 */
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree_job {
	struct index_job job;
	struct ph_arena *arena;
	struct box_ref ref;
	struct ph_slice to; /* rename: canonical */
	bool on;            /* subscribe */
	struct index_box_name *rows;
	size_t row_count;
	struct ph_slice *subscriptions;
	size_t subscription_count;
	struct move {
		struct box_ref from, to;
	} *moves;
	size_t move_count;
};

/* --- folders other programs made --- */

static bool
is_listed(const struct tree_job *job, struct ph_slice name)
{
	for (size_t i = 0; i < job->row_count; i++)
		if (!job->rows[i].dead && ph_slice_eq(job->rows[i].name, name))
			return true;
	return false;
}

static int
adopt_folder(struct tree_job *job, int maildir, const char *folder)
{
	struct ph_slice name;
	struct index_box row;
	struct box_ref ref;
	struct stat st;
	int status;

	if (name_from_folder(job->arena, folder, &name) != PH_OK ||
	    is_listed(job, name) ||
	    fstatat(maildir, folder, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISDIR(st.st_mode))
		return PH_OK;
	status = box_ref_of(job->arena, job->ref.user, name, &ref);
	if (status == PH_OK)
		status = row_create_box(job->job.partition, &ref, &row);
	return status == PH_EXISTS ? PH_OK : status;
}

static int
adopt_folders(struct tree_job *job)
{
	struct dirent *entry;
	struct box_ref inbox;
	int fd, status = box_ref_of(job->arena, job->ref.user, PH_LIT("INBOX"),
	    &inbox);
	DIR *dir;

	if (status != PH_OK)
		return status;
	fd = openat(job->job.partition->fd, inbox.path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return PH_OK; /* no mail yet */
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return PH_NO_MEMORY;
	}
	while (status == PH_OK && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] == '.' && entry->d_name[1] != '\0' &&
		    strcmp(entry->d_name, "..") != 0)
			status = adopt_folder(job, fd, entry->d_name);
	closedir(dir);
	return status;
}

/* Everything of the user is settled and known: job->rows holds it. */
static int
tree_load(struct tree_job *job)
{
	struct mail_index *mi = job->job.partition->mi;
	int status = row_settle_user(job->job.partition, job->ref.user);

	if (status == PH_OK)
		status = mail_index_box_list(mi, job->ref.user, job->arena,
		    &job->rows, &job->row_count);
	if (status == PH_OK)
		status = adopt_folders(job);
	if (status == PH_OK)
		status = mail_index_box_list(mi, job->ref.user, job->arena,
		    &job->rows, &job->row_count);
	return status;
}

/* --- list --- */

static int
list_work(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = tree_load(job);
	status = index_finish(mi, status);
	return status == PH_OK ?
	    mail_index_subscriptions(mi, job->ref.user, job->arena,
	        &job->subscriptions, &job->subscription_count) : status;
}

static int
compare_names(const void *a, const void *b)
{
	struct ph_slice x = ((const struct ph_mailbox_name *)a)->name;
	struct ph_slice y = ((const struct ph_mailbox_name *)b)->name;
	int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

	return order != 0 ? order : x.n < y.n ? -1 : x.n > y.n;
}

static void
add_name(struct ph_buf *names, const struct ph_mailbox_name *name)
{
	ph_buf_add(names, name, sizeof(*name));
}

/* Each name once, what is known of it together. */
static size_t
merge_names(struct ph_mailbox_name *names, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (n > 0 && ph_slice_eq(names[n - 1].name, names[i].name)) {
			names[n - 1].subscribed |= names[i].subscribed;
			names[n - 1].selectable |= names[i].selectable;
			names[n - 1].exists |= names[i].exists;
			names[n - 1].has_children |= names[i].has_children;
		} else {
			names[n++] = names[i];
		}
	return n;
}

static void
add_parents(struct ph_buf *names, struct ph_slice name)
{
	for (size_t i = name.n; i-- > 0;)
		if (name.p[i] == '/')
			add_name(names, &(struct ph_mailbox_name){
				.name = { name.p, i }, .exists = true,
				.has_children = true });
}

static int
tree_do(struct ph_store *store, struct tree_job *job,
    int (*work)(struct index_job *))
{
	struct partition *partition = store_partition(store, job->ref.user);

	job->job.work = work;
	job->job.durable = true;
	return partition == NULL ? PH_UNAVAILABLE :
	                           index_do(partition, &job->job);
}

int
maildir_list(struct ph_store *store, struct ph_slice user,
    struct ph_arena *arena, const struct ph_mailbox_name **names_out,
    size_t *count_out)
{
	struct tree_job *job = ph_arena_alloc(arena, sizeof(*job));
	struct ph_mailbox_name *list;
	struct ph_buf names;
	int status = box_ref_of(arena, user, PH_LIT("INBOX"), &job->ref);

	job->arena = arena;
	if (status == PH_OK)
		status = tree_do(store, job, list_work);
	if (status != PH_OK)
		return status;
	ph_buf_init(&names, arena, SIZE_MAX / 4);
	add_name(&names, &(struct ph_mailbox_name){ .name = PH_LIT("INBOX"),
		.selectable = true, .exists = true });
	for (size_t i = 0; i < job->row_count; i++)
		if (!job->rows[i].dead) {
			add_name(&names, &(struct ph_mailbox_name){
				.name = job->rows[i].name, .exists = true,
				.selectable = true });
			add_parents(&names, job->rows[i].name);
		}
	for (size_t i = 0; i < job->subscription_count; i++)
		add_name(&names, &(struct ph_mailbox_name){
			.name = job->subscriptions[i], .subscribed = true });
	list = (void *)names.p;
	qsort(list, names.n / sizeof(*list), sizeof(*list), compare_names);
	*count_out = merge_names(list, names.n / sizeof(*list));
	*names_out = list;
	return PH_OK;
}

/* --- create --- */

/* The mailbox; those above it are made when they aren't there. */
static int
create_with_parents(struct tree_job *job, const struct box_ref *ref)
{
	struct index_box row;

	for (size_t i = 0; i < ref->name.n; i++) {
		struct ph_slice above = { ref->name.p, i };
		struct box_ref parent;
		int status;

		if (ref->name.p[i] != '/' || is_listed(job, above) ||
		    name_is_inbox(above))
			continue;
		status = box_ref_of(job->arena, ref->user, above, &parent);
		if (status == PH_OK)
			status = row_create_box(job->job.partition, &parent,
			    &row);
		if (status != PH_OK && status != PH_EXISTS)
			return status;
	}
	return PH_OK;
}

static int
create_work(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	struct index_box row;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = tree_load(job);
	if (status == PH_OK && is_listed(job, job->ref.name)) {
		/* what tree_load adopted stays */
		status = index_finish(mi, PH_OK);
		return status == PH_OK ? PH_EXISTS : status;
	}
	if (status == PH_OK)
		status = create_with_parents(job, &job->ref);
	if (status == PH_OK)
		status = row_create_box(index_job->partition, &job->ref, &row);
	return index_finish(mi, status);
}

static int
tree_one(struct ph_store *store, struct ph_slice user, struct ph_slice name,
    int (*work)(struct index_job *))
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct tree_job *job = ph_arena_alloc(arena, sizeof(*job));
	int status = box_ref_of(arena, user, name, &job->ref);

	job->arena = arena;
	if (status == PH_OK)
		status = tree_do(store, job, work);
	ph_arena_free(arena);
	return status;
}

int
maildir_create(struct ph_store *store, struct ph_slice user,
    struct ph_slice name)
{
	return name_is_inbox(name) ? PH_EXISTS :
	                             tree_one(store, user, name, create_work);
}

/* --- delete --- */

static int
del_work(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = tree_load(job);
	if (status == PH_OK)
		status = is_listed(job, job->ref.name) ?
		    mail_index_box_bury(mi, job->ref.user, job->ref.name) :
		    PH_NOT_FOUND;
	return index_finish(mi, status);
}

/* In one more transaction: the folder, and then the dead row. */
static void
settle_after(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;

	store_step("tree-committed");
	if (mail_index_begin(mi) == PH_OK)
		(void)index_finish(mi, row_settle_user(index_job->partition,
		    job->ref.user)); /* or whoever comes next */
}

static void
del_done(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct box *box = index_job->status == PH_OK ?
	    box_find(index_job->partition, job->ref.user, job->ref.name) :
	    NULL;

	if (box != NULL)
		box_set_gone(box);
}

int
maildir_del(struct ph_store *store, struct ph_slice user, struct ph_slice name)
{
	struct ph_arena *arena;
	struct tree_job *job;
	int status;

	if (name_is_inbox(name))
		return PH_DENIED;
	arena = ph_arena_create(NULL);
	job = ph_arena_alloc(arena, sizeof(*job));
	job->arena = arena;
	job->job.after = settle_after;
	job->job.done = del_done;
	job->job.line.weight = INDEX_ALONE;
	status = box_ref_of(arena, user, name, &job->ref);
	if (status == PH_OK)
		status = tree_do(store, job, del_work);
	ph_arena_free(arena);
	return status;
}

/* --- rename --- */

static bool
is_below(struct ph_slice name, struct ph_slice parent)
{
	return name.n > parent.n && name.p[parent.n] == '/' &&
	    memcmp(name.p, parent.p, parent.n) == 0;
}

/* Which rows get which names; PH_EXISTS when one is taken. */
static int
plan_moves(struct tree_job *job)
{
	job->moves = ph_arena_array(job->arena, job->row_count,
	    sizeof(*job->moves));
	for (size_t i = 0; i < job->row_count; i++) {
		struct ph_slice name = job->rows[i].name, renamed;
		struct move *move = &job->moves[job->move_count];
		int status;

		if (job->rows[i].dead || !(is_below(name, job->ref.name) ||
		    ph_slice_eq(name, job->ref.name)))
			continue;
		renamed = ph_slice_str(ph_arena_printf(job->arena,
		    PH_SLICE_FMT PH_SLICE_FMT, PH_SLICE_ARG(job->to),
		    (int)(name.n - job->ref.name.n),
		    name.p + job->ref.name.n));
		if (is_listed(job, renamed))
			return PH_EXISTS;
		status = box_ref_of(job->arena, job->ref.user, name,
		    &move->from);
		if (status == PH_OK)
			status = box_ref_of(job->arena, job->ref.user, renamed,
			    &move->to);
		if (status != PH_OK)
			return status;
		job->move_count++;
	}
	return job->move_count > 0 ? PH_OK : PH_NOT_FOUND;
}

static int
move_row(struct tree_job *job, const struct move *move)
{
	struct mail_index *mi = job->job.partition->mi;
	struct index_box row;
	int status = mail_index_box_get(mi, move->from.user, move->from.name,
	    job->arena, &row);

	if (status != PH_OK)
		return status;
	row.moved_from = ph_slice_str(move->from.path);
	status = mail_index_box_put(mi, move->to.user, move->to.name, &row);
	return status == PH_OK ?
	    mail_index_box_forget(mi, move->from.user, move->from.name) :
	    status;
}

static int
rename_work(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	struct box_ref to;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = tree_load(job);
	if (status == PH_OK && is_listed(job, job->to))
		status = PH_EXISTS;
	if (status == PH_OK)
		status = plan_moves(job);
	if (status == PH_OK)
		status = box_ref_of(job->arena, job->ref.user, job->to, &to);
	if (status == PH_OK)
		status = create_with_parents(job, &to);
	for (size_t i = 0; i < job->move_count && status == PH_OK; i++)
		status = move_row(job, &job->moves[i]);
	return index_finish(mi, status);
}

static void
rename_done(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;

	for (size_t i = 0; i < job->move_count && index_job->status == PH_OK;
	     i++) {
		const struct move *move = &job->moves[i];
		struct box *box = box_find(index_job->partition,
		    move->from.user, move->from.name);

		if (box != NULL)
			box_rename(box, move->to.name, move->to.path);
	}
}

/* RFC 3501 s6.3.5: the mail moves, an empty INBOX stays. */
static int
rename_inbox(struct ph_store *store, struct ph_slice user, struct ph_slice to)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_store_mailbox *inbox = NULL;
	const struct ph_message_meta *metas;
	struct ph_uid_map map = { .count = 0 };
	uint32_t *uids;
	size_t count;
	int status = maildir_mailbox_open(store, user, PH_LIT("INBOX"), false,
	    &inbox);

	if (status == PH_OK)
		status = maildir_create(store, user, to);
	if (status == PH_OK) {
		count = maildir_messages(inbox, arena, &metas);
		uids = ph_arena_array(arena, count, sizeof(*uids));
		for (size_t i = 0; i < count; i++)
			uids[i] = metas[i].uid;
		if (count > 0)
			status = maildir_copy(inbox, uids, count, to, arena,
			    &map);
		if (status == PH_OK)
			status = maildir_remove(inbox, map.from, map.count);
	}
	maildir_mailbox_close(inbox);
	ph_arena_free(arena);
	return status;
}

int
maildir_rename(struct ph_store *store, struct ph_slice user,
    struct ph_slice from, struct ph_slice to)
{
	struct ph_arena *arena;
	struct tree_job *job;
	int status;

	if (name_is_inbox(to))
		return PH_EXISTS;
	if (name_is_inbox(from))
		return rename_inbox(store, user, to);
	arena = ph_arena_create(NULL);
	job = ph_arena_alloc(arena, sizeof(*job));
	job->arena = arena;
	job->job.after = settle_after;
	job->job.done = rename_done;
	job->job.line.weight = INDEX_ALONE;
	status = box_ref_of(arena, user, from, &job->ref);
	if (status == PH_OK)
		status = name_canonical(arena, to, &job->to);
	if (status == PH_OK && is_below(job->to, job->ref.name))
		status = PH_INVALID; /* into itself */
	if (status == PH_OK)
		status = tree_do(store, job, rename_work);
	ph_arena_free(arena);
	return status;
}

/* --- subscriptions --- */

static int
subscribe_work(struct index_job *index_job)
{
	struct tree_job *job = (struct tree_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = mail_index_subscribe(mi, job->ref.user, job->ref.name,
		    job->on);
	return index_finish(mi, status);
}

int
maildir_subscribe(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, bool on)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct tree_job *job = ph_arena_alloc(arena, sizeof(*job));
	int status = box_ref_of(arena, user, name, &job->ref);

	job->arena = arena;
	job->on = on;
	if (status == PH_OK)
		status = tree_do(store, job, subscribe_work);
	ph_arena_free(arena);
	return status;
}

/* --- status --- */

struct status_job {
	struct index_job job;
	struct ph_arena *arena;
	struct box_ref ref;
	bool scan_due;
	struct ph_mailbox_status status;
};

static int
count_one(void *arg, const struct index_message *message)
{
	uint32_t *count = arg;

	(void)message;
	++*count;
	return PH_OK;
}

static int
status_work(struct index_job *index_job)
{
	struct status_job *job = (struct status_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	struct index_box row;
	uint32_t recent = 0;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = row_open_box(index_job->partition, &job->ref,
		    job->arena, &row);
	status = index_finish(mi, status);
	if (status != PH_OK)
		return status;
	job->scan_due = scan_is_due(index_job->partition, &job->ref, &row);
	if (!job->scan_due)
		status = mail_index_messages(mi, row.id, row.recent_from,
		    count_one, &recent);
	job->status = (struct ph_mailbox_status){ .messages = row.messages,
		.recent = recent, .unseen = row.unseen, .deleted = row.deleted,
		.uid_next = row.uid_next, .uid_validity = row.uid_validity,
		.highest_modseq = row.modseq, .size = row.size };
	return status;
}

int
maildir_status_of(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, struct ph_mailbox_status *status_out)
{
	struct partition *partition = store_partition(store, user);
	struct ph_arena *arena = ph_arena_create(NULL);
	struct status_job *job = ph_arena_alloc(arena, sizeof(*job));
	struct ph_store_mailbox *mailbox;
	int status = partition == NULL ? PH_UNAVAILABLE :
	    box_ref_of(arena, user, name, &job->ref);
	bool open = status == PH_OK &&
	    box_find(partition, job->ref.user, job->ref.name) != NULL;

	job->job.work = status_work;
	job->job.durable = true; /* a UIDNEXT that is shown stays */
	job->arena = arena;
	if (status == PH_OK && !open)
		status = index_do(partition, &job->job);
	if (status == PH_OK && (open || job->scan_due)) {
		status = maildir_mailbox_open(store, user, name, true,
		    &mailbox);
		if (status == PH_OK) {
			maildir_mailbox_status(mailbox, &job->status);
			maildir_mailbox_close(mailbox);
		}
	}
	if (status == PH_OK)
		*status_out = job->status;
	ph_arena_free(arena);
	return status;
}
