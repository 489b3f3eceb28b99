# SPDX-License-Identifier: Apache-2.0
"""IMAP over the wire: login, sessions that watch each other, hostile clients."""
import imaplib
import re
import socket
import unittest

from sandbox import DEADLINE, Sandbox, until

imaplib.Commands.setdefault("MOVE", ("SELECTED",))
imaplib.Commands.setdefault("UNSELECT", ("SELECTED",))

NESTED = (b"From: =?utf-8?q?J=C3=B6rg?= <j@outside.test>\r\n"
          b"To: alice@example.test, Team: bob@example.test;\r\n"
          b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
          b"Date: Mon, 23 Nov 2026 08:47:00 +0200\r\nMessage-ID: <n@test>\r\n"
          b"MIME-Version: 1.0\r\n"
          b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
          b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
          b"Content-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6n\r\n"
          b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
          b"Subject: inner\r\n\r\ninside\r\n--b--\r\n")


class Wire:
    """A raw connection: lines in, replies up to the tagged one out."""

    def __init__(self, box, tls=True, user=None):
        self.socket = socket.create_connection(
            ("127.0.0.1", box.port("imaps" if tls else "imap")), timeout=DEADLINE)
        if tls:
            self.socket = box.tls().wrap_socket(self.socket,
                                                server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline()
        if user:
            assert self.ask(f"LOGIN {user} secret")[-1].startswith(b"t OK")

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def line(self):
        return self.file.readline()

    def ask(self, command):
        self.send("t " + command + "\r\n")
        return self.answer()

    def answer(self):
        lines = []
        while True:
            lines.append(self.file.readline())
            if not lines[-1] or lines[-1].startswith(b"t "):
                return lines

    def rest(self):
        try:
            return self.file.read()
        except ConnectionResetError:
            return b""

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Imap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox(users=12)

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, **args):
        wire = Wire(self.box, **args)
        self.addCleanup(wire.close)
        return wire

    def client(self, user):
        client = self.box.imap(user)

        def end():
            try:
                client.logout()
            except (OSError, imaplib.IMAP4.error):
                pass
        self.addCleanup(end)
        return client

    def ok(self, answer):
        self.assertEqual(answer[0], "OK", answer)
        return answer[1]

    def append(self, client, *bodies, mailbox="INBOX", flags=None):
        for body in bodies:
            self.ok(client.append(mailbox, flags, None, body))

    # --- login ---

    def test_starttls_injection_CVE_2021_33515(self):
        wire = self.wire(tls=False)
        self.assertIn(b"LOGINDISABLED", wire.greeting)
        self.assertNotIn(b"AUTH=", wire.greeting)
        wire.send("t STARTTLS\r\nx NOOP\r\n")
        self.assertIn(b"t OK", wire.line())
        wire.socket = self.box.tls().wrap_socket(wire.socket,
                                                 server_hostname="localhost")
        wire.file = wire.socket.makefile("rb")
        answer = wire.ask("CAPABILITY")
        self.assertIn(b"AUTH=PLAIN", answer[0])
        self.assertFalse([l for l in answer if l.startswith(b"x ")])

    def test_no_password_in_the_clear(self):
        wire = self.wire(tls=False)
        self.assertIn(b"PRIVACYREQUIRED", wire.ask("LOGIN alice secret")[-1])
        self.assertIn(b"NO", wire.ask("AUTHENTICATE PLAIN")[-1])

    def test_every_way_to_log_in(self):
        client = imaplib.IMAP4("localhost", self.box.port("imap"),
                               timeout=DEADLINE)
        client.starttls(ssl_context=self.box.tls())
        self.ok(client.authenticate("PLAIN", lambda _: b"\0alice\0secret"))
        client.logout()
        wire = self.wire()
        wire.send("t LOGIN {5}\r\n")
        self.assertTrue(wire.line().startswith(b"+"))
        wire.send("alice {6+}\r\nsecret\r\n")
        self.assertIn(b"CAPABILITY IMAP4rev1", wire.answer()[-1])
        wire = self.wire()
        self.assertIn(b"t OK", wire.ask(
            "AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==")[-1])

    def test_wrong_passwords_end_the_connection(self):
        wire = self.wire()
        for _ in range(3):
            self.assertIn(b"AUTHENTICATIONFAILED",
                          wire.ask("LOGIN u0012 wrong")[-1])
        self.assertIn(b"* BYE", wire.rest())

    def test_commands_sent_with_the_login_are_answered(self):
        wire = self.wire()
        wire.send("t LOGIN u0001 secret\r\nu SELECT INBOX\r\n"
                  "v FETCH 1:* FLAGS\r\nw LOGOUT\r\n")
        text = wire.rest()
        for tag in (b"t OK", b"u OK", b"v OK", b"* BYE", b"w OK"):
            self.assertIn(tag, text)

    def test_strangers_get_little(self):
        self.assertEqual(self.wire(tls=False).ask("SELECT INBOX")[-1][:5],
                         b"t BAD")
        for hostile in (b"GET / HTTP/1.1\r\n\r\n", b"\0\r\n" * 3,
                        b"t LOGIN {99999999+}\r\n", b"t " + b"x" * 20000,
                        b"((((" * 1000 + b"\r\n", b"t LOGIN {4097}\r\n"):
            wire = self.wire(tls=False)
            wire.send(hostile)
            if hostile.startswith(b"(("):
                wire.send(b"\r\n\r\n")
            self.assertLess(len(wire.rest()), 500, hostile[:20])

    # --- messages ---

    def test_structure_sections_and_search(self):
        client = self.client("u0002")
        self.append(client, NESTED)
        self.append(client, b"Subject: plain\r\n\r\nnothing\r\n", flags="($Label1)")
        self.ok(client.select("INBOX"))
        text = self.ok(client.fetch("1", "(ENVELOPE BODYSTRUCTURE)"))[0]
        self.assertIn(b'((NIL NIL "alice" "example.test")(NIL NIL "Team" NIL)'
                      b'(NIL NIL "bob" "example.test")(NIL NIL NIL NIL))', text)
        self.assertIn(b'"inner"', text)
        for section, want in (("1", b"Sch=F6n"), ("2.1", b"inside"),
                              ("2.HEADER", b"Subject: inner\r\n\r\n"),
                              ("2.TEXT", b"inside"),
                              ("TEXT", NESTED.split(b"\r\n\r\n", 1)[1]),
                              ("", NESTED)):
            data = self.ok(client.fetch("1", f"(BODY.PEEK[{section}])"))
            self.assertEqual(data[0][1], want, section)
        self.assertIn(b"NIL", self.ok(client.fetch("1", "(BODY.PEEK[9])"))[0])

        def search(*keys):
            return self.ok(client.search("UTF-8", *keys))[0]
        for keys, want in (((b"SUBJECT", "GR\u00dcSS".encode()), b""),
                           ((b"SUBJECT", "GR\u00dc".encode()), b"1"),
                           ((b"BODY", "SCH\u00d6N".encode()), b"1"),
                           ((b"FROM", "j\u00f6rg".encode()), b"1"),
                           ((b"TEXT", b"inside"), b"1"),
                           ((b"KEYWORD", b"$label1"), b"2"),
                           ((b"OR", b"BODY", b"nothing", b"BODY", b"inside"),
                            b"1 2"),
                           ((b"SENTON", b"23-Nov-2026"), b"1"),
                           ((b"NOT", b"SENTON", b"23-Nov-2026"), b"2"),
                           ((b"HEADER", b"MIME-Version", b'""'), b"1"),
                           ((b"LARGER", b"100"), b"1")):
            self.assertEqual(search(*keys), want, keys)

    def test_flags_copy_move_and_expunge(self):
        client = self.client("u0003")
        self.append(client, *(b"Subject: %d\r\n\r\nx\r\n" % n for n in range(5)))
        self.ok(client.create("Box"))
        self.ok(client.select("INBOX"))
        self.ok(client.store("1:2", "+FLAGS", r"(\Flagged $Work)"))
        self.ok(client.copy("1,3", "Box"))
        self.assertRegex(client.response("COPYUID")[1][0], rb"^\d+ 1,3 1:2$")
        self.ok(client._simple_command("MOVE", "5", "Box"))
        self.assertEqual(client.response("EXPUNGE")[1], [b"5"])
        self.ok(client.store("2", "+FLAGS.SILENT", r"\Deleted"))
        self.assertEqual(self.ok(client.expunge()), [b"2"])
        self.ok(client.store("1", "+FLAGS.SILENT", r"\Deleted"))
        self.ok(client.uid("EXPUNGE", "3"))
        self.assertEqual(self.ok(client.search(None, "ALL"))[0], b"1 2 3")
        self.ok(client.select("Box"))
        flags = [re.search(rb"FLAGS \(([^)]*)", f)[1].replace(b"\\Recent", b"").split()
                 for f in self.ok(client.fetch("1:*", "(FLAGS)"))]
        self.assertEqual(flags, [[b"\\Flagged", b"$Work"], [], []])
        self.assertEqual(client.uid("COPY", "1", "None")[0], "NO")
        self.assertIn(b"TRYCREATE", client.uid("COPY", "1", "None")[1][0])

    def test_mailbox_names(self):
        client = self.client("u0004")
        for name in ('"Entw&APw-rfe"', "a/b/c", '"with blank"', '"a&-b"'):
            self.ok(client.create(name))
        names = [re.search(rb'"([^"]*)"$', l)[1]
                 for l in self.ok(client.list())]
        for name in (b"Entw&APw-rfe", b"a/b/c", b"with blank", b"a&-b", b"INBOX"):
            self.assertIn(name, names)
        top = b"\n".join(self.ok(client.list('""', "%")))
        self.assertIn(b'"a"', top)
        self.assertNotIn(b'"a/b', top)
        for name in ("../x", '"/etc"', "a//b", "&AC8-", ".", "..", '"a/../b"'):
            try:
                self.assertEqual(client.create(name)[0], "NO", name)
            except imaplib.IMAP4.error:
                pass
        self.ok(client.rename("a/b/c", "d"))
        self.ok(client.subscribe("d"))
        self.ok(client.delete("d"))
        self.assertIn(b"Noselect", self.ok(client.lsub())[0])
        self.assertEqual(client.delete("INBOX")[0], "NO")
        self.assertEqual(client.select("d")[0], "NO")

    # --- sessions beside each other ---

    def test_idle_is_told_at_once(self):
        other = self.client("u0005")
        wire = self.wire(user="u0005")
        wire.ask("SELECT INBOX")
        wire.send("t IDLE\r\n")
        self.assertTrue(wire.line().startswith(b"+"))
        self.append(other, b"Subject: 1\r\n\r\nx\r\n")
        self.assertEqual(wire.line(), b"* 1 EXISTS\r\n")
        self.ok(other.select("INBOX"))
        self.ok(other.store("1", "+FLAGS", r"(\Deleted)"))
        seen = b""
        while b"Deleted" not in seen:
            seen = wire.line()
        self.ok(other.expunge())
        while b"EXPUNGE" not in seen:
            seen = wire.line()
        self.assertEqual(seen, b"* 1 EXPUNGE\r\n")
        wire.send("DONE\r\n")
        self.assertIn(b"t OK", wire.answer()[-1])

    def test_numbers_hold_until_expunge_is_told(self):
        other, wire = self.client("u0006"), self.wire(user="u0006")
        self.append(other, *(b"Subject: %d\r\n\r\nx\r\n" % n for n in range(3)))
        self.ok(other.select("INBOX"))
        self.assertIn(b"* 3 EXISTS\r\n", wire.ask("SELECT INBOX"))
        self.ok(other.store("2", "+FLAGS", r"\Deleted"))
        self.ok(other.expunge())
        for command in ("FETCH 3 (UID)", "STORE 3 +FLAGS.SILENT (\\Seen)",
                        "SEARCH ALL"):
            lines = wire.ask(command)
            self.assertFalse([l for l in lines if b"EXPUNGE" in l], lines)
        self.assertIn(b"* 3 FETCH (UID 3)\r\n", wire.ask("FETCH 3 (UID)"))
        self.assertIn(b"* 2 EXPUNGE\r\n", wire.ask("NOOP"))
        self.assertIn(b"* 2 FETCH (UID 3)\r\n", wire.ask("FETCH 2 (UID)"))

    def test_a_deleted_mailbox_ends_its_sessions(self):
        other, wire = self.client("u0007"), self.wire(user="u0007")
        self.ok(other.create("Gone"))
        wire.ask("SELECT Gone")
        self.ok(other.delete("Gone"))
        self.assertIn(b"* BYE", wire.ask("NOOP")[0])
        self.assertEqual(wire.line(), b"")

    # --- load and malice after login ---

    def test_a_slow_reader_gets_all_and_delays_nobody(self):
        client, slow = self.client("u0008"), self.wire(user="u0008")
        body = b"Subject: large\r\n\r\n" + b"%075d\r\n" % 7 * (16 << 20 >> 6)
        self.append(client, body)
        slow.ask("SELECT INBOX")
        slow.send("t FETCH 1 (BODY.PEEK[] UID)\r\n")
        head = slow.line()
        for _ in range(20):
            self.ok(client.noop())
            self.ok(client.select("INBOX"))
        size = int(re.search(rb"\{(\d+)\}", head)[1])
        self.assertEqual(size, len(body))
        self.assertEqual(slow.file.read(size), body)
        self.assertIn(b"UID 1", slow.line())
        self.assertIn(b"t OK", slow.line())

    def test_hostile_commands_after_login(self):
        client = self.client("u0009")
        self.append(client, NESTED)
        wire = self.wire(user="u0009")
        wire.ask("SELECT INBOX")
        for command in ("SEARCH " + "(" * 2000 + "ALL" + ")" * 2000,
                        "SEARCH " + "NOT " * 10000 + "ALL",
                        "FETCH 1 BODY[" + "1." * 3000 + "1]",
                        "FETCH 4294967296 UID", "FETCH 1 BODY[]<4294967296.1>",
                        "UID FETCH 1:4294967295:2 UID", "STORE 1 FLAGS (\\X)"):
            self.assertEqual(wire.ask(command)[-1][:5], b"t BAD", command[:30])
            self.assertIn(b"t OK", wire.ask("NOOP")[-1])
        lines = wire.ask("FETCH 1 (" + "BODY.PEEK[] " * 5000 + "UID)")
        self.assertEqual(sum(b"BODY[]" in l for l in lines), 1)
        self.assertIn(b"t OK", wire.ask('LIST "" "' + "*%" * 300 + '"')[-1])
        self.assertIn(b"t OK", wire.ask("FETCH 1 BODY.PEEK[]<4294967295.1>")[-1])
        wire.send(b"t APPEND Nowhere {10+}\r\nx LOGOUT\r\n\r\n")
        self.assertIn(b"TRYCREATE", wire.answer()[-1])
        self.assertIn(b"t OK", wire.ask("NOOP")[-1])
        wire.send(b"t NOOP\0\r\n")
        self.assertIn(b"BAD", wire.line())
        wire.send(b"t " + b"y" * 70000)
        self.assertIn(b"* BYE", wire.rest())

    def test_one_line_tells_how_a_session_ended(self):
        self.client("u0010").logout()
        until(lambda: re.search(
            r"session_end.* end=logout user=u0010@example.test in=\d+ out=\d+",
            self.box.log()), "the session's end in the log")

    def test_what_was_appended_survives_a_crash(self):
        with Sandbox() as box:
            client = box.imap("alice")
            for n in range(10):
                client.append("INBOX", r"(\Seen k)", None,
                              b"Subject: %d\r\n\r\nx\r\n" % n)
            client.shutdown()
            box.kill()
            box.restart()
            client = box.imap("alice")
            self.assertEqual(client.select("INBOX")[1], [b"10"])
            flags = client.fetch("1:*", "(FLAGS)")[1]
            self.assertEqual(len([f for f in flags
                                  if b"\\Seen" in f and b" k" in f]), 10)
            client.logout()


if __name__ == "__main__":
    unittest.main()
