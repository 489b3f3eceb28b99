/* SPDX-License-Identifier: Apache-2.0 */
/* core_conf.c - the core's sections filled, and what a table can't say. */
#include "conf/core_conf.h"

#include <ctype.h>
#include <unistd.h>

#include "base/domain.h"

/* Where a setting stands, for an error about its meaning. */
static void
wrong(const struct conf *conf, const char *section, const char *option,
    const char *what, const char *value, struct conf_errors *errors)
{
	const struct conf_setting *at = conf_setting(
	    conf_section(conf, section), option);

	conf_error_add(errors, at != NULL ? at->file : conf->main_file,
	    at != NULL ? at->line : 0, "%s: \"%s\" %s", option, value, what);
}

/* Labels of letters, digits and "-", in their canonical form: what is outside
 * ASCII then, IDNA does not know. */
static bool
is_host_name(const char *name)
{
	size_t n = strlen(name), label = 0;

	if (n == 0 || n > 255)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.') {
			if (label == 0 || name[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!(isalnum(c) || (c == '-' && label > 0)) ||
		    ++label > 63)
			return false;
	}
	return label > 0;
}

static void
settle_names(struct ph_arena *arena, const struct conf *conf,
    struct core_conf *core, struct conf_errors *errors)
{
	size_t n = 0;
	const char **domains;
	char host[256] = "";

	if (core->hostname[0] == '\0') {
		gethostname(host, sizeof(host) - 1);
		core->hostname = ph_arena_strdup(arena,
		    is_host_name(host) ? host : "localhost");
	}
	core->hostname = ph_domain_canonical(arena,
	    ph_slice_str(core->hostname)).p;
	if (!is_host_name(core->hostname))
		wrong(conf, "", "hostname", "is not a host name",
		    core->hostname, errors);
	while (core->domains[n] != NULL)
		n++;
	domains = ph_arena_array(arena, n + 1, sizeof(*domains));
	for (size_t i = 0; i < n; i++) {
		domains[i] = ph_domain_canonical(arena,
		    ph_slice_str(core->domains[i])).p;
		if (!is_host_name(domains[i]))
			wrong(conf, "", "domains", "is not a domain",
			    domains[i], errors);
	}
	core->domains = domains;
	core->postmaster = ph_address_fold(arena,
	    ph_slice_str(core->postmaster)).p;
	if (core->postmaster[0] != '\0' &&
	    strchr(core->postmaster, '@') == NULL && n > 0)
		core->postmaster = ph_arena_printf(arena, "%s@%s",
		    core->postmaster, domains[0]);
}

/* What goes into headers and replies as it stands. */
static void
check_policy(const struct conf *conf, const struct core_policy *policy,
    struct conf_errors *errors)
{
	const char *const texts[] = { policy->reject_text,
		policy->defer_text };

	for (const char *at = policy->header; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && *at != '-') {
			wrong(conf, "policy", "header",
			    "is no name of a header field", policy->header,
			    errors);
			break;
		}
	for (size_t i = 0; i < 2; i++)
		for (const char *at = texts[i]; *at != '\0'; at++)
			if (*at < 0x20 || *at >= 0x7f) {
				wrong(conf, "policy", i == 0 ? "reject_text" :
				    "defer_text", "is not one line of ASCII",
				    texts[i], errors);
				break;
			}
}

static void
check_durations(const struct conf *conf, const char *option,
    const char *const *list, struct conf_errors *errors)
{
	uint64_t ms;

	for (; *list != NULL; list++)
		if (!conf_duration_parse(ph_slice_str(*list), &ms) ||
		    ms == 0 || ms > UINT32_MAX)
			wrong(conf, "queue", option,
			    "is not a duration like \"5m\"", *list, errors);
}

static void
check_values(const struct conf *conf, const struct core_conf *core,
    struct conf_errors *errors)
{
	struct ph_addr addr;
	uint16_t port;

