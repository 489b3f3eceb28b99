# SPDX-License-Identifier: Apache-2.0
"""IMAP as it is on the wire: commands in, responses out as nested lists.

Atoms and numbers are str, strings (quoted or literal) are bytes, NIL is None,
parentheses and brackets are lists.
"""
import re
import socket


class Wire:
    def __init__(self, port, user="bob", password="secret", tls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        self.tag = 0
        self.greeting = self.response()
        if user:
            assert self.command(f"LOGIN {user} {password}")[-1][1] == "OK"

    def response(self):
        """One response, with its literals, as octets."""
        data = b""
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError(data)
            data += line
            size = re.search(rb"\{(\d+)\}\r\n$", line)
            if not size:
                return data
            data += self.file.read(int(size.group(1)))

    def command(self, text, literal=None):
        """Send; return [untagged responses ..., tagged] parsed."""
        self.tag += 1
        tag = f"t{self.tag}"
        if isinstance(text, str):
            text = text.encode()
        self.sock.sendall(tag.encode() + b" " + text + b"\r\n")
        answers = []
        while True:
            data = self.response()
            if data.startswith(b"+"):
                if literal is None:
                    raise AssertionError(f"asked to go on: {text!r}")
                self.sock.sendall(literal + b"\r\n")
                continue
            answers.append(parse(data))
            if data.startswith(tag.encode() + b" "):
                return answers

    def close(self):
        self.sock.close()


STATUS = re.compile(rb"(\S+) (OK|NO|BAD|BYE|PREAUTH)( \[(.*?)\])?(.*)\r\n", re.S | re.I)


def parse(data):
    status = STATUS.fullmatch(data)
    if status:
        code = status.group(4)
        return [status.group(1).decode(), status.group(2).decode().upper(),
                code.decode("latin-1") if code else None,
                status.group(5).strip().decode("latin-1")]
    value, at = items(data, 0, b"\r")
    assert data[at:] == b"\r\n", data[at:]
    return value


ATOM = re.compile(rb"[^\s()\"\[\]{]+(?:\[[^\]]*\](?:<\d+>)?)?|\[[^\]]*\]")


def items(data, at, end):
    out = []
    while data[at:at + 1] != end:
        c = data[at:at + 1]
        if c == b" ":
            at += 1
        elif c == b"(":
            value, at = items(data, at + 1, b")")
            out.append(value)
            at += 1
        elif c == b'"':
            value = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(data, at)
            assert value, data[at:at + 80]
            out.append(re.sub(rb"\\(.)", rb"\1", value.group(1)))
            at = value.end()
        elif c == b"{":
            value = re.compile(rb"\{(\d+)\}\r\n").match(data, at)
            n = int(value.group(1))
            out.append(data[value.end():value.end() + n])
            at = value.end() + n
        else:
            value = ATOM.match(data, at)
            assert value, data[at:at + 80]
            text = value.group().decode("latin-1")
            out.append(None if text.upper() == "NIL" else text)
            at = value.end()
    return out, at


def fetched(answers):
    """{number: {item: value}} of the FETCH responses."""
    out = {}
    for answer in answers:
        if len(answer) == 4 and answer[0] == "*" and answer[2] == "FETCH":
            found = out.setdefault(int(answer[1]), {})
            for name, value in zip(answer[3][::2], answer[3][1::2]):
                found[name.upper()] = value
    return out
