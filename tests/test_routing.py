# SPDX-License-Identifier: Apache-2.0
"""Who gets a message that is not for the mailbox it names: aliases, virtual
addresses and domains, catch-all, loops, and who is refused at once."""
import os
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until

ZONE = "plain.test A 127.0.0.2\n"

ALIASES = """
team: alice, bob, alice@example.test, Carol
more: team, alice
self: bob, self
round: about
about: round
alice: alice, bob
out: x@plain.test, bob
dead: nobody, nowhere
half: nobody, carol
list: :include:%(dir)s/list
gone: :include:%(dir)s/gone
written: "bob"@example.test, <alice@example.test>, Carol <carol@example.test>
slip: <bob@example.test, carol@x..test
slips: alice, carol@x..test
"""

VIRTUAL = """
info@shop.test bob@example.test
@all.test carol@example.test
@old.test @example.test
@example.test alice@example.test
"""


def message(sender=b"a@x.test"):
    return (b"From: <%s>\r\nTo: <b@example.test>\r\nSubject: x\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n" % sender)


class Routing(unittest.TestCase):
    def box(self, modules="router_aliases: { };", more=""):
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"route": modules + more}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def write(self, box, name, text):
        """In the check role's folder, as its user would find it."""
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check")
        with open(os.path.join(path, name), "w") as out:
            out.write(text % {"dir": path})
        os.chmod(os.path.join(path, name), 0o644)

    def send(self, box, *to, refused=()):
        with box.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.mail("a@x.test")[0], 250)
            for one in to:
                code, said = client.rcpt(one)
                self.assertEqual(code, 250, said)
            for one, code in refused:
                self.assertEqual(client.rcpt(one)[0], code, one)
            if to:
                self.assertEqual(client.data(message())[0], 250)

    def lines(self, box, *words, count=1):
        def look():
            lines = [line for line in box.log().splitlines()
                     if all(word in line for word in words)]
            return lines if len(lines) >= count else None
        return until(look, f"{count} log lines with {words}")

    def test_aliases_reach_everybody_once(self):
        box = self.box()
        self.write(box, "list", "# members\nbob,\ncarol@example.test\n")
        self.write(box, "aliases", ALIASES)
        self.send(box, "more@example.test", "bob@example.test", "TEAM+x@Example.test")
        for user in ("alice", "bob", "carol"):
            box.inbox(user, 1)
        self.lines(box, " delivered ", count=3)
        self.assertEqual(box.log().count(" delivered "), 3)
        self.send(box, "list@example.test")
        box.inbox("bob", 2)
        box.inbox("carol", 2)
        box.inbox("alice", 1)

    def test_targets_are_read_as_in_a_header_and_nothing_else_is_queued(self):
        box = self.box()
        self.write(box, "aliases", ALIASES)
        self.send(box, "written@example.test", refused=[("slip@example.test", 550)])
        for user in ("alice", "bob", "carol"):
            box.inbox(user, 1)
        self.send(box, "slips@example.test")
        box.inbox("alice", 2)
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "nothing to be left")
        self.assertIn("no address: \\\"carol@x..test", box.log())

    def test_loops_end_and_dead_ends_are_refused_at_rcpt(self):
        box = self.box()
        self.write(box, "aliases", ALIASES)
        self.send(box, "self@example.test", "half@example.test",
                  refused=[("round@example.test", 550), ("dead@example.test", 550),
                           ("nobody@example.test", 550), ("x@plain.test", 550),
                           ("gone@example.test", 451)])
        box.inbox("bob", 1)
        box.inbox("carol", 1)
        self.send(box, "alice@example.test")
        box.inbox("alice", 1)
        box.inbox("bob", 2)

    def test_an_alias_may_lead_elsewhere(self):
        remote = Remote(offer=["DSN"])
        self.addCleanup(remote.close)
        box = self.box(more=(f" transport_smtp: {{ port = {remote.port}; "
                             "allow_loopback = true; };"))
        self.write(box, "aliases", ALIASES)
        self.send(box, "out@example.test")
        self.lines(box, " delivered ", "to=x@plain.test")
        box.inbox("bob", 1)
        self.assertIn("ORCPT=rfc822;out@example.test", remote.messages[0][1][0])

    def test_who_gets_an_alias_s_mail_may_send_as_it(self):
        box = self.box("router_aliases: { }; router_virtual: { };")
        self.write(box, "aliases", "team: alice, carol\nsales: team\nout: x@plain.test\n")
        self.write(box, "virtual", "info@shop.test alice@example.test\n")
        for sender, user, code in (
                ("team@example.test", "alice", 250), ("Sales@Example.test", "carol", 250),
                ("sales@example.test", "bob", 553), ("info@shop.test", "alice", 250),
                ("info@shop.test", "carol", 553), ("out@example.test", "alice", 553),
                ("nobody@example.test", "alice", 553), ("x@plain.test", "alice", 553)):
            client = box.submission(user)
            self.assertEqual(client.mail(sender)[0], code, (sender, user))
            if code == 250:
                client.rcpt("bob@example.test")
                self.assertEqual(client.data(message(sender.encode()))[0], 250)
                client.mail(f"{user}@example.test")
                client.rcpt("bob@example.test")
                self.assertEqual(client.data(message(b"bob@example.test"))[0], 550)
            client.quit()
        with box.stopped("check"):
            client = box.submission("alice")
            self.assertEqual(client.mail("alice@example.test")[0], 250)
            client.rset()
            self.assertEqual(client.mail("team@example.test")[0], 451)
            client.close()

    def test_a_changed_file_counts_without_a_reload(self):
        box = self.box()
        self.send(box, refused=[("new@example.test", 550)])
        self.write(box, "aliases", "new: bob\n")

        def known():
            with box.smtp() as client:
                client.ehlo("client.test")
                client.mail("a@x.test")
                return client.rcpt("new@example.test")[0] == 250
        until(known, "the new alias")
        self.send(box, "new@example.test")
        box.inbox("bob", 1)

    def test_virtual_addresses_domains_and_catch_all(self):
        box = self.box("router_virtual: { virtual_domains = [ \"shop.test\" ]; };")
        self.write(box, "virtual", VIRTUAL)
        self.send(box, "info@shop.test", "any@all.test", "bob@old.test",
                  refused=[("none@shop.test", 550), ("x@plain.test", 550)])
        box.inbox("bob", 1)
        box.inbox("carol", 1)
        self.send(box, "whoever@example.test", "bob@example.test")
        box.inbox("alice", 1)
        box.inbox("bob", 2)

    def test_a_message_of_many_is_routed_in_parts(self):
        box = self.box()
        self.write(box, "aliases", "".join(f"n{i}: bob\n" for i in range(450)))
        self.send(box, "alice@example.test",
                  *[f"n{i}@example.test" for i in range(450)])
        box.inbox("bob", 1)
        box.inbox("alice", 1)
        self.lines(box, " delivered ", count=2)
        self.assertEqual(box.log().count(" delivered "), 2)

    def test_a_report_goes_to_what_the_sender_stands_for(self):
        box = self.box()
        self.write(box, "aliases", "sales: bob\n")
        with box.smtp() as client:
            client.ehlo("client.test")
            client.mail("sales@example.test")
            self.assertEqual(client.rcpt("alice@example.test",
                                         ["NOTIFY=SUCCESS"])[0], 250)
            self.assertEqual(client.data(message())[0], 250)
        self.assertIn(b"Final-Recipient: rfc822; alice@example.test",
                      box.inbox("bob", 1)[0])

    def test_routes_choose_the_transport(self):
        one, two = Remote(), Remote(address="127.0.0.3")
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        box = self.box(
            "router_routes: { routes = [ \"a.test other [127.0.0.3]\", "
            "\"example.test other [127.0.0.3]\" ]; "
            "senders = [ \"alice@example.test other [127.0.0.3]\" ]; "
            "relay_domains = [ \".plain.test\", \"a.test\" ]; };",
            f" transport_smtp: {{ port = {one.port}; allow_loopback = true; }};"
            f" other: {{ module = \"transport_smtp\"; order = 200; "
            f"port = {two.port}; allow_loopback = true; }};")
        self.send(box, "x@a.test", "who@example.test",
                  refused=[("x@plain.test", 550), ("x@b.test", 550)])
        self.lines(box, " delivered ", "host=127.0.0.3", count=2)
        self.assertEqual(len(two.messages), 1)
        self.send(box, "x@sub.plain.test")
        self.lines(box, " bounced ", "to=x@sub.plain.test", "status=5.1.2")
        client = box.submission("bob")
        client.sendmail("bob@example.test", ["x@plain.test"],
                        message(b"bob@example.test"))
        client.quit()
        self.lines(box, " delivered ", "to=x@plain.test", "host=plain.test")
        client = box.submission("alice")
        client.sendmail("alice@example.test", ["y@plain.test"],
                        message(b"alice@example.test"))
        client.quit()
        self.lines(box, " delivered ", "to=y@plain.test", "host=127.0.0.3")
        self.assertEqual(len(one.messages), 1)

    def test_a_program_takes_mail_and_tells_what_became_of_it(self):
        box = self.box(
            "router_routes: { routes = [ \"tool.test tool\" ]; "
            "relay_domains = [ \"tool.test\" ]; };",
            " tool: { module = \"transport_pipe\"; order = 200; "
            "command = [ \"/bin/sh\", \"-c\", "
            "\"grep -c hello; echo $RECIPIENT; "
            "case $1 in no@*) exit 67;; late@*) exit 75;; esac\", \"sh\", "
            "\"${recipient}\" ]; };")
        self.send(box, "yes@tool.test", "no@tool.test", "late@tool.test",
                  "-x@tool.test")
        self.assertIn("1 yes@tool.test", self.lines(
            box, " delivered ", "to=yes@tool.test", "host=/bin/sh")[0])
        self.lines(box, " bounced ", "to=no@tool.test", "status=5.1.1")
        self.lines(box, " deferred ", "to=late@tool.test", "status=4.3.0")
        self.lines(box, " bounced ", "to=-x@tool.test", "status=5.1.3")

    def test_a_program_that_wants_one_message_later_holds_up_no_other(self):
        box = self.box(
            "queue: { retry = [ \"10m\" ]; };"
            "router_routes: { routes = [ \".test tool\" ]; "
            "relay_domains = [ \"tool.test\", \"sick.test\" ]; };",
            " tool: { module = \"transport_pipe\"; order = 200; "
            "command = [ \"/bin/sh\", \"-c\", "
            "\"case $1 in late*) exit 75;; sick*) exit 1;; esac\", \"sh\", "
            "\"${recipient}\" ]; };")
        for i in range(4):
            self.send(box, f"late{i}@tool.test")
            line = self.lines(box, " deferred ", f"to=late{i}@tool.test")[0]
            self.assertLess(int(line.split("next_ms=")[1]), 700000)
        self.send(box, "yes@tool.test")
        self.lines(box, " delivered ", "to=yes@tool.test")
        for i in range(3):
            self.send(box, f"sick{i}@sick.test")
            line = self.lines(box, " deferred ", f"to=sick{i}@sick.test")[0]
            self.assertGreater(int(line.split("next_ms=")[1]), 1100000)
        self.lines(box, "destination_waits", "destination=tool/sick.test")
        self.assertEqual(box.log().count("destination_waits"), 1)

    def test_blind_copies_go_once_and_in_silence(self):
        remote = Remote(offer=["DSN"])
        self.addCleanup(remote.close)
        box = self.box(
            "router_bcc: { order = 90; always = [ \"carol@example.test\", "
            "\"ghost@example.test\" ]; "
            "senders = [ \"x.test archive@plain.test\" ]; "
            "recipients = [ \"team@example.test bob@example.test\", "
            "\"carol@example.test alice@example.test\" ]; };"
            "router_aliases: { };",
            f" transport_smtp: {{ port = {remote.port}; "
            "allow_loopback = true; };")
        self.write(box, "aliases", "team: alice\n")
        with box.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.mail("a@x.test")[0], 250)
            for to in ("team@example.test", "bob@example.test"):
                self.assertEqual(client.rcpt(to, ["NOTIFY=SUCCESS"])[0], 250)
            self.assertEqual(client.data(message())[0], 250)
        for user in ("alice", "bob", "carol"):
            self.assertEqual(len(box.inbox(user, 1)), 1)
        self.lines(box, " delivered ", "to=archive@plain.test")
        self.assertIn(" NOTIFY=NEVER", remote.messages[0][1][0])
        self.assertNotIn("ORCPT", remote.messages[0][1][0])
        # alice and bob are reported on; nobody else, and no report is copied
        self.lines(box, " reported ", "action=delivered")
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "the end of all, reports too")
        self.assertEqual(box.log().count(" delivered queue="), 4)
        self.assertEqual(len(remote.messages), 1)

    def test_no_answer_is_no_refusal(self):
        box = self.box()
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check")
        os.mkdir(os.path.join(path, "aliases"))
        self.send(box, refused=[("bob@example.test", 451)])
        os.rmdir(os.path.join(path, "aliases"))


if __name__ == "__main__":
    unittest.main()
