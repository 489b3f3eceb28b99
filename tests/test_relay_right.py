# SPDX-License-Identifier: Apache-2.0
"""The right to relay by network is the connection's: not the word of the process
that speaks with the client, nor of a front end that nobody named."""
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from ports import free_ports
from remote import Remote
from sandbox import DEADLINE, TOP, Sandbox, until
from smtp_wire import Wire

CONF = """
relay_networks = [ "127.0.0.9" ];
%s
smtp_inbound: { proxy_from = [ "127.0.0.8" ]; xclient_networks = [ "127.0.0.7", "127.0.0.9" ]; };
transport_smtp: { relay_host = "[127.0.0.2]"; port = %d; allow_loopback = true; };
"""
OUT = b"MAIL FROM:<x@outside.test>\r\nRCPT TO:<y@far.test>\r\n"
MAIL = OUT + b"DATA\r\nSubject: out\r\n\r\nout\r\n.\r\n"

# A listener that is an enemy: it says what it was given to every process that
# edge talks to, once alone and once beside the client's connection.
LIAR = r"""
#define _GNU_SOURCE
#include <posthouse/listener.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
static const unsigned char lies[][1024] = { %s };
static const int sizes[] = { %s };
static int
family(int fd)
{
	struct sockaddr_storage at;
	socklen_t n = sizeof(at);
	return getpeername(fd, (void *)&at, &n) == 0 ? at.ss_family : -1;
}
static void
tell(int fd, const void *lie, int size, int beside)
{
	union { struct cmsghdr h; char room[CMSG_SPACE(sizeof(int))]; } c;
	struct iovec iov = { (void *)lie, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (((const char *)lie)[3]) {
		msg.msg_control = &c;
		msg.msg_controllen = sizeof(c);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.h), &beside, sizeof(int));
	}
	sendmsg(fd, &msg, MSG_DONTWAIT);
}
static void
on_session(struct ph_session *session, const void *conf)
{
	int client = -1;
	for (int fd = 3; fd < 500; fd++)
		if (family(fd) == AF_INET)
			client = fd;
	for (int fd = 3; fd < 500; fd++)
		for (int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			if (family(fd) == AF_UNIX)
				tell(fd, lies[i], sizes[i], client);
	ph_stream_puts(ph_session_stream(session), "told\r\n");
	ph_stream_flush(ph_session_stream(session));
}
static const struct ph_listener_ops ops = { .service = "x", .session = on_session };
PH_MODULE(liar) = { .abi = PH_ABI, .name = "liar", .kinds = PH_KIND_LISTENER,
	.doc = "A liar", .listener = &ops };
"""


def numbers():
    """MSG_ and F_ names -> numbers, of core/role/messages.h."""
    with open(os.path.join(TOP, "core", "role", "messages.h")) as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    found = {}
    for body in re.findall(r"enum \w+ \{(.*?)\};", text, re.S):
        number = -1
        for name, _, value in re.findall(r"(\w+)\s*(=\s*(\d+))?\s*,", body):
            number = int(value) if value else number + 1
            found[name] = number
    return found


N = numbers()


def field(name, value):
    return struct.pack("<HI", N[name], len(value)) + value


def message(name, record, fds=0):
    return struct.pack("<HBBHhII", 0x5031, 0, fds, N[name], 0, 0xfff0fff0,
                       len(record)) + record


class RelayRight(unittest.TestCase):
    def codes(self, box, octets, count, source="127.0.0.1"):
        with Wire(box, "smtp", source=source, greeting=False) as wire:
            return wire.codes(octets, count)

    def test_front_ends_speak_for_a_network_only_when_named(self):
        proxy = b"PROXY TCP4 127.0.0.9 192.0.2.1 4711 25\r\nEHLO x\r\n"
        xclient = b"XCLIENT ADDR=127.0.0.9\r\nEHLO x\r\n"
        with Remote() as remote:
            for named, code in (("", 550), ('relay_front_ends = '
                                            '[ "127.0.0.7", "127.0.0.8" ];', 250)):
                with Sandbox({"a": CONF % (named, remote.port)}) as box:
                    self.assertEqual(self.codes(
                        box, b"EHLO x\r\n" + MAIL + MAIL, 10, "127.0.0.9"),
                        [220, 250] + [250, 250, 354, 250] * 2, "the client itself")
                    self.assertEqual(self.codes(box, b"EHLO x\r\n" + OUT, 4)[3], 550)
                    self.assertEqual(self.codes(
                        box, proxy + OUT, 4, "127.0.0.8")[-1], code, named)
                    self.assertEqual(self.codes(
                        box, b"EHLO x\r\n" + xclient + OUT, 6, "127.0.0.7")[-1],
                        code, named)
                    if named:
                        self.assertEqual(self.codes(
                            box, proxy + MAIL, 6, "127.0.0.8")[-1], 250)
                    self.assertNotIn("relay_right_denied", box.log())
                    # it may relay itself; whom it does not know may not
                    self.assertEqual(self.codes(
                        box, b"EHLO x\r\nXCLIENT ADDR=[UNAVAILABLE]\r\nEHLO x\r\n" +
                        OUT, 6, "127.0.0.9")[-1], 550)
            until(lambda: len(remote.messages) == 5, "all that was taken")

    def test_an_edge_that_lies_gets_no_right(self):
        folder = tempfile.mkdtemp(prefix="posthouse-liar-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        claim = field("F_SESSION", b"0000000000001") + field("F_CLIENT", b"127.0.0.9")
        mail = claim + field("F_SERVICE", b"smtp") + field(
            "F_SENDER", b"x@outside.test") + field("F_RCPT", field(
                "F_ADDRESS", b"y@far.test")) + field("F_CONTENT", b"\r\nlie\r\n")
        lies = [message("MSG_COMMIT", mail),
                message("MSG_COMMIT", mail + field("F_TOKEN", b"\xff" * 40)),
                message("MSG_COMMIT", mail, 1)]
        with open(os.path.join(folder, "liar.c"), "w") as out:
            out.write(LIAR % (", ".join(
                "{ " + ", ".join(map(str, lie)) + " }" for lie in lies),
                ", ".join(str(len(lie)) for lie in lies)))
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-I",
                        os.path.join(TOP, "sdk", "include"),
                        os.path.join(folder, "liar.c"), "-o",
                        os.path.join(folder, "liar.so")], check=True)
        port, = free_ports(1)
        with Remote() as remote, Sandbox({"a": CONF % ("", remote.port) +
                f'liar: {{ module = "{folder}/liar.so"; '
                f'listen = [ "127.0.0.1:{port}" ]; }};'}) as box:
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as link:
                self.assertEqual(link.makefile("rb").read(), b"told\r\n")
            until(lambda: box.log().count("relay_right_denied") == 1 and
                  box.log().count("not_queued") == 3, "it is heard, and denied")
            self.assertRegex(box.log(), r"not_queued session=0000000000001 "
                             r"reason=denied")
            self.assertRegex(box.log(), r"relay_right_denied session=0000000000001 "
                             r"client=127.0.0.9 reason=denied")
            self.assertIn("queue.0 messages 0\n", box.ctl("status").stdout)
            self.assertEqual(remote.connections, 0)
            self.assertEqual(self.codes(box, b"EHLO x\r\n" + MAIL, 6, "127.0.0.9")
                             [-1], 250, "honest mail goes on")


if __name__ == "__main__":
    unittest.main()
