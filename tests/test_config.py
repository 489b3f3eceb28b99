# SPDX-License-Identifier: Apache-2.0
"""Every mistake in a configuration is told by file, line and reason, and costs
a running server nothing; a good one takes effect and costs no session."""
import concurrent.futures
import glob
import imaplib
import os
import poplib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from ports import free_ports
from sandbox import DEADLINE, TOP, Sandbox, Smtp, until

# A module of another ABI, or of none at all.
FOREIGN = """
#include <posthouse/check.h>
static const struct ph_check_ops ops = { .at = { NULL } };
PH_MODULE(check_foreign) = { .abi = { %s, sizeof(struct ph_module) },
	.name = "check_foreign", .kinds = PH_KIND_CHECK, .doc = "Foreign",
	.check = &ops };
"""
NO_MODULE = "int check_foreign(void);\nint check_foreign(void) { return 1; }\n"


def compile_module(folder, name, text):
    source = os.path.join(folder, name + ".c")
    with open(source, "w") as out:
        out.write(text)
    path = os.path.join(folder, name + ".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-I",
                    os.path.join(TOP, "sdk", "include"), source, "-o", path],
                   check=True)
    return path


def generation(box):
    return int(re.search(r"^server generation (\d+)$",
                         box.ctl("status").stdout, re.M)[1])


