# SPDX-License-Identifier: Apache-2.0
"""What people already use works without a word of complaint: curl, swaks, mutt,
mbsync and Python's libraries, over each way in and out; and what must be refused
is refused to them in their terms."""
import email
import imaplib
import os
import poplib
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest
import warnings

from sandbox import DEADLINE, Sandbox, Smtp, SmtpTls, until

warnings.simplefilter("error", DeprecationWarning)

HARD_BODY = b"".join((
    b".\r\n", b"..\r\n", b".hidden\r\n", b"\r\n.\r\n\r\n",
    "Gr\u00fc\u00dfe aus K\u00f6ln, \u65e5\u672c\u8a9e\r\n".encode(),
    bytes(range(128, 256)) + b"\r\n",
    b"x" * 998 + b"\r\n", b"." * 998 + b"\r\n", b"." + b"y" * 997 + b"\r\n",
    b"blanks at the end \t \r\n", b"From here\r\n", b">From there\r\n",
    b"QUIT\r\n", b"\r\n\r\n"))


def message(sender, recipient, subject, body):
    return (f"From: <{sender}@example.test>\r\nTo: <{recipient}@example.test>\r\n"
            f"Subject: {subject}\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
            f"Message-ID: <{subject}@example.test>\r\n\r\n").encode() + body


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"clients": 'limits: { auth_failure_delay = "50ms"; };'},
                          users=40)
        cls.addClassCleanup(cls.box.close)
        cls.home = tempfile.mkdtemp(prefix="posthouse-clients-")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.users = (f"u{n:04d}" for n in range(1, 41))

    def user(self):
        """One with an empty mailbox."""
        return next(type(self).users)

    def path(self, name, text=None):
        path = os.path.join(self.home, name)
        if text is not None:
            with open(path, "wb") as out:
                out.write(text if isinstance(text, bytes) else text.encode())
            os.chmod(path, 0o600)
        return path

    def command(self, *args, stdin=b"", status=0):
        """Its standard output; nothing may be on its standard error."""
        done = subprocess.run(args, input=stdin, capture_output=True, timeout=180,
                              env=dict(os.environ, HOME=self.home,
                                       TERM="xterm", LC_ALL="C.UTF-8"))
        said = (args, done.stdout[-2000:], done.stderr[-2000:])
        self.assertEqual(done.returncode, status, said)
        if status == 0:
            self.assertEqual(done.stderr, b"", said)
            self.assertNotIn(b"arning", done.stdout[:100000], said)
        return done.stdout

    def port(self, name):
        return self.box.env["PH_" + name.upper()]

    def text_of(self, user, count=1):
        """What IMAP says is the last of count messages."""
        return self.box.inbox(user, count)[-1]


