/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.c - the mailboxes that a message is delivered to, when a check named
 * them. What can't be a mailbox becomes the INBOX; what is only out of order
 * now is a failure of the delivery, or a later one would be in another place.
 */
#include "store.h"

struct box_look {
	struct index_job job;
	const struct box_ref *ref;
	struct ph_arena *arena;
};

static int
box_look(struct index_job *job)
{
	struct box_look *look = (struct box_look *)job;
	struct index_box row;
	int status = mail_index_begin(job->partition->mi);

	if (status == PH_OK)
		status = row_open_box(job->partition, look->ref, look->arena,
		    &row);
	return index_finish(job->partition->mi, status);
}

int
box_is_there(struct partition *partition, const struct box_ref *ref,
    struct ph_arena *arena)
{
	struct box_look *look = ph_arena_alloc(arena, sizeof(*look));

	look->job.work = box_look;
	look->ref = ref;
	look->arena = arena;
	return index_do(partition, &look->job);
}

static bool
is_passing(int status)
{
	return ph_status_is_temporary(status) || status == PH_IO ||
	    status == PH_FULL || status == PH_DEFECT;
}

/* PH_OK: ref_out is there, or the INBOX is to be taken. */
static int
obtain(struct partition *partition, struct ph_arena *arena,
    struct ph_slice user, struct ph_slice name, struct box_ref *ref_out)
{
	int status = box_ref_of(arena, user, name, ref_out);

	if (status == PH_OK && name_is_inbox(ref_out->name))
		return PH_OK;
	if (status == PH_OK)
		status = box_is_there(partition, ref_out, arena);
	if (status == PH_NOT_FOUND)
		status = maildir_create(partition->store, user, name);
	if (status == PH_OK || status == PH_EXISTS || is_passing(status))
		return status == PH_EXISTS ? PH_OK : status;
	ph_log(PH_NOTICE, "mailbox_not_made", ph_f_slice("user", user),
	    ph_f_slice("mailbox", name),
	    ph_f_str("reason", ph_status_name(status)));
	return box_ref_of(arena, user, PH_LIT("INBOX"), ref_out);
}

/* A mailbox has the message once, with the flags of all that named it. */
static void
add(struct ph_arena *arena, struct place_list *list, const struct box_ref *ref,
    const struct ph_delivery_place *from)
{
	struct place *place = NULL;
	struct ph_slice *keywords;

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->item[i].ref.path, ref->path) == 0)
			place = &list->item[i];
	if (place == NULL) {
		place = &list->item[list->count++];
		place->ref = *ref;
	}
	keywords = ph_arena_array(arena, place->keyword_count +
	    from->keyword_count, sizeof(*keywords));
	for (size_t i = 0; i < place->keyword_count; i++)
		keywords[i] = place->keywords[i];
	for (size_t i = 0; i < from->keyword_count; i++)
		keywords[place->keyword_count++] = from->keywords[i];
	place->keywords = keywords;
	place->flags |= from->flags & (PH_SEEN | PH_ANSWERED | PH_FLAGGED |
	    PH_DELETED | PH_DRAFT);
}

int
place_list_of(struct partition *partition, struct ph_arena *arena,
    struct ph_slice user, const struct ph_delivery_places *from,
    struct place_list *list_out)
{
	struct place_list list = { .item = ph_arena_array(arena, from->count,
	    sizeof(*list.item)) };
	int status = PH_OK;

	for (size_t i = 0; i < from->count && status == PH_OK; i++) {
		struct box_ref ref;

		status = obtain(partition, arena, user, from->item[i].mailbox,
		    &ref);
		if (status == PH_OK)
			add(arena, &list, &ref, &from->item[i]);
	}
	if (status == PH_OK)
		*list_out = list;
	return status;
}
