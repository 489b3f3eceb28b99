/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role.c - the life of a role's process: become its user, wait for the
 * configuration, confine, work, stop when told or when the master is gone.
 *
 * What a role does is its ops; what every role answers the master is here.
 */
#include "role/role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/activity.h"
#include "role/check.h"
#include "role/descriptors.h"
#include "role/confine.h"
#include "role/generation.h"
#include "role/memory.h"

enum {
	FD_MASTER = 3,
	FD_LOG = 4,
	FD_PAGE = 5,
	HEARTBEAT_MS = 1000,
	OUT_MAX = 64, /* modules taken out at a time */
};

static struct {
	struct role_start start;
	const struct role_ops *ops;
	const char *dir;
	uint64_t started_ms;
	bool is_stopping, has_link;
	int exit_status;
	bool has_given_up; /* the page tells of whom: no other note */
	struct {
		char module[48]; /* "": free */
		enum module_standing state;
	} out[OUT_MAX];
} self;

unsigned
role_index(void)
{
	return self.start.index;
}

const char *
role_dir(void)
{
	return self.dir;
}

void
role_status_item(struct ph_buf *items, const char *name, const char *fmt, ...)
{
	size_t mark = record_begin(items, F_ITEM);
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	record_put_str(items, F_NAME, name);
	record_put_str(items, F_TEXT, text);
	record_end(items, mark);
}

/* --- modules taken out --- */

enum module_standing
role_module_state(const char *name)
{
	for (unsigned i = 0; i < OUT_MAX; i++)
		if (self.out[i].state != MODULE_IN &&
		    strcmp(self.out[i].module, name) == 0)
			return self.out[i].state;
	return MODULE_IN;
}

bool
role_module_is_out(const char *name)
{
	return role_module_state(name) != MODULE_IN;
}

static void
on_module_state(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_slice name = record_get(record, F_MODULE);
	uint64_t state = record_get_u64(record, F_FLAG, MODULE_IN);

	if (name.n == 0 || name.n >= sizeof(self.out[0].module) ||
	    state >= MODULE_STATES)
		return;
	for (unsigned i = 0; i < OUT_MAX; i++)
		if (ph_slice_eq(name, ph_slice_str(self.out[i].module)))
			self.out[i].state = MODULE_IN;
	for (unsigned i = 0; state != MODULE_IN && i < OUT_MAX; i++) {
		if (self.out[i].state != MODULE_IN)
			continue;
		memcpy(self.out[i].module, name.p, name.n);
		self.out[i].module[name.n] = '\0';
		self.out[i].state = (enum module_standing)state;
		return;
	}
}

/* --- configuration --- */

static void
reply_errors(struct bus_request *request, const struct conf_errors *errors)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, 64 << 10);
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		record_put_str(&buf, F_TEXT,
		    e->file == NULL ?
		        e->text :
		        ph_arena_printf(request->arena, "%s:%u: %s", e->file,
		            e->line, e->text));
	}
	bus_reply(request, PH_INVALID, ph_buf_content(&buf), NULL, 0);
}

static void
reply_text(struct bus_request *request, int status, const char *text)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, 4096);
	record_put_str(&buf, F_TEXT, text);
	bus_reply(request, status, ph_buf_content(&buf), NULL, 0);
}

static void
take_role_sizes(struct ph_slice record)
{
	struct record_field field;

	while (record_next(&record, &field)) {
		uint64_t role, count;

		if (field.tag != F_COUNT)
			continue;
		role = record_get_u64(field.value, F_ROLE, ROLES);
		count = record_get_u64(field.value, F_NUMBER, 0);
		if (role < ROLES)
			bus_set_role_size((enum role)role, (unsigned)count);
	}
}

/* Once, and before a module's code runs: its constructors are confined, too. */
static void
confine(const struct core_conf *core, const struct conf *conf,
    const char *const *reads)
{
	static char dir[1024];

	if (self.dir != NULL)
		return;
	snprintf(dir, sizeof(dir), "%s/%s", core->data_dir,
	    role_name(self.start.role));
	self.dir = dir;
	confine_dumps(core->allow_core_dumps);
	confine_process(self.start.role, core,
	    access(dir, F_OK) == 0 ? dir : NULL, conf, reads);
}