class Curl(Clients):
    def curl(self, *args, **more):
        return self.command("curl", "-sS", "--cacert", self.box.env["PH_CA"],
                            *args, **more)

    def test_sends_and_reads_by_every_way(self):
        ways = {"starttls": ["--ssl-reqd", "--url", "smtp://localhost:" +
                             self.port("submission")],
                "tls": ["--url", "smtps://localhost:" + self.port("submissions")]}
        sender, reader = self.user(), self.user()
        for way, url in ways.items():
            text = message(sender, reader, "curl" + way, HARD_BODY)
            self.curl(*url, "-u", f"{sender}:secret", "--mail-from",
                      f"{sender}@example.test", "--mail-rcpt",
                      f"{reader}@example.test", "--upload-file",
                      self.path(way, text))
        text = message("x", reader, "curlinbound", HARD_BODY)
        self.curl("--url", "smtp://localhost:" + self.port("smtp"),
                  "--mail-from", "x@outside.test", "--mail-rcpt",
                  f"{reader}@example.test", "--upload-file",
                  self.path("inbound", text))
        kept = {re.search(rb"Subject: curl(\w+)", m)[1].decode(): m
                for m in self.box.inbox(reader, 3)}
        self.assertEqual(set(kept), {"starttls", "tls", "inbound"})
        for way, got in kept.items():
            with open(self.path(way), "rb") as sent:
                self.assertTrue(got.endswith(sent.read()), way)
        login = ["-u", f"{reader}:secret"]
        for url in (["--ssl-reqd", "imap://localhost:" + self.port("imap")],
                    ["imaps://localhost:" + self.port("imaps")]):
            listing = self.curl(*login, *url)
            self.assertRegex(listing, rb'(?m)^\* LIST \([^)]*\) "/" "?INBOX"?\r$')
            for uid in (1, 2, 3):
                got = self.curl(*login, *url[:-1],
                                f"{url[-1]}/INBOX;UID={uid}")
                self.assertIn(got, kept.values())
        sizes = sorted(len(m) for m in kept.values())
        for url in (["--ssl-reqd", "pop3://localhost:" + self.port("pop3")],
                    ["pop3s://localhost:" + self.port("pop3s")]):
            listing = self.curl(*login, *url)
            self.assertEqual(sorted(int(n) for n in re.findall(
                rb"(?m)^\d+ (\d+)", listing)), sizes)
            for number in (1, 2, 3):
                got = self.curl(*login, *url[:-1], f"{url[-1]}/{number}")
                self.assertIn(got, kept.values())

    def test_appends_searches_and_moves_by_imap(self):
        user = self.user()
        text = message(user, user, "curlappend", b"kept\r\n")
        login = ["-u", f"{user}:secret"]
        url = "imaps://localhost:" + self.port("imaps")
        self.curl(*login, url, "-X", "CREATE Kept")
        self.curl(*login, f"{url}/Kept", "--upload-file",
                  self.path("append", text))
        self.assertEqual(self.curl(*login, f"{url}/Kept;UID=1"), text)
        self.assertIn(b"* SEARCH 1", self.curl(
            *login, f"{url}/Kept?SUBJECT%20curlappend"))
        self.curl(*login, f"{url}/Kept", "-X", "COPY 1 INBOX")
        self.assertEqual(self.text_of(user), text)

    def test_is_told_why_it_may_not(self):
        sender = self.user()
        text = self.path("refused", message(sender, sender, "no", b"no\r\n"))
        submit = ["--url", "smtps://localhost:" + self.port("submissions"),
                  "--upload-file", text]
        to = ["--mail-rcpt", f"{sender}@example.test"]
        # 67: login denied, 55: sending failed
        self.curl(*submit, *to, "-u", f"{sender}:wrong", "--mail-from",
                  f"{sender}@example.test", status=67)
        self.curl(*submit, *to, "-u", f"{sender}:secret", "--mail-from",
                  "alice@example.test", status=55)
        self.curl(*submit, "--mail-rcpt", "nobody@example.test", "-u",
                  f"{sender}:secret", "--mail-from", f"{sender}@example.test",
                  status=55)
        # not without TLS, and not with a certificate of another CA
        self.curl("-u", f"{sender}:secret", "imap://localhost:" +
                  self.port("imap"), status=67)
        self.command("curl", "-sS", "-u", f"{sender}:secret",
                     "imaps://localhost:" + self.port("imaps"), status=60)


