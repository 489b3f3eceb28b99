/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/router.h - what becomes of a recipient: other recipients, another
 * way to send, or nothing.
 *
 * Routers run in the check role as fibers: when a client names a recipient, so
 * that an unknown one is refused there and then, and once more when the message
 * is accepted, so that what is queued has its final recipients. Routers are
 * asked by order; the first answer but PH_ROUTE_NEXT counts. Addresses that
 * replace another are routed in their turn; loops are cut by the core, and
 * recipients that become one are delivered once.
 */
#ifndef POSTHOUSE_ROUTER_H
#define POSTHOUSE_ROUTER_H

#include <posthouse/count.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/module.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ph_route {
	PH_ROUTE_NEXT,    /* nothing to say of this recipient */
	PH_ROUTE_KEEP,    /* it stands; no other router is asked */
	PH_ROUTE_REPLACE, /* by the addresses added, at least one */
	PH_ROUTE_SEND,    /* by the transport set; a mailbox is not looked for */
	PH_ROUTE_FAIL,    /* there is no such recipient */
	PH_ROUTE_DEFER,   /* can't be told now */
};

struct ph_routing;

struct ph_router_ops {
	/*
	 * State for one generation of the configuration, in its arena; NULL:
	 * none is needed. Must not suspend.
	 */
	void *(*open)(struct ph_arena *arena, const void *conf);
	/* May suspend. */
	enum ph_route (*route)(struct ph_routing *routing, const void *conf,
	    void *state);
};

/* Ends with the question. */
PH_EXPORT struct ph_arena *ph_routing_arena(struct ph_routing *routing);
/* local@domain, unquoted, ASCII letters in lower case. */
PH_EXPORT struct ph_slice ph_routing_recipient(
    const struct ph_routing *routing);
/* Whether its domain is one of the option domains. */
PH_EXPORT bool ph_routing_is_local(const struct ph_routing *routing);
/*
 * A local recipient is routed a second time when no router had anything to say
 * and no mailbox has the address: the moment for a catch-all.
 */
PH_EXPORT bool ph_routing_is_unknown(const struct ph_routing *routing);
/* With PH_ROUTE_REPLACE; copied. An address that is none is passed over. */
PH_EXPORT void ph_routing_add(struct ph_routing *routing,
    struct ph_slice address);
/*
 * A blind copy of the message goes to the address, too, whatever becomes of the
 * recipient: once a message, without another copy of itself, and with no word to
 * the sender should it not arrive. Copied; nothing happens when a client only
 * names the recipient, and to reports that the server makes.
 */
PH_EXPORT void ph_routing_copy(struct ph_routing *routing,
    struct ph_slice address);
/*
 * With PH_ROUTE_SEND; copied: the section of a transport, and what it is told as
 * the destination, "": the recipient's domain.
 */
PH_EXPORT void ph_routing_to(struct ph_routing *routing,
    const char *transport, const char *destination);
/*
 * The recipient is ours to take from anybody: a domain we relay for. With
 * PH_ROUTE_KEEP and PH_ROUTE_SEND.
 */
PH_EXPORT void ph_routing_accept(struct ph_routing *routing);
/* Absent when a client names the recipient, before the message is there. */
PH_EXPORT struct ph_slice ph_routing_sender(const struct ph_routing *routing);
/* A folder of the check role's own, for files without an absolute path. */
PH_EXPORT const char *ph_router_dir(void);

#ifdef __cplusplus
}
#endif
#endif