/* True: another process must take it, and the reply says so. */
static bool
is_beyond_us(struct bus_request *request)
{
	struct ph_buf reply;
	const char *what;

	if (!generation_is_beyond(request->message.record, &what))
		return false;
	if (self.ops->renew == NULL) {
		ph_log(PH_WARN, "needs_restart", ph_f_str("reason", what));
		return false;
	}
	ph_log(PH_INFO, "makes_way", ph_f_str("reason", what));
	ph_buf_init(&reply, request->arena, 64);
	record_put_u64(&reply, F_FLAG, 1);
	bus_reply(request, PH_OK, ph_buf_content(&reply), NULL, 0);
	return true;
}

static void
on_configure(struct bus_request *request)
{
	struct conf_errors errors = { .arena = request->arena };
	struct ph_err err = { 0 };
	struct generation *generation;
	bool first = generation_current() == NULL;

	if (self.is_stopping) {
		bus_reply(request, PH_CANCELED, PH_LIT(""), NULL, 0);
		return;
	}
	if (!first && is_beyond_us(request))
		return;
	if (generation_create(request->message.record, self.ops->kinds,
	        confine, &generation, &errors) != PH_OK) {
		reply_errors(request, &errors);
		return;
	}
	take_role_sizes(request->message.record);
	log_set_level((enum ph_level)generation->core.log.level);
	generation_make_current(generation);
	if (first && self.ops->start(generation, &err) != PH_OK) {
		reply_text(request, PH_INVALID, err.text);
		return;
	}
	if (!first && self.ops->reload != NULL)
		self.ops->reload(generation);
	bus_reply(request, PH_OK, PH_LIT(""), NULL, 0);
}

/* --- what else the master asks --- */

static void
on_peer(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	uint64_t role = record_get_u64(record, F_ROLE, ROLES);
	uint64_t index = record_get_u64(record, F_INDEX, 0);
	int fd = request->message.fds[0];

	if (role == ROLE_CHECK)
		check_ask_on_link((unsigned)index);
	if (fd >= 0 && role < ROLES)
		bus_link((enum role)role, (unsigned)index, fd);
}

static void
on_log_fd(struct bus_request *request)
{
	int fd = request->message.fds[0];

	log_flush();
	if (fd >= 0 && dup3(fd, FD_LOG, O_CLOEXEC) < 0)
		ph_log(PH_ERROR, "log_not_reopened",
		    ph_f_str("reason", strerror(errno)));
	if (fd >= 0)
		close(fd);
}

static void
on_status(struct bus_request *request)
{
	const struct generation *generation = generation_current();
	uint64_t up_s = (ph_now_ms() - self.started_ms) / 1000;
	struct ph_buf items;

	ph_buf_init(&items, request->arena, 64 << 10);
	role_status_item(&items, "up_s", "%llu", (unsigned long long)up_s);
	role_status_item(&items, "generation", "%llu",
	    (unsigned long long)(generation != NULL ? generation->number : 0));
	role_status_item(&items, "fibers", "%zu", fiber_count());
	if (generation != NULL && self.ops->status != NULL)
		self.ops->status(&items);
	bus_reply(request, PH_OK, ph_buf_content(&items), NULL, 0);
}

static void
on_stop(struct bus_request *request)
{
	uint64_t timeout_ms = record_get_u64(request->message.record,
	    F_TIMEOUT, 0);

	if (self.is_stopping)
		return;
	self.is_stopping = true;
	bus_expect_nobody();
	if (generation_current() != NULL && self.ops->stop != NULL)
		self.ops->stop((unsigned)timeout_ms);
	bus_reply(request, PH_OK, PH_LIT(""), NULL, 0);
	bus_unlink(ROLE_MASTER, 0); /* sends what is queued */
	fiber_runtime_stop();
}

/* Without its master a role has no one to be restarted or stopped by: what is
 * durable is so already. */
static void
on_peer_down(enum role role, unsigned index)
{
	struct ph_buf record;

	if (self.is_stopping)
		return;
	if (role != ROLE_MASTER) {
		ph_buf_init(&record, NULL, 64);
		record_put_u64(&record, F_ROLE, role);
		record_put_u64(&record, F_INDEX, index);
		bus_notify(ROLE_MASTER, 0, MSG_LINK_DOWN,
		    ph_buf_content(&record));
		ph_buf_fini(&record);
		return;
	}
	ph_log(PH_ERROR, "master_gone");
	self.exit_status = EX_UNAVAILABLE;
	fiber_runtime_stop();
}

static void
on_renew(struct bus_request *request)
{
	(void)request;
	if (self.ops->renew != NULL && !self.is_stopping &&
	    generation_current() != NULL)
		self.ops->renew();
}