class Swaks(Clients):
    def swaks(self, *args, status=0):
        said = self.command("swaks", "--server", "localhost", *args,
                            status=status)
        if status == 0:
            self.assertNotRegex(said, rb"(?m)^(\*\*\* |<\*\* )")
        return said

    def test_every_login_over_every_tls(self):
        ca = ["--tls-ca-path", self.box.env["PH_CA"], "--tls-verify"]
        reader = self.user()
        sent = 0
        for tls, port in (("-tls", "submission"), ("-tlsc", "submissions")):
            for mechanism in ("PLAIN", "LOGIN"):
                for name in ("alice", "alice@example.test"):
                    said = self.swaks(
                        tls, "--port", self.port(port), *ca, "--auth", mechanism,
                        "--auth-user", name, "--auth-password", "secret",
                        "--from", "alice@example.test", "--to",
                        f"{reader}@example.test", "--header",
                        f"Subject: swaks {sent}")
                    self.assertRegex(said, rb"(?m)^<~  235 ")
                    self.assertRegex(said, rb"(?m)^<~  250 .*")
                    sent += 1
        got = self.box.inbox(reader, sent)
        self.assertEqual({re.search(rb"Subject: swaks (\d+)", m)[1] for m in got},
                         {b"%d" % n for n in range(sent)})
        for text in got:
            self.assertRegex(text, rb"with ESMTPSA id")

    def test_inbound_with_and_without_tls_and_pipelining(self):
        reader = self.user()
        for extra in ([], ["-tls"], ["--pipeline"], ["--protocol", "SMTP"]):
            self.swaks("--port", self.port("smtp"), *extra, "--from",
                       "x@outside.test", "--to", f"{reader}@example.test")
        got = self.box.inbox(reader, 4)
        self.assertEqual(sum(b"with ESMTPS id" in m for m in got), 1)
        self.assertEqual(sum(b"with SMTP id" in m for m in got), 1)

    def test_attachments_arrive_whole(self):
        reader = self.user()
        path = self.path("attachment", os.urandom(300000))
        self.swaks("--port", self.port("smtp"), "--from", "x@outside.test",
                   "--to", f"{reader}@example.test", "--attach", f"@{path}",
                   "--suppress-data")
        parts = list(email.message_from_bytes(self.text_of(reader)).walk())
        with open(path, "rb") as file:
            self.assertEqual(parts[-1].get_payload(decode=True), file.read())

    def refusal(self, pattern, *args, status):
        said = self.swaks(*args, status=status)
        self.assertRegex(said, rb"(?m)^<(\*|~)\*? +" + pattern)
        token = re.search(rb"(?m)^<[*~]\*? +[45]\d\d .*\((\w+)\)\r?$", said)
        self.assertTrue(token, said)
        trace = self.box.ctl("trace", token[1].decode()).stdout
        self.assertIn(token[1].decode(), trace)

    def test_refusals_carry_a_token_that_can_be_traced(self):
        inbound = ["--port", self.port("smtp"), "--from", "x@outside.test"]
        submit = ["-tls", "--port", self.port("submission"), "--to",
                  "bob@example.test"]
        login = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password"]
        self.refusal(rb"550 5\.1\.1 ", *inbound, "--to", "nobody@example.test",
                     status=24)
        self.refusal(rb"550 5\.7\.1 ", *inbound, "--to", "x@elsewhere.test",
                     status=24)
        self.refusal(rb"535 5\.7\.8 ", *submit, *login, "wrong", "--from",
                     "alice@example.test", status=28)
        self.refusal(rb"553 5\.7\.1 ", *submit, *login, "secret", "--from",
                     "bob@example.test", status=23)
        self.refusal(rb"530 5\.7\.0 ", *submit, "--from", "alice@example.test",
                     status=23)


