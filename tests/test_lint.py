# SPDX-License-Identifier: Apache-2.0
"""The sources keep the rules that lint.py can check, one test a rule; and
lint.py sees a breach."""
import os
import subprocess
import tempfile
import unittest

import lint

BUILD = os.environ.get("PH_BUILD", os.path.join(lint.TOP, "build"))


class Lint(unittest.TestCase):
    def test_counts_the_lines_of_functions(self):
        text = ("int\nf(void)\n{\n\tif (1) {\n\t}\n\treturn 1;\n}\n"
                "struct x {\n\tint y;\n};\nint\ng(void)\n{\n}\n")
        self.assertEqual(list(lint.functions(text)), [(3, 3), (13, 0)])

    def test_reads_settings(self):
        text = 'x: {\n\t# A (b).\n\ta = "5m";\n\t# C.\n\t#b = [ ];\n};\n'
        self.assertEqual(lint.settings(text),
                         [("a", '"5m"', "A (b)."), ("b", "[]", "C.")])

    def test_knows_what_asks_dns(self):
        for text in ("smtplib.SMTP(host)", "x = smtplib.SMTP_SSL()", "make_msgid()",
                     "socket.getfqdn()", "http.server.HTTPServer(at, x)"):
            self.assertTrue(lint.ASKS_DNS.search(text), text)
        for text in ("smtplib.SMTPException", "Smtp(host)", "smtplib.SMTP)",
                     'make_msgid(domain="x.test")'):
            self.assertFalse(lint.ASKS_DNS.search(text), text)

    def test_configures_without_tests_as_the_demo_does(self):
        with tempfile.TemporaryDirectory() as build:
            done = subprocess.run(
                ["cmake", "-G", "Ninja", "-S", lint.TOP, "-B", build, "-DPH_TESTS=OFF"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_rule_finds_something_to_look_at(self):
        self.assertIn("core/base/arena.c", lint.sources("core"))
        self.assertIn("auth_local", list(lint.module_names()))
        self.assertTrue(lint.sources(ends=(".8",)))


def rule_test(rule):
    def test(self):
        self.assertEqual(lint.breaches(rule, BUILD), [])
    return test


for name in lint.RULES:
    setattr(Lint, f"test_{name}", rule_test(name))

if __name__ == "__main__":
    unittest.main()
