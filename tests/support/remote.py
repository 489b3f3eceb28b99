# SPDX-License-Identifier: Apache-2.0
"""A mail server elsewhere, on a loopback address of its own: takes what it is
sent, but for what a test tells it to do otherwise."""
import socket
import ssl
import threading


class HangUp(Exception):
    """Raised by a test's rule: close the connection, now."""


class Remote:
    """rule(verb, line, connection) answers a reply, or None for the usual one.

    verb is "CONNECT" for the greeting and "END" after the content. messages
    holds (sender, recipients, content) of each that was answered 250, raw what
    followed each DATA on the wire.
    """

    def __init__(self, address="127.0.0.2", port=0, rule=None, offer=(), tls=None,
                 path=None):
        self.rule = rule or (lambda verb, line, connection: None)
        self.offer, self.tls = list(offer), tls
        self.messages, self.lines, self.connections = [], [], 0
        self.raw = []
        if path:
            self.socket = socket.create_server(path, family=socket.AF_UNIX)
            self.port = 25  # of no use
        else:
            self.socket = socket.create_server((address, port))
            self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._session, daemon=True,
                             args=(link, self.connections)).start()

    def _session(self, link, connection):
        session = _Session(self, link, connection)
        try:
            session.run()
        except (HangUp, OSError, ValueError):
            pass
        finally:
            session.file.close()
            session.link.close()

    def close(self):
        # shutdown wakes the thread that accepts
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Narrow(Remote):
    """Takes one connection at a time, and refuses others with 421."""

    def __init__(self, *args, **how):
        self.turn, self.refused = threading.Lock(), 0
        super().__init__(*args, **how)

    def _session(self, link, connection):
        if not self.turn.acquire(blocking=False):
            self.refused += 1
            try:
                link.sendall(b"421 4.3.2 one at a time\r\n")
            except OSError:
                pass
            link.close()
            return
        try:
            super()._session(link, connection)
        finally:
            self.turn.release()


class _Session:
    def __init__(self, remote, link, connection):
        self.remote, self.connection = remote, connection
        self.sender, self.recipients, self.chunks = None, [], b""
        self.lmtp = False
        self._use(link)

    def _use(self, link):
        self.link = link
        self.file = link.makefile("rb")

    def say(self, verb, line, usual, on_yes=lambda: None):
        reply = self.remote.rule(verb, line, self.connection)
        reply = usual if reply is None else reply
        yes = reply[0] in "23"
        if yes:
            on_yes()  # first: whoever hears the reply may look
        self.link.sendall(reply.encode() + b"\r\n")
        return yes

    def content(self):
        content, raw = bytearray(), bytearray()
        while True:
            line = self.file.readline()
            raw += line
            if not line:
                raise HangUp
            if line == b".\r\n":
                self.remote.raw.append(bytes(raw))
                return bytes(content)
            content += line[1:] if line.startswith(b".") else line

    def taken(self, content):
        """The reply to the content; LMTP has one for each recipient."""
        for ends in ([[r] for r in self.recipients] if self.lmtp
                     else [self.recipients]):
            self.say("END", ends[0] if self.lmtp else "", "250 2.0.0 taken",
                     lambda: self.remote.messages.append(
                         (self.sender, ends, content)))

    def take(self, verb, line):
        if verb in ("EHLO", "LHLO"):
            self.lmtp = verb == "LHLO"
            offer = ["remote.test"] + self.remote.offer
            if self.remote.tls and not isinstance(self.link, ssl.SSLSocket):
                offer.append("STARTTLS")
            self.say(verb, line, "\r\n".join(
                f"250{' ' if i + 1 == len(offer) else '-'}{word}"
                for i, word in enumerate(offer)))
        elif verb == "STARTTLS":
            if self.say(verb, line, "220 go"):
                self._use(self.remote.tls.wrap_socket(self.link, server_side=True))
        elif verb == "MAIL":
            self.sender, self.recipients = line, []
            self.say(verb, line, "250 2.1.0 ok")
        elif verb == "RCPT":
            if self.say(verb, line, "250 2.1.5 ok"):
                self.recipients.append(line)
        elif verb == "AUTH":
            self.say(verb, line, "235 2.7.0 in")
        elif verb == "BDAT":
            words = line.split()
            self.chunks += self.file.read(int(words[1]))
            if words[-1].upper() == "LAST":
                content, self.chunks = self.chunks, b""
                self.taken(content)
            else:
                self.say(verb, line, "250 ok")
        elif verb == "DATA":
            if self.say(verb, line, "354 go"):
                content = self.content()
                self.taken(content)
        else:
            self.say(verb, line, "250 ok")

    def run(self):
        self.say("CONNECT", "", "220 remote.test")
        while True:
            line = self.file.readline().decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                return
            self.remote.lines.append(line)
            verb = line.split(None, 1)[0].upper()
            self.take(verb, line)
            if verb == "QUIT":
                return