class Mutt(Clients):
    def rc(self, user, extra):
        ca = self.box.env["PH_CA"]
        return self.path(f"muttrc.{user}", f"""set from="{user}@example.test"
set ssl_force_tls=yes
set certificate_file="{ca}"
set ssl_ca_certificates_file="{ca}"
set ssl_verify_host=yes
set send_charset="utf-8"
set copy=no
set record=""
set folder="{self.home}"
set imap_pass="secret"
set pop_pass="secret"
set smtp_pass="secret"
set confirmappend=no
set confirmcreate=no
set mbox_type=mbox
set quit=yes
set delete=no
set move=no
set mark_old=no
set wait_key=no
set sleep_time=0
{extra}
""")

    def test_sends_through_submission_and_reads_over_imap_and_pop3(self):
        sender, reader = self.user(), self.user()
        for scheme, port in (("smtp", "submission"), ("smtps", "submissions")):
            rc = self.rc(sender, f'set smtp_url="{scheme}://{sender}@localhost:'
                         f'{self.port(port)}"')
            self.command("mutt", "-F", rc, "-s", "mutt " + scheme,
                         f"{reader}@example.test",
                         stdin="one\n.\n..\nGr\u00fc\u00dfe\n".encode())
        got = self.box.inbox(reader, 2)
        for text in got:
            self.assertRegex(text, rb"\r\none\r\n\.\r\n\.\.\r\n")
        for scheme, port in (("imap", "imap"), ("imaps", "imaps"),
                             ("pops", "pop3s")):
            saved = self.path("saved." + scheme)
            rc = self.rc(reader, "")
            # copy both messages into a file, as a person would
            keys = (f"<tag-pattern>.<enter><tag-prefix><copy-message>{saved}"
                    "<enter><exit>")
            mutt = (f"mutt -F {rc} -e 'push \"{keys}\"' -f "
                    f"{scheme}://{reader}@localhost:{self.port(port)}/" +
                    ("INBOX" if scheme.startswith("imap") else ""))
            self.command("script", "-qec", mutt, "/dev/null")
            with open(saved, "rb") as file:
                text = file.read()
            self.assertEqual(len(re.findall(rb"(?m)^Subject: mutt smtps?$",
                                            text)), 2, scheme)
            self.assertIn("Gr\u00fc\u00dfe".encode(), text)


