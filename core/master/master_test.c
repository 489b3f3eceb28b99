/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_test.c - what each role is told, who may talk to whom, frames, folders
 * and sockets; the processes themselves are tests/test_master.py's.
 */
#include <check.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "master/frame.h"
#include "master/master.h"
#include "master/sockets.h"
#include "role/messages.h"

static char dir[] = "/tmp/posthouse-master-test.XXXXXX";
static struct ph_arena *arena;

static const char conf_text[] =
    "hostname = \"mail.example.test\"; domains = [ \"example.test\" ];\n"
    "a_listener: { secret = \"of the listener\"; };\n"
    "an_auth: { secret = \"of the auth module\"; };\n"
    "a_check: { secret = \"of the check\"; file = \"/srv/list\"; "
    "files = [ \"/srv/one\", \"two\", \"/srv/three\" ]; "
    "elsewhere = \"/srv/other\"; };\n"
    "a_store: { secret = \"of the store\"; };\n"
    "a_transport: { secret = \"of the transport\"; };\n"
    "not_enabled: { secret = \"of nobody\"; };\n";

static void
setup(void)
{
	char path[256];
	FILE *file;

	snprintf(dir, sizeof(dir), "/tmp/posthouse-master-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/posthouse.conf", dir);
	file = fopen(path, "w");
	fputs(conf_text, file);
	fclose(file);
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	char command[256];

	ph_arena_free(arena);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct module_facts *
facts(const char *section, unsigned kinds, struct module_facts *next)
{
	static const char *const none[] = { NULL };
	static const char *const paths[] = { "file", "files", "left_out",
		"secret", NULL };
	struct module_facts *f = ph_arena_alloc(arena, sizeof(*f));

	*f = (struct module_facts){ .section = section, .kinds = kinds,
		.stages = 5, .order = 7, .listen = none, .listen_tls = none,
		.paths = paths, .next = next };
	return f;
}

/* Not plan_make: no checker, no module. */
static struct plan *
make_plan(void)
{
	struct plan *plan = ph_arena_alloc(arena, sizeof(*plan));
	struct conf_errors errors = { .arena = arena };
	char path[256];

	snprintf(path, sizeof(path), "%s/posthouse.conf", dir);
	plan->arena = arena;
	plan->references = 1;
	plan->number = 3;
	ck_assert_int_eq(conf_load(arena, path, &plan->conf, &errors), PH_OK);
	ck_assert_int_eq(core_conf_fill(arena, plan->conf, &plan->core,
	                     &errors), PH_OK);
	plan->modules = facts("a_listener", PH_KIND_LISTENER,
	    facts("an_auth", PH_KIND_AUTH,
	        facts("a_check", PH_KIND_CHECK,
	            facts("a_store", PH_KIND_STORE,
	                facts("a_transport", PH_KIND_TRANSPORT, NULL)))));
	plan->tls.certificate = PH_LIT("the certificate");
	plan->tls.key = PH_LIT("the private key");
	plan->core.run_dir = dir;
	return plan;
}

/* --- what a role is told --- */

static struct ph_slice
told(const struct plan *plan, enum role role)
{
	static const unsigned sizes[ROLES] = { 1, 2, 1, 1, 1, 2, 1 };
	static const uint8_t key[TOKEN_KEY_SIZE] = "the key that signs tokens";
	const struct plan_secrets secrets = { key, PH_LIT("ticket keys") };
	struct ph_buf record;

	ph_buf_init(&record, arena, BUS_MESSAGE_LIMIT);
	plan_encode(plan, role, sizes, &secrets, &record);
	ck_assert(!record.full);
	ck_assert(record_is_sound(ph_buf_content(&record)));
	return ph_buf_content(&record);
}

static bool
holds(struct ph_slice record, const char *text)
{
	return memmem(record.p, record.n, text, strlen(text)) != NULL;
}

START_TEST(a_role_gets_only_the_secrets_it_needs)
{
	static const struct {
		const char *text;
		unsigned roles;
	} secrets[] = {
		{ "of the listener", ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_MAIL) },
		{ "of the auth module", ROLE_BIT(ROLE_AUTH) },
		{ "of the check", ROLE_BIT(ROLE_CHECK) },
		{ "of the store", ROLE_BIT(ROLE_MAIL) },
		{ "of the transport", ROLE_BIT(ROLE_RELAY) },
		{ "of nobody", 0 },
		{ "the certificate", ROLE_BIT(ROLE_EDGE) },
		{ "the private key", ROLE_BIT(ROLE_EDGE) },
		{ "the key that signs", ROLE_BIT(ROLE_AUTH) |
		    ROLE_BIT(ROLE_MAIL) | ROLE_BIT(ROLE_QUEUE) },
		{ "mail.example.test", ~0u },
	};
	const struct plan *plan = make_plan();

	for (unsigned role = ROLE_EDGE; role < ROLES; role++) {
		struct ph_slice record = told(plan, (enum role)role);

		for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]);
		     i++)
			ck_assert_msg(holds(record, secrets[i].text) ==
			        ((secrets[i].roles & ROLE_BIT(role)) != 0),
			    "%s: \"%s\"", role_name((enum role)role),
			    secrets[i].text);
	}
}
END_TEST

