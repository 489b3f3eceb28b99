/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_test.c - both ends of a link in one process: the end named check asks
 * or answers the end named edge; where the peer must misbehave, the test holds
 * its socket itself.
 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/record.h"
#include "bus/link.h"
#include "loop/fiber.h"

enum { T_ECHO = 90, T_SLOW, T_FD, T_SILENT, T_NOTE, T_UNKNOWN, TAG = 1 };

static unsigned notes, downs;
static struct ph_event never;

static void
pair(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX,
	                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	                     fds),
	    0);
}

static struct ph_slice
record_of(struct ph_arena *arena, size_t n)
{
	char *octets = ph_arena_alloc(arena, n + 1);
	struct ph_buf buf;

	memset(octets, 'x', n);
	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	record_put(&buf, TAG, (struct ph_slice){ octets, n });
	return ph_buf_content(&buf);
}

static void
on_echo(struct bus_request *request)
{
	bus_reply(request, PH_OK, request->message.record, NULL, 0);
}

static void
on_slow(struct bus_request *request)
{
	ph_event_wait(&never, 300);
	bus_reply(request, PH_OK, request->message.record, NULL, 0);
}

/* Writes to the descriptor and sends another one back. */
static void
on_fd(struct bus_request *request)
{
	int fd = request->message.fds[0], zero;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	close(fd);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	bus_reply(request, PH_OK, PH_LIT(""), &zero, 1);
	close(zero);
}

static void
on_silent(struct bus_request *request)
{
	(void)request;
}

static void
on_note(struct bus_request *request)
{
	(void)request;
	notes++;
}

static void
on_peer_down(enum role role, unsigned index)
{
	(void)role;
	(void)index;
	downs++;
}

static void
serve_all(void)
{
	static const struct {
		uint16_t type;
		void (*handler)(struct bus_request *);
	} all[] = { { T_ECHO, on_echo }, { T_SLOW, on_slow }, { T_FD, on_fd },
		{ T_SILENT, on_silent }, { T_NOTE, on_note } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		bus_serve(all[i].type, ROLE_BIT(ROLE_EDGE), all[i].handler);
	bus_on_peer_down(on_peer_down);
}

static void
body(void *arg)
{
	struct ph_arena *arena = ph_arena_create(NULL);

	serve_all();
	((void (*)(struct ph_arena *))arg)(arena);
	ph_arena_free(arena);
	bus_fini();
	fiber_runtime_stop();
}

static void
run(void (*fn)(struct ph_arena *arena))
{
	notes = downs = 0;
	fiber_runtime_init();
	bus_init(ROLE_MASTER, 0);
	fiber_start(body, (void *)fn);
	fiber_runtime_run();
	fiber_runtime_fini();
}

/* Both ends ours: calls to check arrive as requests from edge. */
static void
loop_back(void)
{
	int fds[2];

	pair(fds);
	bus_link(ROLE_CHECK, 0, fds[0]);
	bus_link(ROLE_EDGE, 0, fds[1]);
}

/* The test holds the other end; an edge or check that we do not trust. */
static int
raw_peer(enum role role)
{
	int fds[2];

	pair(fds);
	bus_link(role, 0, fds[0]);
	return fds[1];
}

static int
call(struct ph_arena *arena, uint16_t type, unsigned timeout_ms)
{
	struct bus_message reply;

	return bus_call(ROLE_CHECK, BUS_ANY_SHARD, type, record_of(arena, 10),
	    NULL, 0, timeout_ms, arena, &reply);
}

static void
echo_sizes(struct ph_arena *arena)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 4096, 65536, 200000,
		500000 };

	loop_back();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ph_slice sent = record_of(arena, sizes[i]);
		struct bus_message reply;

		ck_assert_int_eq(bus_call(ROLE_CHECK, 0, T_ECHO, sent, NULL, 0,
		                     5000, arena, &reply),
		    PH_OK);
		ck_assert(ph_slice_eq(sent, reply.record));
		ck_assert_int_eq(reply.fds[0], -1);
	}
}

