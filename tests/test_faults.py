# SPDX-License-Identifier: Apache-2.0
"""Checks that misbehave in every way we know, while many sessions are open: no
session is lost, every message gets its verdict, the checks are back in under a
second, and the log names the module.

PH_FAULT_SESSIONS sets how many sessions there are (default 40).
"""
import asyncio
import datetime
import os
import re
import socket
import unittest

from fault import Faulty, build
from sandbox import BUILD, Sandbox, until
from test_modules import module

SESSIONS = int(os.environ.get("PH_FAULT_SESSIONS", "40"))
GUILTY = 4  # sessions that ask for the fault: below crash_limit
PATIENCE = 120  # seconds; of one session for one answer
LIMITS = "limits: { connections_per_client = 0; };\n"
BACK_S = 1.0  # from a death to the next process at work

# A fault that only the senders who ask for it see.
ASKED = ("struct ph_slice s = ph_call_sender(call);\n"
         "if (s.n > 5 && memcmp(s.p, \"fault\", 5) == 0) { %s }")


def is_sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        return any(line.startswith("PH_SANITIZE:") and "=ON" in line
                   for line in cache)


class Session:
    """One connection that is never given up: it ends with QUIT and 221."""

    def __init__(self, box, number):
        self.box, self.number = box, number
        self.is_guilty = number < GUILTY
        self.refusals, self.answer = [], None

    async def say(self, line):
        self.writer.write(line + b"\r\n")
        return await self.hear()

    async def hear(self):
        while True:
            line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
            if not line:
                raise AssertionError(f"session {self.number} was lost")
            if line[3:4] == b" ":
                return int(line[:3]), line

    async def begin(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.box.port("smtp"))
        code, line = await self.hear()
        assert code == 220, line
        assert (await self.say(b"EHLO client.test"))[0] == 250

    async def send(self):
        """One message: the code of the last answer."""
        who = "fault" if self.is_guilty else "x"
        for line in (f"MAIL FROM:<{who}{self.number}@outside.test>",
                     "RCPT TO:<bob@example.test>", "DATA"):
            code, text = await self.say(line.encode())
            if code >= 400:
                await self.say(b"RSET")
                return code, text
        return await self.say(b"Subject: %d\r\n\r\nNUMBER %d.\r\n."
                              % (self.number, self.number))

    async def run(self):
        """The guilty once; the others until they are heard."""
        for _ in range(200):
            code, text = await self.send()
            self.answer = code
            if code == 250 or self.is_guilty:
                break
            assert 400 <= code < 500, text
            self.refusals.append(text)
            await asyncio.sleep(0.1)
        code, text = await self.say(b"QUIT")
        assert code == 221, text
        self.writer.close()


async def run_all(sessions):
    for at in range(0, len(sessions), 50):
        await asyncio.gather(*(s.begin() for s in sessions[at:at + 50]))
    await asyncio.gather(*(s.run() for s in sessions))


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def times_back(log):
    """From each death of a check process to the next one ready."""
    times, died = [], None
    for stamp, event in re.findall(r"(20\d\d-\S+Z) \w+ master\[\d+\] "
                                   r"(role_died|role_ready) role=check", log):
        if event == "role_died":
            died = seconds(stamp)
        elif died is not None:
            times.append(seconds(stamp) - died)
            died = None
    return times


