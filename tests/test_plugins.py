# SPDX-License-Identifier: Apache-2.0
"""What a stranger's modules can do of a mail server's work, without a change to
the core: SPF, DKIM, DMARC, users' filters and milters, built from the SDK's
examples against an installed tree, in a server."""
import base64
import os
import re
import smtplib
import socket
import struct
import threading
import unittest

from installed import Installed, run
from sandbox import Dns, Sandbox, until


class Authentication(Installed, unittest.TestCase):
    def key(self, kind, name):
        path = f"{self.dir}/{name}"
        run("openssl", "genpkey", "-quiet", "-algorithm", kind, "-out", path,
            *(("-pkeyopt", "rsa_keygen_bits:2048") if kind == "RSA" else ()))
        os.chmod(path, 0o644)
        public = run("openssl", "pkey", "-in", path, "-pubout", "-outform",
                     "DER", "-out", path + ".der")
        with open(path + ".der", "rb") as f:
            public = f.read()
        return path, base64.b64encode(public[-32:] if kind == "ED25519"
                                      else public).decode()

    def send(self, box, sender, text):
        """Over the listener for strangers: code and reply of the end of DATA."""
        client = box.smtp()
        client.helo("client.good.test")
        client.mail(sender)
        self.assertEqual(client.rcpt("bob@example.test")[0], 250)
        code, reply = client.data(text)
        client.close()
        return code, reply.decode()

    def test_mail_is_signed_as_it_leaves_and_judged_as_it_came(self):
        rsa, rsa_public = self.key("RSA", "s1.example.test.pem")
        ed, ed_public = self.key("ED25519", "s2.example.test.pem")
        self.assertGreater(len(rsa_public), 255)
        zone = (f"s1._domainkey.example.test TXT v=DKIM1; k=rsa; p={rsa_public}\n"
                f"s2._domainkey.example.test TXT v=DKIM1; k=ed25519; p={ed_public}\n"
                "good.test TXT v=spf1 include:out.good.test -all\n"
                "out.good.test TXT v=spf1 ip4:127.0.0.0/8 ip6:::1 ?all\n"
                "bad.test TXT v=spf1 -all\n"
                "_dmarc.good.test TXT v=DMARC1; p=reject\n"
                "_dmarc.bad.test TXT v=DMARC1; p=quarantine\n"
                "_dmarc.example.test TXT v=DMARC1; p=reject\n")
        dkim = self.plugin("check_dkim")
        conf = (f'check_spf: {{ module = "{self.plugin("check_spf")}"; }};\n'
                f'check_dkim: {{ module = "{dkim}"; order = 50; }};\n'
                f'check_dmarc: {{ module = "{self.plugin("check_dmarc")}";'
                ' order = 60; };\n'
                f'check_tracer: {{ module = "{self.plugin("check_tracer")}";'
                ' add_header = true; order = 100; };\n'
                f'check_sign: {{ module = "{dkim}"; order = 900;'
                f' verify = false; keys = [ "{rsa}", "{ed}" ]; }};\n')
        with Dns(zone) as dns, Sandbox({"auth": conf}, dns=dns.address) as box:
            client = box.submission("alice")
            client.sendmail(
                "alice@example.test", ["bob@example.test"],
                b"From: Alice <alice@example.test>\r\nSubject:  folded\r\n"
                b"\tand  long\r\nTo: bob@example.test\r\n\r\n"
                b"trailing  \r\n.dot\r\n\r\n\r\n")
            client.quit()
            signed = box.inbox("bob", 1)[0]
            self.assertIn(b"X-Tracer:", signed)
            # it was signed after the last change: above that
            self.assertRegex(signed, rb"(?s)^Return-Path.*?DKIM-Signature: .*"
                             rb"DKIM-Signature: .*X-Tracer: ")
            start = signed.index(b"DKIM-Signature")
            # somebody else brings it here
            self.assertEqual(self.send(box, "x@elsewhere.test",
                                       signed[start:])[0], 250)
            self.assertEqual(self.send(box, "x@elsewhere.test", signed[
                start:].replace(b"trailing", b"changed"))[0], 550)
            mail = box.inbox("bob", 2)[1]
            results = b" ".join(mail[:mail.index(b"\r\nDKIM")].split())
            self.assertEqual(results.count(b"dkim=pass header.d=example.test"),
                             2, results)
            self.assertIn(b"dmarc=pass (p=reject) header.from=example.test",
                          results)
            self.assertIn(b"Received-SPF: none", results)
            self.assertTrue(box.lines(" dmarc ", "result=fail", "dkim=fail",
                                      "from=example.test"))

            text = b"From: %s\r\nSubject: x\r\n\r\nhello\r\n"
            self.assertEqual(self.send(box, "a@good.test",
                                       text % b"a@good.test")[0], 250)
            code, reply = self.send(box, "a@elsewhere.test",
                                    text % b"a@good.test")
            self.assertEqual((code, reply[:6]), (550, "5.7.26"), reply)
            mail = box.inbox("bob", 3)[2]
            self.assertRegex(mail, rb"(?m)^Received-SPF: pass ")
            # of bad.test nothing is delivered, and it is held with a reason
            self.assertEqual(self.send(box, "a@bad.test",
                                       text % b"a@bad.test")[0], 250)
            held = box.ctl("queue", "list", "--json").stdout
            self.assertIn("the policy of bad.test", held)
            self.assertRegex(box.ctl("modules").stdout,
                             r"(?m)^check_spf counters none=3 pass=1 fail=1$")