START_TEST(edge_learns_of_checks_and_everybody_of_sizes)
{
	struct ph_slice record = told(make_plan(), ROLE_EDGE);
	struct ph_slice check = record_get(record, F_CHECK);
	struct record_field field;
	unsigned mail = 0;

	ck_assert(ph_slice_eq(record_get(check, F_SECTION),
	    PH_LIT("a_check")));
	ck_assert_uint_eq(record_get_u64(check, F_STAGES, 0), 5);
	ck_assert_uint_eq(record_get_u64(check, F_ORDER, 0), 7);
	ck_assert_uint_eq(record_get_u64(record, F_GENERATION, 0), 3);
	while (record_next(&record, &field))
		if (field.tag == F_COUNT &&
		    record_get_u64(field.value, F_ROLE, 0) == ROLE_MAIL)
			mail = (unsigned)record_get_u64(field.value, F_NUMBER,
			    0);
	ck_assert_uint_eq(mail, 2);
}
END_TEST

/* What an option says is a path, and the operator wrote as one. */
START_TEST(files_are_read_where_the_operator_named_them)
{
	struct plan *plan = make_plan();
	struct ph_slice record = told(plan, ROLE_CHECK);
	struct record_field field;
	unsigned count = 0;

	while (record_next(&record, &field)) {
		static const char *const named[] = { "/srv/list", "/srv/one",
			"/srv/three" };

		if (field.tag != F_READ)
			continue;
		ck_assert_uint_lt(count, 3);
		ck_assert(ph_slice_eq(field.value,
		    ph_slice_str(named[count++])));
	}
	ck_assert_uint_eq(count, 3);
	ck_assert(record_get(told(plan, ROLE_RELAY), F_READ).p == NULL);
	ck_assert(record_get(told(plan, ROLE_EDGE), F_READ).p == NULL);
}
END_TEST

START_TEST(only_pairs_of_the_table_may_talk)
{
	ck_assert(peers_may_talk(ROLE_EDGE, ROLE_QUEUE));
	ck_assert(peers_may_talk(ROLE_QUEUE, ROLE_EDGE));
	ck_assert(!peers_may_talk(ROLE_EDGE, ROLE_EDGE));
	ck_assert(!peers_may_talk(ROLE_EDGE, ROLE_RELAY));
	ck_assert(!peers_may_talk(ROLE_RELAY, ROLE_AUTH));
	ck_assert(!peers_may_talk(ROLE_CHECK, ROLE_MAIL));
}
END_TEST

/* --- TLS files --- */

START_TEST(an_unreadable_certificate_is_an_error_at_its_setting)
{
	struct conf_errors errors = { .arena = arena };
	struct plan *plan = make_plan();
	struct plan_tls tls;
	char path[256];

	snprintf(path, sizeof(path), "%s/posthouse.conf", dir);
	plan->core.tls.certificate = "/nonexistent/cert.pem";
	plan->core.tls.key = path; /* no PEM text */
	plan->core.tls.more_certificates = (const char *[]){ dir, NULL };
	plan->core.tls.ca_file = path;
	ck_assert_int_eq(plan_read_tls(arena, plan->conf, &plan->core, &tls,
	                     &errors), PH_INVALID);
	ck_assert_uint_eq(errors.count, 4);
	ck_assert_ptr_nonnull(strstr(errors.error[0].text, path));
	ck_assert_ptr_nonnull(strstr(errors.error[1].text,
	    "/nonexistent/cert.pem"));
	ck_assert_ptr_nonnull(strstr(errors.error[2].text, "no PEM text"));
}
END_TEST

/* --- frames --- */

