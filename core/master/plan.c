/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - reading a generation, and what of it each role is told.
 */
#include "master/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "master/checker.h"
#include "queue/notice.h"
#include "role/messages.h"
#include "role/role.h"

enum { PEM_LIMIT = 128 << 10, MORE_LIMIT = 256 << 10 };

void
plan_error_at(struct conf_errors *errors, const struct conf *conf,
    const char *section, const char *setting, const char *text)
{
	const struct conf_section *in = conf_section(conf, section);
	const struct conf_setting *at =
	    in != NULL ? conf_setting(in, setting) : NULL;

	if (at != NULL)
		conf_error_add(errors, at->file, at->line, "%s", text);
	else
		conf_error_add(errors, in != NULL ? in->file : conf->main_file,
		    in != NULL ? in->line : 0, "%s", text);
}

/* --- TLS --- */

static int
read_fd(int fd, struct ph_arena *arena, struct ph_slice *text_out)
{
	char *p = ph_arena_alloc(arena, PEM_LIMIT + 1);
	size_t n = 0;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	for (;;) {
		ssize_t got = read(fd, p + n, PEM_LIMIT - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (got == 0)
			break;
		n += (size_t)got;
		if (n == PEM_LIMIT)
			return EFBIG;
	}
	*text_out = (struct ph_slice){ p, n };
	return 0;
}

static int
read_pem(struct ph_arena *arena, const char *path, struct ph_slice *text_out)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno;
	error = read_fd(fd, arena, text_out);
	close(fd);
	if (error == 0 && memmem(text_out->p, text_out->n, "-----BEGIN ",
	                      strlen("-----BEGIN ")) == NULL)
		error = EBADMSG;
	return error;
}

struct reading {
	struct ph_arena *arena;
	const struct conf *conf;
	struct conf_errors *errors;
	int status;
};

static struct ph_slice
read_setting(struct reading *reading, const char *setting, const char *path)
{
	struct ph_slice pem = PH_LIT("");
	int error = read_pem(reading->arena, path, &pem);

	if (error == 0)
		return pem;
	plan_error_at(reading->errors, reading->conf, "tls", setting,
	    ph_arena_printf(reading->errors->arena, "can't read %s: %s", path,
	        error == EBADMSG ? "no PEM text" : strerror(error)));
	reading->status = PH_INVALID;
	return PH_LIT("");
}

/* All of them go to edge in one message. */
static void
read_more(struct reading *reading, const struct core_conf *core,
    struct plan_tls *tls)
{
	struct ph_slice pem;
	struct ph_buf buf;

	ph_buf_init(&buf, reading->arena, MORE_LIMIT);
	for (const char *const *at = core->tls.more_certificates; *at != NULL;
	     at++) {
		pem = read_setting(reading, "more_certificates", *at);
		record_put(&buf, F_CERT_MORE, pem);
		ph_wipe((char *)(uintptr_t)pem.p, pem.n);
	}
	if (core->tls.client_ca_file[0] != '\0')
		record_put(&buf, F_CLIENT_CA, read_setting(reading,
		    "client_ca_file", core->tls.client_ca_file));
	if (buf.full) {
		plan_error_at(reading->errors, reading->conf, "tls",
		    "more_certificates",
		    "with client_ca_file more than 256 KiB in all");
		reading->status = PH_INVALID;
	}
	tls->more = ph_buf_content(&buf);
}

int
plan_read_tls(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct plan_tls *tls_out,
    struct conf_errors *errors)
{
	struct reading reading = { arena, conf, errors, PH_OK };

	tls_out->certificate = tls_out->key = tls_out->more = PH_LIT("");
	if (core->tls.certificate[0] == '\0')
		return PH_OK;
	tls_out->certificate = read_setting(&reading, "certificate",
	    core->tls.certificate);
	tls_out->key = read_setting(&reading, "key", core->tls.key);
	read_more(&reading, core, tls_out);
	return reading.status;
}

/* --- the words of reports --- */

static int
read_notices(struct ph_arena *arena, const char *path,
    struct ph_slice *text_out)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno;
	error = read_fd(fd, arena, text_out);
	close(fd);
	return error == 0 && text_out->n > NOTICE_FILE_MAX ? EFBIG : error;
}

int
plan_read_notices(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_slice *file_out,
    struct conf_errors *errors)
{
	const char *path = core->queue.bounce_template, *why;
	struct ph_slice file = PH_LIT("");
	struct notices notices;
	unsigned line;
	int error = path[0] != '\0' ? read_notices(arena, path, &file) : 0;

