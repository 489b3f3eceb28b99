# SPDX-License-Identifier: Apache-2.0
"""Whose mail goes next, and what waits for whom: several destinations, several
senders, limits. Remote servers answer when the test lets them."""
import socket
import threading
import time
import unittest

from ports import free_ports
from remote import Narrow, Remote
from sandbox import Dns, Sandbox, Smtp, until

ZONE = """
fast.test A 127.0.0.2
slow.test A 127.0.0.3
dead.test A 127.0.0.4
"""


def message(n):
    return (f"From: <alice@example.test>\r\nTo: <x@far.test>\r\nSubject: m{n}\r\n"
            "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n").encode()


def serve(listener, talk):
    """talk to each that connects; the list grows with their number."""
    connections = []

    def session(link):
        try:
            with link:
                talk(link)
        except OSError:
            pass

    def accept():
        try:
            while True:
                link = listener.accept()[0]
                connections.append(link)
                threading.Thread(target=session, args=(link,),
                                 daemon=True).start()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    return connections


class Schedule(unittest.TestCase):
    def snippet(self, port, queue):
        return (f"transport_smtp: {{ port = {port}; allow_loopback = true; }}; "
                "relay_networks = [ \"127.0.0.0/8\" ]; "
                f"queue: {{ {queue} }};")

    def box(self, port, queue=""):
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        if "retry" not in queue:
            queue += ' retry = [ "1s" ];'
        box = Sandbox({"schedule": self.snippet(port, queue)}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def remote(self, kind=Remote, **how):
        remote = kind(**how)
        self.addCleanup(remote.close)
        return remote

    def gate(self):
        """A rule that lets no content pass until the event is set."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event, lambda verb, line, n: event.wait(300) and None \
            if verb == "END" else None

    def send(self, box, to, senders=("alice@example.test",), first=0):
        client = Smtp("127.0.0.1", box.port("smtp"))
        for n, sender in enumerate(senders):
            client.sendmail(sender, to if isinstance(to, list) else [to],
                            message(first + n))
        client.quit()

    def test_a_narrow_destination_delays_no_other(self):
        event, rule = self.gate()
        fast = self.remote(address="127.0.0.2")
        slow = self.remote(Narrow, address="127.0.0.3", port=fast.port, rule=rule)
        box = self.box(fast.port)
        for n in range(5):
            self.send(box, "x@slow.test", ["alice@example.test"] * 4, n * 4)
            self.send(box, "x@fast.test", ["alice@example.test"] * 10, n * 10)
        until(lambda: len(fast.messages) == 50, "all mail of the fast one")
        self.assertEqual(slow.messages, [])
        event.set()
        until(lambda: len(slow.messages) >= 20, "all mail of the slow one")
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "an empty queue")
        self.assertEqual(len(slow.messages), 20)

    def test_a_mailing_delays_no_other_sender(self):
        event, rule = self.gate()
        far = self.remote(address="127.0.0.2", rule=rule)
        box = self.box(far.port, "destination_limits = [ "
                                 "\"fast.test concurrency=1\" ];")
        self.send(box, "x@fast.test", ["news@example.test"] * 150)
        self.send(box, [f"x{n}@fast.test" for n in range(300)],
                  ["list@example.test"])
        self.send(box, "x@fast.test", ["bob@example.test"])
        until(lambda: "recipients=451" in box.ctl("queue", "counts").stdout,
              "the mail to be queued")
        event.set()
        until(lambda: len(far.messages) == 154, "all mail")
        senders = [m[0] for m in far.messages]
        place = next(i for i, s in enumerate(senders) if "bob@" in s)
        self.assertLess(place, 4, senders[:10])

    def test_a_dead_destination_is_tried_once_for_all(self):
        dead, = free_ports(1)
        # as long as twenty messages may take to be taken
        box = self.box(dead, 'retry = [ "10m" ]; destination_failures = 1; '
                       'lifetime = "15s"; destination_limits = '
                       '[ "dead.test start=1" ];')
        self.send(box, "x@dead.test", ["alice@example.test"] * 20)
        until(lambda: " destination_waits " in box.log(), "it to rest")
        lines = [line for line in self.wait_bounced(box, 20)
                 if "can't connect" not in line]
        self.assertEqual(lines, [])
        self.assertEqual(box.log().count(" smtp_session "), 1)
        self.assertEqual(len(box.inbox("alice", 20)), 20)

    def wait_bounced(self, box, count):
        def look():
            lines = [line for line in box.log().splitlines()
                     if " bounced " in line]
            return lines if len(lines) >= count else None
        return until(look, f"{count} bounces")

    def test_a_hostile_destination_costs_one_attempt(self):
        """Endless lines, an octet now and then, what is no SMTP at all."""
        def endless(link):
            while True:
                link.sendall(b"220-and there is more\r\n" * 100)

        def slow(link):
            while True:
                link.sendall(b"2")
                time.sleep(0.2)

        def garbage(link):
            link.sendall(bytes(range(256)) * 400)
            link.recv(1)

        port = 0
        counts = []
        for address, talk in (("127.0.0.2", endless), ("127.0.0.3", slow),
                              ("127.0.0.4", garbage)):
            listener = socket.create_server((address, port))
            self.addCleanup(listener.close)
            self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
            port = listener.getsockname()[1]
            counts.append(serve(listener, talk))
        box = self.box(port, 'retry = [ "1h" ]; attempt_timeout = "3s";')
        names = ["fast.test", "slow.test", "dead.test"]
        for name in names:
            self.send(box, "x@" + name)
        for name in names:
            until(lambda: [line for line in box.log().splitlines()
                           if " deferred " in line and "to=x@" + name in line],
                  "the attempt at " + name)
        self.assertEqual([len(count) for count in counts], [1, 1, 1])
        self.assertEqual(box.log().count(" deferred "), 3)
        self.assertIn("relay", " ".join(box.children().values()))

    def test_a_rate_holds_until_the_configuration_says_otherwise(self):
        far = self.remote(address="127.0.0.2")
        box = self.box(far.port,
                       'destination_limits = [ "fast.test rate=2/1h" ];')
        self.send(box, "x@fast.test", ["alice@example.test"] * 5)
        until(lambda: len(far.messages) == 2, "as much as the rate lets through")
        until(lambda: "recipients=3" in box.ctl("queue", "counts").stdout,
              "the others to wait")
        id = box.ctl("queue", "list").stdout.split()[0]
        self.assertIn("for its rate", box.ctl("queue", "why", id).stdout)
        box.snippet("90-schedule", self.snippet(far.port, 'retry = [ "1s" ];'))
        box.ctl("reload")
        until(lambda: len(far.messages) == 5, "all mail")


if __name__ == "__main__":
    unittest.main()
