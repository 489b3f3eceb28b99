# SPDX-License-Identifier: Apache-2.0
"""Delivery status notifications as a sender asks for them: who is told, by
whom, in which words, and what is returned (RFC 3461, 3464, 6533)."""
import email
import email.policy
import os
import quopri
import unittest

import dsn
from remote import HangUp, Remote
from sandbox import Dns, Sandbox, until

ZONE = "plain.test A 127.0.0.2\nnull.test MX 0 .\n"

TEMPLATE = """
failure_template = <<END
Charset: utf-8
From: Die Post für alle <post@$hostname>
Subject: Unzustellbar: größte Sorgfalt war vergebens ($queue_id)

Ihre Nachricht vom $arrival_date an
die Unten­stehenden kam nicht an. Das kostet $$0.
END
"""


def message(body="hello\r\n", subject="asked"):
    return (f"From: <alice@example.test>\r\nSubject: {subject}\r\n"
            "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\n" + body).encode()


def delivered(text):
    """What was sent: without what a delivery puts in front of it."""
    return text[text.index(b"Date: "):]


class Notices(unittest.TestCase):
    def box(self, offer=(), more="", files=None, rule=None):
        self.remote = Remote(offer=list(offer), rule=rule)
        self.addCleanup(self.remote.close)
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"dsn": (
            f"transport_smtp: {{ port = {self.remote.port}; "
            "allow_loopback = true; connection_idle = \"0s\"; }; " + more)}, dns=dns.address)
        self.addCleanup(box.close)
        for name, text in (files or {}).items():
            path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check", name)
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            os.chmod(path, 0o644)
        return box

    def send(self, box, *to, mail=(), rcpt=(), sender="alice@example.test",
             what=None):
        client = box.submission()
        client.sendmail(sender, list(to), what or message(),
                        mail_options=list(mail), rcpt_options=list(rcpt))
        client.quit()

    def report(self, box, n=1, user="alice"):
        """(report, its words, blocks of the part that programs read)."""
        text = box.inbox(user, n)[n - 1]
        top = email.message_from_bytes(text, policy=email.policy.default)
        self.assertEqual(dsn.check(delivered(text)), [], text.decode("utf-8", "replace"))
        words, status, _ = top.iter_parts()
        return top, words.get_content().replace("\r\n", "\n"), status.get_payload()

    def test_who_takes_the_wish_over_reports_himself(self):
        box = self.box(["DSN"])
        self.send(box, "x@plain.test", rcpt=["NOTIFY=SUCCESS,FAILURE"],
                  mail=["RET=HDRS", "ENVID=q1"])
        box.lines(" delivered ", "to=x@plain.test")
        self.assertIn(" RET=HDRS ENVID=q1", self.remote.messages[0][0])
        self.assertIn(" NOTIFY=SUCCESS,FAILURE", self.remote.messages[0][1][0])
        # the next report to come is about another message
        self.send(box, "x@null.test")
        _, _, status = self.report(box)
        self.assertEqual(status[1]["Action"], "failed")
        self.assertEqual(box.log().count(" reported "), 1)

    def test_relayed_is_told_where_nobody_else_would(self):
        box = self.box()
        self.send(box, "x@plain.test", "bob@example.test",
                  rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;a+2Bb@plain.test"],
                  mail=["ENVID=q+2B1"])
        box.inbox("alice", 2)
        blocks = {}
        for n in (1, 2):
            _, words, status = self.report(box, n)
            self.assertEqual(status[0]["Original-Envelope-Id"], "q+1")
            self.assertEqual(status[1]["Original-Recipient"],
                             "rfc822; a+b@plain.test")
            blocks[status[1]["Final-Recipient"]] = (status[1]["Action"], words)
        self.assertEqual(blocks["rfc822; x@plain.test"][0], "relayed")
        self.assertEqual(blocks["rfc822; bob@example.test"][0], "delivered")
        self.assertIn("<x@plain.test>: relayed", blocks["rfc822; x@plain.test"][1])
        for line in box.lines(" delivered ", "from=<>", count=2):
            self.assertIn("to=alice@example.test", line)

    def test_an_alias_for_several_is_expanded_and_reported_once(self):
        box = self.box(["DSN"], "router_aliases: { };", {
            "aliases": "team: bob, carol, x@plain.test\nsolo: bob\n"})
        self.send(box, "team@example.test", rcpt=["NOTIFY=SUCCESS,DELAY"])
        _, words, status = self.report(box)
        self.assertEqual(status[1]["Action"], "expanded")
        self.assertEqual(status[1]["Final-Recipient"],
                         "rfc822; team@example.test")
        self.assertIn("3 recipients", words)
        box.lines(" delivered ", "to=x@plain.test")
        self.assertIn(" NOTIFY=DELAY ORCPT=", self.remote.messages[0][1][0])
        box.inbox("bob", 1)
        box.inbox("carol", 1)
        # one for one: the report is that of the delivery
        self.send(box, "solo@example.test", rcpt=["NOTIFY=SUCCESS"])
        _, _, status = self.report(box, 2)
        self.assertEqual(status[1]["Action"], "delivered")
        self.assertEqual(status[1]["Original-Recipient"],
                         "rfc822; solo@example.test")
        self.assertEqual(box.log().count(" reported "), 2)

    def test_addresses_outside_ascii_are_named_in_utf8(self):
        box = self.box(["8BITMIME"])
        self.send(box, "j\u00f6rg@plain.test", mail=["SMTPUTF8"],
                  what=message(subject="f\u00fcr dich"))
        top, words, status = self.report(box)
        self.assertIn("j\u00f6rg@plain.test", words)
        kinds = [part.get_content_type() for part in top.iter_parts()]
        self.assertEqual(kinds[1:], ["message/global-delivery-status",
                                     "message/global"])
        self.assertIn("Final-Recipient: utf-8; j\u00f6rg@plain.test".encode(),
                      box.inbox("alice", 1)[0])

    def test_a_host_without_smtputf8_gets_utf8_encoded(self):
        """RFC 6533 s4.5, though the host takes 8 bits."""
        box = self.box(["8BITMIME"])
        for n, offer in ((0, None), (1, "SMTPUTF8")):
            if offer:
                self.remote.offer.append(offer)
            with box.smtp() as client:
                client.ehlo("client.test")
                client.mail("s@plain.test", ["SMTPUTF8", "BODY=8BITMIME"])
                self.assertEqual(client.rcpt("bob@example.test",
                                             ["NOTIFY=SUCCESS"])[0], 250)
                client.data(message(subject="f\u00fcr dich"))
            box.lines(" delivered ", "to=s@plain.test", count=n + 1)
            envelope, _, content = self.remote.messages[n]
            self.assertEqual(dsn.check(delivered(content)), [], content)
            self.assertEqual("SMTPUTF8" in envelope, offer is not None)
            self.assertEqual(content.isascii(), offer is None)
            self.assertIn(b"Content-Type: message/global-headers\r\n", content)
            self.assertIn("Subject: f\u00fcr dich".encode(),
                          content if offer else quopri.decodestring(content))

    def test_the_words_are_the_administrators(self):
        box = self.box()
        path = os.path.join(box.dir, "words")
        with open(path, "w", encoding="utf-8") as out:
            out.write(TEMPLATE)
        box.snippet("words", f'queue: {{ bounce_template = "{path}"; }};')
        box.ctl("reload")
        self.send(box, "x@null.test")
        top, words, status = self.report(box)
        self.assertTrue(top["Subject"].startswith(
            "Unzustellbar: größte Sorgfalt war vergebens ("), top["Subject"])
        self.assertEqual(top["From"].addresses[0].display_name,
                         "Die Post für alle")
        self.assertEqual(top["From"].addresses[0].addr_spec,
                         "post@mail.example.test")
        self.assertIn("Das kostet $0.", words)
        self.assertIn("<x@null.test>", words)
        self.assertEqual(status[1]["Action"], "failed")
        with open(path, "a", encoding="utf-8") as out:
            out.write("delay_template = <<E\nSubject: x\n\n$sendr waits\nE\n")
        done = box.posthouse("-t")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{path}:{TEMPLATE.count(chr(10)) + 4}: "
                      "unknown variable $sendr", done.stdout + done.stderr)
        self.assertNotEqual(box.ctl("reload", check=False).returncode, 0)
        self.send(box, "y@null.test")
        self.assertIn("Das kostet $0.", self.report(box, 2)[1])

    def test_each_field_says_what_happened(self):
        replies = {
            "gone": "550-5.01.001 no such user\r\n550 5.1.1 ask elsewhere",
            "bare": "550 go away", "full": "452 4.2.2 full\x1b\xff",
            "odd": "554 Gr\u00fc\u00dfe"}
        box = self.box(more="queue: { lifetime = \"2s\"; retry = [ \"2s\" ]; };",
                       rule=lambda verb, line, n: next(
            (reply for word, reply in replies.items()
             if verb == "RCPT" and f"<{word}@" in line), None))
        self.send(box, *[f"{word}@plain.test" for word in replies],
                  mail=["RET=HDRS", "ENVID=Q+2B1"],
                  what=b"Message-ID: <one@example.test>\r\n" + message())
        told = {}
        for n in (1, 2):
            top, words, status = self.report(box, n)
            self.assertEqual(top["References"], "<one@example.test>")
            self.assertEqual(top["In-Reply-To"], "<one@example.test>")
            self.assertEqual(status[0]["Original-Envelope-Id"], "Q+1")
            for block in status[1:]:
                self.assertIsNone(block["Original-Recipient"])
                self.assertIsNotNone(block["Last-Attempt-Date"])
                self.assertEqual(block["Remote-MTA"], "dns; plain.test")
                told[block["Final-Recipient"]] = (
                    block["Status"], block["Diagnostic-Code"], words)
        expected = {
            "gone": ("5.1.1", "550 5.01.001 no such user ask elsewhere"),
            "bare": ("5.0.0", "550 go away"), "full": ("4.2.2", "452 4.2.2 full???"),
            "odd": ("5.0.0", "554 Gr????e")}
        self.assertEqual(set(told), {f"rfc822; {w}@plain.test" for w in expected})
        for word, (status, said) in expected.items():
            got = told[f"rfc822; {word}@plain.test"]
            self.assertEqual(got[:2], (status, "smtp; " + said))
        self.assertIn("    554 Gr\u00fc\u00dfe\n", told["rfc822; odd@plain.test"][2])
        self.assertIn("    (given up for its age after ",
                      told["rfc822; full@plain.test"][2])
        self.assertNotIn("given up", told["rfc822; bare@plain.test"][2])
        self.assertEqual(len(box.lines(" bounced ", "to=full@plain.test",
                                       "given_up=lifetime")), 1)
        self.assertIn("host plain.test said:\n    550 go away\n",
                      told["rfc822; bare@plain.test"][2])

    def test_a_delay_is_told_with_its_end(self):
        def rule(verb, line, n):
            if verb == "MAIL":
                raise HangUp
        box = self.box(rule=rule, more="queue: { delay_warning = \"1s\"; "
                       "retry = [ \"1s\" ]; retry_unreachable = [ \"1s\" ]; };")
        self.send(box, "x@plain.test", rcpt=["NOTIFY=DELAY"])
        _, words, status = self.report(box)
        self.assertEqual(status[1]["Action"], "delayed")
        self.assertEqual(status[1]["Status"][0], "4")
        self.assertIsNotNone(status[1]["Will-Retry-Until"])
        self.assertTrue(status[1]["Diagnostic-Code"].startswith("X-Posthouse; lost"))
        self.assertIn("host plain.test:\n    lost connection", words)

    def test_a_postmasters_bounce_is_no_attempt(self):
        box = self.box(rule=lambda verb, line, n: "450 no" if verb == "RCPT" else None)
        self.send(box, "x@plain.test")
        box.lines(" deferred ", "to=x@plain.test")
        box.ctl("queue", "bounce", "all")
        _, words, status = self.report(box)
        self.assertEqual(status[1]["Action"], "failed")
        self.assertIn("450 no\n    (given up by the postmaster)\n", words)
        box.lines(" bounced ", "to=x@plain.test", "given_up=operator")
        self.assertEqual(status[1]["Diagnostic-Code"], "smtp; 450 no")
        self.assertIsNone(status[1]["Last-Attempt-Date"])

    def test_a_long_header_is_returned_by_whole_fields(self):
        box = self.box(rule=lambda verb, line, n: "550 no" if verb == "RCPT" else None)
        fields = "".join(f"X-{n}: {'y' * 900}\r\n" for n in range(40))
        self.send(box, "x@plain.test", mail=["RET=HDRS"],
                  what=fields.encode() + message())
        top, _, _ = self.report(box)
        returned = list(top.iter_parts())[2]
        self.assertEqual(returned.get_content_type(), "text/rfc822-headers")
        lines = returned.get_payload().rstrip("\r\n").splitlines()
        self.assertGreater(len(lines), 10)
        self.assertTrue(all(len(line) > 900 for line in lines[-10:]))

    def test_a_template_that_can_not_be_used_is_named(self):
        box = self.box()
        path = os.path.join(box.dir, "words")
        for value, why in ((path, "No such file"), (box.dir, "Is a directory"),
                           ("words", "absolute")):
            box.snippet("words", f'queue: {{ bounce_template = "{value}"; }};')
            done = box.posthouse("-t")
            self.assertNotEqual(done.returncode, 0)
            said = done.stdout + done.stderr
            self.assertIn(why, said)
            self.assertRegex(said, r"words\.conf:1: ")

    def test_however_the_words_grow_the_report_is_one(self):
        """Long lines, many variables, another charset, names alone."""
        templates = (
            ("utf-8", "From: Poststelle \u00fc\u00e4\u00f6 <x@$hostname>\n"
             "Subject: " + "$hostname " * 60, "$sender " * 110 + "\u00fc\n"),
            ("utf-8", "From: MAILER-DAEMON (Mail Delivery System)\nSubject: " +
             "\u00fc" * 400, ("\u00fc" * 400 + " $sender$sender\n") * 9),
            ("iso-8859-1", "Subject: gr\u00fc\u00df", "\u00fc $sender\n.\n--x\n"))
        box = self.box()
        path = os.path.join(box.dir, "words")
        box.snippet("words", f'queue: {{ bounce_template = "{path}"; }};')
        for n, (charset, header, text) in enumerate(templates, 1):
            with open(path, "wb") as out:
                out.write(("failure_template = <<END\nCharset: " + charset + "\n" +
                           header + "\n\n" + text + "END\n").encode(charset))
            box.ctl("reload")
            self.send(box, "x@null.test")
            top, words, status = self.report(box, n)
            self.assertIn("<x@null.test>", words)
            self.assertIn("\u00fc", words)
            self.assertEqual(status[1]["Action"], "failed")
        self.assertEqual(top["Subject"], "gr\u00fc\u00df")

    def test_a_report_is_never_reported_upon(self):
        box = self.box()
        with box.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.mail("ghost@null.test")[0], 250)
            self.assertEqual(client.rcpt("bob@example.test",
                                         ["NOTIFY=SUCCESS"])[0], 250)
            self.assertEqual(client.data(message())[0], 250)
        box.lines(" bounced ", "from=<>", "to=ghost@null.test")
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "an empty queue")
        self.assertEqual(box.log().count(" reported "), 1)


if __name__ == "__main__":
    unittest.main()