class Filer(Installed, unittest.TestCase):
    RULES = """\
header List-Id *: file Lists/dev \\Seen $List
from *@shop.test: redirect alice@example.test
from *@shop.test: keep \\Flagged
score 5: file Junk
header Subject *refuse*: reject not wanted here
header Subject *drop*: discard
any: answer 7 I am away until Monday.
"""
    SCORER = r"""
#include <posthouse/check.h>
#include <posthouse/mail.h>
static enum ph_verdict
on_data(struct ph_call *call, const void *conf)
{
	struct ph_header_field field;

	(void)conf;
	if (ph_header_find(ph_call_header(call), "X-Spam", &field))
		ph_score(call, 7.5);
	return PH_NEXT;
}
static const struct ph_check_ops ops = { .at = { [PH_AT_DATA] = on_data } };
PH_MODULE(check_scorer) = { .abi = PH_ABI, .name = "check_scorer",
	.kinds = PH_KIND_CHECK, .doc = "Scores", .check = &ops };
"""

    def scorer(self):
        with open(self.dir + "/scorer.c", "w", encoding="ascii") as f:
            f.write(self.SCORER)
        flags = run("pkg-config", "--cflags", "posthouse", env=self.env).split()
        run("cc", *flags, "-Wall", "-Werror", "-shared", "-fPIC",
            self.dir + "/scorer.c", "-o", self.dir + "/check_scorer.so")
        return self.dir + "/check_scorer.so"

    def messages(self, box, user, folder):
        client = box.imap(user)
        try:
            if client.select(f'"{folder}"', readonly=True)[0] != "OK":
                return []
            parts = client.fetch("1:*", "(FLAGS BODY.PEEK[])")[1]
            return [p[0] + p[1] for p in parts if isinstance(p, tuple)]
        finally:
            client.logout()

    def one(self, box, user, folder, text):
        return until(lambda: [m for m in self.messages(box, user, folder)
                              if text in m], f"{text} in {folder}")[0]

    def test_each_user_s_rules_say_where_his_mail_goes(self):
        rules = self.dir + "/rules"
        os.mkdir(rules)
        with open(rules + "/bob@example.test", "w", encoding="ascii") as f:
            f.write(self.RULES)
        with open(rules + "/default", "w", encoding="ascii") as f:
            f.write("any: keep $Default\n")
        conf = (f'check_filer: {{ module = "{self.plugin("check_filer")}";'
                f' rules = "{rules}/default"; }};\n'
                f'check_scorer: {{ module = "{self.scorer()}"; }};\n')
        with Sandbox({"filer": conf}) as box:
            def send(sender, header, text):
                client = box.smtp()
                client.sendmail(sender, ["bob@example.test"],
                                b"To: bob@example.test\r\n%s\r\n\r\n%s\r\n" %
                                (header, text))
                client.quit()

            send("dev@lists.test", b"List-Id: dev", b"of a list")
            listed = self.one(box, "bob", "Lists/dev", b"of a list")
            self.assertIn(b"\\Seen", listed)
            self.assertIn(b"$List", listed)
            send("x@shop.test", b"List-Archive: x", b"of a shop")
            self.assertIn(b"\\Flagged", self.one(box, "bob", "INBOX",
                                                 b"of a shop"))
            self.assertIn(b"$Default", self.one(box, "alice", "INBOX",
                                                b"of a shop"))
            send("x@else.test", b"X-Spam: yes", b"to buy")
            self.one(box, "bob", "Junk", b"to buy")
            # alice hears that bob is away, once, and that he wants no more
            client = box.submission("alice")
            for subject, text in ((b"one", b"first"), (b"two", b"second"),
                                  (b"please refuse", b"third"),
                                  (b"drop it", b"fourth")):
                client.sendmail(
                    "alice@example.test", ["bob@example.test"],
                    b"From: alice@example.test\r\nTo: bob@example.test\r\n"
                    b"Subject: %s\r\n\r\n%s\r\n" % (subject, text))
            client.quit()
            self.one(box, "bob", "INBOX", b"first")
            self.one(box, "bob", "INBOX", b"second")
            self.one(box, "alice", "INBOX", b"until Monday")
            self.one(box, "alice", "INBOX", b"not wanted here")
            box.lines(" verdict ", "module=check_filer", "verdict=discard")
            inbox = self.messages(box, "bob", "INBOX")
            self.assertEqual([m for m in inbox if b"third" in m or
                              b"fourth" in m], [])
            away = [m for m in self.messages(box, "alice", "INBOX")
                    if b"until Monday" in m]
            self.assertEqual(len(away), 1)
            self.assertIn(b"Auto-Submitted: auto-replied", away[0])