static void
end_as(int status)
{
	self.exit_status = status;
	self.has_given_up = true;
	fiber_runtime_stop();
}

bool
role_is_linked(void)
{
	return !self.has_link || fcntl(FD_MASTER, F_GETFD) >= 0;
}

void
role_give_up(const char *module, const char *hook)
{
	role_note(module, hook);
	end_as(ROLE_GAVE_UP);
}

void
role_make_way(void)
{
	end_as(ROLE_MADE_WAY);
}

/* --- the process --- */

/* Whose code runs now, for the master after a crash. */
static void
on_context(void *context)
{
	const struct log_context *log = context;
	static const char *module, *hook;

	if (self.has_given_up)
		return;
	if (log == NULL && module == NULL)
		return;
	if (log == NULL || log->module != module || log->hook != hook) {
		module = log != NULL ? log->module : NULL;
		hook = log != NULL ? log->hook : NULL;
		memory_note(module);
		descriptors_note(module);
		role_note(module, hook);
	}
	if (module != NULL)
		role_note_subject(log->queue != NULL ? log->queue :
		                                       log->session);
}

/* Which descriptors each message may carry: in the request, in the reply. */
static void
limit_descriptors(void)
{
	static const uint8_t with_fd[][3] = {
		{ MSG_PEER, 1, 0 }, { MSG_LISTEN, 1, 0 }, { MSG_CLIENTS, 1, 0 },
		{ MSG_LOG_FD, 1, 0 },
		{ MSG_STAGE, 1, 1 }, { MSG_DELIVERY_ASK, 1, 0 }, { MSG_SPOOL, 0, 1 },
		{ MSG_HANDOVER, 1, 0 }, { MSG_DELIVER, 1, 0 },
		{ MSG_ATTEMPT, 1, 0 }, { MSG_COMMIT, 1, 0 },
	};

	for (uint16_t type = 0; type < BUS_TYPE_LIMIT; type++)
		bus_limit_fds(type, 0, 0);
	for (size_t i = 0; i < sizeof(with_fd) / sizeof(with_fd[0]); i++)
		bus_limit_fds(with_fd[i][0], with_fd[i][1], with_fd[i][2]);
}

static void
serve_master(void)
{
	static const struct {
		uint16_t type;
		void (*handler)(struct bus_request *);
	} all[] = {
		{ MSG_CONFIGURE, on_configure }, { MSG_PEER, on_peer },
		{ MSG_STOP, on_stop }, { MSG_LOG_FD, on_log_fd },
		{ MSG_STATUS, on_status },
		{ MSG_MODULE_STATE, on_module_state },
		{ MSG_RENEW, on_renew }, { MSG_CRASH, check_ask_on_crash },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		bus_serve(all[i].type, ROLE_BIT(ROLE_MASTER), all[i].handler);
	bus_on_peer_down(on_peer_down);
}

static void
on_heartbeat(uv_timer_t *timer)
{
	(void)timer;
	role_activity()->heartbeat_ms = ph_now_ms();
}

/* The parent may have died before the death signal was asked for; then its
 * end of the link is closed and the loop sees it. */
static void
set_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

int
role_main(const struct role_start *start)
{
	static uv_timer_t heartbeat;
	struct ph_err err = { 0 };

	self.start = *start;
	self.ops = role_ops_of(start->role);
	if (self.ops == NULL || !activity_map(FD_PAGE))
		return EX_USAGE;
	close(FD_PAGE);
	log_init(FD_LOG, PH_INFO, role_name(start->role));
	if (start->role == ROLE_CHECK)
		confine_offer_memory();
	if (confine_user(start, &err) != PH_OK) {
		ph_log(PH_ERROR, "not_started", ph_f_str("reason", err.text));
		log_flush();
		return EX_NOPERM;
	}
	set_signals();
	memory_begin();
	fiber_runtime_init();
	self.started_ms = ph_now_ms();
	bus_init(start->role, start->index);
	limit_descriptors();
	serve_master();
	fiber_on_context(on_context);
	module_set_on_load(activity_note_load);
	bus_link(ROLE_MASTER, 0, FD_MASTER);
	self.has_link = true;
	uv_timer_init(fiber_loop(), &heartbeat);
	uv_timer_start(&heartbeat, on_heartbeat, 0, HEARTBEAT_MS);
	uv_unref((uv_handle_t *)&heartbeat);
	fiber_runtime_run();
	log_flush();
	if (self.has_given_up) /* not even the module's last wishes */
		_exit(self.exit_status);
	return self.exit_status;
}
