# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of modules, and turns off and on while mail flows."""
import json
import os
import re
import signal
import smtplib
import threading
import unittest

from fault import Faulty, build
from sandbox import Sandbox, until


def module(box, name):
    """What posthousectl modules --json says of it."""
    for line in box.ctl("modules", "--json").stdout.splitlines():
        facts = json.loads(line)
        if facts["name"] == name:
            return facts
    raise AssertionError(f"there is no {name}")


def reply(box):
    """What the stage of RCPT is answered."""
    client = box.smtp()
    client.helo("client.test")
    client.mail("x@outside.test")
    code = client.rcpt("bob@example.test")[0]
    client.close()
    return code


class Modules(Faulty, unittest.TestCase):
    REFUSE = 'return ph_reject(call, 550, "5.7.1", "no");'

    def test_state_figures_and_file_of_each_are_told(self):
        path = build(self.modules(), self.REFUSE, stage="RCPT")
        with Sandbox({"a": f'check_fault: {{ module = "{path}"; }};'
                      'check_access: { mode = "shadow"; };'
                      'check_helo: { enabled = false; };'}) as box:
            for _ in range(3):
                self.assertEqual(reply(box), 550)
            facts = module(box, "check_fault")
            for name, value in (("state", "on"), ("role", "check"), ("calls", 3),
                                ("kind", "check"), ("file", path),
                                ("reject", 3), ("next", 0), ("late", 0),
                                ("lost", 0), ("crashes", 0)):
                self.assertEqual(facts[name], value, name)
            self.assertRegex(facts["abi"], r"^1\.\d+$")
            rcpt = facts["hooks"]["rcpt"]
            self.assertEqual(list(facts["hooks"]), ["rcpt"])
            self.assertEqual(rcpt["calls"], 3)
            self.assertLessEqual(rcpt["p50_us"], rcpt["p99_us"])
            self.assertEqual(module(box, "check_access")["state"], "shadow")
            self.assertEqual(module(box, "check_helo"), {
                "name": "check_helo", "state": "off", "by": "configuration"})
            self.assertEqual(module(box, "imap")["role"], "edge,mail")
            self.assertGreater(module(box, "auth_local")["hooks"]["auth"]["calls"], 0)
            text = box.ctl("modules").stdout
            self.assertRegex(text, r"(?m)^check_fault state=on kind=check .* calls=3 "
                             r"next=0 accept=0 defer=0 reject=3 ")
            self.assertRegex(text, r"(?m)^check_fault hook=rcpt calls=3 p50_us=\d+ "
                             r"p99_us=\d+$")

    def test_a_module_s_own_counters_are_summed_over_all(self):
        box = self.faulty('ph_count("asked", 1);', stage="RCPT",
                          conf="processes: { check = 3; edge = 2; };")
        self.assertNotIn("counters", module(box, "check_fault"))
        for _ in range(12):
            self.assertEqual(reply(box), 250)
        self.assertEqual(module(box, "check_fault")["counters"],
                         {"asked": 12})
        box.kill_role("check", signal.SIGKILL)
        until(lambda: box.log().count("role_ready role=check") == 6,
              "three new processes")
        self.assertEqual(reply(box), 250)
        self.assertRegex(box.ctl("modules").stdout,
                         r"(?m)^check_fault counters asked=13$")

    def test_slow_calls_are_seen_in_the_high_percentile(self):
        box = self.faulty("static int n; if (n++ % 10 == 9) ph_sleep_ms(3000);",
                          stage="RCPT")
        for _ in range(10):
            self.assertEqual(reply(box), 250)
        rcpt = module(box, "check_fault")["hooks"]["rcpt"]
        self.assertLess(rcpt["p50_us"], 2000000)
        self.assertGreater(rcpt["p99_us"], 2900000)

    def test_figures_outlive_a_process_and_are_summed_over_all(self):
        box = self.faulty("", stage="RCPT",
                          conf="processes: { check = 3; edge = 2; };")
        for _ in range(12):
            self.assertEqual(reply(box), 250)
        self.assertEqual(module(box, "check_fault")["calls"], 12)
        pids = box.kill_role("check", signal.SIGKILL)
        self.assertEqual(len(pids), 3)
        until(lambda: box.log().count("role_ready role=check") == 6,
              "three new processes")
        for _ in range(5):
            self.assertEqual(reply(box), 250)
        facts = module(box, "check_fault")
        self.assertEqual((facts["calls"], facts["next"], facts["crashes"]),
                         (17, 17, 0), "nobody is blamed for a kill from outside")

    def test_what_is_off_is_not_asked_until_it_is_on(self):
        box = self.faulty(self.REFUSE, stage="RCPT", options="",
                          conf="processes: { check = 2; edge = 2; };")
        open_one = box.smtp()  # sessions that are open hear of it, too
        self.addCleanup(open_one.close)
        open_one.helo("client.test")
        self.assertEqual(reply(box), 550)
        box.ctl("module", "disable", "check_fault")
        until(lambda: all(reply(box) == 250 for _ in range(4)), "it is off")
        open_one.mail("x@outside.test")
        self.assertEqual(open_one.rcpt("bob@example.test")[0], 250)
        facts = module(box, "check_fault")
        self.assertEqual((facts["state"], facts["by"]), ("off", "operator"))
        box.ctl("reload")
        self.assertEqual(reply(box), 250, "a reload changes nothing of it")
        self.assertIn("server modules_out 1\n", box.ctl("status").stdout)
        self.assertIn("module_stays_off module=check_fault", box.log())
        box.kill_role("check")
        box.kill_role("edge")

        def again():
            try:
                return reply(box)
            except (OSError, smtplib.SMTPException):
                return None
        self.assertEqual(until(again, "edge"), 250, "new processes are told")
        box.ctl("module", "enable", "check_fault")
        until(lambda: all(reply(box) == 550 for _ in range(4)), "it is on")
        self.assertEqual(module(box, "check_fault")["state"], "on")
        self.assertRegex(box.log(), r"command name=module op=disable "
                         r"object=check_fault uid=\d+")
        self.assertIn("module_off module=check_fault by=operator", box.log())
        self.assertIn("module_in module=check_fault by=operator", box.log())
        box.ctl("module", "disable", "check_fault")
        box.restart()
        self.assertEqual(reply(box), 550, "a restart asks the configuration")

    def test_what_carries_mail_puts_it_off_while_it_is_off(self):
        with Sandbox({"relay": 'relay_networks = [ "127.0.0.0/8" ];'}) as box:
            box.ctl("module", "disable", "transport_smtp")
            client = box.smtp()
            client.sendmail("x@outside.test", ["y@far.test"], b"\r\nhi\r\n")
            client.quit()
            until(lambda: re.search(r" deferred .*the transport was taken out",
                                    box.log()), "the attempt")
            box.ctl("module", "disable", "auth_local")
            until(lambda: reply(box) == 451, "nobody can tell who is here")
            box.ctl("module", "enable", "auth_local")
            until(lambda: reply(box) == 250, "it tells again")

    def test_what_cannot_be_switched_is_refused(self):
        with Sandbox() as box:
            for words, status, text in (
                    (("disable", "imap"), 1, "enabled = false"),
                    (("disable", "store_maildir"), 1, "enabled = false"),
                    (("disable", "nothing"), 1, "nothing"),
                    (("enable", "log"), 1, "log"),
                    (("eat", "imap"), 2, "usage"), (("enable",), 2, "usage")):
                done = box.ctl("module", *words, check=False)
                self.assertEqual(done.returncode, status, words)
                self.assertIn(text, done.stderr)

    def test_a_broken_module_is_tried_again_and_goes_out_at_once(self):
        gone = os.path.join(self.modules(), "gone")
        box = self.faulty(f'if (access("{gone}", F_OK) != 0) raise(SIGSEGV);',
                          conf='crash_limit = 2; crash_pause = "2s";')

        def state():
            self.assertEqual(reply(box), 250)
            return module(box, "check_fault")["state"]
        until(lambda: state() == "broken", "it is taken out")
        facts = module(box, "check_fault")
        self.assertEqual(facts["crashes"], 2)
        self.assertEqual(facts["lost"], 2)
        self.assertRegex(facts["last_crash"], r"^20\d\d-.*Z$")
        self.assertGreaterEqual(facts["retry_at"], facts["last_crash"])
        self.assertIn("module_out module=check_fault crashes=2 for_s=2", box.log())
        until(lambda: "module_in module=check_fault by=trial" in box.log(), "a trial")
        until(lambda: state() == "broken", "one crash takes it out again")
        self.assertIn("module_out module=check_fault crashes=1 for_s=4", box.log())
        self.assertEqual(module(box, "check_fault")["crashes"], 3)
        open(gone, "w").close()
        os.chmod(gone, 0o644)
        until(lambda: box.log().count("by=trial") == 2, "the second trial")
        self.assertEqual(state(), "on")
        self.assertGreater(module(box, "check_fault")["next"], 0)

    def test_enabling_closes_the_breaker(self):
        gone = os.path.join(self.modules(), "gone")
        box = self.faulty(f'if (access("{gone}", F_OK) != 0) abort();',
                          conf="crash_limit = 1;")
        self.assertEqual(reply(box), 250)
        until(lambda: module(box, "check_fault")["state"] == "broken", "broken")
        open(gone, "w").close()
        os.chmod(gone, 0o644)
        box.ctl("module", "enable", "check_fault")
        until(lambda: reply(box) and module(box, "check_fault")["next"], "it runs")
        self.assertEqual(module(box, "check_fault")["state"], "on")