class Milter(threading.Thread):
    """A milter of few words: answers each command by what `answers` say."""

    def __init__(self, path, answers):
        super().__init__(daemon=True)
        self.answers, self.heard, self.ends = answers, [], 0
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        os.chmod(path, 0o777)
        self.server.listen(50)
        self.start()

    def run(self):
        while True:
            try:
                client = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def serve(self, client):
        stream = client.makefile("rwb")
        body = b""
        while True:
            head = stream.read(5)
            if len(head) < 5:
                break
            n, letter = struct.unpack(">Ic", head)
            data = stream.read(n - 1)
            if letter == b"D":
                continue
            self.heard.append((letter, data))
            if letter == b"O":
                answer = [(b"O", struct.pack(">III", 6, 0xff, 0))]
            elif letter == b"A":
                continue
            else:
                body = body + data if letter == b"B" else body
                answer = self.answers(letter, data, body)
                if letter == b"E":
                    body = b""
            for kind, text in answer:
                stream.write(struct.pack(">Ic", len(text) + 1, kind) + text)
            stream.flush()
        self.ends += 1
        client.close()

    def close(self):
        if self.server.fileno() >= 0:
            self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()


class Milters(Installed, unittest.TestCase):
    @staticmethod
    def answers(letter, data, body):
        if letter == b"R" and b"postmaster" in data:
            return [(b"y", b"550 5.1.1 No pest here\0")]
        if letter == b"L" and data.startswith(b"X-Refuse"):
            return [(b"r", b"")]
        if letter != b"E":
            return [(b"c", b"")]
        changed = body.replace(b"hello", b"HELLO")
        return [(b"p", b""), (b"h", b"X-Milter\0%d octets\0" % len(body)),
                (b"i", struct.pack(">I", 1) + b"X-Top\0of all\0"),
                (b"m", struct.pack(">I", 1) +
                 b"Subject\0[b\xc3\xa4r] changed\0"),
                (b"m", struct.pack(">I", 1) + b"X-Secret\0\0"),
                (b"+", b"<alice@example.test>\0"),
                (b"+", b"<x@far.test>\0"),
                *((b"b", changed[i:i + 65535])
                  for i in range(0, len(changed), 65535)), (b"a", b"")]

    def test_a_milter_hears_of_a_session_and_changes_its_mail(self):
        path = self.dir + "/milter"
        milter = Milter(path, self.answers)
        self.addCleanup(milter.close)
        conf = (f'check_milter: {{ module = "{self.plugin("check_milter")}";'
                f' socket = "{path}"; }};\n')
        zone = "1.0.0.127.in-addr.arpa PTR client.test\nclient.test A 127.0.0.1\n"
        with Dns(zone) as dns, Sandbox({"milter": conf},
                                       dns=dns.address) as box:
            client = box.smtp()
            client.helo("client.test")
            client.mail("a@far.test")
            code, text = client.rcpt("postmaster@example.test")
            self.assertEqual((code, text[:18]), (550, b"5.1.1 No pest here"))
            lines = b"hello %d\r\n"
            big = b"".join(lines % i for i in range(20000))
            client.rcpt("bob@example.test")
            code, text = client.data(b"Subject: odd\r\nX-Secret: 1\r\n"
                                     b"To: bob@example.test\r\n\r\n" + big)
            self.assertEqual(code, 250, text)
            mail = box.inbox("bob", 1)[0]
            head, _, body = mail.partition(b"\r\n\r\n")
            self.assertEqual(body, big.replace(b"hello", b"HELLO"))
            self.assertIn(b"\r\nX-Milter: %d octets" % len(big), head)
            self.assertIn(b"\r\nSubject: =?UTF-8?B?W2LDpHJd?= changed", head)
            self.assertNotIn(b"X-Secret", head)
            self.assertLess(head.index(b"X-Top: of all"),
                            head.index(b"Received:"))
            self.assertEqual(box.inbox("alice", 1)[0].partition(
                b"\r\n\r\n")[2], body)
            # no way to relay: that one is left out
            self.assertTrue(box.lines("x@far.test", "check_milter"))
            # the next message of the same session, given up, and one more
            client.mail("b@far.test")
            client.rset()
            client.mail("c@far.test")
            client.rcpt("bob@example.test")
            code, text = client.data(b"X-Refuse: me\r\n\r\nhello\r\n")
            self.assertEqual((code, text[:5]), (550, b"5.7.1"), text)
            client.quit()
            until(lambda: milter.ends == 1, "the milter's connection to end")
            said = b"".join(letter for letter, _ in milter.heard)
            self.assertRegex(said, rb"^OCHMRRTL+NB+EMAMRTL+$")
            self.assertIn((b"C", b"client.test\x004"), [
                (letter, data[:13]) for letter, data in milter.heard])
            milter.close()
            os.unlink(path)
            with self.assertRaises(smtplib.SMTPConnectError) as refused:
                box.smtp()
            self.assertIn(b"a filter does not answer",
                          refused.exception.smtp_error)


if __name__ == "__main__":
    unittest.main()
