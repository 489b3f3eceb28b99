/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module_conf.h - modules loaded for a role: a section, its .so, its filled
 * option struct. A set is one generation of the configuration; what is loaded
 * is never unloaded.
 */
#ifndef CORE_MODULE_MODULE_CONF_H
#define CORE_MODULE_MODULE_CONF_H

#include <posthouse/delivery.h>
#include <posthouse/module.h>

#include "conf/core_conf.h"

/* Settings that every module section has besides the module's own. */
struct module_common {
	bool enabled;
	const char *module;     /* .so's name; "": the section's name */
	unsigned order;         /* same order: together; default 100 */
	unsigned on_failure;    /* index: defer, next, reject */
	unsigned mode;          /* index: enforce, shadow, observe */
	unsigned timeout_ms;    /* budget of one hook */
	const char *const *listen;     /* listeners: "0.0.0.0:25", "[::]:25" */
	const char *const *listen_tls; /* implicit TLS */
	struct ph_net_list proxy_from; /* their connections begin with PROXY */
	unsigned client_certificate;   /* index: no, ask, require */
	struct when when;              /* checks: whom they are asked about */
};
enum { ON_FAILURE_DEFER, ON_FAILURE_NEXT, ON_FAILURE_REJECT };
enum { MODE_ENFORCE, MODE_SHADOW, MODE_OBSERVE };
enum {
	CLIENT_CERTIFICATE_NO,
	CLIENT_CERTIFICATE_ASK,
	CLIENT_CERTIFICATE_REQUIRE,
};
extern const struct ph_option module_common_options[];

struct tally;

struct module_instance {
	const char *name; /* of the section */
	const struct ph_module *module;
	struct module_common common;
	const void *conf;
	const struct conf_section *section;
	const char *file;       /* of the .so */
	struct tally *tally;    /* the role's, where calls are counted; NULL */
	struct module_instance *next; /* by order, then name */
};

struct module_set {
	struct ph_arena *arena; /* the generation's */
	struct module_instance *first;
};

/*
 * For every enabled section of conf that is not the core's: load the module
 * from module_dir (or an absolute path), check the ABI, fill the options, run
 * check_conf. kinds: keep only modules that have one of these kinds (all are
 * checked). 0 or PH_INVALID with errors: file, line, reason for each.
 */
int module_set_load(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, unsigned kinds, struct module_set *set_out,
    struct conf_errors *errors);

/* Call fn with the section before a module's own code runs in there (it is
 * loaded, it looks at its options), and with NULL behind it. NULL: nobody. */
void module_set_on_load(void (*fn)(const char *section));

/* The hook of a stage; NULL: none. */
ph_hook *module_hook(const struct ph_module *module, enum ph_stage stage);
/* Of those behind the queue; NULL also of what was built before they were. */
const struct ph_delivery_ops *module_delivery(const struct ph_module *module);

/* Whether the file of one of them is not the one that was loaded. */
bool module_set_is_stale(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core);

/* For posthouse --describe NAME: the snippet with every option and default. */
void module_describe_snippet(const struct ph_module *module,
    struct ph_buf *buf);
/* For posthouse --describe core: the main file, every option at its default. */
void core_describe_file(struct ph_buf *buf);
/* An option table as a list in mdoc, opened by a comment ".\" Options of ...":
 * what a manual page holds. */
void module_describe_mdoc(const char *section, const struct ph_option *options,
    struct ph_buf *buf);
/* The same of every table of the core, and of the settings of every module. */
void core_describe_mdoc(struct ph_buf *buf);

#endif
