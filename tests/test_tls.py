# SPDX-License-Identifier: Apache-2.0
"""TLS of a running server: certificates by name, new ones without a restart,
sessions resumed in another process, certificates of clients."""
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from sandbox import DEADLINE, Sandbox, until

CONF = """
processes: {{ edge = 2; }};
tls: {{ more_certificates = [ "{0}/other.pem", "{0}/wild.pem" ];
       client_ca_file = "{0}/clients.crt"; }};
smtp_inbound: {{ client_certificate = "require"; }};
smtp_submission: {{ client_certificate = "ask"; }};
pop3: {{ client_certificate = "require"; }};
"""
ENVELOPE = b"MAIL FROM:<x@outside.test>", b"RCPT TO:<bob@example.test>", b"DATA"


def make_certificate(folder, file, *names, ca="test"):
    """A self-signed one with its key, in one file; its DER form."""
    path = os.path.join(folder, file)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", "/CN=" + ca,
         "-keyout", path + ".key", "-out", path + ".crt", "-addext",
         "subjectAltName=" + ",".join("DNS:" + n for n in names)],
        check=True, capture_output=True)
    with open(path + ".new", "w") as out:
        for part in (".key", ".crt"):
            with open(path + part) as text:
                out.write(text.read())
    os.rename(path + ".new", path)
    with open(path + ".crt") as text:
        return ssl.PEM_cert_to_DER_cert(text.read())


def sign_certificate(folder, file, subject, ca, usage="clientAuth", days=3):
    """One that a CA (made by make_certificate) signed, in its file."""
    path = os.path.join(folder, file)
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-utf8", "-subj", subject,
         "-keyout", path + ".key", "-out", path + ".csr"],
        check=True, capture_output=True)
    with open(path + ".ext", "w") as out:
        out.write(f"extendedKeyUsage={usage}\n")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", path + ".csr", "-CA",
         os.path.join(folder, ca + ".crt"), "-CAkey",
         os.path.join(folder, ca + ".key"), "-set_serial", "7", "-days",
         str(days), "-extfile", path + ".ext", "-out", path + ".crt"],
        check=True, capture_output=True)
    with open(path, "w") as out:
        for part in (".key", ".crt"):
            with open(path + part) as text:
                out.write(text.read())
    return path


