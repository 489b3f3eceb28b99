# SPDX-License-Identifier: Apache-2.0
"""Mail goes the whole road: submission and inbound in, POP3 and IMAP out."""
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest

from sandbox import Dns, Sandbox, until


def content(body, subject="journey"):
    return (b"From: <alice@example.test>\r\nTo: <bob@example.test>\r\n"
            b"Subject: " + subject.encode() + b"\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
            b"Message-ID: <" + subject.encode() + b"@test>\r\n\r\n" + body)


def body_of(message):
    return message.split(b"\r\n\r\n", 1)[1]


HARD = b"".join((
    b".\r\n..\r\n.x\r\n",
    "Gr\u00fc\u00dfe, \u65e5\u672c\r\n".encode(),
    b"\x80\xff\xfe raw octets\r\n",
    b"0" * 998 + b"\r\n", b"." * 998 + b"\r\n",
    b"trailing blanks  \t \r\n\r\n\r\n", b"From the start of a line\r\n", b"end\r\n"))


class Journey(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"size": 'message_limit_bytes = "60M";'})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def test_submission_to_imap_and_pop3_byte_for_byte(self):
        message = content(HARD, "hard")
        client = self.box.submission()
        client.sendmail("alice@example.test", ["carol@example.test"], message,
                        mail_options=["BODY=8BITMIME"])
        client.quit()
        got = until(lambda: next(
            (m for m in self.box.inbox("carol", 1) if message in m), None),
            "the message as it was sent")
        self.assertTrue(got.endswith(message), "header fields were changed")
        self.assertIn(b"Return-Path: <alice@example.test>\r\n", got)
        self.assertRegex(got, rb"Received: from [^\r]+\r\n")
        pop = self.box.pop3("carol")
        texts = [b"".join(l + b"\r\n" for l in pop.retr(n + 1)[1])
                 for n in range(pop.stat()[0])]
        pop.quit()
        self.assertIn(got, texts)

    def test_twenty_megabytes_come_back_identical(self):
        body = b"".join(b"%075d\r\n" % n for n in range(20 * 1024 * 1024 // 77))
        client = self.box.submission()
        client.sendmail("alice@example.test", ["bob@example.test"],
                        content(body, "large"))
        client.quit()

        def find():
            imap = self.box.imap("bob")
            try:
                imap.select("INBOX")
                found = imap.uid("SEARCH", "SUBJECT", "large")[1][0].split()
                if not found:
                    return None
                return imap.uid("FETCH", found[0], "(BODY.PEEK[])")[1][0][1]
            finally:
                imap.logout()
        got = until(find, "the large message")
        self.assertEqual(body_of(got), body)

    def test_many_recipients_each_get_one(self):
        users = ["alice", "bob", "carol"]
        client = self.box.smtp()
        client.sendmail("x@outside.test", [u + "@example.test" for u in users],
                        content(b"to all\r\n", "manyrcpt"))
        client.quit()
        for user in users:
            def once():
                imap = self.box.imap(user)
                try:
                    imap.select("INBOX")
                    return imap.search(None, "SUBJECT", "manyrcpt")[1][0].split()
                finally:
                    imap.logout()
            self.assertEqual(len(until(once, user)), 1)

    def test_postmaster_reaches_alice(self):
        client = self.box.smtp()
        client.sendmail("", ["postmaster"], content(b"hello\r\n", "tothepm"))
        client.quit()

        def there():
            imap = self.box.imap("alice")
            try:
                imap.select("INBOX")
                return imap.search(None, "SUBJECT", "tothepm")[1][0].split()
            finally:
                imap.logout()
        until(there, "postmaster's mail")

    def test_unknown_user_and_relay_are_refused_at_rcpt(self):
        client = self.box.smtp()
        client.ehlo("outside.test")
        client.mail("x@outside.test")
        code, text = client.rcpt("nobody@example.test")
        self.assertEqual(code, 550)
        self.assertIn(b"5.1.1", text)
        code, text = client.rcpt("victim@elsewhere.test")
        self.assertIn(code, (550, 554))
        self.assertIn(b"5.7.1", text)
        client.quit()

    def test_every_accepted_message_has_lines_that_tell_its_story(self):
        client = self.box.submission()
        client.sendmail("alice@example.test", ["bob@example.test"],
                        content(b"follow me\r\n", "storyline"))
        client.quit()
        accepted = until(lambda: re.findall(
            r"accepted .*queue=([0-9a-z]{13})", self.box.log()), "an accepted line")
        for queue in accepted:
            until(lambda: re.search(r"delivered .*queue=" + queue, self.box.log()) or
                  re.search(r"queue=" + queue + r".* delivered", self.box.log()),
                  "delivery of " + queue)
        story = self.box.ctl("trace", accepted[-1]).stdout
        self.assertIn(accepted[-1], story)
        self.assertIn("delivered", story)


class TwoServers(unittest.TestCase):
    def test_a_second_domain_is_found_by_its_mx(self):
        zone = "second.test MX 10 mx.second.test\nmx.second.test A 127.0.0.1\n"
        with Dns(zone) as dns, Sandbox({"domain": (
                'hostname = "mx.second.test"; domains = [ "second.test" ];'
                'postmaster = "dora";')}, dns=dns.address) as second:
            second.ctl("user", "add", "dora", stdin="secret\n")
            with Sandbox({"relay": "transport_smtp: { port = %d; "
                          "allow_loopback = true; };" % second.port("smtp")},
                         dns=dns.address) as first:
                client = first.submission()
                client.sendmail("alice@example.test", ["dora@second.test"],
                                content(HARD, "abroad"), mail_options=["BODY=8BITMIME"])
                client.quit()
                got = second.inbox("dora", 1)
                self.assertEqual(body_of(got[0]), HARD)
                self.assertIn("ESMTPS", got[0].decode("latin-1"),
                              "the hop was not encrypted")

    def test_an_unknown_domain_bounces_to_the_sender(self):
        with Dns("example.test MX 10 mail.example.test\n") as dns, \
                Sandbox(dns=dns.address) as box:
            client = box.submission()
            client.sendmail("alice@example.test", ["x@nowhere.test"],
                            content(b"lost\r\n", "bounceme"))
            client.quit()
            got = box.inbox("alice", 1)[0]
            self.assertIn(b"multipart/report", got)
            self.assertIn(b"Final-Recipient: rfc822; x@nowhere.test", got)
            self.assertIn(b"Return-Path: <>", got)


class RealClients(unittest.TestCase):
    """swaks, curl, msmtp, mutt and mbsync, as their users run them."""

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.home = tempfile.mkdtemp(prefix="posthouse-clients-")
        cls.addClassCleanup(shutil.rmtree, cls.home)

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def command(self, *args, stdin=b"", **env):
        done = subprocess.run(args, input=stdin, capture_output=True, timeout=180,
                              env=dict(os.environ, HOME=self.home, **env))
        self.assertEqual(done.returncode, 0, (args, done.stdout, done.stderr))
        self.assertNotIn(b"arning", done.stdout + done.stderr)
        return done.stdout

    def path(self, name, text):
        path = os.path.join(self.home, name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o600)
        return path

    def arrives(self, user, subject):
        def there():
            imap = self.box.imap(user)
            try:
                imap.select("INBOX")
                return imap.search(None, "SUBJECT", subject)[1][0].split()
            finally:
                imap.logout()
        until(there, subject)

    def test_swaks_with_starttls_and_auth(self):
        self.command("swaks", "--server", "localhost", "--port",
                     self.box.env["PH_SUBMISSION"], "--tls", "--tls-ca-path",
                     self.box.env["PH_CA"], "--tls-verify", "--auth", "PLAIN",
                     "--auth-user", "alice", "--auth-password", "secret",
                     "--from", "alice@example.test", "--to", "bob@example.test",
                     "--header", "Subject: viaswaks")
        self.arrives("bob", "viaswaks")

    def test_curl_sends_and_reads(self):
        message = self.path("m", "From: <alice@example.test>\r\n"
                            "Subject: viacurl\r\n\r\nhello\r\n")
        ca = self.box.env["PH_CA"]
        self.command("curl", "-sS", "--cacert", ca, "-u", "alice:secret", "--url",
                     "smtps://localhost:" + self.box.env["PH_SUBMISSIONS"],
                     "--mail-from", "alice@example.test", "--mail-rcpt",
                     "carol@example.test", "--upload-file", message)
        self.arrives("carol", "viacurl")
        listing = self.command("curl", "-sS", "--cacert", ca, "--ssl-reqd", "-u",
                               "carol:secret", "pop3://localhost:" +
                               self.box.env["PH_POP3"])
        self.assertRegex(listing, rb"1 \d+")

    def test_msmtp_sends(self):
        rc = self.path("msmtprc", f"""account default
host localhost
port {self.box.env['PH_SUBMISSION']}
tls on
tls_starttls on
tls_trust_file {self.box.env['PH_CA']}
auth plain
user alice
password secret
from alice@example.test
""")
        self.command("msmtp", "-C", rc, "bob@example.test",
                     stdin=b"Subject: viamsmtp\n\n.\n..\nhello\n")
        self.arrives("bob", "viamsmtp")

    def test_mbsync_pulls_a_mailbox(self):
        self.command("swaks", "--silent", "3", "--server", "127.0.0.1", "--port",
                     self.box.env["PH_SMTP"], "--from", "x@outside.test", "--to",
                     "alice@example.test", "--header", "Subject: viambsync")
        self.arrives("alice", "viambsync")
        rc = self.path("mbsyncrc", f"""IMAPAccount box
Host localhost
Port {self.box.env['PH_IMAPS']}
User alice
Pass secret
SSLType IMAPS
CertificateFile {self.box.env['PH_CA']}

IMAPStore far
Account box

MaildirStore near
Path {self.home}/near/
Inbox {self.home}/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
        os.makedirs(os.path.join(self.home, "near"), exist_ok=True)
        for _ in range(2):
            self.command("mbsync", "-c", rc, "-a")
        files = []
        for folder, _, names in os.walk(os.path.join(self.home, "near", "INBOX")):
            files += [os.path.join(folder, n) for n in names
                      if folder.endswith(("new", "cur"))]
        texts = []
        for name in files:
            with open(name, "rb") as file:
                texts.append(file.read())
        self.assertTrue(any(b"viambsync" in t for t in texts), files)

    def test_mutt_sends_and_opens_the_mailbox(self):
        url = f"smtps://alice:secret@localhost:{self.box.env['PH_SUBMISSIONS']}"
        rc = self.path("muttrc", f"""set smtp_url="{url}"
set from="alice@example.test"
set ssl_force_tls=yes
set certificate_file="{self.box.env['PH_CA']}"
set ssl_ca_certificates_file="{self.box.env['PH_CA']}"
set ssl_verify_host=no
set copy=no
set imap_pass="secret"
set folder="{self.home}"
set record=""
set quit=yes
""")
        self.command("mutt", "-F", rc, "-s", "viamutt", "bob@example.test",
                     stdin=b"hello from mutt\n", TERM="xterm")
        self.arrives("bob", "viamutt")
        mutt = (f"mutt -F {rc} -e 'push <exit>' -f "
                f"imaps://bob@localhost:{self.box.env['PH_IMAPS']}/INBOX")
        self.command("script", "-qec", mutt, "/dev/null", TERM="xterm")


if __name__ == "__main__":
    unittest.main()
