/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - see clients.h. */
#include "master/clients.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/record.h"
#include "master/page.h"
#include "role/client_counts.h"
#include "role/messages.h"

static struct {
	struct client_page *page; /* NULL: one edge process needs none */
	int fd;
} counts;

int
clients_begin(struct ph_err *err)
{
	void *page;

	if (master.sizes[ROLE_EDGE] < 2)
		return PH_OK;
	counts.fd = page_make("posthouse-clients",
	    client_page_size(master.sizes[ROLE_EDGE]), PROT_READ | PROT_WRITE,
	    &page, err);
	if (counts.fd < 0)
		return PH_IO;
	counts.page = page;
	return client_page_begin(counts.page) ? PH_OK :
	    ph_err_set(err, PH_IO, errno, "no random octets");
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