class Mbsync(Clients):
    def rc(self, user, port, tls):
        near = self.path("near." + user)
        os.makedirs(near, exist_ok=True)
        return near, self.path("mbsyncrc." + user, f"""IMAPAccount box
Host localhost
Port {port}
User {user}
Pass secret
SSLType {tls}
CertificateFile {self.box.env['PH_CA']}

IMAPStore far
Account box

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")

    def files(self, near, box):
        return sorted(os.path.join(near, box, part, name)
                      for part in ("cur", "new")
                      for name in os.listdir(os.path.join(near, box, part)))

    def test_keeps_both_sides_the_same(self):
        for tls, port in (("STARTTLS", "imap"), ("IMAPS", "imaps")):
            user = self.user()
            near, rc = self.rc(user, self.port(port), tls)
            client = self.box.smtp()
            for n in range(3):
                client.sendmail("x@outside.test", [f"{user}@example.test"],
                                message("x", user, f"sync{n}", b"far\r\n"))
            client.quit()
            self.box.inbox(user, 3)
            self.command("mbsync", "-q", "-c", rc, "-a")
            files = self.files(near, "INBOX")
            self.assertEqual(len(files), 3)
            # here: one is seen and flagged, one goes, one comes, a folder too
            seen = re.sub(r":2,.*|$", ":2,FS", os.path.basename(files[0]), count=1)
            os.rename(files[0], os.path.join(near, "INBOX", "cur", seen))
            gone = re.sub(r":2,.*|$", ":2,T", os.path.basename(files[1]), count=1)
            os.rename(files[1], os.path.join(near, "INBOX", "cur", gone))
            for folder in ("INBOX", "Kept"):
                for part in ("cur", "new", "tmp"):
                    os.makedirs(os.path.join(near, folder, part), exist_ok=True)
                with open(os.path.join(near, folder, "new", "1.2.here"),
                          "wb") as out:
                    out.write(b"Subject: from here\n\nnear\n")
            for _ in range(2):
                self.command("mbsync", "-q", "-c", rc, "-a")
            imap = self.box.imap(user)
            self.assertEqual(imap.select("INBOX")[1], [b"3"])
            self.assertEqual(len(imap.search(None, "SEEN", "FLAGGED")[1][0].split()),
                             1)
            self.assertEqual(len(imap.search(None, "SUBJECT", '"from here"')
                                 [1][0].split()), 1)
            self.assertEqual(imap.select("Kept")[1], [b"1"])
            # there: another goes
            imap.select("INBOX")
            imap.store("1", "+FLAGS", "(\\Deleted)")
            imap.expunge()
            imap.logout()
            self.command("mbsync", "-q", "-c", rc, "-a")
            self.assertEqual(len(self.files(near, "INBOX")), 2)


class Libraries(Clients):
    """smtplib, poplib and imaplib, to the octet."""

    def readings(self, user):
        """The one message of the user, as each way of reading gives it."""
        context = self.box.tls()
        for secure in (True, False):
            if secure:
                imap = imaplib.IMAP4_SSL("localhost", self.box.port("imaps"),
                                         ssl_context=context)
                pop = poplib.POP3_SSL("localhost", self.box.port("pop3s"),
                                      context=context, timeout=DEADLINE)
            else:
                imap = imaplib.IMAP4("localhost", self.box.port("imap"))
                imap.starttls(context)
                pop = poplib.POP3("localhost", self.box.port("pop3"),
                                  timeout=DEADLINE)
                pop.stls(context)
            imap.login(user, "secret")
            imap.select("INBOX", readonly=True)
            for what in ("(RFC822)", "(BODY.PEEK[])"):
                yield what, imap.fetch("1", what)[1][0][1]
            size = int(re.search(rb"RFC822.SIZE (\d+)", imap.fetch(
                "1", "(RFC822.SIZE)")[1][0])[1])
            parts = imap.fetch("1", "(BODY.PEEK[HEADER] BODY.PEEK[TEXT])")[1]
            yield "header and text", parts[0][1] + parts[1][1]
            step = size // 3 + 1
            yield "partial", b"".join(
                imap.fetch("1", f"(BODY.PEEK[]<{at}.{step}>)")[1][0][1]
                for at in range(0, size, step))
            imap.logout()
            pop.user(user)
            pop.pass_("secret")
            lines = pop.retr(1)[1]
            yield "RETR", b"".join(line + b"\r\n" for line in lines)
            if size < 1 << 20:
                yield "TOP", b"".join(line + b"\r\n" for line in
                                      pop.top(1, 100000)[1])
            self.assertEqual(pop.stat(), (1, size))
            self.assertEqual(pop.list(1).split()[-1], b"%d" % size)
            pop.quit()

    def same_everywhere(self, user, text):
        first = None
        for how, got in self.readings(user):
            self.assertTrue(got.endswith(text), how)
            first = first or got
            self.assertTrue(got == first, how)
        added = first[:-len(text)]
        self.assertRegex(added, rb"\AReturn-Path: <")
        self.assertNotRegex(added, rb"\r\n\r\n")

    def test_a_message_of_all_octets_and_lengths(self):
        for connect in (self.box.submission, None):
            user, sender = self.user(), self.user()
            text = message(sender, user, "hard", HARD_BODY)
            if connect is None:
                client = SmtpTls("localhost", self.box.port("submissions"), context=self.box.tls())
                client.login(sender, "secret")
            else:
                client = connect(sender)
            self.assertEqual(client.sendmail(
                f"{sender}@example.test", [f"{user}@example.test"], text,
                mail_options=["BODY=8BITMIME"]), {})
            self.assertEqual(client.quit()[0], 221)
            self.box.inbox(user, 1)
            self.same_everywhere(user, text)

    def test_twenty_megabytes_with_dots(self):
        lines = [b"." * (n % 998) + b"\r\n" for n in range(998)] + \
                [bytes(128 + (n + k) % 128 for k in range(900)) + b"\r\n"
                 for n in range(100)]
        body = b"".join(lines)
        body *= 20 * 1024 * 1024 // len(body) + 1
        user, sender = self.user(), self.user()
        text = message(sender, user, "large", body)
        self.assertGreater(len(text), 20 * 1024 * 1024)
        client = self.box.submission(sender)
        client.sendmail(f"{sender}@example.test", [f"{user}@example.test"], text,
                        mail_options=["BODY=8BITMIME"])
        client.quit()
        self.box.inbox(user, 1)
        self.same_everywhere(user, text)

    def test_a_message_without_a_final_line_end_or_header(self):
        user = self.user()
        client = self.box.smtp()
        client.sendmail("x@outside.test", [f"{user}@example.test"],
                        b"\r\nonly a body")
        client.quit()
        self.box.inbox(user, 1)
        self.same_everywhere(user, b"\r\nonly a body\r\n")

    def test_what_a_sender_may_not_say(self):
        user = self.user()
        own, other = f"{user}@example.test", "alice@example.test"
        client = self.box.submission(user)
        code, text = client.mail(other)
        self.assertEqual((code, text[:6]), (553, b"5.7.1 "))
        with self.assertRaises(smtplib.SMTPDataError) as caught:
            client.sendmail(own, ["bob@example.test"],
                            message("alice", "bob", "forged", b"forged\r\n"))
        self.assertEqual(caught.exception.smtp_code, 550)
        self.assertIn(b"5.7.1", caught.exception.smtp_error)
        # its own address, in any case of letters, does
        self.assertEqual(client.mail(own.upper())[0], 250)
        self.assertEqual(client.rcpt("someone@elsewhere.test")[0], 250)
        client.rset()
        client.quit()

    def test_nothing_without_a_login(self):
        client = self.box.submission(None)
        client.ehlo("client.test")
        code, text = client.mail("alice@example.test")
        self.assertEqual((code, text[:6]), (530, b"5.7.0 "))
        client.close()
        clear = Smtp("localhost", self.box.port("submission"))
        clear.ehlo("client.test")
        self.assertNotIn("auth", clear.esmtp_features)
        self.assertIn("starttls", clear.esmtp_features)
        code, text = clear.docmd("AUTH", "PLAIN AGFsaWNlAHNlY3JldA==")
        self.assertIn(code, (530, 538))
        clear.close()

    def test_wrong_passwords(self):
        with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
            self.box.submission("alice", "wrong")
        self.assertEqual(caught.exception.smtp_code, 535)
        self.assertIn(b"5.7.8", caught.exception.smtp_error)
        with self.assertRaises(smtplib.SMTPAuthenticationError):
            self.box.submission("nobody", "secret")
        for user, password in (("alice", "wrong"), ("nobody", "secret"),
                               ("alice@elsewhere.test", "secret"),
                               ("bob", "Secret")):
            with self.assertRaisesRegex(imaplib.IMAP4.error,
                                        "AUTHENTICATIONFAILED"):
                self.box.imap(user, password)
            with self.assertRaisesRegex(poplib.error_proto, r"-ERR \[AUTH\]"):
                self.box.pop3(user, password)

    def test_recipients(self):
        client = self.box.smtp()
        client.ehlo("outside.test")
        client.mail("x@outside.test")
        code, text = client.rcpt("nobody@example.test")
        self.assertEqual((code, text[:6]), (550, b"5.1.1 "))
        code, text = client.rcpt("victim@elsewhere.test")
        self.assertEqual((code, text[:6]), (550, b"5.7.1 "))
        for address in ("bob@EXAMPLE.test", "BOB@example.test"):
            self.assertEqual(client.rcpt(address)[0], 250, address)
        # a source route is passed over (RFC 5321, appendix C)
        self.assertEqual(client.docmd(
            "RCPT", "TO:<@elsewhere.test:bob@example.test>")[0], 250)
        for address in ("bob%elsewhere.test@example.test", "bob",
                        "elsewhere.test!bob@example.test",
                        '"bob@elsewhere.test"@example.test'):
            self.assertIn(client.rcpt(address)[0] // 100, (5,), address)
        client.quit()
        client = self.box.submission("alice")
        client.mail("alice@example.test")
        self.assertEqual(client.rcpt("nobody@example.test")[0], 550)
        client.quit()


if __name__ == "__main__":
    unittest.main()
