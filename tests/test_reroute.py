# SPDX-License-Identifier: Apache-2.0
"""Mail that waits takes the routes of today: after a reload, after a restart,
by hand; and nobody gets it twice."""
import os
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until

ZONE = """
plain.test A 127.0.0.2
dead.test A 127.0.0.9
new.test RCODE SERVFAIL
"""


def message(subject="waits"):
    return (f"From: <alice@example.test>\r\nSubject: {subject}\r\n"
            "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n").encode()


class Reroute(unittest.TestCase):
    QUEUE = 'queue: { retry = [ "10m" ]; destination_failures = 1; };'

    def box(self, routes):
        self.remote = Remote()
        self.addCleanup(self.remote.close)
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        self.transport = (f"transport_smtp: {{ port = {self.remote.port}; "
                          "allow_loopback = true; connect_timeout = \"1s\"; };")
        box = Sandbox({"a": self.transport + self.QUEUE, "route": routes},
                      dns=dns.address)
        self.addCleanup(box.close)
        return box

    def write(self, box, name, text):
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check", name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o644)

    def send(self, box, *to, **more):
        client = box.submission()
        client.sendmail("alice@example.test", list(to), message(**more))
        client.quit()

    def empty(self, box):
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "an empty queue")

    def reload(self, box, routes):
        box.snippet("route", routes)
        box.ctl("reload")

    def test_a_changed_route_counts_at_the_next_attempt(self):
        box = self.box('router_routes: { routes = [ "a.test transport_smtp '
                       'dead.test" ]; };')
        self.send(box, "x@a.test", "y@a.test")
        box.lines(" deferred ", "to=x@a.test")
        box.lines(" deferred ", "to=y@a.test")
        self.reload(box, 'router_routes: { routes = [ "a.test transport_smtp '
                         'plain.test" ]; };')
        self.assertEqual(self.remote.messages, [])
        box.ctl("queue", "retry", "all")
        box.lines(" delivered ", "host=plain.test", count=2)
        self.assertEqual(len(self.remote.messages), 1)
        self.assertEqual(len(self.remote.messages[0][1]), 2)
        self.empty(box)

    def test_what_stands_in_line_for_a_dead_host_goes_the_new_way_at_once(self):
        box = self.box('router_routes: { routes = [ "a.test transport_smtp '
                       'dead.test" ]; };')
        self.send(box, "x@a.test")
        box.lines("destination_waits")
        self.send(box, "y@a.test")  # never tried
        box.lines(" accepted ", count=2)
        self.reload(box, "router_routes: { routes = [ \"a.test transport_smtp "
                         "plain.test\" ]; };")
        box.lines(" delivered ", "to=y@a.test", "host=plain.test")

    def test_a_domain_that_became_ours_is_looked_up_here(self):
        box = self.box("router_virtual: { };")
        self.send(box, "bob@new.test", "ghost@new.test")
        box.lines(" deferred ", "to=bob@new.test", "status=4.4.3")
        box.lines(" deferred ", "to=ghost@new.test", "status=4.4.3")
        self.write(box, "virtual", "bob@new.test bob@example.test\n")
        self.reload(box, 'router_virtual: { virtual_domains = [ "new.test" ]; };')
        box.ctl("queue", "retry", "all")
        box.inbox("bob", 1)
        box.lines(" bounced ", "to=ghost@new.test", "status=5.1.1")
        report = box.inbox("alice", 1)[0]
        self.assertIn(b"Final-Recipient: rfc822; ghost@new.test", report)
        self.empty(box)

    def test_without_routers_the_domain_and_the_mailbox_decide(self):
        box = self.box("")
        self.send(box, "ghost@new.test")
        box.lines(" deferred ", "to=ghost@new.test", "status=4.4.3")
        self.reload(box, 'domains = [ "example.test", "new.test" ];')
        box.ctl("queue", "retry", "all")
        box.lines(" bounced ", "to=ghost@new.test", "status=5.1.1")
        box.inbox("alice", 1)
        self.empty(box)

    def test_by_hand_and_nobody_gets_it_twice(self):
        box = self.box("router_virtual: { };")
        self.send(box, "x@new.test", "bob@example.test", "y@new.test")
        box.inbox("bob", 1)
        box.lines(" deferred ", "to=x@new.test")
        box.lines(" deferred ", "to=y@new.test")
        self.write(box, "virtual", "x@new.test bob@example.test\n"
                   "y@new.test carol@example.test, bob@example.test\n")

        def known():
            box.ctl("queue", "reroute", "all", check=False)
            return " delivered " in box.log() and "to=carol" in box.log()
        until(known, "the new entries")
        box.inbox("carol", 1)
        self.empty(box)
        self.assertEqual(box.log().count(" delivered "), 2)
        self.assertEqual(len(box.inbox("bob", 1)), 1)

    def test_a_restart_asks_again_and_what_was_rerouted_stays_so(self):
        box = self.box('router_routes: { routes = [ "a.test transport_smtp '
                       'dead.test" ]; };')
        self.send(box, "x@a.test")
        box.lines(" deferred ", "to=x@a.test")
        box.kill()
        box.snippet("route", 'router_routes: { routes = [ "a.test '
                             'transport_smtp [127.0.0.2]" ]; };')
        box.snippet("zz", 'transport_smtp: { port = 9; };')
        box.restart()
        box.ctl("queue", "retry", "all")
        box.lines(" rerouted ", "destination=[127.0.0.2]")
        box.lines(" deferred ", "to=x@a.test", count=2)
        box.kill()
        box.snippet("zz", "")
        box.restart()
        box.ctl("queue", "retry", "all")
        box.lines(" delivered ", "to=x@a.test", "host=127.0.0.2")
        self.assertEqual(box.log().count(" rerouted "), 1)

    def test_no_answer_puts_mail_off(self):
        box = self.box("router_virtual: { };")
        self.send(box, "x@new.test")
        box.lines(" deferred ", "to=x@new.test")
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check",
                            "virtual")
        os.mkdir(path)  # can't be read
        self.reload(box, "router_virtual: { order = 111; };")
        box.ctl("queue", "retry", "all")
        box.lines(" not_rerouted ")
        os.rmdir(path)
        self.write(box, "virtual", "x@new.test bob@example.test\n")
        box.ctl("queue", "retry", "all")
        box.inbox("bob", 1)


if __name__ == "__main__":
    unittest.main()
