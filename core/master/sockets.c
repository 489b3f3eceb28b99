/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets.c - two lists of listening sockets: the current one and the one that
 * a reload prepares. An entry whose address stays keeps its descriptor, even
 * when another section listens there from now on.
 */
#include "master/sockets.h"

#include <posthouse/fiber.h>
#include <posthouse/log.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/record.h"
#include "master/dirs.h"
#include "role/messages.h"

enum {
	BACKLOG = 4096,
	BUSY_TRIES = 40, /* of BUSY_WAIT_MS: those who held it are dying */
	BUSY_WAIT_MS = 50,
};

struct listening {
	struct listening *next;
	struct listening *kept; /* prepared: the current one whose fd it is */
	char *section;
	bool implicit_tls;
	struct ph_addr addr;
	uint16_t port;          /* as asked; 0: any */
	char address[PH_ADDR_TEXT_MAX + 16]; /* with the real port */
	int fd;
	bool is_taken;          /* current: a prepared one keeps it */
};

static struct listening *current, *prepared;

/* --- one socket --- */

union any_address {
	struct sockaddr plain;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t
to_system(const struct ph_addr *addr, uint16_t port, union any_address *out)
{
	memset(out, 0, sizeof(*out));
	if (addr->family == 4) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		memcpy(&out->v4.sin_addr, addr->octet, 4);
		return sizeof(out->v4);
	}
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(port);
	memcpy(&out->v6.sin6_addr, addr->octet, 16);
	return sizeof(out->v6);
}

static void
note_address(struct listening *l)
{
	union any_address real = { 0 };
	socklen_t size = sizeof(real);
	char host[PH_ADDR_TEXT_MAX];
	uint16_t port = l->port;

	if (getsockname(l->fd, &real.plain, &size) == 0)
		port = ntohs(l->addr.family == 4 ? real.v4.sin_port :
		                                   real.v6.sin6_port);
	snprintf(l->address, sizeof(l->address),
	    l->addr.family == 4 ? "%s:%u" : "[%s]:%u",
	    ph_addr_format(&l->addr, host), port);
}

/* 0 or an errno. */
static int
bind_now(struct listening *l)
{
	union any_address address;
	socklen_t size = to_system(&l->addr, l->port, &address);
	int on = 1, fd = socket(address.plain.sa_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (l->addr.family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
	                                &on, sizeof(on)) != 0) ||
	    bind(fd, &address.plain, size) != 0 || listen(fd, BACKLOG) != 0) {
		int error = errno;

		close(fd);
		return error;
	}
	l->fd = fd;
	return 0;
}

static int
bind_patiently(struct listening *l)
{
	int error = bind_now(l);

	for (unsigned i = 0; error == EADDRINUSE && i < BUSY_TRIES; i++) {
		if (ph_sleep_ms(BUSY_WAIT_MS) != PH_OK)
			break;
		error = bind_now(l);
	}
	return error;
}

static void
listening_free(struct listening *l)
{
	if (l == NULL)
		return;
	if (l->fd >= 0 && l->kept == NULL)
		close(l->fd);
	free(l->section);
	free(l);
}

/* --- telling the edge processes --- */

static void
tell(unsigned edge_index, uint16_t type, const struct listening *l)
{
	struct ph_buf record;

	ph_buf_init(&record, NULL, 4096);
	record_put_str(&record, F_SECTION, l->section);
	record_put_u64(&record, F_IMPLICIT_TLS, l->implicit_tls);
	record_put_str(&record, F_ADDRESS, l->address);
	bus_notify_fd(ROLE_EDGE, edge_index, type, ph_buf_content(&record),
	    type == MSG_LISTEN ? l->fd : -1);
	ph_buf_fini(&record);
}

static void
tell_all(uint16_t type, const struct listening *l)
{
	for (unsigned i = 0; i < bus_role_size(ROLE_EDGE); i++)
		tell(i, type, l);
}

void
sockets_give(unsigned edge_index)
{
	for (const struct listening *l = current; l != NULL; l = l->next)
		tell(edge_index, MSG_LISTEN, l);
}

/* --- preparing --- */

static bool
is_same_place(const struct listening *a, const struct listening *b)
{
	if (a->port != b->port || !ph_addr_eq(&a->addr, &b->addr))
		return false;
	return a->port != 0 || (a->implicit_tls == b->implicit_tls &&
	    strcmp(a->section, b->section) == 0);
}

static struct listening *
find(struct listening *list, const struct listening *like)
{
	for (; list != NULL; list = list->next)
		if (is_same_place(list, like))
			return list;
	return NULL;
}