class Mistakes(unittest.TestCase):
    """One server for all; each test adds one bad snippet."""

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)
        cls.folder = tempfile.mkdtemp(prefix="posthouse-modules-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o755)
        cls.generation = generation(cls.box)
        # two sessions that are open through all of this
        cls.smtp = cls.box.smtp()
        cls.addClassCleanup(cls.smtp.close)
        cls.smtp.ehlo("client.test")
        cls.smtp.mail("x@outside.test")
        cls.imap = cls.box.imap("carol")
        cls.addClassCleanup(cls.imap.shutdown)
        cls.imap.select("INBOX")

    def tearDown(self):
        os.unlink(os.path.join(self.box.dir, "conf.d", "95-bad.conf"))

    def serves_as_before(self):
        """The open sessions go on, new ones come, nothing else was loaded."""
        self.assertEqual(generation(self.box), self.generation)
        self.assertEqual(self.smtp.rcpt("bob@example.test")[0], 250)
        self.assertEqual(self.imap.noop()[0], "OK")
        with self.box.smtp() as client:
            self.assertEqual(client.ehlo("client.test")[0], 250)

    def refused(self, text, *lines):
        """lines: (line, pattern of the reason), each told once."""
        self.box.snippet("95-bad", text)
        wanted = [rf"(?m)^\S+/conf\.d/95-bad\.conf:{line}: .*{reason}"
                  for line, reason in lines]
        done = self.box.posthouse("-t")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), len(lines), done.stderr)
        for pattern in wanted:
            self.assertRegex(done.stderr, pattern)
        done = self.box.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        for pattern in wanted:
            self.assertRegex(done.stderr, pattern)
        self.serves_as_before()
        seen = len(self.box.log())
        os.kill(int(self.box.env["PH_PID"]), signal.SIGHUP)
        for line, _ in lines:
            until(lambda: re.search(
                rf"error master\[\d+\] reload_refused file=\S+/95-bad\.conf "
                rf"line={line} reason=", self.box.log()[seen:]),
                f"the refusal of line {line} in the log")
        self.serves_as_before()

    def test_unknown_option_of_a_module(self):
        self.refused("\nsmtp_inbound: { mesage_size = \"5M\"; };",
                     (2, 'unknown option "mesage_size" in section smtp_inbound;'
                         ' did you mean "message_size"'))

    def test_conditions(self):
        self.refused("""check_helo: {
  when: {
    listener = [ "smtp_inbound" ];
    authenticated = "perhaps";
  };
};
check_access: { when: {
    listeners = [ "smtp_inbond" ];
    clients = [ "10.0.0.1/8" ]; }; unless: {
    recipient_domains = [ "a@b.test" ]; };
};
""", (3, r'unknown option "when.listener" in section check_helo; '
         'did you mean "when.listeners"'),
            (4, "when.authenticated: wanted one of"), (9, "when.clients: "))
        self.refused("""policy: { when: {
    deeper: { a = 1; }; };
};
""", (2, "when.deeper: wanted a "))
        self.refused("""pop3: {
    unless: { authenticated = "no"; };
};
""", (2, "unless.authenticated: pop3 is no check"))
        self.refused("""check_access: { when: {
    listeners = [ "smtp_inbond" ]; };
};
policy: { when: {
    listeners = [ "none_of_these_names" ]; };
};
""", (2, 'when.listeners: there is no listener "smtp_inbond"; '
              'did you mean "smtp_inbound"'),
            (5, 'when.listeners: there is no listener "none_of_these_names"$'))
        self.refused("""check_access: {
    unless: { recipient_domains = [ "a@b.test" ]; };
};
""", (2, 'unless.recipient_domains: "a@b.test" is no domain'))

    def test_unknown_option_of_the_core(self):
        self.refused("limits: {\n\tauth_failure = 3;\n};\nhostnme = \"x.test\";",
                     (2, 'unknown option "auth_failure" in section limits; '
                         'did you mean "auth_failures"'),
                     (4, 'unknown option "hostnme"; did you mean "hostname"'))

    def test_nothing_near_is_not_guessed(self):
        self.refused("\n\npop3: { xyzzy = 1; };",
                     (3, 'unknown option "xyzzy" in section pop3$'))

    def test_values_of_a_wrong_type(self):
        self.refused('hostname = 5;\nqueue: {\n\tfsync = "yes";\n};\n'
                     'tls: { certificate = "cert.pem"; };\n',
                     (1, "hostname: wanted a text in quotes"),
                     (3, "fsync: wanted true or false"),
                     (5, "certificate: wanted an absolute path"))

    def test_values_of_a_wrong_type_for_modules(self):
        self.refused('pop3: {\n\tidle_timeout = "soon";\n};\n'
                     'smtp_inbound: { message_size = "5X"; auth = 1; };\n',
                     (2, 'idle_timeout: wanted a duration like "500ms"'),
                     (4, 'message_size: wanted a size like "64K"'),
                     (4, "auth: wanted true or false"))

    def test_values_out_of_range(self):
        self.refused('\nlimits: { auth_failures = 0; };\n'
                     'processes: { mail = 65; };\nlog: { level = "loud"; };',
                     (2, "auth_failures: 0 is out of range: 1 to 1000"),
                     (3, "mail: 65 is out of range: 0 to 64"),
                     (4, 'level: wanted one of "debug", "info"'))

    def test_values_that_mean_nothing(self):
        self.refused('domains = [ "ok.test", "not a domain" ];\n'
                     'queue: { retry = [ "5m", "later" ]; };\n'
                     'dns: { servers = [ "localhost" ]; };',
                     (1, 'domains: "not a domain" is not a domain'),
                     (2, 'retry: "later" is not a duration'),
                     (3, 'servers: "localhost" is not ADDRESS'))

    def test_networks_with_bits_beyond_the_prefix(self):
        self.refused('check_access: { deny = [ "192.0.2.1/24" ]; };',
                     (1, 'deny: "192.0.2.1/24" is no network'))

    def test_mistakes_that_only_the_module_knows(self):
        """Told where the setting stands, though its section began elsewhere."""
        self.box.snippet("40-check_rbl", "check_rbl: { timeout = \"2s\"; };")
        self.box.snippet("40-check_rate", "check_rate: { };")
        for name in ("check_rbl", "check_rate"):
            self.addCleanup(os.unlink, os.path.join(
                self.box.dir, "conf.d", f"40-{name}.conf"))
        self.refused("""check_rbl: {
  score = 2;
  lists = [ "a.test", "a.test wait=4" ];
};
check_rate: {
  limits = [ "messages per client 1/1h" ];
  v6_bits = 63;
};""", (3, '"a.test wait=4": after the zone come'),
                     (7, "v6_bits must be a multiple of 8"))

    def test_a_socket_that_is_none(self):
        self.refused('\npop3: { listen = [ "localhost:110" ]; };',
                     (2, 'listen: "localhost:110" is not ADDRESS:PORT'))

    def test_missing_module(self):
        self.refused("\n\ncheck_nothing: { };",
                     (3, r"module check_nothing: \S+/check_nothing\.so: "
                         "No such file"))

    def test_mistyped_section_of_the_core(self):
        self.refused("\nlimit: { connections = 5; };",
                     (2, 'did you mean the section "limits"'))

    def test_module_of_another_abi(self):
        path = compile_module(self.folder, "check_foreign", FOREIGN % "9, 1")
        self.refused(f'\ncheck_foreign: {{\n\tmodule = "{path}";\n}};',
                     (3, rf"module {path}: {path}: built for ABI 9\.1; "
                         r"wanted 1\.\d+ or an older 1\.x"))

    def test_module_of_a_newer_minor(self):
        path = compile_module(self.folder, "check_newer",
                              FOREIGN.replace("check_foreign", "check_newer")
                              % "PH_ABI_MAJOR, PH_ABI_MINOR + 1")
        self.refused(f'check_newer: {{ module = "{path}"; }};',
                     (1, r"built for ABI 1\.\d+; wanted 1\."))

    def test_library_that_is_no_module(self):
        path = compile_module(self.folder, "check_none", NO_MODULE)
        self.refused(f'check_none: {{ module = "{path}"; }};',
                     (1, "exports no ph_module"))

    def test_file_that_is_no_library(self):
        path = os.path.join(self.folder, "text.so")
        with open(path, "w") as out:
            out.write("not a shared object\n")
        self.refused(f'text: {{ module = "{path}"; }};', (1, "text.so: "))

    def test_module_that_anybody_may_change(self):
        path = compile_module(self.folder, "check_open",
                              FOREIGN.replace("check_foreign", "check_open")
                              % "PH_ABI_MAJOR, PH_ABI_MINOR")
        os.chmod(path, 0o777)
        self.refused(f'check_open: {{ module = "{path}"; }};',
                     (1, "anybody may write to it"))

    def test_syntax(self):
        self.refused("pop3: {\n\tidle_timeout = ;\n};\n", (2, "syntax error"))

    def test_braces_that_do_not_close(self):
        self.refused("pop3: {\n\tidle_timeout = \"5m\";\n\n", (4, "syntax error"))

    def test_socket_of_another_section(self):
        port = self.box.env["PH_SMTP"]
        self.refused(f'\npop3: {{ listen = [ "127.0.0.1:{port}" ]; }};',
                     (2, rf"127\.0\.0\.1:{port}: smtp_inbound \(\S+/"
                         r"50-sandbox\.conf:\d+\) listens there already"))

    def test_socket_written_in_two_ways(self):
        port, = free_ports(1)
        self.refused(f'pop3: {{ listen = [ "[::1]:{port}" ]; }};\n'
                     f'imap: {{ listen = [ "[0:0::1]:{port}" ]; }};\n',
                     (2, r"pop3 \(\S+/95-bad\.conf:1\) listens there already"))

    def test_tls_without_a_certificate(self):
        self.refused('tls: { certificate = ""; key = ""; };\n'
                     'pop3: { listen_tls = [ "127.0.0.1:0" ]; };\n'
                     'imap: { listen_tls = [ "127.0.0.1:0" ]; };\n'
                     'smtp_submission: { listen_tls = [ "127.0.0.1:0" ]; };\n',
                     (2, "listen_tls: there is no certificate"),
                     (3, "listen_tls: there is no certificate"),
                     (4, "listen_tls: there is no certificate"))

    def test_a_certificate_that_nobody_can_verify_is_not_required(self):
        self.refused('smtp_inbound: { client_certificate = "ask"; };\n'
                     'smtp_submission: { client_certificate = "require"; };\n'
                     'check_helo: { client_certificate = "ask"; };\n',
                     (2, "client_certificate: to require one, section tls"),
                     (3, "client_certificate: check_helo is no listener"))


