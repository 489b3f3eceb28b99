# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up: senders hear 452, what was answered 250 stays and is
delivered, and with room again mail is taken again by itself. Root only: it
mounts a small file system."""
import os
import smtplib
import subprocess
import tempfile
import unittest

from sandbox import Sandbox, until

BODY = b"Subject: %d\r\n\r\n" + b"0123456789" * 2000 + b"\r\n"
CONF = ("limits: { connections_per_client = 0; };\n"
        "queue: { soft_free_bytes = \"8M\"; ballast_bytes = \"16M\"; "
        "cache_bytes = \"16M\"; retry = [ \"1s\" ]; };\n"
        "processes: { mail = 1; };\n"
        "smtp_inbound: { max_errors = 1000; };\n")


@unittest.skipUnless(os.geteuid() == 0, "root mounts a small file system")
class DiskFull(unittest.TestCase):
    def disk(self, megabytes):
        top = tempfile.mkdtemp(prefix="posthouse-small-")
        self.addCleanup(os.rmdir, top)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o",
                               f"size={megabytes}m,mode=755", "tmpfs", top],
                              capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest("no right to mount")
        self.addCleanup(subprocess.run, ["umount", top], check=True)
        return top

    def send(self, client, number, to="bob@example.test"):
        """The code that the end of the message, or an earlier step, got."""
        try:
            client.sendmail("x@far.test", [to], BODY % number)
            return 250
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]

    def fill(self, path):
        """Not a block is left."""
        with open(path, "ab", buffering=0) as out:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        out.write(bytes(size))
                except OSError:
                    pass

    def test_mail_stops_at_a_full_disk_and_goes_on_when_there_is_room(self):
        with Sandbox({"small": CONF}, parent=self.disk(400)) as box:
            client, codes = box.smtp(), []
            filler = os.path.join(box.dir, "filler")
            for n in range(30):
                codes.append(self.send(client, n))
            self.assertEqual(set(codes), {250})
            self.fill(filler)
            until(lambda: codes.append(self.send(client, len(codes))) or
                  codes[-1] != 250, "a refusal")
            self.assertEqual(codes[-1], 452)
            self.fill(filler)
            codes.append(self.send(client, len(codes)))
            self.assertEqual(codes[-1], 452)
            os.unlink(filler)
            until(lambda: codes.append(self.send(client, len(codes))) or
                  codes[-1] == 250, "mail is taken again")
            self.check(box, codes)

    def check(self, box, codes):
        """Those that were answered 250 are there, and only those."""
        taken = [n for n, code in enumerate(codes) if code == 250]
        inbox = box.inbox("bob", len(taken))
        self.assertEqual(sorted(int(m.split(b"Subject: ")[1].split(b"\r\n")[0])
                                for m in inbox), taken)
        self.assertNotIn(" bounced ", box.log())

    def test_mail_for_a_mailbox_without_room_waits(self):
        with Sandbox({"small": CONF}, parent=self.disk(400)) as box:
            client, filler = box.smtp(), os.path.join(box.dir, "filler")
            codes = [self.send(client, 0)]
            box.inbox("bob", 1)

            def deferred():
                """On a slow machine the mail process is replaced, and
                delivers, before the disk is full."""
                with box.stopped("mail"):
                    first = len(codes)
                    codes.extend(self.send(client, first + n) for n in range(40))
                    self.fill(filler)
                until(lambda: " deferred " in box.log() or
                      box.log().count(" delivered ") == codes.count(250),
                      "deliveries, or none for want of room")
                os.unlink(filler)
                return " deferred " in box.log()
            until(deferred, "a delivery without room")
            self.check(box, codes)


if __name__ == "__main__":
    unittest.main()