START_TEST(a_frame_over_the_limit_or_damaged_is_refused)
{
	struct ph_buf record;
	struct ph_slice got;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ph_buf_init(&record, arena, 4096);
	record_put_str(&record, F_TEXT, "text");
	ck_assert_int_eq(frame_send(pair[0], ph_buf_content(&record), -1), PH_OK);
	ck_assert_int_eq(frame_receive(pair[1], arena, 4096, &got), PH_OK);
	ck_assert(ph_slice_eq(record_get(got, F_TEXT), PH_LIT("text")));
	ck_assert_int_eq(frame_send(pair[0], ph_buf_content(&record), -1), PH_OK);
	ck_assert_int_eq(frame_receive(pair[1], arena, 5, &got), PH_TOO_BIG);
	close(pair[0]);
	close(pair[1]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(frame_send(pair[0], PH_LIT("xyz"), -1), PH_OK);
	ck_assert_int_eq(frame_receive(pair[1], arena, 4096, &got),
	    PH_INVALID);
	close(pair[0]);
	ck_assert_int_eq(frame_receive(pair[1], arena, 4096, &got), PH_EOF);
	close(pair[1]);
}
END_TEST

/* --- folders --- */

START_TEST(a_folder_that_others_may_enter_is_refused)
{
	struct role_user users[ROLES];
	struct core_conf core = { .user_prefix = "posthouse-" };
	struct ph_err err;
	char data[256], mail[300];
	struct stat st;

	for (unsigned i = 0; i < ROLES; i++)
		users[i] = (struct role_user){ false, geteuid(), getegid() };
	snprintf(data, sizeof(data), "%s/a/b/data", dir);
	snprintf(mail, sizeof(mail), "%s/mail", data);
	core.data_dir = data;
	ck_assert_int_eq(dirs_make_data(&core, users, &err), PH_OK);
	ck_assert_int_eq(dirs_make_data(&core, users, &err), PH_OK);
	ck_assert_int_eq(stat(mail, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(chmod(mail, 0750), 0);
	ck_assert_int_eq(dirs_make_data(&core, users, &err), PH_DENIED);
	ck_assert_ptr_nonnull(strstr(err.text, "/data/mail has mode 750"));
	ck_assert_int_eq(chmod(mail, 0700), 0);
	users[ROLE_MAIL].uid++;
	ck_assert_int_eq(dirs_make_data(&core, users, &err), PH_DENIED);
	ck_assert_ptr_nonnull(strstr(err.text, "belongs to user"));
}
END_TEST

START_TEST(the_pid_file_is_locked_once)
{
	struct core_conf core = { .run_dir = dir };
	struct ph_err err;
	int first, second;

	ck_assert_int_eq(dirs_lock_pid(&core, &first, &err), PH_OK);
	ck_assert_int_eq(dirs_lock_pid(&core, &second, &err), PH_BUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "runs already"));
	close(first);
	ck_assert_int_eq(dirs_lock_pid(&core, &second, &err), PH_OK);
	close(second);
}
END_TEST

/* --- sockets --- */

static bool
accepts(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool good = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;

	close(fd);
	return good;
}

/* The port of the only line of run_dir/ports, whose text must begin so. */
static uint16_t
port_of(const char *begin)
{
	char path[256], line[256] = "";
	FILE *file;
	unsigned port = 0;

	snprintf(path, sizeof(path), "%s/ports", dir);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ck_assert_msg(strncmp(line, begin, strlen(begin)) == 0, "%s", line);
	ck_assert_int_eq(sscanf(line + strlen(begin), "%u", &port), 1);
	return (uint16_t)port;
}

static void
sockets_script(void *arg)
{
	struct plan *plan = make_plan();
	struct conf_errors errors = { .arena = arena };
	const char *any[] = { "127.0.0.1:0", NULL }, *fixed[] = { NULL, NULL };
	const char *wrong[] = { "localhost:25", NULL };
	struct module_facts *listener = plan->modules;
	uint16_t port;

	(void)arg;
	listener->listen = any;
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_commit(plan);
	port = port_of("a_listener listen 127.0.0.1:");
	ck_assert(accepts(port));

	/* The same again keeps the socket, port and all. */
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_abandon();
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_commit(plan);
	ck_assert_uint_eq(port_of("a_listener listen 127.0.0.1:"), port);
	ck_assert(accepts(port));

	/* What is refused changes nothing. */
	listener->listen_tls = wrong;
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_INVALID);
	ck_assert_ptr_nonnull(strstr(errors.error[0].text, "localhost:25"));
	ck_assert_uint_eq(errors.error[0].line, 2);
	ck_assert(accepts(port));

	/* One address, another section: the socket changes hands. */
	fixed[0] = ph_arena_printf(arena, "127.0.0.1:%u", port);
	listener->listen = listener->listen_tls = &fixed[1];
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_commit(plan);
	ck_assert(!accepts(port));
	listener->listen = fixed;
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_commit(plan);
	listener->listen = &fixed[1];
	listener->listen_tls = fixed;
	ck_assert_int_eq(sockets_prepare(plan, &errors), PH_OK);
	sockets_commit(plan);
	ck_assert_uint_eq(port_of("a_listener listen_tls 127.0.0.1:"), port);
	ck_assert(accepts(port));
	fiber_runtime_stop();
}

START_TEST(sockets_are_kept_moved_and_closed_as_the_plan_says)
{
	fiber_runtime_init();
	bus_init(ROLE_MASTER, 0);
	fiber_start(sockets_script, NULL);
	fiber_runtime_run();
	bus_fini();
	fiber_runtime_fini();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("master");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_role_gets_only_the_secrets_it_needs);
	tcase_add_test(tc, edge_learns_of_checks_and_everybody_of_sizes);
	tcase_add_test(tc, files_are_read_where_the_operator_named_them);
	tcase_add_test(tc, only_pairs_of_the_table_may_talk);
	tcase_add_test(tc, an_unreadable_certificate_is_an_error_at_its_setting);
	tcase_add_test(tc, a_frame_over_the_limit_or_damaged_is_refused);
	tcase_add_test(tc, a_folder_that_others_may_enter_is_refused);
	tcase_add_test(tc, the_pid_file_is_locked_once);
	tcase_add_test(tc, sockets_are_kept_moved_and_closed_as_the_plan_says);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