class Content(Faulty, unittest.TestCase):
    def test_copies_for_checks_are_bounded_as_a_sum(self):
        """Two messages do not fit beside each other: one waits, then 452, even
        though the check's failure would let it pass."""
        gone = os.path.join(self.modules(), "gone")
        box = self.faulty(f'while (access("{gone}", F_OK) != 0) ph_sleep_ms(20);',
                          stage="MESSAGE",
                          conf='limits: { content_memory = "64K"; };')
        text = b"Subject: large\r\n\r\n" + 900 * (b"x" * 48 + b"\r\n")
        codes, first = [], box.smtp()
        self.addCleanup(first.close)
        first.helo("client.test")
        first.mail("x@outside.test")
        first.rcpt("bob@example.test")
        sending = threading.Thread(target=lambda: codes.append(first.data(text)[0]))
        sending.start()
        until(lambda: "check.0 running 1\n" in box.ctl("status").stdout, "one looks")
        second = box.smtp()
        self.addCleanup(second.close)
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            second.sendmail("y@outside.test", ["bob@example.test"], text)
        self.assertEqual(refused.exception.smtp_code, 452)
        self.assertIn(b"4.3.1 Too much mail at a time", refused.exception.smtp_error)
        open(gone, "w").close()
        os.chmod(gone, 0o644)
        sending.join()
        self.assertEqual(codes, [250])
        second.sendmail("y@outside.test", ["bob@example.test"], text)
        second.sendmail("y@outside.test", ["bob@example.test"], text * 3)


if __name__ == "__main__":
    unittest.main()
