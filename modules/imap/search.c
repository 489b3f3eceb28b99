/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.c - SEARCH over the selected mailbox, RFC 3501 s6.4.4. Content is
 * looked through in the thread pool; between messages others get their turn.
 */
#include "search.h"

#include <time.h>

#include "message.h"
#include "view.h"

enum { TURN_MS = 20, OUTPUT_MAX = 16 << 20 };

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sets and keywords, as the mailbox is now. */
static void
resolve(struct imap *imap, struct ph_arena *arena, struct search_key *key)
{
	const struct view *view = imap->view;
	uint32_t last_uid = view->told > 0 ?
	    view->message[view->told - 1].meta.uid : 0;
	int bit;

	if (key->op == SEARCH_SET)
		key->set = seqset_resolve(arena, key->set,
		    (uint32_t)view->told);
	if (key->op == SEARCH_UID)
		key->set = seqset_resolve(arena, key->set, last_uid);
	if (key->op == SEARCH_KEYWORD) {
		bit = ph_mailbox_keyword(view->mailbox, key->name, false);
		key->keyword = bit >= 0 ? (uint64_t)1 << bit : 0;
	}
	for (struct search_key *child = key->child; child != NULL;
	     child = child->next)
		resolve(imap, arena, child);
}

struct content_job {
	const struct search_key *key;
	struct search_facts *facts;
	enum verdict verdict;
};

static void
content_work(void *arg)
{
	struct content_job *job = arg;

	job->verdict = search_decide(job->key, job->facts);
}

/* Load more until it is settled. */
static int
settle(const struct search_key *key, struct search_facts *facts,
    struct message *message, enum verdict *verdict_out)
{
	struct content_job job = { key, facts, SEARCH_UNKNOWN };
	int rc = message_load_summary(message);

	if (rc != PH_OK)
		return rc;
	facts->summary = message->summary.header;
	*verdict_out = search_decide(key, facts);
	if (*verdict_out != SEARCH_UNKNOWN)
		return PH_OK;
	rc = message_load_content(message);
	if (rc == PH_OK)
		rc = message_load_tree(message);
	if (rc != PH_OK)
		return rc;
	facts->content = message->content.octets;
	facts->tree = message->tree;
	ph_work(content_work, &job);
	*verdict_out = job.verdict;
	return PH_OK;
}

static int
search_message(struct imap *imap, const struct search_key *key, size_t index,
    bool *found_out)
{
	const struct view_message *seen = &imap->view->message[index];
	struct search_facts facts = { .number = (uint32_t)index + 1,
		.meta = seen->meta };
	enum verdict verdict = search_decide(key, &facts);
	struct message message = { .mailbox = imap->view->mailbox,
		.uid = seen->meta.uid };
	int rc = PH_OK;

	if (verdict == SEARCH_UNKNOWN) {
		facts.arena = message.arena =
		    ph_arena_create(imap->view->arena);
		rc = settle(key, &facts, &message, &verdict);
		ph_arena_free(message.arena);
	}
	*found_out = rc == PH_OK && verdict == SEARCH_YES;
	return rc == PH_NOT_FOUND ? PH_OK : rc;
}

void
imap_do_search(struct imap *imap, struct command *command)
{
	struct ph_buf found;
	int64_t since = clock_ms();
	int rc = PH_OK;

	if (command->bad_charset) {
		imap_done(imap, command, "NO [BADCHARSET (US-ASCII UTF-8)] "
		                         "Unknown charset");
		return;
	}
	resolve(imap, command->arena, command->search);
	ph_buf_init(&found, command->arena, OUTPUT_MAX);
	ph_buf_str(&found, "* SEARCH");
	for (size_t i = 0; i < imap->view->told && rc == PH_OK; i++) {
		bool is_found;

		if (imap->view->message[i].gone)
			continue;
		rc = search_message(imap, command->search, i, &is_found);
		if (is_found)
			ph_buf_printf(&found, " %u", command->row->uid ?
			        imap->view->message[i].meta.uid :
			        (uint32_t)i + 1);
		if (i % 16 == 0 && clock_ms() - since > TURN_MS) {
			if (ph_sleep_ms(1) == PH_CANCELED)
				rc = PH_CANCELED;
			since = clock_ms();
		}
	}
	if (rc != PH_OK) {
		imap_failed(imap, command, rc, "Gone");
		return;
	}
	ph_buf_str(&found, "\r\n");
	imap_buf(imap, &found);
	imap_done(imap, command, "OK Done");
}
