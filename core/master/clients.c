/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - see clients.h. */
#include "master/clients.h"

#include "base/record.h"
#include "role/client_counts.h"
#include "role/messages.h"

static struct {
	struct client_page *page; /* NULL: one edge process needs none */
	int fd;
} counts;

int
clients_begin(struct ph_err *err)
{
	if (master.sizes[ROLE_EDGE] < 2)
		return PH_OK;
	counts.fd = client_page_make(master.sizes[ROLE_EDGE], &counts.page,
	    err);
	return counts.fd < 0 ? PH_IO : PH_OK;
}

void
clients_tell(unsigned edge_index)
{
	struct ph_buf record;

	if (counts.page == NULL)
		return;
	ph_buf_init(&record, NULL, 64);
	record_put_u64(&record, F_INDEX, edge_index);
	record_put_u64(&record, F_NUMBER, master.sizes[ROLE_EDGE]);
	bus_notify_fd(ROLE_EDGE, edge_index, MSG_CLIENTS,
	    ph_buf_content(&record), counts.fd);
	ph_buf_fini(&record);
}

void
clients_gone(unsigned edge_index)
{
	if (counts.page != NULL)
		client_page_clear(counts.page, edge_index);
}