START_TEST(echoes_records_of_every_size)
{
	run(echo_sizes);
}
END_TEST

static void
statuses(struct ph_arena *arena)
{
	int fds[2];

	loop_back();
	ck_assert_int_eq(call(arena, T_UNKNOWN, 5000), PH_DENIED);
	ck_assert_int_eq(call(arena, T_SILENT, 5000), PH_DEFECT);
	ck_assert_int_eq(call(arena, T_SLOW, 20), PH_TIMEOUT);
	/* the late reply must not be taken for the next one's */
	ck_assert_int_eq(call(arena, T_SLOW, 5000), PH_OK);
	pair(fds);
	bus_link(ROLE_CHECK, 0, fds[0]);
	bus_link(ROLE_RELAY, 0, fds[1]);
	ck_assert_int_eq(call(arena, T_ECHO, 5000), PH_DENIED);
}

START_TEST(answers_each_failure_with_its_status)
{
	run(statuses);
}
END_TEST

static void
descriptors(struct ph_arena *arena)
{
	loop_back();
	for (int round = 0; round < 50; round++) {
		struct bus_message reply;
		int fds[2];
		char text[8];

		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		ck_assert_int_eq(bus_call(ROLE_CHECK, 0, T_FD,
		                     record_of(arena, 10), &fds[1], 1, 5000,
		                     arena, &reply),
		    PH_OK);
		close(fds[1]);
		ck_assert_int_eq(read(fds[0], text, sizeof(text)), 5);
		ck_assert_int_eq(read(fds[0], text, sizeof(text)), 0);
		close(fds[0]);
		ck_assert_int_ge(reply.fds[0], 0);
		ck_assert_int_eq(read(reply.fds[0], text, 1), 1);
		close(reply.fds[0]);
	}
	bus_limit_fds(T_ECHO, 0, 0);
	{
		struct bus_message reply;
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		ck_assert_int_eq(bus_call(ROLE_CHECK, 0, T_ECHO,
		                     record_of(arena, 1), &null, 1, 5000,
		                     arena, &reply),
		    PH_OK);
		close(null);
	}
}

START_TEST(passes_descriptors_and_closes_unexpected_ones)
{
	run(descriptors);
}
END_TEST

/* Many messages with descriptors while the socket is full: each is kept in
 * order with its own. */
struct many {
	struct ph_arena *arena;
	struct ph_scope scope;
	unsigned good;
};

static void
call_with_fd(void *arg)
{
	struct many *many = arg;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct bus_message reply;
	int fds[2];
	char text[8];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(bus_call(ROLE_CHECK, 0, T_FD, record_of(arena, 60000),
	                     &fds[1], 1, 10000, arena, &reply),
	    PH_OK);
	close(fds[1]);
	if (read(fds[0], text, sizeof(text)) == 5)
		many->good++;
	close(fds[0]);
	close(reply.fds[0]);
	ph_arena_free(arena);
}

static void
full_socket(struct ph_arena *arena)
{
	struct many many = { .arena = arena };

	loop_back();
	ph_scope_begin(&many.scope);
	for (int i = 0; i < 100; i++)
		ph_scope_spawn(&many.scope, call_with_fd, &many);
	ck_assert_int_eq(ph_scope_wait(&many.scope), PH_OK);
	ph_scope_end(&many.scope);
	ck_assert_uint_eq(many.good, 100);
}

START_TEST(keeps_descriptors_in_order_behind_a_full_socket)
{
	run(full_socket);
}
END_TEST

static void
close_raw(void *arg)
{
	ph_sleep_ms(20);
	close(*(int *)arg);
}

static void
death(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_CHECK);
	uint64_t before = ph_now_ms();

	fiber_start(close_raw, &raw);
	ck_assert_int_eq(call(arena, T_ECHO, 30000), PH_UNAVAILABLE);
	ck_assert_uint_lt(ph_now_ms() - before, 10000);
	ph_sleep_ms(1);
	ck_assert_uint_eq(downs, 1);
	ck_assert_uint_eq(bus_peers(ROLE_CHECK), 0);
	ck_assert_int_eq(call(arena, T_ECHO, 10), PH_UNAVAILABLE);
}