/* Give it a descriptor; false: error text in *text_out. */
static bool
place(struct listening *l, struct ph_arena *arena, const char **text_out)
{
	struct listening *there = find(prepared, l);
	int error;

	if (there != NULL) {
		*text_out = ph_arena_printf(arena,
		    "section %s listens there already", there->section);
		return false;
	}
	there = find(current, l);
	if (there != NULL) {
		l->kept = there;
		l->fd = there->fd;
		there->is_taken = true;
		return true;
	}
	error = bind_patiently(l);
	*text_out = ph_arena_printf(arena, "can't listen: %s", strerror(error));
	return error == 0;
}

/* "[::]:25", as the shipped snippets say, where the kernel has no IPv6. */
static bool
is_out_of_place(const struct listening *l)
{
	int fd;

	if (l->addr.family != 6 || !ph_addr_is_unspecified(&l->addr))
		return false;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EAFNOSUPPORT;
}

static int
prepare_one(const struct plan *plan, const struct module_facts *facts,
    const char *text, bool implicit_tls, struct conf_errors *errors)
{
	struct listening *l = calloc(1, sizeof(*l));
	const char *setting = implicit_tls ? "listen_tls" : "listen";
	const char *reason = "not ADDRESS:PORT ([ADDRESS]:PORT for IPv6)";
	bool is_placed = false;

	ph_assert(l != NULL);
	l->fd = -1;
	l->section = strdup(facts->section);
	ph_assert(l->section != NULL);
	l->implicit_tls = implicit_tls;
	if (conf_endpoint_parse(ph_slice_str(text), 0, &l->addr, &l->port)) {
		if (is_out_of_place(l)) {
			ph_log(PH_WARN, "no_ipv6", ph_f_str("address", text));
			listening_free(l);
			return PH_OK;
		}
		is_placed = place(l, errors->arena, &reason);
	}
	if (is_placed) {
		note_address(l);
		l->next = prepared;
		prepared = l;
		return PH_OK;
	}
	listening_free(l);
	plan_error_at(errors, plan->conf, facts->section, setting,
	    ph_arena_printf(errors->arena, "%s: %s", text, reason));
	return PH_INVALID;
}

static int
prepare_list(const struct plan *plan, const struct module_facts *facts,
    const char *const *list, bool implicit_tls, struct conf_errors *errors)
{
	int status = PH_OK;

	for (; list != NULL && *list != NULL; list++)
		if (prepare_one(plan, facts, *list, implicit_tls, errors) !=
		    PH_OK)
			status = PH_INVALID;
	return status;
}

int
sockets_prepare(const struct plan *plan, struct conf_errors *errors)
{
	int status = PH_OK;

	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next) {
		if (!(facts->kinds & PH_KIND_LISTENER))
			continue;
		if (prepare_list(plan, facts, facts->listen, false, errors) !=
		        PH_OK ||
		    prepare_list(plan, facts, facts->listen_tls, true,
		        errors) != PH_OK)
			status = PH_INVALID;
	}
	if (status != PH_OK)
		sockets_abandon();
	return status;
}

void
sockets_abandon(void)
{
	while (prepared != NULL) {
		struct listening *l = prepared;

		prepared = l->next;
		if (l->kept != NULL)
			l->kept->is_taken = false;
		listening_free(l);
	}
}

/* --- committing --- */

static bool
is_unchanged(const struct listening *l)
{
	return l->kept != NULL && l->kept->implicit_tls == l->implicit_tls &&
	    strcmp(l->kept->section, l->section) == 0;
}

static void
write_ports(const struct core_conf *core)
{
	struct ph_buf text;
	struct ph_err err;

	ph_buf_init(&text, NULL, 1 << 20);
	for (const struct listening *l = current; l != NULL; l = l->next)
		ph_buf_printf(&text, "%s %s %s\n", l->section,
		    l->implicit_tls ? "listen_tls" : "listen", l->address);
	if (dirs_write_run(core, "ports", ph_buf_content(&text), &err) != PH_OK)
		ph_log(PH_ERROR, "ports_not_written",
		    ph_f_str("reason", err.text));
	ph_buf_fini(&text);
}

void
sockets_commit(const struct plan *plan)
{
	struct listening *old = current;

	/* An address that changes hands leaves the one before it comes. */
	for (struct listening *l = old; l != NULL; l = l->next)
		if (!l->is_taken)
			tell_all(MSG_UNLISTEN, l);
	for (struct listening *l = prepared; l != NULL; l = l->next) {
		if (is_unchanged(l))
			continue;
		if (l->kept != NULL)
			tell_all(MSG_UNLISTEN, l->kept);
		tell_all(MSG_LISTEN, l);
	}
	current = prepared;
	prepared = NULL;
	for (struct listening *l = current; l != NULL; l = l->next) {
		if (l->kept != NULL)
			l->kept->fd = -1;
		l->kept = NULL;
	}
	while (old != NULL) {
		struct listening *l = old;

		old = l->next;
		listening_free(l);
	}
	write_ports(&plan->core);
}