class Faults(Faulty, unittest.TestCase):
    def storm(self, box, guilty=(451,), others=250):
        """All sessions at once; what they were told, checked."""
        sessions = [Session(box, n) for n in range(SESSIONS)]
        asyncio.run(run_all(sessions))
        for s in sessions:
            self.assertIn(s.answer, guilty if s.is_guilty else (others,),
                          (s.number, s.refusals[-1:]))
        accepted = sum(s.answer == 250 for s in sessions)
        until(lambda: len(re.findall(r" delivered ", box.log())) >= accepted,
              "all that was accepted is delivered", 300)
        self.assertEqual(len(box.inbox("bob", accepted)), accepted)
        until(lambda: "check.0 state ready" in box.ctl("status").stdout, "check")
        back = self.come_back(box)
        deferred = sum(len(s.refusals) for s in sessions)
        print(f"{self.id().rsplit('.', 1)[1]}: {SESSIONS} sessions, "
              f"{len(back)} deaths, back in at most "
              f"{max(back, default=0) * 1000:.0f} ms, {deferred} put off on the "
              f"way, {accepted} accepted, 0 lost")
        return sessions

    def come_back(self, box):
        """Each in BACK_S; what took longer, on a machine that has other things
        to do, may try again, until it does."""
        back = times_back(box.log())
        while back and max(back) >= BACK_S:
            count = len(times_back(box.log()))
            box.kill_role("check")
            until(lambda: len(times_back(box.log())) > count, "the next process")
            back = times_back(box.log())[count:]
            self.tries = getattr(self, "tries", 0) + 1
            self.assertLess(self.tries, 50, "it never came back soon enough")
        return back

    def asked(self, statement, options="", **how):
        box = self.faulty(ASKED % statement, options=options, stage="MAIL",
                          conf=LIMITS + how.pop("conf", ""), **how)
        return box

    def crash(self, statement, least=1, lost=1, died="role_died role=check",
              **how):
        """Every guilty session's call ends a process (several at once may
        share one)."""
        box = self.asked(statement, **how)
        self.storm(box)
        named = rf"{died}.* module=check_fault hook=mail"
        self.assertGreaterEqual(len(re.findall(named, box.log())), least)
        facts = module(box, "check_fault")
        self.assertGreaterEqual(facts["crashes"], least)
        self.assertGreaterEqual(facts["lost"], lost)
        return box

    def test_segfault(self):
        self.crash("*(volatile int *)8 = 1;")

    def test_abort(self):
        self.crash("abort();")

    def test_crash_is_nothing_to_the_others(self):
        """They are asked about again: no other session, and no other check of
        the guilty one, hears of it."""
        folder = self.modules()
        strict = build(folder, "ph_sleep_ms(20);", name="check_strict",
                       stage="MAIL")
        box = self.asked(
            "ph_sleep_ms(20); *(volatile int *)8 = 1;",
            options='on_failure = "next";',
            conf=f'check_strict: {{ module = "{strict}"; on_failure = "reject"; }};'
            'check_access: { order = 90; '
            'rules = [ "deny sender fault0@outside.test not you" ]; };'
            'early: { module = "check_access"; order = 110; '
            'rules = [ "deny sender fault1@outside.test nor you" ]; };')
        sessions = [Session(box, n) for n in range(SESSIONS)]
        asyncio.run(run_all(sessions))
        self.assertEqual([s.answer for s in sessions[:GUILTY]],
                         [550, 550] + [250] * (GUILTY - 2))
        self.assertEqual({s.answer for s in sessions[GUILTY:]}, {250})
        self.assertEqual(sum(len(s.refusals) for s in sessions), 0)
        log = box.log()
        self.assertEqual(len(re.findall("role_died role=check", log)), GUILTY - 1)
        self.assertEqual(len(re.findall(
            r"check_left_out session=\S+ .*check=check_fault ", log)), GUILTY - 1)
        self.assertRegex(log, r"verdict .*module=check_fault stage=mail "
                         r"verdict=next failure=crashed")
        self.assertNotIn("checks_unanswered", log)
        self.assertEqual(module(box, "check_strict")["crashes"], 0)

    def test_write_to_a_read_only_page(self):
        self.crash('*(volatile char *)"constant" = 0;')

    def test_exit(self):
        self.crash("exit(0);")

    @unittest.skipIf(is_sanitized(), "sanitizers need what confinement takes")
    def test_signals_by_which_others_end_a_process(self):
        """Nobody could be blamed for these, so the process can't send them."""
        box = self.asked("raise(SIGKILL); raise(SIGTERM); raise(SIGINT); "
                         "raise(SIGHUP);")
        self.storm(box, guilty=(250,))
        self.assertNotIn("role_died", box.log())

    def test_killed_from_outside_at_the_same_module(self):
        """Once may be chance; from the second time on it is blamed, as what eats
        the memory until the kernel kills for it."""
        box = self.asked("for (;;) ;", options='hook_timeout = "60s";',
                         conf="processes: { check = 1; };")

        def seconds_of(pid):
            with open(f"/proc/{pid}/stat") as stat:
                return int(stat.read().rsplit(")", 1)[1].split()[11]) / 100
        for times in (1, 2, 3):
            with box.smtp() as client:
                client.ehlo("client.test")
                pid, = (p for p, a in box.children().items() if "--role=check" in a)
                before = seconds_of(pid)
                client.putcmd("MAIL", "FROM:<fault@outside.test>")
                until(lambda: seconds_of(pid) > before + 0.3, "it spins")
                box.kill_role("check")
                self.assertEqual(client.getreply()[0], 451)
            until(lambda: f"pid={pid} signal=9" in box.log(), "the master knows")
            until(lambda: "check.0 state ready" in box.ctl("status").stdout, "it is back")
            self.assertRegex(box.log(), rf"role_died role=check .*pid={pid} signal=9 .*"
                             "module=check_fault hook=mail blamed="
                             + ("yes" if times > 1 else "no"))
            self.assertEqual(module(box, "check_fault")["crashes"], times - 1)
        box.kill_role("check")  # at nothing: that is another story
        until(lambda: box.log().count("role_ready role=check") == 5, "it is back")
        self.assertEqual(module(box, "check_fault")["crashes"], 2)

    def test_close_of_all_descriptors(self):
        self.crash("for (int i = 0; i < 1024; i++) close(i);", lost=0)

    def test_close_of_the_links_to_other_processes(self):
        """The loop of the process does not see it; its peers do."""
        self.crash(
            "for (int i = 4; i < 1024; i++) { struct sockaddr_storage at; "
            "socklen_t n = sizeof(at); "
            "if (getpeername(i, (void *)&at, &n) == 0) close(i); }", lost=0)

    def test_infinite_loop(self):
        self.crash("for (;;) ;", options='hook_timeout = "2s";',
                   died="role_hangs role=check")

    def test_blocking_sleep_for_ever(self):
        self.crash("for (;;) sleep(1000);", options='hook_timeout = "2s";',
                   died="role_hangs role=check")

    def test_work_for_ever_in_a_thread(self):
        """It can't be cut short; the loop goes on, and another process comes."""
        box = self.asked("ph_work(for_ever, 0);", options='hook_timeout = "2s";',
                         before="static void for_ever(void *p) { (void)p; "
                         "for (;;) sleep(1000); }")
        self.storm(box)
        until(lambda: re.search(
            r'role_died role=check .*status=75 reason="made way" '
            r"module=check_fault hook=mail", box.log()), "the process replaced")
        self.assertRegex(box.log(), r"work_hangs module=check_fault hook=mail ms=\d+")
        self.assertNotIn("role_hangs", box.log())
        until(lambda: "check.0 state ready" in box.ctl("status").stdout, "check")
        self.assertEqual(module(box, "check_fault")["crashes"], 1)
        with box.smtp() as client:
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: x\r\n\r\nafter that\r\n")

    def test_waiting_for_ever(self):
        box = self.asked("ph_sleep_ms(100000000);",
                         options='hook_timeout = "6s";')
        self.storm(box)
        facts = module(box, "check_fault")
        self.assertEqual((facts["late"], facts["crashes"]), (GUILTY, 0))
        self.assertRegex(box.log(), r"verdict .*module=check_fault .*"
                         r'failure="out of time"')

    def test_answers_that_are_none(self):
        box = self.asked("return (enum ph_verdict)77;")
        self.storm(box)
        self.assertEqual(module(box, "check_fault")["garbage"], GUILTY)

    def test_octets_at_random_into_each_descriptor(self):
        self.crash('char junk[65536]; memset(junk, 0xa5, sizeof(junk)); '
                   'for (int i = 3; i < 1024; i++) { '
                   'int off = fcntl(i, F_GETFL); if (off < 0) continue; '
                   'fcntl(i, F_SETFL, off | O_NONBLOCK); '
                   'write(i, junk, sizeof(junk)); }', lost=0)

    def test_octets_at_random_to_another_process_alone(self):
        """The process lives on; its links are made again."""
        box = self.asked(
            "char junk[4096]; memset(junk, 0xa5, sizeof(junk)); "
            "for (int i = 4; i < 1024; i++) { struct sockaddr_storage at; "
            "socklen_t n = sizeof(at); "
            "if (getpeername(i, (void *)&at, &n) == 0 && at.ss_family == AF_UNIX) "
            "send(i, junk, sizeof(junk), MSG_DONTWAIT); }")
        self.storm(box)
        self.assertRegex(box.log(), r"error edge\[\d+\] bus_down peer=check index=0 "
                         r'reason="the peer broke the framing"')
        self.assertRegex(box.log(), r"linked_again role=(edge|check) index=\d+ peer=")

    def test_reply_of_a_gibibyte(self):
        self.storm(self.asked(
            "char *p = malloc(1 << 30); memset(p, 'x', (1 << 30) - 1); "
            "p[(1 << 30) - 1] = 0; return ph_reject(call, 550, \"5.7.1\", "
            "\"%s\", p);", conf='processes: { check_memory = "2G"; };'),
            guilty=(451, 550))

    def test_leak_of_a_mebibyte_for_each_call(self):
        # in a chain, so that the sanitizer's own count at the end finds none lost
        box = self.faulty("static char *last; char *p = malloc(1 << 20); if (p) { "
                          "memset(p, 1, 1 << 20); memcpy(p, &last, sizeof(last)); "
                          "last = p; }",
                          stage="MAIL", options='on_failure = "next";',
                          conf=LIMITS + 'crash_limit = 1000; '
                          'processes: { check_memory = "128M"; };')
        self.storm(box, guilty=(250,))
        self.storm_until_full(box)
        self.assertRegex(box.log(), r"memory_over module=check_fault bytes=\d+ "
                         r"limit=134217728")
        self.assertRegex(box.log(), r'role_died role=check .*status=75 '
                         r'reason="made way" module=check_fault hook=memory')

    def test_leak_of_descriptors(self):
        """Before there is none left to answer with."""
        box = self.faulty("for (int i = 0; i < 3000; i++) "
                          'open("/dev/null", O_RDONLY);', stage="MAIL",
                          options='on_failure = "next";',
                          conf=LIMITS + "crash_limit = 1000;")
        self.storm(box, guilty=(250,))
        self.storm_until_full(box, "descriptors_over")
        self.assertRegex(box.log(), r"descriptors_over module=check_fault "
                         r"open=\d+")
        self.assertRegex(box.log(), r'role_died role=check .*status=75 '
                         r'reason="made way" module=check_fault '
                         r"hook=descriptors")

    def storm_until_full(self, box, event="memory_over"):
        for _ in range(20):
            if event in box.log():
                break
            sessions = [Session(box, n + GUILTY) for n in range(SESSIONS)]
            asyncio.run(run_all(sessions))
            self.assertEqual({s.answer for s in sessions}, {250})
            self.assertEqual(sum(len(s.refusals) for s in sessions), 0)
        until(lambda: len(times_back(box.log())) >= 1, "a fresh process")
        self.come_back(box)

    @unittest.skipIf(is_sanitized(), "sanitizers need what confinement takes")
    def test_fork_bomb(self):
        box = self.asked("int n = 0; for (int i = 0; i < 10000; i++) "
                         "{ pid_t p = fork(); if (p == 0) for (;;) fork(); "
                         "n += p > 0; } return ph_reject(call, 550, \"5.7.1\", "
                         "\"%d children\", n);")
        self.storm(box, guilty=(550,))
        self.assertIn('reason="0 children"', box.log())

    def test_a_module_for_another_server_is_refused(self):
        strange = build(self.modules(), abi="{ 9, 0, sizeof(struct ph_module) }",
                        name="check_strange")
        with Sandbox({"limits": LIMITS}) as box:
            box.snippet("95-strange", f'check_strange: {{ module = "{strange}"; }};')
            done = box.ctl("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("built for ABI 9.0; wanted 1.", done.stderr)
            self.storm(box, guilty=(250,))

    def test_constructor_that_dials_out(self):
        """Where a configuration is judged it reaches nobody."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            box = self.faulty("", stage="MAIL", conf=LIMITS, before="""
__attribute__((constructor)) static void
dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(%d) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect(fd, (void *)&to, sizeof(to));
}
""" % server.getsockname()[1])
            self.storm(box, guilty=(250,))
            dialed = 0
            try:
                while True:
                    server.accept()[0].close()
                    dialed += 1
            except BlockingIOError:
                pass
            self.assertEqual(dialed, 2 if is_sanitized() else 1)


if __name__ == "__main__":
    unittest.main()
