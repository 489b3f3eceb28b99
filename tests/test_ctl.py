# SPDX-License-Identifier: Apache-2.0
"""posthousectl: what an operator asks, what programs read, who may ask."""
import json
import os
import re
import signal
import smtplib
import socket
import struct
import subprocess
import unittest

from sandbox import DEADLINE, Sandbox, until

ID = r"[0-9a-z]{13}"


class Ctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"quick": 'dns: { timeout = "500ms"; attempts = 1; };'
                           'limits: { auth_failure_delay = "0ms"; };'})
        cls.addClassCleanup(cls.box.close)
        state = os.path.dirname(os.path.dirname(cls.box.env["PH_MAIL"]))
        cls.socket = os.path.join(state, "run", "control.sock")

    def ctl(self, *args, **more):
        return self.box.ctl(*args, check=False, **more)

    def may_log_in(self, user, password):
        client = self.box.submission(user=None)
        try:
            client.login(user, password)
            return True
        except smtplib.SMTPAuthenticationError:
            return False
        finally:
            client.close()

    def rotate_log(self):
        """As logrotate does; what was written so far is in log.1.gz."""
        log = os.path.join(self.box.dir, "log")
        os.rename(log, log + ".1")
        os.kill(int(self.box.env["PH_PID"]), signal.SIGUSR1)
        until(lambda: os.path.exists(log), "the log opened again")
        subprocess.run(["gzip", log + ".1"], check=True)

    def test_status_is_one_item_a_line(self):
        lines = self.box.ctl("status").stdout.splitlines()
        for line in lines:
            self.assertRegex(line, r"^(server|(queue|auth|check|mail|relay|edge)"
                             r"\.\d+) \w+ \S.*$")
        self.assertIn(f"server pid {self.box.env['PH_PID']}", lines)
        self.assertIn("queue.0 messages 0", lines)
        self.assertIn("edge.0 state ready", lines)
        self.assertIn("server modules_out 0", lines)
        self.assertTrue(any(re.match(r"edge\.0 memory_bytes [1-9]\d{4,}$", l)
                            for l in lines))

    def test_modules_tell_what_is_on(self):
        lines = self.box.ctl("modules").stdout.splitlines()
        for start in ("smtp_inbound state=on kind=listener role=edge,mail ",
                      "auth_local state=on kind=auth role=auth "):
            self.assertTrue(any(l.startswith(start) for l in lines), start)

    def test_users_come_and_go(self):
        self.assertNotIn("erin@example.test", self.box.ctl("user", "list").stdout)
        self.box.ctl("user", "add", "erin", stdin="first word\n")
        self.assertIn("erin@example.test\n", self.box.ctl("user", "list").stdout)
        self.assertTrue(self.may_log_in("erin", "first word"))
        done = self.ctl("user", "add", "erin", stdin="x\n")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr)
        self.box.ctl("user", "passwd", "erin", stdin="second\n")
        self.assertFalse(self.may_log_in("erin", "first word"))
        self.assertTrue(self.may_log_in("erin", "second"))
        self.box.ctl("user", "del", "erin")
        self.assertFalse(self.may_log_in("erin", "second"))
        self.assertEqual(self.ctl("user", "passwd", "erin", stdin="x\n")
                         .returncode, 1)
        self.assertEqual(self.ctl("user", "add", "frank", stdin="").returncode, 1)
        self.assertNotIn("second", self.box.log())

    def test_wrong_usage_has_its_own_status(self):
        for words in ((), ("nonsense",), ("queue",), ("queue", "show"),
                      ("queue", "eat", "x"), ("user", "add"),
                      ("user", "add", "x", "password"), ("trace",),
                      ("trace", "a", "b"), ("trace", "a", "--json", "b"),
                      ("trace", "--json", "a", "b"),
                      ("status", "more"), ("--nonsense",)):
            with self.subTest(words):
                done = self.ctl(*words, stdin="x\n")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("usage:", done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.ctl("--help").returncode, 0)

    def test_a_message_that_waits_is_shown_traced_and_deleted(self):
        client = self.box.submission()
        self.addCleanup(client.close)
        client.sendmail("alice@example.test", ["x@unreachable.test"],
                        b"From: <alice@example.test>\r\n\r\nwaits\r\n")
        client.quit()
        accepted = until(lambda: re.search(
            rf"session=({ID}) .*queue=({ID}) .*x@unreachable.test",
            self.box.log()), "the accepted line")
        session, queue = accepted.groups()
        until(lambda: re.search(rf" deferred .*queue={queue}", self.box.log()),
              "the first attempt")
        self.assertIn(queue, self.box.ctl("queue", "list").stdout)
        shown = self.box.ctl("queue", "show", queue).stdout
        self.assertIn("x@unreachable.test", shown)
        for token in (queue, session):
            story = self.box.ctl("trace", token).stdout
            self.assertRegex(story, rf" accepted .*queue={queue}")
            self.assertRegex(story, rf" deferred .*queue={queue}")
        self.rotate_log()
        self.assertNotIn(queue, self.box.log())
        story = self.box.ctl("trace", queue).stdout
        self.assertRegex(story, rf" accepted .*queue={queue}")
        attempts = len(re.findall(rf" deferred .*queue={queue}", self.box.log()))
        self.box.ctl("queue", "retry", queue)
        until(lambda: len(re.findall(rf" deferred .*queue={queue}",
                                     self.box.log())) > attempts, "one more")
        self.box.ctl("queue", "delete", queue)
        self.assertNotIn(queue, self.box.ctl("queue", "list").stdout)
        self.assertEqual(self.ctl("queue", "show", queue).returncode, 1)
        self.assertRegex(self.box.log(), rf"command name=queue op=delete "
                         rf"object={queue} uid={os.geteuid()}")

    def objects(self, *words):
        return [json.loads(line) for line in
                self.box.ctl(*words).stdout.splitlines()]

    def test_a_message_is_shown_and_traced_as_json(self):
        client = self.box.submission()
        self.addCleanup(client.close)
        client.sendmail("alice@example.test", ["x@json.test", "y@json.test"],
                        "From: <alice@example.test>\r\nSubject: \"Gr\u00fc\u00dfe\""
                        "\r\n\r\n\x1b[1m\u009b\x00\r\n".replace("\0", "")
                        .encode() + b"\xff\r\n" + b"x" * 900 + b"\r\n" * 3000,
                        mail_options=["BODY=8BITMIME", "RET=HDRS", "ENVID=a\"b"])
        client.quit()
        accepted = until(lambda: re.search(
            rf"session=({ID}) .*queue=({ID}) .*x@json.test",
            self.box.log()), "the accepted line")
        session, queue = accepted.groups()
        until(lambda: len(re.findall(rf" deferred .*queue={queue}",
                                     self.box.log())) >= 2, "both attempts")
        shown, = self.objects("queue", "show", queue, "--json")
        self.assertEqual(
            {name: shown[name] for name in ("type", "id", "session", "from", "user",
                                            "priority", "held", "cut")},
            {"type": "message", "id": queue, "session": session,
             "from": "alice@example.test", "user": "alice@example.test",
             "priority": 0, "held": False, "cut": False})
        self.assertEqual(shown["facts"]["envid"], 'a"b')
        self.assertEqual(sorted(r["to"] for r in shown["recipients"]),
                         ["x@json.test", "y@json.test"])
        one = shown["recipients"][0]
        self.assertEqual((one["state"], one["class"]), ("deferred", "repeated"))
        self.assertGreaterEqual(one["attempts"], 1)
        self.assertTrue(one["reason"])
        self.assertIn('Subject: "Gr\u00fc\u00dfe"\r\n', shown["content"])
        self.assertIn("\r\n\x1b[1m\x9b\r\n\ufffd\r\n", shown["content"])
        self.assertEqual(shown["verdicts"], [])
        self.box.ctl("queue", "hold", queue)
        for token in (queue, session):
            message, *lines = self.objects("trace", token, "--json")
            self.assertEqual((message["type"], message["id"]), ("message", queue))
            self.assertTrue(message["held"])
            self.assertNotIn("content", message)
            self.assertTrue(all(line["type"] == "log" for line in lines))
            accepted, = [l for l in lines if l["event"] == "accepted"]
            self.assertEqual(accepted["fields"]["queue"], queue)
            self.assertEqual(accepted["process"][:4], "edge")
            self.assertEqual(len([l for l in lines if l["event"] == "deferred"
                                  and l["fields"]["to"] == "x@json.test"]), 1)
        self.box.ctl("queue", "delete", queue)
        lines = self.objects("trace", "--json", queue)
        self.assertEqual({line["type"] for line in lines}, {"log"})
        self.assertEqual(lines[-1]["event"], "deleted")

    def test_what_nobody_knows_of_is_no_story(self):
        for token in ("0000000000000", "not an id", "a" * 5000):
            done = self.ctl("trace", token)
            self.assertEqual(done.returncode, 2 if len(token) > 1024 else 1)
        self.assertEqual(self.ctl("queue", "show", "zzz").returncode, 2)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_other_users_may_not_ask(self):
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
             self.box.env["PH_CTL"], "status"], capture_output=True, text=True)
        if done.returncode == 126:
            self.skipTest("the other user can't reach the program here")
        self.assertEqual(done.returncode, 3)
        self.assertIn("Permission denied", done.stderr)

    def test_nonsense_on_the_socket_is_dropped(self):
        for octets in (b"\xff" * 64, struct.pack("<I", 5) + b"12345",
                       struct.pack("<I", 0), b"\x01"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE)
                client.connect(self.socket)
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
                client.recv(100)
        self.box.ctl("status")


if __name__ == "__main__":
    unittest.main()