	check_durations(conf, "retry", core->queue.retry, errors);
	check_durations(conf, "retry_greylisted",
	    core->queue.retry_greylisted, errors);
	check_durations(conf, "retry_unreachable",
	    core->queue.retry_unreachable, errors);
	for (const char *const *at = core->queue.destination_limits;
	     *at != NULL; at++)
		if (!core_limit_is_entry(*at))
			wrong(conf, "queue", "destination_limits",
			    "is not \"NAME concurrency=N start=N rate=N/1m "
			    "delay=1s\"", *at, errors);
	for (const char *const *at = core->dns.servers; *at != NULL; at++)
		if (!conf_endpoint_parse(ph_slice_str(*at), 53, &addr, &port))
			wrong(conf, "dns", "servers",
			    "is not ADDRESS or ADDRESS:PORT", *at, errors);
	if ((core->tls.certificate[0] == '\0') != (core->tls.key[0] == '\0'))
		wrong(conf, "tls", core->tls.key[0] == '\0' ? "certificate" :
		    "key", "needs certificate and key together",
		    core->tls.key[0] == '\0' ? core->tls.certificate :
		    core->tls.key, errors);
	for (const char *const *at = core->tls.more_certificates; *at != NULL;
	     at++)
		if ((*at)[0] != '/' || core->tls.certificate[0] == '\0')
			wrong(conf, "tls", "more_certificates",
			    "is no absolute path beside a certificate", *at,
			    errors);
	if (strcmp(core->log.target, "stderr") != 0 &&
	    strcmp(core->log.target, "journal") != 0 &&
	    core->log.target[0] != '/')
		wrong(conf, "log", "target",
		    "is not \"stderr\", \"journal\" or an absolute path",
		    core->log.target, errors);
	check_policy(conf, &core->policy, errors);
	when_check(conf, "policy", &core->policy.when, NULL, errors);
	if (core->data_dir[0] == '\0')
		wrong(conf, "", "data_dir", "must not be empty", "", errors);
	if (core->run_dir[0] == '\0')
		wrong(conf, "", "run_dir", "must not be empty", "", errors);
}

/* By the number of cores: edge one for two, at least one; so mail. */
static void
settle_processes(struct core_conf *core)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned half = cores > 2 ? (unsigned)cores / 2 : 1;

	if (core->processes.edge == 0)
		core->processes.edge = half < 16 ? half : 16;
	if (core->processes.mail == 0)
		core->processes.mail = half < 8 ? half : 8;
	if (core->processes.mail > core->mail.partitions)
		core->processes.mail = core->mail.partitions;
}

int
core_conf_fill(struct ph_arena *arena, const struct conf *conf,
    struct core_conf *core_out, struct conf_errors *errors)
{
	size_t before = errors->count, count;
	const struct core_table *tables = core_tables(&count);

	for (size_t i = 0; i < count; i++)
		conf_fill(arena, conf_section(conf, tables[i].section),
		    tables[i].options, NULL,
		    (char *)core_out + tables[i].offset, errors);
	if (errors->count > before)
		return PH_INVALID;
	settle_names(arena, conf, core_out, errors);
	check_values(conf, core_out, errors);
	settle_processes(core_out);
	return errors->count > before ? PH_INVALID : PH_OK;
}

bool
core_is_local_domain(const struct core_conf *core, struct ph_slice domain)
{
	char text[DOMAIN_TEXT];

	domain = domain_comparable(domain, text);
	for (const char *const *at = core->domains; *at != NULL; at++)
		if (ph_slice_eq_nocase(ph_slice_str(*at), domain))
			return true;
	return false;
}

bool
core_may_relay(const struct core_conf *core, const struct ph_addr *peer,
    const struct ph_addr *client)
{
	return ph_net_list_has(&core->relay_networks, client) &&
	    (memcmp(peer, client, sizeof(*peer)) == 0 ||
	        ph_net_list_has(&core->relay_front_ends, peer));
}

/* Past its end the last one. */
static uint64_t
nth_duration(const char *const *list, unsigned n)
{
	uint64_t ms = 300000;

	for (unsigned i = 0; list[i] != NULL && i <= n; i++)
		conf_duration_parse(ph_slice_str(list[i]), &ms);
	return ms;
}

static unsigned
count_of(const char *const *list)
{
	unsigned n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

unsigned
core_retry_ms(const struct core_conf *core, enum core_retry kind,
    unsigned attempt)
{
	const struct core_queue *queue = &core->queue;
	uint64_t ms = nth_duration(queue->retry, attempt), other;

	if (kind == CORE_RETRY_UNREACHABLE)
		ms = count_of(queue->retry_unreachable) > 0 ?
		    nth_duration(queue->retry_unreachable, attempt) : ms * 2;
	if (kind == CORE_RETRY_GREYLISTED &&
	    attempt < count_of(queue->retry_greylisted)) {
		other = nth_duration(queue->retry_greylisted, attempt);
		ms = other < ms ? other : ms;
	}
	return ms < UINT32_MAX ? (unsigned)ms : UINT32_MAX;
}