START_TEST(fails_open_calls_when_the_peer_dies)
{
	run(death);
}
END_TEST

/* Reads one request of 16 octets and more, and answers it with nothing. */
static void
answer_raw(int raw)
{
	char octets[4096];
	ssize_t n = read(raw, octets, sizeof(octets));

	ck_assert_int_ge(n, LINK_HEADER);
	octets[2] = LINK_REPLY;
	memset(octets + 12, 0, 4); /* length */
	ck_assert_int_eq(write(raw, octets, LINK_HEADER), LINK_HEADER);
}

static void
leave_raw(void *arg)
{
	const struct link_header leave = { .kind = LINK_LEAVE };
	uint8_t octets[LINK_HEADER];
	int raw = *(int *)arg;

	ph_sleep_ms(20);
	link_header_format(&leave, octets);
	ck_assert_int_eq(write(raw, octets, sizeof(octets)), sizeof(octets));
	ph_sleep_ms(20); /* seen by now, or with the end: either is right */
	close(raw);
}

static void
departure(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_CHECK);

	fiber_start(leave_raw, &raw);
	ck_assert_int_eq(call(arena, T_ECHO, 30000), PH_BUSY);
	ck_assert_int_eq(call(arena, T_ECHO, 10), PH_UNAVAILABLE);
	raw = raw_peer(ROLE_CHECK);
	fiber_start(close_raw, &raw); /* another process, which does not leave */
	ck_assert_int_eq(call(arena, T_ECHO, 30000), PH_UNAVAILABLE);
}

START_TEST(what_a_leaving_peer_has_not_begun_may_be_asked_again)
{
	run(departure);
}
END_TEST

/* It answers, then ends with a request unread, before we have looked. */
static void
answer_and_end(void *arg)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	int raw = *(int *)arg;

	ph_sleep_ms(20);
	answer_raw(raw);
	close(raw);
	ck_assert_int_eq(call(arena, T_ECHO, 30000), PH_UNAVAILABLE);
	ph_arena_free(arena);
}

static void
last_answer(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_CHECK);

	fiber_start(answer_and_end, &raw);
	ck_assert_int_eq(call(arena, T_ECHO, 30000), PH_OK);
	while (downs == 0)
		ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
}

START_TEST(takes_what_a_peer_answered_before_it_ended)
{
	run(last_answer);
}
END_TEST

static void
link_later(void *arg)
{
	(void)arg;
	ph_sleep_ms(30);
	loop_back();
}

static void
late_peer(struct ph_arena *arena)
{
	fiber_start(link_later, NULL);
	ck_assert_int_eq(call(arena, T_ECHO, 10000), PH_OK);
}

START_TEST(waits_for_a_process_to_come)
{
	run(late_peer);
}
END_TEST

static void
end_later(void *arg)
{
	(void)arg;
	ph_sleep_ms(20);
	bus_expect_nobody();
}

static void
nobody_comes(struct ph_arena *arena)
{
	uint64_t began_ms = ph_now_ms();

	fiber_start(end_later, NULL);
	ck_assert_int_eq(call(arena, T_ECHO, 60000), PH_UNAVAILABLE);
	ck_assert_int_eq(call(arena, T_ECHO, 60000), PH_UNAVAILABLE);
	ck_assert_uint_lt(ph_now_ms() - began_ms, 30000);
}

START_TEST(waits_for_nobody_when_the_server_ends)
{
	run(nobody_comes);
}
END_TEST

static size_t
frame(char *at, uint8_t kind, uint16_t type, uint32_t number,
    struct ph_slice record)
{
	struct link_header header = { .kind = kind, .type = type,
		.number = number, .length = (uint32_t)record.n };

