# SPDX-License-Identifier: Apache-2.0
"""SMTP as raw octets, and the address forms by which relays were opened."""
import socket

from sandbox import DEADLINE

HELLO = b"EHLO c.test\r\n"
ENVELOPE = b"MAIL FROM:<x@outside.test>\r\nRCPT TO:<bob@example.test>\r\n"


class Wire:
    """Raw octets to a port and whole replies back."""

    def __init__(self, box, port, greeting=True, source="127.0.0.1"):
        self.socket = socket.create_connection(
            ("127.0.0.1", box.port(port)), timeout=DEADLINE,
            source_address=(source, 0))
        self.file = self.socket.makefile("rb")
        if greeting:
            self.greeting = self.reply()

    def send(self, octets):
        self.socket.sendall(octets)

    def reply(self):
        """(code, text) of one reply; code 0 at the end of the connection."""
        text = b""
        while True:
            line = self.file.readline()
            if not line:
                return 0, text
            text += line[4:]
            if line[3:4] != b"-":
                return int(line[:3]), text

    def codes(self, octets, count):
        self.send(octets)
        return [self.reply()[0] for _ in range(count)]

    def rest(self):
        """Codes of all replies until the server closes."""
        codes = []
        while (code := self.reply()[0]) != 0:
            codes.append(code)
        return codes

    def tls(self, context):
        self.socket = context.wrap_socket(self.socket,
                                          server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# Forms that no stranger may use; "+": who may relay may send to it, it goes
# where it says. Nobody may use the others.
RELAY_FORMS = [(line[2:], line[0] == "+") for line in """
+ victim@elsewhere.test
+ VICTIM@ELSEWHERE.TEST
+ victim@elsewhere.test.
+ victim@sub.example.test
+ victim@example.test.elsewhere.test
+ victim@xexample.test
+ victim@test
- victim@elsewhere.test,alice@example.test
- victim@elsewhere.test alice@example.test
- victim@elsewhere.test@example.test
- victim@example.test@elsewhere.test
- victim@@example.test
- victim%elsewhere.test
- victim%elsewhere.test@
- victim%elsewhere.test@example.test
- victim%elsewhere.test@EXAMPLE.TEST.
- victim%elsewhere.test%third.test@example.test
- victim%elsewhere.test@[127.0.0.1]
- victim%elsewhere.test@[IPv6:::1]
- "victim%elsewhere.test"@example.test
- elsewhere.test!victim
- elsewhere.test!victim@example.test
- elsewhere.test!victim@[127.0.0.1]
- example.test!elsewhere.test!victim@example.test
- "elsewhere.test!victim"@example.test
+ @example.test:victim@elsewhere.test
+ @example.test,@b.test:victim@elsewhere.test
+ @[127.0.0.1]:victim@elsewhere.test
- @example.test:elsewhere.test!victim@example.test
- @example.test:@elsewhere.test:victim@elsewhere.test
- "victim@elsewhere.test"@example.test
- "victim@elsewhere.test"
- "victim\\@elsewhere.test"@example.test
- "victim@elsewhere.test"@[127.0.0.1]
- victim\\@elsewhere.test@example.test
- example.test:victim@elsewhere.test
+ victim@[203.0.113.1]
+ victim@[IPv6:2001:db8::1]
- victim@[127.0.0.1]
- victim@[0.0.0.0]
- victim@[IPv6:::1]
+ victim@203.0.113.1
+ victim@127.0.0.1
- victim@
- victim
- nobody@example.test
- nobody+alice@example.test
+ victim%third.test@elsewhere.test
+ third.test!victim@elsewhere.test
+ victim@localhost
+ Postmaster@elsewhere.test
- "victim@elsewhere.test"@EXAMPLE.TEST.
+ victim%elsewhere.test@mail.example.test
- "alice"%elsewhere.test@example.test
- alice@example.test>victim@elsewhere.test
- @example.test
- postmaster%elsewhere.test
+ victim@example.tеst
+ victim@bücher.elsewhere.test
+ victim@xn--bcher-kva.elsewhere.test
+ victim@exämple.test
+ victim@xn--exmple-cua.test
+ victim@elsewhere。test
+ victim@ｅｌｓｅｗｈｅｒｅ.test
+ victim@example.test．elsewhere.test
+ victim@exam­ple.test.elsewhere.test
+ victim@１２７.0.0.1
+ @exämple.test:victim@elsewhere.test
- victim@elsewhere.test＠example.test
- victim@example.test＠elsewhere.test
- victim＠elsewhere.test@example.test
- victim％elsewhere.test@ｅxample.test
- victim%elsewhere.test@ＥＸＡＭＰＬＥ.test
- victim%elsewhere.test@exam­ple。test.
- elsewhere.test!victim@ｅxample.test
- "victim@elsewhere.test"@ｅxample.test
- victim@ex℀mple.test
- victim@example.test‮
- victim@[１２７.0.0.1]
- nobody@ｅxample.test
""".split("\n")[1:-1]]


def check_relay_forms(test, wire, trusted=False, more=(), sender=b""):
    """None is taken from a stranger; nobody's mail leaves by a back door."""
    test.assertGreaterEqual(len(RELAY_FORMS), 40)
    # no 555: the forms with UTF-8 are asked about as such
    test.assertEqual(wire.codes(HELLO + b"MAIL FROM:<" + sender +
                                b"> SMTPUTF8\r\n", 2), [250, 250])
    for form, goes_out in [*RELAY_FORMS, *((form, False) for form in more)]:
        code = wire.codes(b"RCPT TO:<" + form.encode() + b">\r\n", 1)[0]
        if trusted and goes_out:
            test.assertEqual(code, 250, form)
        else:
            test.assertIn(code, (501, 550, 553), form)
    if not trusted:
        test.assertEqual(wire.codes(b"DATA\r\n", 1), [554])