	*file_out = file;
	if (error != 0)
		plan_error_at(errors, conf, "queue", "bounce_template",
		    ph_arena_printf(errors->arena, "can't read %s: %s", path,
		        strerror(error)));
	else if (notices_parse(arena, file, &notices, &line, &why) == PH_OK)
		return PH_OK;
	else
		conf_error_add(errors, path, line, "%s", why);
	return PH_INVALID;
}

/* --- making a plan --- */

static int
fill(struct plan *plan, const char *main_file, struct conf_errors *errors)
{
	int status;

	if (conf_load(plan->arena, main_file, &plan->conf, errors) != PH_OK ||
	    core_conf_fill(plan->arena, plan->conf, &plan->core, errors) !=
	        PH_OK)
		return PH_INVALID;
	status = plan_read_tls(plan->arena, plan->conf, &plan->core, &plan->tls,
	    errors);
	if (plan_read_notices(plan->arena, plan->conf, &plan->core,
	        &plan->notices, errors) != PH_OK)
		status = PH_INVALID;
	if (grants_read(plan->arena, plan->conf, &plan->core, &plan->grants,
	        errors) != PH_OK)
		status = PH_INVALID;
	if (checker_run(plan->arena, plan->conf, &plan->core, &plan->modules,
	        errors) != PH_OK)
		status = PH_INVALID;
	return status;
}

int
plan_make(const char *main_file, uint64_t number, struct plan **plan_out,
    struct conf_errors *errors)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct plan *plan = ph_arena_alloc(arena, sizeof(*plan));
	int status;

	plan->arena = arena;
	plan->references = 1;
	plan->number = number;
	status = fill(plan, main_file, errors);
	if (status != PH_OK) {
		plan_put(plan);
		return status;
	}
	*plan_out = plan;
	return PH_OK;
}

struct plan *
plan_get(struct plan *plan)
{
	plan->references++;
	return plan;
}

void
plan_put(struct plan *plan)
{
	if (plan == NULL || --plan->references > 0)
		return;
	ph_wipe((char *)(uintptr_t)plan->tls.key.p, plan->tls.key.n);
	ph_wipe((char *)(uintptr_t)plan->tls.more.p, plan->tls.more.n);
	ph_arena_free(plan->arena);
}

const struct module_facts *
plan_module(const struct plan *plan, struct ph_slice name)
{
	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next)
		if (ph_slice_eq(name, ph_slice_str(facts->section)))
			return facts;
	return NULL;
}

/* --- processes --- */

void
plan_role_sizes(const struct core_conf *core, unsigned sizes_out[ROLES])
{
	const struct core_processes *processes = &core->processes;
	const unsigned sizes[ROLES] = {
		[ROLE_MASTER] = 1,
		[ROLE_EDGE] = processes->edge,
		[ROLE_CHECK] = processes->check,
		[ROLE_AUTH] = 1,
		[ROLE_QUEUE] = 1,
		[ROLE_MAIL] = processes->mail,
		[ROLE_RELAY] = processes->relay,
	};

	memcpy(sizes_out, sizes, sizeof(sizes));
}

/* --- what a role is told --- */

struct audience {
	const struct plan *plan;
	unsigned kinds;
};

static bool
is_for(const struct conf_section *section, void *arg)
{
	const struct audience *audience = arg;
	const struct module_facts *facts;

	if (core_section_is(section->name))
		return true;
	facts = plan_module(audience->plan, ph_slice_str(section->name));
	return facts != NULL && (facts->kinds & audience->kinds) != 0;
}

static void
encode_conf(const struct plan *plan, enum role role, struct ph_buf *record)
{
	const struct role_ops *ops = role_ops_of(role);
	struct audience audience = { plan, ops != NULL ? ops->kinds : 0 };
	size_t mark = record_begin(record, F_CONF);

	conf_encode(plan->conf, is_for, &audience, record);
	record_end(record, mark);
}

static void
encode_sizes(const unsigned sizes[ROLES], struct ph_buf *record)
{
	for (unsigned role = ROLE_EDGE; role < ROLES; role++) {
		size_t mark = record_begin(record, F_COUNT);

		record_put_u64(record, F_ROLE, role);
		record_put_u64(record, F_NUMBER, sizes[role]);
		record_end(record, mark);
	}
}