class GoodReload(unittest.TestCase):
    def test_a_transaction_under_way_sees_it_through(self):
        """Reloads, good and bad, between any two commands of a session."""
        with Sandbox() as box:
            old = box.smtp()
            imap = box.imap("bob")
            imap.select("INBOX")
            self.assertIn(b"mail.example.test", old.ehlo("client.test")[1])
            old.mail("x@outside.test")
            box.snippet("95-bad", "pop3: { nonsense = 1; };")
            self.assertEqual(box.ctl("reload", check=False).returncode, 1)
            self.assertEqual(old.rcpt("bob@example.test")[0], 250)
            os.unlink(os.path.join(box.dir, "conf.d", "95-bad.conf"))
            port, = free_ports(1)
            box.snippet("95-good", 'hostname = "new.example.test";\nsmtp_inbound: '
                        '{ listen = [ "127.0.0.1:%s", "127.0.0.1:%d" ]; };'
                        % (box.env["PH_SMTP"], port))
            before = generation(box)
            self.assertEqual(box.ctl("reload").stdout,
                             f"generation {before + 1}\n")
            # the new name and the new port, at once
            for at in (box.port("smtp"), port):
                with Smtp("127.0.0.1", at) as client:
                    self.assertIn(b"new.example.test",
                                  client.ehlo("client.test")[1])
            # the old session: its transaction, then another, with its old name
            self.assertEqual(old.data(b"Subject: over\r\n\r\nreload\r\n")[0], 250)
            self.assertIn(b"mail.example.test", old.ehlo("client.test")[1])
            old.sendmail("x@outside.test", ["bob@example.test"],
                         b"Subject: after\r\n\r\nreload\r\n")
            self.assertEqual(old.quit()[0], 221)
            until(lambda: imap.noop()[0] == "OK" and
                  imap.select("INBOX")[1] == [b"2"], "both messages")
            imap.logout()
            self.assertEqual(len(box.inbox("bob", 2)), 2)

    def test_a_module_of_another_role_from_elsewhere_needs_a_restart(self):
        """Roles at work may read few folders; what they can't is refused, and
        the refusal says what helps. (A check's process makes way instead.)"""
        folder = tempfile.mkdtemp(prefix="posthouse-modules-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        path = compile_module(folder, "check_foreign", (
            FOREIGN % "PH_ABI_MAJOR, PH_ABI_MINOR").replace(
                "PH_KIND_CHECK", "PH_KIND_CHECK | PH_KIND_TRANSPORT").replace(
                ".check = &ops", ".check = &ops, .transport = &transport_ops"
            ).replace("PH_MODULE(", """#include <posthouse/transport.h>
static const struct ph_transport_ops transport_ops = { .attempt = NULL };
PH_MODULE(""", 1))
        with Sandbox() as box:
            box.snippet("95-path", f'\ncheck_foreign: {{ module = "{path}"; }};')
            before = generation(box)
            done = box.ctl("reload", check=False)
            # without Landlock (or under a sanitizer) all can be read
            if done.returncode != 0:
                self.assertRegex(done.stderr, r"95-path\.conf:2: module .*"
                                 r"Permission denied; .*restart it")
                self.assertEqual(generation(box), before)
            with box.smtp() as client:
                self.assertEqual(client.noop()[0], 250)
            box.restart()
            self.assertRegex(box.ctl("modules").stdout,
                             r"(?m)^check_foreign state=on")
            with box.smtp() as client:
                client.sendmail("x@outside.test", ["bob@example.test"],
                                b"Subject: checked\r\n\r\nchecked\r\n")
            self.assertEqual(len(box.inbox("bob", 1)), 1)

    def renew_certificate(self, box):
        """Another one of the same name and CA, in the place of the first."""
        tls = os.path.join(box.dir, "tls")
        subprocess.run(["openssl", "x509", "-req", "-in", f"{tls}/csr.pem",
                        "-CA", f"{tls}/ca.pem", "-CAkey", f"{tls}/ca.key",
                        "-set_serial", "4711", "-days", "30", "-extfile",
                        f"{tls}/ext", "-out", f"{tls}/cert.new"], check=True,
                       capture_output=True)
        os.rename(f"{tls}/cert.new", f"{tls}/cert.pem")

    def test_a_new_certificate_is_for_new_sessions(self):
        with Sandbox() as box:
            old = [Smtp("localhost", box.port(name))
                   for name in ("smtp", "submission")]
            imap = imaplib.IMAP4("localhost", box.port("imap"))
            pop3 = poplib.POP3("localhost", box.port("pop3"), timeout=DEADLINE)
            self.renew_certificate(box)
            box.ctl("reload")
            box.ctl("reload")
            with box.smtp() as new:
                new.starttls(context=box.tls())
                self.assertEqual(new.sock.getpeercert()["serialNumber"], "1267")
            # those that were open start TLS with what they began with
            for client in old:
                client.starttls(context=box.tls())
                self.assertNotEqual(client.sock.getpeercert()["serialNumber"],
                                    "1267")
                self.assertEqual(client.noop()[0], 250)
                client.quit()
            imap.starttls(box.tls())
            self.assertEqual(imap.login("bob", "secret")[0], "OK")
            imap.logout()
            pop3.stls(box.tls())
            pop3.user("bob")
            pop3.pass_("secret")
            pop3.quit()

    def test_tls_may_be_turned_off_under_a_session(self):
        with Sandbox() as box:
            old = box.smtp()
            self.assertTrue(old.ehlo("client.test")[0] == 250 and
                            old.has_extn("starttls"))
            box.snippet("95-off", 'tls: { certificate = ""; key = ""; };' +
                        "".join(f"{name}: {{ listen_tls = []; }};\n" for name in
                                ("imap", "pop3", "smtp_submission")))
            box.ctl("reload")
            with box.smtp() as new:
                new.ehlo("client.test")
                self.assertFalse(new.has_extn("starttls"))
            old.starttls(context=box.tls())
            self.assertEqual(old.noop()[0], 250)
            old.quit()


