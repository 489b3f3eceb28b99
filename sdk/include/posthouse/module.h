/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/module.h - the one symbol a module exports.
 *
 * A module is a constant descriptor; it has no mutable globals. Its kind
 * decides in which role it is loaded. Every operation receives `conf`, the
 * struct its option table filled.
 */
#ifndef POSTHOUSE_MODULE_H
#define POSTHOUSE_MODULE_H

#include <posthouse/base.h>
#include <posthouse/option.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_ABI_MAJOR 1
#define PH_ABI_MINOR 5

/* What the loader reads before anything else; major must agree, minor must
 * not be newer than the server's, size must be at least that minor's. */
struct ph_abi {
	uint16_t major;
	uint16_t minor;
	uint32_t size; /* of struct ph_module as the module was built */
};

enum ph_kind {
	PH_KIND_LISTENER = 1 << 0, /* a protocol on a socket: edge (and mail) */
	PH_KIND_AUTH = 1 << 1,     /* passwords and users: auth */
	PH_KIND_CHECK = 1 << 2,    /* hooks: check */
	PH_KIND_ROUTER = 1 << 3,   /* what becomes of recipients: check */
	PH_KIND_STORE = 1 << 4,    /* mailboxes: mail */
	PH_KIND_TRANSPORT = 1 << 5, /* delivery attempts: relay */
};

struct ph_listener_ops;
struct ph_auth_ops;
struct ph_check_ops;
struct ph_store_ops;
struct ph_transport_ops;
struct ph_router_ops;
struct ph_delivery_ops;

struct ph_module {
	struct ph_abi abi;
	const char *name;
	unsigned kinds;     /* enum ph_kind, or-ed */
	size_t conf_size;   /* 0: no configuration of its own */
	const struct ph_option *options; /* NULL: none; ends with PH_OPT_END */
	const char *doc;    /* one sentence for lists */
	/*
	 * After the options were filled, in `posthouse -t` and in each role that
	 * loads the module: relations between options that the table can't say.
	 * 0, or a status with err->text filled (where is added). NULL: none.
	 * Must not suspend or open anything.
	 */
	int (*check_conf)(const void *conf, struct ph_err *err);
	/* Of the kinds named above; NULL for the others. */
	const struct ph_listener_ops *listener;
	const struct ph_auth_ops *auth;
	const struct ph_check_ops *check;
	const struct ph_store_ops *store;
	const struct ph_transport_ops *transport;
	const struct ph_router_ops *router; /* since minor 1 */
	/* A check's hooks behind the queue; NULL: none. Since minor 4. */
	const struct ph_delivery_ops *delivery;
};

#define PH_ABI { PH_ABI_MAJOR, PH_ABI_MINOR, sizeof(struct ph_module) }

/* PH_MODULE(check_x) = { .abi = PH_ABI, .name = "check_x", ... }; */
#define PH_MODULE(ident)                                       \
	extern const struct ph_module ident##_LTX_ph_module;   \
	PH_EXPORT const struct ph_module ident##_LTX_ph_module

#ifdef __cplusplus
}
#endif
#endif