static void
encode_checks(const struct plan *plan, struct ph_buf *record)
{
	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next) {
		size_t mark;

		if (!(facts->kinds & PH_KIND_CHECK))
			continue;
		mark = record_begin(record, F_CHECK);
		record_put_str(record, F_SECTION, facts->section);
		record_put_u64(record, F_STAGES, facts->stages);
		record_put_u64(record, F_ORDER, facts->order);
		record_put_u64(record, F_ON_FAILURE, facts->on_failure);
		record_put_u64(record, F_MODE, facts->mode);
		record_put_u64(record, F_TIMEOUT, facts->timeout_ms);
		if (facts->when.p != NULL)
			record_put(record, F_WHEN, facts->when);
		record_end(record, mark);
	}
}

static void
put_read(const struct conf_setting *setting, struct ph_buf *record)
{
	if (setting->type == CONF_TEXT && setting->text[0] == '/')
		record_put_str(record, F_READ, setting->text);
	for (size_t i = 0; setting->type == CONF_LIST &&
	     setting->list[i] != NULL; i++)
		if (setting->list[i][0] == '/')
			record_put_str(record, F_READ, setting->list[i]);
}

/* Files that options name, as the operator wrote them: a module's own word is
 * no right to read. */
static void
encode_reads(const struct plan *plan, enum role role, struct ph_buf *record)
{
	const struct role_ops *ops = role_ops_of(role);

	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next) {
		const struct conf_section *section = conf_section(plan->conf,
		    facts->section);

		if (section == NULL || ops == NULL ||
		    (facts->kinds & ops->kinds) == 0)
			continue;
		for (const char *const *name = facts->paths; *name != NULL;
		     name++) {
			const struct conf_setting *at = conf_setting(section,
			    *name);

			if (at != NULL)
				put_read(at, record);
		}
	}
}

static unsigned
count_routers(const struct plan *plan)
{
	unsigned count = 0;

	for (const struct module_facts *facts = plan->modules; facts != NULL;
	     facts = facts->next)
		count += (facts->kinds & PH_KIND_ROUTER) != 0;
	return count;
}

static bool
is_for_routes(const struct conf_section *section, void *arg)
{
	const struct module_facts *facts = plan_module(arg,
	    ph_slice_str(section->name));

	return section->name[0] == '\0' || (facts != NULL &&
	    (facts->kinds & (PH_KIND_ROUTER | PH_KIND_TRANSPORT)) != 0);
}

/* So that the queue knows when a reload may have changed where mail goes. */
static uint64_t
routes_sum(const struct plan *plan)
{
	struct ph_buf buf;
	uint64_t sum;

	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	conf_encode(plan->conf, is_for_routes, (void *)(uintptr_t)plan, &buf);
	sum = record_crc(0, buf.p, buf.n);
	ph_buf_fini(&buf);
	return sum;
}

void
plan_encode(const struct plan *plan, enum role role,
    const unsigned sizes[ROLES], const struct plan_secrets *secrets,
    struct ph_buf *record)
{
	const unsigned with_key = ROLE_BIT(ROLE_AUTH) | ROLE_BIT(ROLE_MAIL) |
	    ROLE_BIT(ROLE_QUEUE);
	const unsigned with_checks = ROLE_BIT(ROLE_EDGE) |
	    ROLE_BIT(ROLE_CHECK) | ROLE_BIT(ROLE_QUEUE);

	encode_conf(plan, role, record);
	if (role == ROLE_CHECK || role == ROLE_RELAY)
		encode_reads(plan, role, record);
	record_put_u64(record, F_GENERATION, plan->number);
	encode_sizes(sizes, record);
	record_put_u64(record, F_ROUTERS, count_routers(plan));
	if (ROLE_BIT(role) & with_key)
		record_put(record, F_KEY,
		    (struct ph_slice){ (const char *)secrets->key,
		        TOKEN_KEY_SIZE });
	if (ROLE_BIT(role) & with_checks)
		encode_checks(plan, record);
	if (role == ROLE_QUEUE) {
		record_put(record, F_NOTICES, plan->notices);
		record_put_u64(record, F_ROUTES_SUM, routes_sum(plan));
	}
	if (role != ROLE_EDGE)
		return;
	record_put(record, F_CERT, plan->tls.certificate);
	record_put(record, F_CERT_KEY, plan->tls.key);
	ph_buf_slice(record, plan->tls.more);
	record_put(record, F_TICKETS, secrets->tickets);
}