class UnderLoad(unittest.TestCase):
    """Reloads while mail comes in and is read, one after the other and two at
    a time: no client notices."""
    SENDERS, MESSAGES, READERS = 4, 25, 2

    def setUp(self):
        self.box = Sandbox({"load": "limits: { connections_per_client = 0; };"},
                           users=self.SENDERS)
        self.addCleanup(self.box.close)
        self.is_over = threading.Event()

    def send(self, number):
        """Each message in a session of its own, each session a little longer."""
        user = f"u{number:04d}@example.test"
        for n in range(self.MESSAGES):
            with self.box.smtp() as client:
                client.ehlo("client.test")
                if n % 3 == 0:
                    client.starttls(context=self.box.tls())
                for _ in range(n % 4):
                    client.noop()
                client.sendmail("x@outside.test", [user, "bob@example.test"],
                                b"Subject: %d.%d\r\n\r\n" % (number, n) +
                                b"0123456789abcdef\r\n" * (n * 300))

    def read(self):
        """An IMAP session that stays, POP3 and IMAP ones that come and go."""
        stays = self.box.imap("bob")
        stays.select("INBOX")
        while not self.is_over.is_set():
            self.assertEqual(stays.noop()[0], "OK")
            self.box.imap("alice").logout()
            pop3 = self.box.pop3("carol")
            pop3.stat()
            pop3.quit()
        self.assertEqual(stays.fetch("1:*", "(RFC822.SIZE)")[0], "OK")
        stays.logout()

    def reload(self, n):
        if n % 4 == 3:
            self.box.snippet("95-load", "pop3: { nonsense = 1; };")
        else:
            self.box.snippet("95-load", f'hostname = "mx{n}.example.test";\n'
                             f"limits: {{ connections_per_client = {n % 2}000; }};"
                             f"\ncheck_access: {{ order = {n + 1}; }};\n")
        return self.box.ctl("reload", check=False).returncode

    def test_no_client_notices(self):
        before = generation(self.box)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            senders = [pool.submit(self.send, n + 1)
                       for n in range(self.SENDERS)]
            readers = [pool.submit(self.read) for _ in range(self.READERS)]
            done = 0
            try:
                while not all(f.done() for f in senders) or done < 8:
                    self.assertEqual(self.reload(done), int(done % 4 == 3))
                    done += 1
            finally:
                self.is_over.set()
            for future in senders + readers:
                future.result()
        self.assertEqual(generation(self.box), before + done - done // 4)
        self.assertEqual(len(self.box.inbox(
            "bob", self.SENDERS * self.MESSAGES)), self.SENDERS * self.MESSAGES)
        self.assertNotIn("role_died", self.box.log())

    def test_two_at_a_time(self):
        before = generation(self.box)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: self.box.ctl("reload", check=False),
                                    range(8)))
        good = sum(a.returncode == 0 for a in answers)
        self.assertGreaterEqual(good, 1)
        for answer in answers:
            self.assertTrue(answer.returncode == 0 or answer.stderr, answer)
        self.assertEqual(generation(self.box), before + good)
        with self.box.smtp() as client:
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: after\r\n\r\nafter\r\n")
        self.assertEqual(len(self.box.inbox("bob", 1)), 1)


