/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - recipients through the routers, in the check role.
 *
 * A recipient is the root of a tree: routers replace an address by others, and
 * those are routed in turn. An address that stands above itself is not replaced
 * again: it is delivered as it is, which cuts loops and lets an alias name
 * itself. An address met twice among the leaves counts once. What no router replaces
 * is a mailbox of ours, an address elsewhere, or nobody.
 */
#include "role/route.h"

#include <posthouse/mail.h>
#include <posthouse/router.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	DEPTH_MAX = 20,
	NODES_MAX = 5000, /* addresses of one tree */
};

struct router {
	const struct module_instance *instance;
	void *state;
	struct router *next;
};

/* An address in the tree. */
struct node {
	struct node *next;         /* to be looked at, in order */
	struct node *next_settled;
	const struct node *parent; /* NULL: the recipient itself */
	bool is_copy;              /* it, or one above it: a blind copy */
	struct ph_slice address;
	unsigned depth;
};

struct ph_routing {
	struct ph_arena *arena;
	const struct generation *generation;
	struct node *node;
	struct ph_slice sender;
	bool is_unknown, is_accepted;
	const char *transport, *destination;
	struct ph_slice *added, *copies;
	size_t added_count, copy_count;
};

/* One tree. */
struct tree {
	struct ph_arena *arena;
	struct generation *generation;
	struct node *first, **last, *settled;
	struct ph_slice *copies;
	size_t copy_count;
	size_t nodes, number;
	struct ph_slice sender;
	route_lookup *look_up;
	struct ph_buf *reply;
};

/* --- what routers see --- */

struct ph_arena *
ph_routing_arena(struct ph_routing *routing)
{
	return routing->arena;
}

struct ph_slice
ph_routing_recipient(const struct ph_routing *routing)
{
	return routing->node->address;
}

static bool
is_ours(const struct generation *generation, struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	if (domain.p == NULL) /* <postmaster> */
		return true;
	return core_is_local_domain(&generation->core, domain);
}

bool
ph_routing_is_local(const struct ph_routing *routing)
{
	return is_ours(routing->generation, routing->node->address);
}

bool
ph_routing_is_unknown(const struct ph_routing *routing)
{
	return routing->is_unknown;
}

static bool
is_address(struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);
	struct ph_addr addr;

	if (address.n > ROUTE_ADDRESS_MAX || domain.n + 1 >= address.n)
		return false;
	for (size_t i = 0; i < address.n; i++)
		if ((unsigned char)address.p[i] < 0x20 ||
		    address.p[i] == 0x7f)
			return false;
	return ph_domain_is_valid(domain) ||
	    ph_address_literal_parse(domain, &addr);
}

/* list has room for a power of two, or nothing. */
static void
put_address(struct ph_routing *routing, struct ph_slice **list, size_t *count,
    struct ph_slice address)
{
	struct ph_slice *wider;

	address = ph_address_fold(routing->arena, address);
	if (!is_address(address))
		ph_log(PH_WARN, "route_to_no_address",
		    ph_f_slice("recipient", routing->node->address),
		    ph_f_slice("to", address));
	if (!is_address(address) || *count == NODES_MAX)
		return;
	if ((*count & (*count - 1)) == 0) {
		wider = ph_arena_array(routing->arena, *count * 2 + 1,
		    sizeof(*wider));
		if (*count > 0)
			memcpy(wider, *list, *count * sizeof(*wider));
		*list = wider;
	}
	(*list)[(*count)++] = address;
}

void
ph_routing_add(struct ph_routing *routing, struct ph_slice address)
{
	put_address(routing, &routing->added, &routing->added_count, address);
}

void
ph_routing_copy(struct ph_routing *routing, struct ph_slice address)
{
	if (!routing->node->is_copy && routing->sender.p != NULL)
		put_address(routing, &routing->copies, &routing->copy_count,
		    address);
}

struct ph_slice
ph_routing_sender(const struct ph_routing *routing)
{
	return routing->sender;
}

void
ph_routing_accept(struct ph_routing *routing)
{
	routing->is_accepted = true;
}

void
ph_routing_to(struct ph_routing *routing, const char *transport,
    const char *destination)
{
	routing->transport = ph_arena_strdup(routing->arena, transport);
	routing->destination = ph_arena_strdup(routing->arena, destination);
}

