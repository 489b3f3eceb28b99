/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - fills the schedule from the store, newest first, while the role
 * works already: what is fresh is due before what was put off. Rows that wait
 * here are changed by nobody, for all changes begin at an entry.
 */
#include "queue/queue.h"

#include "log/log.h"
#include "loop/fiber.h"

enum { AT_ONCE = 1024, AGAIN_MS = 10000 };

struct page {
	uint64_t before;
	struct ph_arena *arena;
	const struct queue_db_message *list; /* descending */
	size_t count;
	int status;
};

static uint64_t start_before;

static void
read_page(void *arg)
{
	struct page *page = arg;

	page->status = queue_db_list_down(queue.db, page->before, AT_ONCE,
	    page->arena, &page->list, &page->count);
}

static void
take_page(const struct page *page)
{
	for (size_t i = 0; i < page->count; i++) {
		const struct queue_db_message *message = &page->list[i];
		struct entry *entry;
		char name[ID_TEXT_MAX];

		/* a report may have got an id of the past, if the clock was
		 * set back: it is here already */
		if (entry_find(message->id) != NULL)
			continue;
		entry = entry_create(message);
		if (entry == NULL) {
			ph_log(PH_ERROR, "message_unreadable", ph_f_str(
			    "queue", id_format(message->id, name)));
			continue;
		}
		entry_add(entry);
		schedule_loaded(entry);
	}
}

/* False: there is no more. */
static bool
load_page(uint64_t *before)
{
	struct page page = { .before = *before,
		.arena = ph_arena_create(NULL) };
	int status;

	ph_work(read_page, &page);
	status = page.status;
	if (status == PH_OK && page.count > 0) {
		*before = page.list[page.count - 1].id;
		take_page(&page);
	}
	ph_arena_free(page.arena);
	if (status == PH_OK)
		return page.count > 0;
	ph_log(PH_ERROR, "queue_unreadable",
	    ph_f_str("reason", ph_status_name(status)));
	ph_sleep_ms(AGAIN_MS);
	return true;
}

static void
load_main(void *arg)
{
	uint64_t before = start_before, began = ph_now_ms();

	(void)arg;
	fiber_deadline_set(UINT64_MAX);
	while (!queue.is_stopping && load_page(&before))
		continue;
	queue.is_loading = false;
	ph_log(PH_INFO, "queue_loaded",
	    ph_f_int("messages", (int64_t)queue.count),
	    ph_f_int("ms", (int64_t)(ph_now_ms() - began)));
	ph_event_signal(&queue.moved);
}

void
load_start(void)
{
	start_before = queue_db_last_id(queue.db) + 1;
	queue.is_loading = true;
	fiber_start(load_main, NULL);
}
