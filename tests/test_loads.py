#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Modules that hang when they are loaded, each in the one role that loads its
kind, and in the process that judges a configuration: the start and a reload say
which it is, and after a reload that is refused all goes on as before."""
import glob
import os
import shutil
import subprocess
import tempfile
import unittest

from sandbox import BUILD, TOP, Sandbox, until

# A module that hangs when it is loaded, by the process that loads it.
HANGS = """
#include <posthouse/%(kind)s.h>
#include <posthouse/module.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void
hang(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "%(argument)s") == 0)
			for (;;)
				sleep(1000);
}

static const struct ph_%(kind)s_ops ops = { 0 };
PH_MODULE(a_fault) = { .abi = PH_ABI, .name = "a_fault",
	.kinds = PH_KIND_%(upper)s, .doc = "Hangs", .%(kind)s = &ops };
"""
SAID = "the module of section a_fault hangs"


class Loads(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-loads-")
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)
        for module in glob.glob(os.path.join(BUILD, "modules", "*.so")):
            shutil.copy(module, self.dir)

    def server(self, kind, argument, more="", start=True):
        """A server whose module_dir has such a module."""
        source = os.path.join(self.dir, "a_fault.c")
        with open(source, "w") as file:
            file.write(HANGS % {"kind": kind, "upper": kind.upper(),
                                "argument": argument})
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-I",
                        os.path.join(TOP, "sdk", "include"), source, "-o",
                        os.path.join(self.dir, "a_fault.so")], check=True)
        box = Sandbox({"dir": f'module_dir = "{self.dir}";\n{more}'}, start=start)
        self.addCleanup(box.close)
        return box

    def send(self, box, text):
        with box.smtp() as client:
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: x\r\n\r\n" + text + b"\r\n")
        until(lambda: any(text in m for m in box.inbox("bob", 1)), "the mail")

    def refuse_start(self, kind, role):
        box = self.server(kind, f"--role={role}", "a_fault: { };", start=False)
        done = box.run("start", *box.args, check=False)
        self.assertNotEqual(done.returncode, 0)
        said = f"{role}[0]: {SAID} while it is loaded"
        self.assertIn(said, done.stdout + done.stderr + box.stderr())
        self.assertIn(said, box.log())
        self.assertRegex(box.log(), rf"role_hangs role={role} .*"
                         r"module=a_fault hook=load")

    def test_the_start_says_which_listener_hangs(self):
        self.refuse_start("listener", "edge")

    def test_the_start_says_which_backend_hangs(self):
        self.refuse_start("auth", "auth")

    def test_the_judge_of_a_configuration_says_so(self):
        box = self.server("check", "--check-facts")
        box.snippet("95-fault", "a_fault: { };")
        done = box.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(SAID, done.stderr)
        self.send(box, b"all goes on")

    def refuse_reload(self, kind, role):
        box = self.server(kind, f"--role={role}")
        before = box.ctl("status").stdout.count("state ready")
        box.snippet("95-fault", "a_fault: { };")
        done = box.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(f"{role}[0]: {SAID} while it is loaded", done.stderr)
        until(lambda: box.ctl("status").stdout.count("state ready") == before,
              "all again")
        self.assertNotIn("generation 2", box.ctl("status").stdout)
        self.assertNotIn(" reloaded ", box.log())
        self.send(box, b"the former generation goes on")

    def test_a_reload_with_a_listener_that_hangs(self):
        self.refuse_reload("listener", "edge")

    def test_a_reload_with_a_backend_that_hangs(self):
        self.refuse_reload("auth", "auth")

    def test_a_reload_with_a_check_that_hangs(self):
        self.refuse_reload("check", "check")

    def test_a_reload_with_a_router_that_hangs(self):
        self.refuse_reload("router", "check")

    def test_a_reload_with_a_store_that_hangs(self):
        self.refuse_reload("store", "mail")

    def test_a_reload_with_a_transport_that_hangs(self):
        self.refuse_reload("transport", "relay")


if __name__ == "__main__":
    unittest.main()