	link_header_format(&header, (uint8_t *)at);
	memcpy(at + LINK_HEADER, record.p, record.n);
	return LINK_HEADER + record.n;
}

static void
split_frames(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_EDGE);
	char frames[512], answer[512];
	size_t n = 0, got = 0;

	for (uint32_t i = 0; i < 5; i++)
		n += frame(frames + n, LINK_REQUEST, T_ECHO, i,
		    record_of(arena, i));
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(write(raw, frames + i, 1), 1);
		ph_sleep_ms(1);
	}
	while (got < n) {
		ssize_t r = read(raw, answer + got, sizeof(answer) - got);

		if (r > 0)
			got += (size_t)r;
		else
			ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	}
	ck_assert_uint_eq(got, n);
	close(raw);
}

START_TEST(takes_frames_split_at_every_octet)
{
	run(split_frames);
}
END_TEST

static void
garbage(struct ph_arena *arena)
{
	static const struct {
		const char *octets;
		size_t n;
	} all[] = {
		{ "GET / HTTP/1.0\r\n\r\n", 18 },
		{ "\x31\x50\x09\0\x5a\0\0\0\1\0\0\0\0\0\0\0", 16 },  /* kind */
		{ "\x31\x50\0\5\x5a\0\0\0\1\0\0\0\0\0\0\0", 16 },    /* fds */
		{ "\x31\x50\0\1\x5a\0\0\0\1\0\0\0\0\0\0\0", 16 },    /* no fd */
		{ "\x31\x50\0\0\x5a\0\0\0\1\0\0\0\xff\xff\xff\xff", 16 },
		{ "\x31\x50\0\0\x5a\0\1\0\1\0\0\0\0\0\0\0", 16 },    /* status */
		{ "\x31\x51\0\0\x5a\0\0\0\1\0\0\0\0\0\0\0", 16 },    /* version */
	};

	(void)arena;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int raw = raw_peer(ROLE_EDGE);

		ck_assert_int_eq(write(raw, all[i].octets, all[i].n),
		    (ssize_t)all[i].n);
		while (downs == i)
			ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
		ck_assert_uint_eq(bus_peers(ROLE_EDGE), 0);
		close(raw);
	}
}

START_TEST(closes_the_link_on_garbage)
{
	run(garbage);
}
END_TEST

static void
damaged(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_EDGE);
	char frames[64];
	struct link_header header;
	size_t n = frame(frames, LINK_REQUEST, T_ECHO, 7,
	    PH_LIT("\1\0\xff\0\0\0z"));
	ssize_t r;

	(void)arena;
	ck_assert_int_eq(write(raw, frames, n), (ssize_t)n);
	while ((r = read(raw, frames, sizeof(frames))) < 0)
		ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	ck_assert_int_eq(r, LINK_HEADER);
	ck_assert(link_header_parse((uint8_t *)frames, &header));
	ck_assert_int_eq(header.kind, LINK_REPLY);
	ck_assert_int_eq(header.status, PH_INVALID);
	ck_assert_uint_eq(header.number, 7);
	/* replies that nobody asked for are dropped */
	n = frame(frames, LINK_REPLY, T_ECHO, 0xffffffff, PH_LIT(""));
	ck_assert_int_eq(write(raw, frames, n), (ssize_t)n);
	ph_sleep_ms(5);
	ck_assert_uint_eq(bus_peers(ROLE_EDGE), 1);
	close(raw);
}

START_TEST(refuses_a_damaged_record)
{
	run(damaged);
}
END_TEST

static void
coalesced(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_CHECK);
	char octets[4096];
	size_t one = LINK_HEADER + record_of(arena, 10).n;

	for (int i = 0; i < 20; i++)
		bus_notify(ROLE_CHECK, 0, T_NOTE, record_of(arena, 10));
	ck_assert_int_eq(recv(raw, octets, sizeof(octets), 0), -1);
	ph_sleep_ms(1);
	ck_assert_int_eq(recv(raw, octets, sizeof(octets), 0),
	    (ssize_t)(20 * one));
	close(raw);
}