const char *
ph_router_dir(void)
{
	return role_dir();
}

/* --- routers --- */

static struct router *
routers_of(struct generation *generation)
{
	struct router **last = &generation->routers;

	if (*last != NULL)
		return *last;
	for (const struct module_instance *at = generation->modules.first;
	     at != NULL; at = at->next) {
		const struct ph_router_ops *ops = at->module->router;
		struct router *router;

		if (!(at->module->kinds & PH_KIND_ROUTER))
			continue;
		router = ph_arena_alloc(generation->arena, sizeof(*router));
		router->instance = at;
		if (ops->open != NULL) {
			role_note(at->name, "open");
			router->state = ops->open(generation->arena, at->conf);
			role_note(NULL, NULL);
		}
		*last = router;
		last = &router->next;
	}
	return generation->routers;
}

/* Its lines, keys and counters are its own. */
static enum ph_route
ask_router(struct ph_routing *routing, const struct router *router)
{
	const struct module_instance *instance = router->instance;
	struct log_context log = { .module = instance->name,
		.hook = "route" };
	uint64_t deadline_ms = ph_deadline_push(instance->common.timeout_ms);
	uint64_t start = tally_micros();
	void *context = fiber_context();
	enum ph_route route;

	fiber_context_set(&log);
	tally_begin(instance->tally);
	route = instance->module->router->route(routing, instance->conf,
	    router->state);
	tally_end(instance->tally, TALLY_WORK, tally_micros() - start,
	    TALLY_WORKED);
	fiber_context_set(context);
	ph_deadline_restore(deadline_ms);
	return route;
}

static enum ph_route
ask_routers(struct ph_routing *routing, struct generation *generation)
{
	for (const struct router *at = routers_of(generation); at != NULL;
	     at = at->next) {
		enum ph_route route = PH_ROUTE_DEFER;

		if (!role_module_is_out(at->instance->name))
			route = ask_router(routing, at);
		if (route != PH_ROUTE_NEXT)
			return route;
	}
	return PH_ROUTE_NEXT;
}

/* --- the tree --- */

/* False: the tree is too large. */
static bool
tree_add(struct tree *tree, const struct node *parent, struct ph_slice address)
{
	struct node *node;

	if (tree->nodes == NODES_MAX ||
	    (parent != NULL && parent->depth == DEPTH_MAX))
		return false;
	node = ph_arena_alloc(tree->arena, sizeof(*node));
	node->parent = parent;
	node->is_copy = parent != NULL && parent->is_copy;
	node->depth = parent != NULL ? parent->depth + 1 : 0;
	node->address = ph_address_fold(tree->arena, address);
	*tree->last = node;
	tree->last = &node->next;
	tree->nodes++;
	return true;
}

static bool
stands_above_itself(const struct node *node)
{
	for (const struct node *above = node->parent; above != NULL;
	     above = above->parent)
		if (ph_slice_eq(above->address, node->address))
			return true;
	return false;
}

static void
put_result(struct tree *tree, const struct ph_routing *routing,
    enum route_answer answer, struct ph_slice user)
{
	struct node *node = routing->node;
	size_t mark;

	for (const struct node *other = tree->settled; other != NULL;
	     other = other->next_settled)
		if (ph_slice_eq(other->address, node->address))
			return;
	node->next_settled = tree->settled;
	tree->settled = node;
	mark = record_begin(tree->reply, F_RESULT);
	record_put_u64(tree->reply, F_NUMBER, tree->number);
	record_put_u64(tree->reply, F_ANSWER, answer);
	record_put(tree->reply, F_ADDRESS, node->address);
	if (user.p != NULL)
		record_put(tree->reply, F_USER, user);
	if (node->parent != NULL)
		record_put_u64(tree->reply, F_FLAG, node->is_copy ? 2 : 1);
	if (routing->is_accepted)
		record_put_u64(tree->reply, F_ACCEPTED, 1);
	if (routing->transport != NULL && routing->transport[0] != '\0')
		record_put_str(tree->reply, F_TRANSPORT, routing->transport);
	if (routing->destination != NULL && routing->destination[0] != '\0')
		record_put_str(tree->reply, F_DESTINATION,
		    routing->destination);
	record_end(tree->reply, mark);
}

