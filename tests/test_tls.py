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
       client_certificate = "ask"; }};
"""


def make_certificate(folder, file, *names, client=False):
    """A self-signed one with its key, in one file; its DER form."""
    path = os.path.join(folder, file)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", "/CN=test",
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


class Tls(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-tls-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.other = make_certificate(self.dir, "other.pem", "other.test",
                                      "mx.other.test")
        self.wild = make_certificate(self.dir, "wild.pem", "*.wild.test")
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
        os.kill(int(self.box.env["PH_PID"]), signal.SIGHUP)
        until(lambda: "tls_not_loaded" in self.box.log(), "a word about the file")
        until(lambda: self.served("a.wild.test") == self.default(), "the default")
        self.assertEqual(self.served("other.test"), self.other)

    def test_sessions_are_resumed_in_any_process(self):
        for version in ("-tls1_2", "-tls1_3"):
            session = os.path.join(self.dir, "session")
            seen = [self.openssl(version, "-sess_out", session)]
            for _ in range(12):
                seen.append(self.openssl(version, "-sess_in", session))
            self.assertEqual([s for s, _ in seen], ["New"] + ["Reused"] * 12)
            self.assertEqual(len({edge for _, edge in seen}), 2,
                             "one process took all connections")

    def openssl(self, *options):
        """How the session came about, and which edge process took it."""
        log = len(self.box.log())
        done = subprocess.run(
            ["openssl", "s_client", "-connect",
             f"127.0.0.1:{self.box.port('submissions')}", "-ign_eof", "-crlf",
             *options], input=b"QUIT\n", capture_output=True, timeout=DEADLINE)
        how = re.search(rb"^(New|Reused), ", done.stdout, re.M)
        self.assertTrue(how, done.stdout + done.stderr)
        edge = until(lambda: re.search(r"(edge[^ ]*\[\d+\])[^\n]* session_end",
                                       self.box.log()[log:]), "the last line")
        return how.group(1).decode(), edge.group(1)

    def test_a_client_certificate_is_asked_for_and_told(self):
        shown = make_certificate(self.dir, "client.pem", "client.test")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl._create_unverified_context()
            context.maximum_version = version
            context.load_cert_chain(self.dir + "/client.pem")
            before = self.box.log().count("session_end")
            link = self.connect(context=context)
            link.recv(4096)
            link.sendall(b"QUIT\r\n")
            link.recv(4096)
            until(lambda: self.box.log().count("session_end") > before, "the end")
            self.assertIn("certificate=" + hashlib.sha256(shown).hexdigest(),
                          self.box.log().splitlines()[-1])

    def test_old_versions_are_refused(self):
        context = ssl._create_unverified_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(ssl.SSLError):
            self.connect(context=context)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