class Tls(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-tls-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.other = make_certificate(self.dir, "other.pem", "other.test",
                                      "mx.other.test")
        self.wild = make_certificate(self.dir, "wild.pem", "*.wild.test")
        make_certificate(self.dir, "clients", "ca.test", ca="Client CA")
        make_certificate(self.dir, "strangers", "ca.test", ca="Their CA")
        self.box = Sandbox({"tls": CONF.format(self.dir)})
        self.addCleanup(self.box.close)

    def connect(self, name=None, context=None, port="submissions"):
        context = context or ssl._create_unverified_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", self.box.port(port)), DEADLINE)
        link = context.wrap_socket(raw, server_hostname=name)
        self.addCleanup(link.close)
        return link

    def served(self, name):
        return self.connect(name).getpeercert(True)

    def default(self):
        with open(self.box.dir + "/tls/cert.pem") as text:
            return ssl.PEM_cert_to_DER_cert(text.read())

    def test_the_name_asked_for_chooses_the_certificate(self):
        for name, want in (("other.test", self.other), ("MX.other.test", self.other),
                           ("a.wild.test", self.wild), ("wild.test", None),
                           ("a.b.wild.test", None), ("mail.example.test", None),
                           ("nobody.test", None), (None, None)):
            self.assertEqual(self.served(name), want or self.default(), name)

    def test_a_reload_brings_new_certificates(self):
        held = self.connect("other.test")
        self.assertTrue(held.recv(4096).startswith(b"220 "))
        fresh = make_certificate(self.dir, "other.pem", "other.test")
        tls = self.box.dir + "/tls"
        subprocess.run(["openssl", "x509", "-req", "-in", tls + "/csr.pem", "-CA",
                        tls + "/ca.pem", "-CAkey", tls + "/ca.key", "-days", "9",
                        "-set_serial", "4711", "-extfile", tls + "/ext", "-out",
                        tls + "/cert.pem"], check=True, capture_output=True)
        os.kill(int(self.box.env["PH_PID"]), signal.SIGHUP)
        # either process may take a connection
        until(lambda: all(self.served("other.test") == fresh for _ in range(8)),
              "the new certificate for other.test")
        self.assertEqual(self.served(None), self.default())
        held.sendall(b"EHLO c.test\r\n")
        self.assertTrue(held.recv(4096).startswith(b"250-"), "a session was dropped")

    def test_a_broken_file_changes_nothing(self):
        with open(self.dir + "/wild.pem", "w") as out:
            out.write("-----BEGIN CERTIFICATE-----\nbroken\n")
        done = self.box.ctl("reload", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/wild.pem: the certificate can't be used: ", done.stderr)
        self.assertEqual(self.served("a.wild.test"), self.wild)
        self.assertEqual(self.served("other.test"), self.other)

    def test_a_key_of_another_certificate_is_refused_and_the_old_pair_stays(self):
        before = self.default()
        shutil.copy(self.box.dir + "/tls/ca.key", self.dir + "/foreign.key")
        self.box.snippet("96-pair", f'tls: {{ key = "{self.dir}/foreign.key"; }};')
        self.addCleanup(self.box.snippet, "96-pair", "")
        for done in (self.box.ctl("reload", check=False), self.box.posthouse("-t")):
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("foreign.key: the key can't be used with the certificate",
                          done.stdout + done.stderr)
            self.assertRegex(done.stdout + done.stderr, r"96-pair\.conf:1: ")
        self.assertEqual(self.served(None), before)

    def test_sessions_are_resumed_in_any_process(self):
        for version in ("-tls1_2", "-tls1_3"):
            session = os.path.join(self.dir, "session")
            how, edge = self.openssl(version, "-sess_out", session)
            self.assertEqual(how, "New")
            seen = {edge}

            def again():
                """The kernel may give many to one process, but not all."""
                how, edge = self.openssl(version, "-sess_in", session)
                self.assertEqual(how, "Reused")
                seen.add(edge)
                return len(seen) == 2
            for _ in range(6):
                again()
            until(again, "a connection to the other process")

    def resumption(self, port, bye, *options):
        """How the session came about: New or Reused."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect",
             f"127.0.0.1:{self.box.port(port)}", "-ign_eof", "-crlf",
             *options], input=bye, capture_output=True, timeout=DEADLINE)
        how = re.search(rb"^(New|Reused), ", done.stdout, re.M)
        self.assertTrue(how, done.stdout + done.stderr)
        return how.group(1).decode()

    def openssl(self, *options):
        """The same of a submission, and which edge process took it."""
        log = len(self.box.log())
        how = self.resumption("submissions", b"QUIT\n", *options)
        edge = until(lambda: re.search(r"(edge[^ ]*\[\d+\])[^\n]* session_end",
                                       self.box.log()[log:]), "the last line")
        return how, edge.group(1)

    def rotations(self):
        return self.box.log().count("ticket_key_made")

    def rotate(self, seconds):
        self.box.snippet("95-tickets",
                         f'tls: {{ ticket_rotation = "{seconds}s"; }};')
        self.box.ctl("reload")

    def test_tickets_outlive_one_change_of_keys(self):
        """In all processes, whichever made it and however often it is used."""
        lasts = 2  # seconds; as many more as the machine turns out to need
        self.rotate(lasts)
        for version in ("-tls1_2", "-tls1_3"):
            def outcome():
                """Of tickets used within one change of keys, and behind two."""
                nonlocal lasts
                session = os.path.join(self.dir, "session")
                began = self.rotations()
                self.openssl(version, "-sess_out", session)
                if self.rotations() > began:
                    lasts += 1
                    return self.rotate(lasts)
                until(lambda: self.rotations() > began, "a new key")
                seen = [self.openssl(version, "-sess_in", session)
                        for _ in range(6)]
                if self.rotations() != began + 1:
                    lasts += 2  # too slow: the test, not the server
                    return self.rotate(lasts)
                if len({edge for _, edge in seen}) == 1:
                    return None  # the kernel gave all to one process
                until(lambda: self.rotations() > began + 1, "another key")
                last = self.openssl(version, "-sess_in", session)
                return [how for how, _ in seen] + [last[0]], \
                    {edge for _, edge in seen}
            how, edges = until(outcome, "an outcome", 3 * DEADLINE)
            self.assertEqual(how, ["Reused"] * 6 + ["New"])
            self.assertEqual(len(edges), 2, "one process took all connections")

    def test_a_reload_keeps_tickets_and_a_new_process_has_them(self):
        session = os.path.join(self.dir, "session")
        self.assertEqual(self.openssl("-tls1_3", "-sess_out", session)[0], "New")
        self.box.ctl("reload")
        for _ in range(4):
            self.assertEqual(self.openssl("-tls1_3", "-sess_in", session)[0],
                             "Reused")
        killed = self.box.kill_role("edge")
        until(lambda: len([p for p, a in self.box.children().items()
                           if "--role=edge" in a and p not in killed]) == 2,
              "new processes")
        self.assertEqual(self.openssl("-tls1_3", "-sess_in", session)[0], "Reused")

    # --- certificates of clients ---

    def context(self, certificate=None, version=None):
        context = ssl._create_unverified_context()
        context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def say(self, link, *lines):
        """The codes of the greeting, unless it was heard, and the replies."""
        codes = []
        for line in lines:
            link.sendall(line + b"\r\n")
            reply = b""
            while not re.search(rb"(?m)^\d{3} .*\r\n", reply):
                got = link.recv(4096)
                self.assertTrue(got, reply)
                reply += got
            codes.append(int(reply[:3]))
        return codes

    def summary(self, link):
        """The last line of a session that QUITs now."""
        before = self.box.log().count("session_end")
        self.assertEqual(self.say(link, b"QUIT"), [221])
        until(lambda: self.box.log().count("session_end") > before, "the end")
        return [line for line in self.box.log().splitlines()
                if "session_end" in line][-1]

    def inbound(self, certificate=None, version=None):
        """Past STARTTLS and a second EHLO."""
        raw = socket.create_connection(("127.0.0.1", self.box.port("smtp")),
                                       DEADLINE)
        raw.recv(4096)
        self.assertEqual(self.say(raw, b"EHLO c.test", ENVELOPE[0], b"STARTTLS"),
                         [250, 530, 220])
        link = self.context(certificate, version).wrap_socket(raw)
        self.addCleanup(link.close)
        self.assertEqual(self.say(link, b"EHLO c.test"), [250])
        return link

    def test_a_client_certificate_is_asked_for_and_told(self):
        shown = make_certificate(self.dir, "client.pem", "client.test",
                                 ca="none but me")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            link = self.connect(context=self.context(self.dir + "/client.pem",
                                                     version))
            link.recv(4096)
            line = self.summary(link)
            self.assertIn("certificate=" + hashlib.sha256(shown).hexdigest() +
                          ' certificate_of="none but me" certificate_verified=no',
                          line)
        link = self.connect()
        link.recv(4096)
        self.assertNotIn("certificate", self.summary(link))

    def test_a_certificate_of_our_CA_is_verified_and_traced(self):
        mine = sign_certificate(self.dir, "mine.pem", "/O=Firm/CN=mx.firm.test",
                                "clients")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            link = self.inbound(mine, version)
            self.assertEqual(self.say(link, *ENVELOPE), [250, 250, 354])
            self.assertEqual(self.say(link, b"\r\nhello\r\n."), [250])
            self.assertIn("certificate_of=mx.firm.test certificate_verified=yes",
                          self.summary(link))
        for text in self.box.inbox("bob", 2):
            self.assertIn(b'(Client CN "mx.firm.test", Issuer "Client CA" '
                          b"(verified OK))", text)

    def test_mail_needs_a_required_certificate(self):
        others = [
            None,
            sign_certificate(self.dir, "theirs.pem", "/CN=mx.firm.test",
                             "strangers"),
            sign_certificate(self.dir, "server.pem", "/CN=mx.firm.test",
                             "clients", usage="serverAuth"),
            sign_certificate(self.dir, "old.pem", "/CN=mx.firm.test", "clients",
                             days=-1)]
        make_certificate(self.dir, "self.pem", "x.test", ca="Client CA")
        for certificate in [*others, self.dir + "/self.pem"]:
            link = self.inbound(certificate)
            self.assertEqual(
                self.say(link, ENVELOPE[0], b"NOOP", b"VRFY bob"),
                [530, 250, 252], certificate)
            self.assertNotIn("certificate_verified=yes", self.summary(link))
        self.assertIn("STARTTLS comes first", self.box.log())

    def test_names_in_a_certificate_cannot_break_out(self):
        evil = sign_certificate(
            self.dir, "evil.pem",
            '/CN=a") by evil\\0aX: y\u00e9' + "z" * 30, "clients")
        link = self.inbound(evil)
        self.assertEqual(self.say(link, *ENVELOPE), [250, 250, 354])
        self.assertEqual(self.say(link, b"\r\nhello\r\n."), [250])
        line = self.summary(link)
        text = self.box.inbox("bob", 1)[0]
        name = re.search(rb'Client CN "([^"]*)", Issuer', text).group(1)
        self.assertRegex(name, rb"^a\?\? by evil[ -~]*z{30}$")
        self.assertNotRegex(name, rb"[()\\]")
        self.assertIn("certificate_verified=yes", line)

    def test_a_login_needs_a_required_certificate(self):
        mine = sign_certificate(self.dir, "mine.pem", "/CN=alice", "clients")
        for certificate, want in ((None, b"-ERR"), (mine, b"+OK")):
            link = self.connect(context=self.context(certificate), port="pop3s")
            file = link.makefile("rb")
            for line, start in ((b"", b"+OK"), (b"USER alice\r\n", b"+OK"),
                                (b"PASS secret\r\n", want)):
                link.sendall(line)
                reply = file.readline()
                self.assertTrue(reply.startswith(start), reply)
        self.assertIn("login_refused", self.box.log())

    def test_a_resumed_session_is_as_good_as_its_first(self):
        mine = sign_certificate(self.dir, "mine.pem", "/CN=mx.firm.test", "clients")
        session = os.path.join(self.dir, "session")
        for version in ("-tls1_2", "-tls1_3"):
            for options, want in (
                    (["-sess_out", session, "-cert", mine, "-key", mine], "New"),
                    (["-sess_in", session], "Reused")):
                how, _ = self.openssl(version, *options)
                self.assertEqual(how, want)
                line = [at for at in self.box.log().splitlines()
                        if "session_end" in at][-1]
                self.assertIn("certificate_verified=yes", line)
        # where no certificate was asked for, none can be resumed
        for port, bye, option in (("imaps", b"a LOGOUT\n", "-sess_out"),
                                  ("imaps", b"a LOGOUT\n", "-sess_in"),
                                  ("submissions", b"QUIT\n", "-sess_in")):
            seen = self.resumption(port, bye, "-tls1_2", option, session)
            self.assertEqual(seen, "Reused" if (port, option) == (
                "imaps", "-sess_in") else "New", (port, option))

    def test_a_reload_brings_new_CAs(self):
        mine = sign_certificate(self.dir, "mine.pem", "/CN=mx.firm.test", "clients")
        self.assertEqual(self.say(self.inbound(mine), ENVELOPE[0]), [250])
        shutil.copy(self.dir + "/strangers.crt", self.dir + "/clients.crt")
        before = self.box.log().count(" reloaded ")
        os.kill(int(self.box.env["PH_PID"]), signal.SIGHUP)
        until(lambda: self.box.log().count(" reloaded ") > before, "the reload")
        theirs = sign_certificate(self.dir, "theirs.pem", "/CN=x", "strangers")
        for certificate, want in ((mine, 530), (theirs, 250)):
            self.assertEqual(self.say(self.inbound(certificate), ENVELOPE[0]),
                             [want])

    def test_old_versions_are_refused(self):
        context = ssl._create_unverified_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        for port in ("submissions", "imaps", "pop3s"):
            with self.assertRaises(ssl.SSLError):
                self.connect(context=context, port=port)

    def test_another_protocol_is_refused_ALPACA(self):
        """Who names protocols must name ours (ALPN); who names none may stay."""
        for port, ours in (("submissions", "smtp"), ("imaps", "imap"),
                           ("pop3s", "pop3")):
            for offer, want in (([ours], ours), (["http/1.1", ours], ours),
                                ([], None)):
                context = ssl._create_unverified_context()
                if offer:
                    context.set_alpn_protocols(offer)
                link = self.connect(context=context, port=port)
                self.assertEqual(link.selected_alpn_protocol(), want, offer)
                self.assertTrue(link.recv(4096), offer)
            for offer in (["http/1.1"], ["h2", "http/1.1"], [ours + "x"],
                          [ours.upper()], [ours[:-1]]):
                context = ssl._create_unverified_context()
                context.set_alpn_protocols(offer)
                with self.assertRaises(ssl.SSLError, msg=offer) as refused:
                    self.connect(context=context, port=port).recv(1)
                self.assertIn("no application protocol", str(refused.exception))

    def test_no_renegotiation_CVE_2009_3555(self):
        client = subprocess.Popen(
            ["openssl", "s_client", "-tls1_2", "-connect",
             f"127.0.0.1:{self.box.port('submissions')}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.wait, DEADLINE)
        self.addCleanup(client.kill)
        said = b""
        for line in client.stdout:  # the greeting must not meet the handshake
            said += line
            if line.startswith(b"220 "):
                break
        said += client.communicate(b"R\n", DEADLINE)[0]
        self.assertIn(b"RENEGOTIATING", said)
        self.assertIn(b"no renegotiation", said)
        self.assertIn(b"Secure Renegotiation IS supported", said)
        self.assertNotIn(b"Compression: zlib", said)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