static void
replace(struct tree *tree, const struct ph_routing *routing)
{
	const struct ph_slice none = { NULL, 0 };
	bool fits = routing->added_count > 0;

	for (size_t i = 0; i < routing->added_count && fits; i++)
		fits = tree_add(tree, routing->node, routing->added[i]);
	if (fits)
		return;
	ph_log(PH_ERROR, "route_too_large",
	    ph_f_slice("recipient", routing->node->address),
	    ph_f_int("addresses", (int64_t)tree->nodes));
	put_result(tree, routing, ROUTE_UNSURE, none);
}

/* What an address is that no router replaces. */
static void
settle(struct tree *tree, struct ph_routing *routing)
{
	struct node *node = routing->node;
	struct ph_slice user = { NULL, 0 };
	enum route_answer answer = ROUTE_REMOTE;

	if (is_ours(tree->generation, node->address))
		answer = tree->look_up(tree->arena, node->address, &user);
	if (answer == ROUTE_NO_USER && !stands_above_itself(node)) {
		routing->is_unknown = true;
		switch (ask_routers(routing, tree->generation)) {
		case PH_ROUTE_REPLACE:
			replace(tree, routing);
			return;
		case PH_ROUTE_DEFER:
			answer = ROUTE_UNSURE;
			break;
		default:
			break;
		}
	}
	put_result(tree, routing, answer, user);
}

/* Behind all that the recipient came to be, so that who is among those stays
 * what he is. A copy that is too much is left out. */
static void
add_copies(struct tree *tree)
{
	struct node *above;

	if (tree->copy_count == 0)
		return;
	above = ph_arena_alloc(tree->arena, sizeof(*above));
	*above = *tree->first;
	above->is_copy = true;
	for (size_t i = 0; i < tree->copy_count; i++)
		tree_add(tree, above, tree->copies[i]);
	tree->copy_count = 0;
}

static void
keep_copies(struct tree *tree, const struct ph_routing *routing)
{
	size_t n = tree->copy_count + routing->copy_count;
	struct ph_slice *all;

	if (routing->copy_count == 0)
		return;
	all = ph_arena_array(tree->arena, n, sizeof(*all));
	if (tree->copy_count > 0)
		memcpy(all, tree->copies, tree->copy_count * sizeof(*all));
	memcpy(all + tree->copy_count, routing->copies,
	    routing->copy_count * sizeof(*all));
	tree->copies = all;
	tree->copy_count = n;
}

static void
visit(struct tree *tree, struct node *node)
{
	const struct ph_slice none = { NULL, 0 };
	struct ph_routing routing = { .arena = tree->arena,
		.generation = tree->generation, .node = node,
		.sender = tree->sender };
	enum ph_route route = stands_above_itself(node) ? PH_ROUTE_KEEP :
	    ask_routers(&routing, tree->generation);

	keep_copies(tree, &routing);
	switch (route) {
	case PH_ROUTE_REPLACE:
		replace(tree, &routing);
		break;
	case PH_ROUTE_FAIL:
		put_result(tree, &routing, ROUTE_NO_USER, none);
		break;
	case PH_ROUTE_DEFER:
		put_result(tree, &routing, ROUTE_UNSURE, none);
		break;
	case PH_ROUTE_SEND:
		put_result(tree, &routing, ROUTE_REMOTE, none);
		break;
	case PH_ROUTE_NEXT:
	case PH_ROUTE_KEEP:
		settle(tree, &routing);
		break;
	}
}

void
route_recipient(const struct route_question *question, size_t number,
    struct ph_slice address, struct ph_buf *reply)
{
	struct tree tree = { .arena = ph_arena_create(question->arena),
		.generation = question->generation, .number = number,
		.reply = reply, .sender = question->sender,
		.look_up = question->look_up };

	tree.last = &tree.first;
	tree_add(&tree, NULL, address);
	for (struct node *node = tree.first; node != NULL;
	     node = node->next) {
		visit(&tree, node);
		if (node->next == NULL)
			add_copies(&tree);
	}
	ph_arena_free(tree.arena);
}