START_TEST(sends_the_messages_of_a_turn_together)
{
	run(coalesced);
}
END_TEST

static void
call_big(void *arg)
{
	struct many *many = arg;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct bus_message reply;
	int status;

	status = bus_call(ROLE_CHECK, 0, T_ECHO, record_of(arena, 400000), NULL,
	    0, 200, arena, &reply);
	ck_assert_int_eq(status, PH_TIMEOUT);
	many->good++;
	ph_arena_free(arena);
}

/* A peer that does not read holds up the callers, not our memory. */
static void
back_pressure(struct ph_arena *arena)
{
	int raw = raw_peer(ROLE_CHECK);
	struct many many = { .arena = arena };
	size_t seen = 0;
	ssize_t n;

	ph_scope_begin(&many.scope);
	for (int i = 0; i < 40; i++)
		ph_scope_spawn(&many.scope, call_big, &many);
	ck_assert_int_eq(ph_scope_wait(&many.scope), PH_OK);
	ph_scope_end(&many.scope);
	ck_assert_uint_eq(many.good, 40);
	for (int idle = 0; idle < 20;) {
		static char octets[65536];

		n = read(raw, octets, sizeof(octets));
		if (n > 0)
			seen += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		ph_sleep_ms(1);
	}
	ck_assert_uint_lt(seen, LINK_OUT_SOFT + 800000);
	ck_assert_uint_gt(seen, 400000);
	close(raw);
}

START_TEST(holds_callers_when_the_peer_does_not_read)
{
	run(back_pressure);
}
END_TEST

static void
shards(struct ph_arena *arena)
{
	int fds[2];
	struct bus_message reply;

	bus_set_role_size(ROLE_CHECK, 2);
	pair(fds);
	bus_link(ROLE_CHECK, 1, fds[0]);
	bus_link(ROLE_EDGE, 0, fds[1]);
	ck_assert_int_eq(bus_call(ROLE_CHECK, 7, T_ECHO, PH_LIT(""), NULL, 0,
	                     1000, arena, &reply),
	    PH_OK);
	ck_assert_int_eq(bus_call(ROLE_CHECK, 6, T_ECHO, PH_LIT(""), NULL, 0,
	                     10, arena, &reply),
	    PH_UNAVAILABLE);
}

START_TEST(asks_the_process_of_the_shard)
{
	run(shards);
}
END_TEST

START_TEST(names_roles_both_ways)
{
	for (unsigned i = 0; i < ROLES; i++) {
		enum role role;

		ck_assert(role_parse(ph_slice_str(role_name((enum role)i)),
		    &role));
		ck_assert_uint_eq(role, i);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("bus");
	TCase *tcase = tcase_create("bus");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, echoes_records_of_every_size);
	tcase_add_test(tcase, answers_each_failure_with_its_status);
	tcase_add_test(tcase, passes_descriptors_and_closes_unexpected_ones);
	tcase_add_test(tcase, keeps_descriptors_in_order_behind_a_full_socket);
	tcase_add_test(tcase, fails_open_calls_when_the_peer_dies);
	tcase_add_test(tcase,
	    what_a_leaving_peer_has_not_begun_may_be_asked_again);
	tcase_add_test(tcase, takes_what_a_peer_answered_before_it_ended);
	tcase_add_test(tcase, waits_for_a_process_to_come);
	tcase_add_test(tcase, waits_for_nobody_when_the_server_ends);
	tcase_add_test(tcase, takes_frames_split_at_every_octet);
	tcase_add_test(tcase, closes_the_link_on_garbage);
	tcase_add_test(tcase, refuses_a_damaged_record);
	tcase_add_test(tcase, sends_the_messages_of_a_turn_together);
	tcase_add_test(tcase, holds_callers_when_the_peer_does_not_read);
	tcase_add_test(tcase, asks_the_process_of_the_shard);
	tcase_add_test(tcase, names_roles_both_ways);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