class Shipped(unittest.TestCase):
    """What is installed passes as it stands, and with TLS turned on."""

    def test_main_file_and_snippets(self):
        with Sandbox() as box:
            conf = os.path.join(box.dir, "posthouse.conf")
            with open(conf) as old:
                modules = re.search(r'^module_dir = "(.*)";', old.read(),
                                    re.M)[1]
            with open(os.path.join(TOP, "packaging", "posthouse.conf")) as main:
                text = main.read().replace("#module_dir = \"@PH_MODULE_DIR@\";",
                                           f'module_dir = "{modules}";')
            self.assertIn(modules, text)
            os.unlink(os.path.join(box.dir, "conf.d", "50-sandbox.conf"))
            for snippet in glob.glob(os.path.join(TOP, "conf.d", "*.conf")):
                shutil.copy(snippet, os.path.join(box.dir, "conf.d"))
            with open(conf, "w") as new:
                new.write(text)
            done = box.posthouse("-t")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for path in glob.glob(os.path.join(box.dir, "conf.d", "*.conf")):
                with open(path) as file:
                    text = file.read().replace("#listen_tls", "listen_tls")
                with open(path, "w") as file:
                    file.write(text)
            self.assertEqual(box.posthouse("-t").returncode, 1)
            box.snippet("99-tls", 'tls: { certificate = "%s/tls/cert.pem"; '
                        'key = "%s/tls/key.pem"; };' % (box.dir, box.dir))
            done = box.posthouse("-t")
            self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
