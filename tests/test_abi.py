# SPDX-License-Identifier: Apache-2.0
"""Modules that were built before: the interface against the one that was kept,
and binaries of then in the server and the harness of now."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from sandbox import BUILD, TOP, Sandbox

ABI = os.path.join(TOP, "tests", "abi")
sys.path.insert(0, ABI)
import abi  # noqa: E402


@unittest.skipUnless(abi.is_ours(), "kept for amd64")
class Abi(unittest.TestCase):
    def setUp(self):
        # where roles that dropped to their own users can pass
        self.dir = tempfile.mkdtemp(prefix="posthouse-abi-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    @unittest.skipUnless(shutil.which("abidiff"), "no libabigail")
    def test_nothing_that_modules_use_has_changed(self):
        self.assertEqual(abi.changes(BUILD), "")

    @unittest.skipUnless(shutil.which("abidiff"), "no libabigail")
    def test_a_change_would_be_seen(self):
        def after(header, old, new):
            include = tempfile.mkdtemp(dir=self.dir)
            shutil.copytree(abi.HEADERS, include + "/posthouse")
            path = f"{include}/posthouse/{header}"
            with open(path, encoding="ascii") as f:
                text = f.read()
            self.assertIn(old, text)
            with open(path, "w", encoding="ascii") as f:
                f.write(text.replace(old, new, 1))
            return abi.differences("structs.abi", abi.probe(include, include),
                                   abi.suppressions(include))

        self.assertEqual(after("dns.h", "NULL", "NULL"), "")
        # at the end of what only the library makes: fine
        self.assertEqual(after("dns.h", "uint32_t ttl_s;",
                               "uint32_t ttl_s;\n\tint more;"), "")
        # elsewhere, of an array's elements, of a type, of a meaning: not
        for change in (("dns.h", "size_t count;", "int more;\n\tsize_t count;"),
                       ("dns.h", "null MX, RFC 7505 */\n",
                        "null MX, RFC 7505 */\n\tint more;\n"),
                       ("addr.h", "uint8_t bits;", "uint16_t bits;"),
                       ("option.h", "PH_OPTION_BOOL, ",
                        "PH_OPTION_FLOAT, PH_OPTION_BOOL, ")):
            self.assertNotEqual(after(*change), "", change)

    def test_binaries_of_then_pass_their_sessions(self):
        modules = sorted(glob.glob(ABI + "/*.so"))
        self.assertGreaterEqual(len(modules), 2)
        for module in modules:
            done = subprocess.run(
                [f"{BUILD}/bin/posthouse-sdk", "run", module,
                 module.replace(".so", ".session")], capture_output=True,
                text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_server_runs_binaries_of_then(self):
        conf = ""
        names = [os.path.basename(m)[:-3] for m in glob.glob(ABI + "/*.so")]
        for name in names:
            shutil.copy(f"{ABI}/{name}.so", self.dir)
            conf += (f'{name}: {{ module = "{self.dir}/{name}.so"; '
                     f'nets = [ ]; names = [ "{name}.example" ]; }};\n')
        with Sandbox({"frozen": conf}) as box:
            for name in names:
                client = box.smtp()
                code, text = client.helo(name + ".example")
                if code == 250:
                    code, text = client.docmd("MAIL", "FROM:<x@remote.test>")
                self.assertEqual(code, 550, text)
                self.assertIn(f"{name}.example is frozen".encode(), text)
                client.close()
            client = box.smtp()
            client.helo("good.example")
            client.sendmail("", ["bob@example.test"],
                            b"Subject: kept\r\n\r\nhello\r\n")
            client.quit()
            mail = box.inbox("bob", 1)[0]
            self.assertEqual(len(re.findall(rb"X-Frozen: kept", mail)),
                             len(names))


if __name__ == "__main__":
    unittest.main()
