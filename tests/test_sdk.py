# SPDX-License-Identifier: Apache-2.0
"""A stranger's module: built out of tree against what was installed, loaded by
the server, and heard."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from installed import EXAMPLES, Installed, run
from sandbox import TOP, Sandbox, until


class Sdk(Installed, unittest.TestCase):
    def test_pkg_config_points_into_the_prefix(self):
        flags = run("pkg-config", "--cflags", "--libs", "posthouse",
                    env=self.env).split()
        include = [f[2:] for f in flags if f.startswith("-I")][0]
        library = [f[2:] for f in flags if f.startswith("-L")][0]
        self.assertTrue(os.path.exists(include + "/posthouse/check.h"))
        self.assertTrue(os.path.exists(library + "/libposthouse.so"))
        self.assertTrue(os.path.realpath(include).startswith(
            os.path.realpath(self.prefix)))
        modules = run("pkg-config", "--variable=moduledir", "posthouse",
                      env=self.env).strip()
        self.assertTrue(os.path.exists(modules + "/transport_smtp.so"))

    def test_every_header_stands_alone_in_c_and_cxx(self):
        flags = run("pkg-config", "--cflags", "posthouse", env=self.env).split()
        headers = os.listdir(os.path.join(flags[0][2:], "posthouse"))
        self.assertGreater(len(headers), 15)
        for header in headers:
            for compiler, language in (("cc", "c"), ("c++", "c++")):
                if shutil.which(compiler):
                    done = subprocess.run(
                        [compiler, "-x", language, *flags, "-fsyntax-only",
                         "-Wall", "-Werror", "-"], text=True, timeout=60,
                        input=f"#include <posthouse/{header}>\n",
                        capture_output=True)
                    self.assertEqual(done.stderr, "", header)

    def test_the_example_builds_with_cmake(self):
        source = self.example("with-cmake")
        run("cmake", "-S", source, "-B", source + "/build",
            f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", source + "/build")
        self.assertTrue(os.path.exists(source + "/build/check_minimal.so"))

    def test_every_example_builds_and_passes_its_session(self):
        for name in os.listdir(EXAMPLES):
            source = self.example("checked-" + name, name)
            said = run("make", "-C", source, "check", env=self.env)
            self.assertRegex(said, r"\.session: ok: \d+ steps")

    def test_the_tracer_is_asked_at_every_stage(self):
        with open(TOP + "/sdk/include/posthouse/session.h",
                  encoding="ascii") as f:
            stages = re.findall(r"^\tPH_AT_(\w+)(?:,| = PH_STAGES,)",
                                f.read(), re.M)
        self.assertEqual(len(stages), 13)
        source = self.example("tracer", "check_tracer")
        run("make", "-C", source, env=self.env)
        with Sandbox({"tracer": "check_tracer: { module = "
                      f'"{source}/check_tracer.so"; add_header = true; }};'}) \
                as box:
            client = box.submission("alice")
            client.sendmail("alice@example.test",
                            ["alice@example.test", "x@far.invalid"],
                            b"From: alice@example.test\r\n"
                            b"Subject: traced\r\n\r\nhello\r\n")
            client.quit()
            box.lines(" trace_after ", "stage=deferred", "rcpt=x@far.invalid")
            box.ctl("queue", "bounce", "all")
            box.lines(" trace_after ", "stage=bounced", "rcpt=x@far.invalid")
            box.lines(" trace_after ", "stage=delivered")
            self.assertIn(b"X-Tracer: message 1", box.inbox("alice", 1)[0])
            log = box.log()
            for stage in stages:
                self.assertRegex(log, f" trace_({stage.lower()} |.* stage="
                                 f"{stage.lower()} )")

    def test_a_new_check_builds_and_passes_both_ways(self):
        sdk = self.prefix + "/bin/posthouse-sdk"
        run(sdk, "new", "check_mine", cwd=self.dir)
        source = self.dir + "/check_mine"
        for name in os.listdir(source):
            with open(os.path.join(source, name), encoding="ascii") as f:
                self.assertNotRegex(f.read(), "@[A-Z]+@")
        self.assertIn("ok: ", run("make", "-C", source, "check",
                                  env=self.env))
        run("make", "-C", source, "install",
            env=dict(self.env, DESTDIR=self.dir + "/dest"))
        run("cmake", "-S", source, "-B", source + "/build",
            f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_INSTALL_PREFIX={self.dir}/other")
        run("cmake", "--build", source + "/build")
        run("ctest", "--test-dir", source + "/build", "--output-on-failure")
        described = run(self.prefix + "/sbin/posthouse", "--describe",
                        source + "/check_mine.so")
        self.assertIn("domains = []", described)
        self.described_by_name(source)
        again = subprocess.run([sdk, "new", "check_mine"], cwd=self.dir,
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists", again.stderr)
        for bad in ("check_", "Check_x", "check_a/b", "mine", "check_1"):
            wrong = subprocess.run([sdk, "new", bad], cwd=self.dir,
                                   capture_output=True, timeout=60)
            self.assertEqual(wrong.returncode, 2, bad)

    def test_other_kinds_build_and_pass_both_ways(self):
        sdk = self.prefix + "/bin/posthouse-sdk"
        for kind, name in (("router", "router_mine"),
                           ("delivery", "check_late")):
            run(sdk, "new", "--kind", kind, name, cwd=self.dir)
            source = f"{self.dir}/{name}"
            for file in os.listdir(source):
                with open(os.path.join(source, file), encoding="ascii") as f:
                    self.assertNotRegex(f.read(), "@[A-Z]+@")
            self.assertIn("ok: ", run("make", "-C", source, "check",
                                      env=self.env))
            run("cmake", "-S", source, "-B", source + "/build",
                f"-DCMAKE_PREFIX_PATH={self.prefix}")
            run("cmake", "--build", source + "/build")
            run("ctest", "--test-dir", source + "/build",
                "--output-on-failure")
        for wrong in (("--kind", "router", "check_mine"),
                      ("--kind", "store", "store_mine"), ("router_mine",),
                      ("--kind", "router"), ("--kind", "router", "router_")):
            done = subprocess.run([sdk, "new", *wrong], cwd=self.dir,
                                  capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, wrong)

    def test_a_new_router_sends_mail_on(self):
        sdk = self.prefix + "/bin/posthouse-sdk"
        run(sdk, "new", "--kind", "router", "router_gone", cwd=self.dir)
        source = self.dir + "/router_gone"
        run("make", "-C", source, env=self.env)
        with open(source + "/gone", "w", encoding="ascii") as f:
            f.write("old@example.test bob@example.test\n")
        with Sandbox({"gone": f'router_gone: {{ module = "{source}/'
                      f'router_gone.so"; file = "{source}/gone"; }};'}) as box:
            client = box.smtp()
            client.helo("good.example")
            client.mail("x@remote.test")
            self.assertEqual(client.rcpt("nobody@example.test")[0], 550)
            self.assertEqual(client.rcpt("old@example.test")[0], 250)
            client.data(b"Subject: fine\r\n\r\nhello\r\n")
            client.quit()
            self.assertIn(b"hello", box.inbox("bob", 1)[0])
            self.assertRegex(box.ctl("modules").stdout,
                             r"(?m)^router_gone counters sent_on=\d")

    def described_by_name(self, source):
        """Where the configuration says that modules are."""
        conf = self.dir + "/described.conf"
        posthouse = self.prefix + "/sbin/posthouse"
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'hostname = "x.test"; module_dir = "{source}";\n')
        for described in ("--describe", "--describe-mdoc"):
            self.assertIn("domains", run(posthouse, "-c", conf, described,
                                         "check_mine"))
        wrong = subprocess.run([posthouse, "--describe", "check_mine"],
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(wrong.returncode, 1)
        with open(conf, "a", encoding="ascii") as f:
            f.write("oops oops\n")
        wrong = subprocess.run([posthouse, "-c", conf, "--describe",
                                "check_mine"], capture_output=True, text=True,
                               timeout=60)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn(conf + ":2: syntax error", wrong.stderr)

    def test_the_example_refuses_a_client(self):
        source = self.example("with-make")
        run("make", "-C", source, env=self.env)
        module = source + "/check_minimal.so"
        exported = [line.split()[-1] for line in
                    run("nm", "-D", "--defined-only", module).splitlines()]
        self.assertEqual(exported, ["check_minimal_LTX_ph_module"])
        with Sandbox({"minimal": f'check_minimal: {{ module = "{module}"; }};'}) \
                as box:
            bad = box.smtp()
            code, text = bad.helo("bad.example")
            if code == 250:  # a refusal may be spoken at the next command
                code, text = bad.docmd("MAIL", "FROM:<x@remote.test>")
            self.assertEqual(code, 550, text)
            self.assertIn(b"5.7.1", text)
            self.assertIn(b"bad.example", text)
            bad.close()
            good = box.smtp()
            good.helo("good.example")
            good.sendmail("x@remote.test", ["bob@example.test"],
                          b"Subject: fine\r\n\r\nhello\r\n")
            good.quit()
            self.assertIn(b"hello", box.inbox("bob", 1)[0])


    def test_the_guide_alone_leads_to_a_check(self):
        """Its code and its session, as they stand there."""
        with open(os.path.join(TOP, "sdk", "posthouse-sdk.7"),
                  encoding="ascii") as f:
            steps = re.split(r"^\.Ss (\d)\..*\n", f.read(), flags=re.M)
        code = {int(n): "\n".join(re.findall(
            r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.M | re.S))
            for n, text in zip(steps[1::2], steps[2::2])}
        where = tempfile.mkdtemp(dir=self.dir)
        run(self.prefix + "/bin/posthouse-sdk", "new", "check_senders",
            cwd=where)
        source = where + "/check_senders"
        for name, text in (("c", "\n".join(code[i] for i in (2, 3, 4))),
                           ("session", code[5])):
            self.assertLess(text.count("\n"), 60)
            with open(f"{source}/check_senders.{name}", "w",
                      encoding="ascii") as f:
                f.write(text.replace("\\e", "\\"))
        self.assertIn("ok: ", run("make", "-C", source, "check",
                                  env=self.env))

    def test_manuals_are_installed(self):
        pages = os.listdir(self.prefix + "/share/man/man3")
        self.assertIn("ph_check.3", pages)
        self.assertIn("ph_dns.3", pages)
        with open(self.prefix + "/share/man/man3/ph_dns_mx.3",
                  encoding="ascii") as f:
            self.assertEqual(f.read(), ".so man3/ph_dns.3\n")
        for page in ("man1/posthouse-sdk.1", "man7/posthouse-sdk.7"):
            self.assertTrue(os.path.exists(
                f"{self.prefix}/share/man/{page}"), page)

    def test_a_list_of_senders_is_under_60_lines_and_works(self):
        """What the guide promises: an option, a session, a log line."""
        source = self.example("check_senders", "check_senders")
        with open(source + "/check_senders.c", encoding="ascii") as f:
            self.assertLess(len(f.readlines()), 60)
        self.assertIn("ok: ", run("make", "-C", source, "check",
                                  env=self.env))
        module = source + "/check_senders.so"
        with Sandbox({"senders":
                      f'check_senders: {{ module = "{module}"; }};'}) as box:
            # where the confined check role may read
            path = os.path.join(os.path.dirname(box.env["PH_MAIL"]),
                                "check", "senders")

            def write(text):
                with open(path + ".new", "w", encoding="ascii") as out:
                    out.write(text)
                os.chmod(path + ".new", 0o644)
                os.rename(path + ".new", path)

            def answer(sender):
                client = box.smtp()
                client.helo("remote.test")
                code = client.mail(sender)[0]
                if code == 250:
                    code = client.rcpt("bob@example.test")[0]
                client.close()
                return code

            write("# pests\nspammer@remote.test\n@bad.test\n")
            box.snippet("50-senders", "check_senders: { module = "
                        f'"{module}"; file = "{path}"; }};')
            box.ctl("reload")
            self.assertEqual(answer("spammer@remote.test"), 550)
            self.assertEqual(answer("any@bad.test"), 550)
            self.assertEqual(answer("friend@remote.test"), 250)
            until(lambda: "senders_refused" in box.log() and
                  "from=any@bad.test" in box.log(), "its log line")
            write("friend@remote.test\n")
            until(lambda: answer("friend@remote.test") == 550,
                  "the list to be read again")
            self.assertEqual(answer("any@bad.test"), 250)


if __name__ == "__main__":
    unittest.main()
