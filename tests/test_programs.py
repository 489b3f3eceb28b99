# SPDX-License-Identifier: Apache-2.0
"""Programs that run as a user of their own (run_as): what they have and have
not, who may ask for them, and their end."""
import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from sandbox import BUILD, TOP, Dns, Sandbox, until

ROOT = os.geteuid() == 0
WHO = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
ROUTES = ("router_routes: { routes = [ \"tool.test tool\", "
          "\"other.test other\" ]; "
          "relay_domains = [ \"tool.test\", \"other.test\" ]; };")

# Tells how each thing that it asks of the master ends.
FORGER = r"""
#include <posthouse/transport.h>
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
struct conf { const char *run_as; const char *const *command; };
static int ask(struct ph_attempt *a, const char *const *argv)
{
	int fds[2] = { open("/dev/null", O_RDWR), open("/dev/null", O_RDWR) };
	int end = -1, status = ph_attempt_run(a, 0, argv, fds, 5000, &end);
	close(fds[0]);
	close(fds[1]);
	return status != 0 ? status : end;
}
#define ASK(a, ...) ask(a, (const char *const[]){ __VA_ARGS__, NULL })
static void attempt(struct ph_attempt *a, const void *conf)
{
	const struct conf *c = conf;
	(void)c;
	ph_attempt_result(a, 0, PH_DELIVERED, 250, "2.0.0", "forger",
	    "right %d program %d fixed %d more %d fewer %d option %d ends %d",
	    ASK(a, "/bin/sh", "-c", "exit 3", "a-x-b"),
	    ASK(a, "/bin/bash", "-c", "exit 3", "a-x-b"),
	    ASK(a, "/bin/sh", "-c", "exit 4", "a-x-b"),
	    ASK(a, "/bin/sh", "-c", "exit 3", "a-x-b", "x"),
	    ASK(a, "/bin/sh", "-c", "exit 3"),
	    ASK(a, "/bin/sh", "-c", "exit 3", "-x-b"),
	    ASK(a, "/bin/sh", "-c", "exit 3", "a-x-c"));
}
static const struct ph_option options[] = {
	PH_OPT_STRING("run_as", struct conf, run_as, 0, 32, "", "who"),
	PH_OPT_LIST("command", struct conf, command, 0, 9, "[]", "what"),
	PH_OPT_END,
};
static const struct ph_transport_ops ops = { .attempt = attempt };
PH_MODULE(forger) = { .abi = PH_ABI, .name = "forger",
	.kinds = PH_KIND_TRANSPORT, .conf_size = sizeof(struct conf),
	.options = options, .doc = "Asks.", .transport = &ops };
"""
DENIED = -10


def tool(script, name="tool", order=200, more="", who=WHO.pw_name):
    return (f" {name}: {{ module = \"transport_pipe\"; order = {order}; "
            f"run_as = \"{who}\"; {more} command = [ \"/bin/sh\", "
            f"\"-c\", \"{script}\", \"sh\", \"${{recipient}}\" ]; }};")


def running(word):
    """The processes with this word among their arguments."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if word.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


class Programs(unittest.TestCase):
    def box(self, modules):
        dns = Dns("")
        self.addCleanup(dns.close)
        box = Sandbox({"programs": ROUTES + modules}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def send(self, box, *to):
        with box.smtp() as client:
            client.sendmail("a@x.test", to, b"Subject: x\r\nFrom: <a@x.test>"
                            b"\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000"
                            b"\r\n\r\nhello\r\n")

    def test_a_program_is_the_user_and_no_more(self):
        if ROOT:  # groups that must not pass from the master to the program
            self.addCleanup(os.setgroups, os.getgroups())
            os.setgroups([0, 4])
        box = self.box(tool(
            "echo uid=$(id -u) gid=$(id -g) groups=$(id -G | tr ' ' ,); "
            "echo fds; ls /proc/$$/fd; "
            "echo cpu=$(ulimit -t) files=$(ulimit -n) core=$(ulimit -c); "
            "grep -E '^(Cap(Prm|Eff)|NoNewPrivs)' /proc/$$/status; "
            "echo mail=$(grep -c hello) in=$(pwd) "
            "for=$SENDER,$RECIPIENT,$1,$QUEUE_ID "
            "env=$(tr '\\\\0' ' ' < /proc/$$/environ | wc -w)"))
        self.send(box, "yes@tool.test")
        line = box.lines(" delivered ", "to=yes@tool.test")[0]
        queue_id = re.search(r"queue=(\w+)", line)[1]
        groups = ",".join(map(str, sorted(
            os.getgrouplist(WHO.pw_name, WHO.pw_gid),
            key=lambda g: (g != WHO.pw_gid, g)))) if ROOT else None
        said = re.search(r"uid=.*env=\d+", line)[0]
        self.assertIn(f"uid={WHO.pw_uid} gid={WHO.pw_gid} ", said)
        if ROOT:
            self.assertIn(f" groups={groups} ", said)
            self.assertRegex(said, r"CapPrm:\s*0{16}\s")
            self.assertRegex(said, r"CapEff:\s*0{16}\s")
        self.assertRegex(said, r" fds 0 1 2( 10)? cpu")  # 10: of dash itself
        self.assertIn(" cpu=301 files=1024 core=0 ", said)
        self.assertRegex(said, r"NoNewPrivs:\s*1 ")
        self.assertIn(" mail=1 in=/ for=a@x.test,yes@tool.test,yes@tool.test,"
                      + queue_id + " env=5", said)

    @unittest.skipUnless(ROOT, "becomes another user")
    def test_a_group_that_is_named_is_the_only_one(self):
        self.addCleanup(os.setgroups, os.getgroups())
        os.setgroups([0, 4])
        games = grp.getgrnam("games")
        box = self.box(tool("echo gid=$(id -g) groups=$(id -G)",
                            who=WHO.pw_name + ":games"))
        self.send(box, "yes@tool.test")
        self.assertIn(f"gid={games.gr_gid} groups={games.gr_gid}",
                      box.lines(" delivered ", "to=yes@tool.test")[0])

    def test_limits_are_those_of_the_configuration(self):
        box = self.box(tool(
            "echo cpu=$(ulimit -t) memory=$(ulimit -v) files=$(ulimit -n) "
            "processes=$(ulimit -p) size=$(ulimit -f)",
            more="cpu_limit = \"7s\"; memory_limit = \"300M\"; "
            "open_files_limit = 60; processes_limit = 3000; "
            "file_size_limit = 1048576;"))
        self.send(box, "yes@tool.test")
        self.assertIn("cpu=8 memory=307200 files=60 processes=3000 size=2048",
                      box.lines(" delivered ", "to=yes@tool.test")[0])

    def test_who_takes_more_than_its_limit_is_deferred(self):
        box = self.box(tool(
            "case $1 in busy@*) while :; do :; done;; "
            "large@*) head -c 200000000 /dev/zero | tail -c 200000000 | wc -c;; "
            "esac", more="cpu_limit = \"1s\"; memory_limit = \"100M\";"))
        self.send(box, "busy@tool.test", "large@tool.test")
        # two seconds of its own, however many others there are
        until(lambda: any("to=busy@tool.test" in l and "ended by signal" in l
                          for l in box.log().splitlines()),
              "the end of its processor time", 270)
        line = box.lines("to=large@tool.test")[0]
        self.assertIn("memory exhausted", line)

    def test_exit_codes_are_results(self):
        box = self.box(tool(
            "case $1 in no@*) exit 67;; late@*) exit 75;; "
            "dead@*) kill -9 $$;; loud@*) yes | head -c 1000000;; esac"))
        self.send(box, "yes@tool.test", "no@tool.test", "late@tool.test",
                  "dead@tool.test", "loud@tool.test", "-x@tool.test")
        box.lines(" delivered ", "to=yes@tool.test")
        box.lines(" bounced ", "to=no@tool.test", "status=5.1.1")
        box.lines(" deferred ", "to=late@tool.test", "status=4.3.0")
        box.lines(" deferred ", "to=dead@tool.test", "ended by signal 9")
        box.lines(" delivered ", "to=loud@tool.test")
        box.lines(" bounced ", "to=-x@tool.test", "status=5.1.3")

    def test_one_that_can_not_run_is_tried_again(self):
        box = self.box(
            f" tool: {{ module = \"transport_pipe\"; order = 200; run_as = "
            f"\"{WHO.pw_name}\"; command = [ \"/nonexistent/tool\" ]; }};")
        self.send(box, "yes@tool.test")
        box.lines(" deferred ", "to=yes@tool.test", "can't run: "
                  "/nonexistent/tool: No such file or directory")

    def test_its_time_is_that_of_its_whole_group(self):
        word = f"1{os.getpid()}7"
        box = self.box(tool(f"sleep {word} & sleep {word}",
                            more="time_limit = \"1s\";"))
        self.send(box, "yes@tool.test")
        box.lines(" deferred ", "to=yes@tool.test", "the time limit passed")
        until(lambda: not running(word), "the group is gone")

    def test_what_it_leaves_behind_ends_with_it(self):
        word = f"2{os.getpid()}7"
        box = self.box(tool(f"sleep {word} >/dev/null 2>&1 &"))
        self.send(box, "yes@tool.test")
        box.lines(" delivered ", "to=yes@tool.test")
        until(lambda: not running(word), "the group is gone")

    def test_without_its_relay_it_ends(self):
        word = f"3{os.getpid()}7"
        box = self.box(tool(f"sleep {word} & sleep {word}"))
        self.send(box, "yes@tool.test")
        first = until(lambda: len(running(word)) > 1 and running(word),
                      "it runs")
        relay = int(re.search(r"role_ready role=relay index=\d+ pid=(\d+)",
                              box.log())[1])
        os.kill(relay, signal.SIGKILL)
        until(lambda: not set(first) & set(running(word)), "the first is gone")
        box.stop()
        until(lambda: not running(word), "all are gone")

    def test_only_what_the_configuration_names_is_run(self):
        folder = tempfile.mkdtemp(prefix="posthouse-forger-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        with open(folder + "/forger.c", "w") as out:
            out.write(FORGER)
        subprocess.run(["cc", "-shared", "-fPIC", "-I", TOP + "/sdk/include",
                        folder + "/forger.c", "-o", folder + "/forger.so"],
                       check=True)
        section = (f"{{ module = \"{folder}/forger.so\"; order = %d; command = "
                   "[ \"/bin/sh\", \"-c\", \"exit 3\", \"a-${recipient}-b\" ]; ")
        box = self.box(" tool: " + section % 200 +
                       f"run_as = \"{WHO.pw_name}\"; }};"
                       " other: " + section % 210 + "};")
        self.send(box, "yes@tool.test")
        self.assertIn(
            f"right {3 << 8} program {DENIED} fixed {DENIED} more {DENIED} "
            f"fewer {DENIED} option {DENIED} ends {DENIED}",
            box.lines(" delivered ", "to=yes@tool.test")[0])
        box.lines("program_refused", "program=/bin/bash")
        # a section that names nobody
        self.send(box, "yes@other.test")
        self.assertIn(f"right {DENIED} ",
                      box.lines(" delivered ", "to=yes@other.test")[0])


class Configuration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)

    def test_users_that_can_not_be(self):
        own = [("posthouse-relay", "posthouse's own"),
               (WHO.pw_name + ":posthouse-queue", "posthouse's own")] if ROOT else []
        for user, why in [("no-such-user", "no such user"),
                          (WHO.pw_name + ":no-such-group", "no such group"),
                          (WHO.pw_name + ":root", "as root"),
                          (WHO.pw_name + ":", "no such group"),
                          ("root", "as root"), *own]:
            self.box.snippet("95-bad", "tool: { module = \"transport_pipe\"; "
                             "order = 200;\n command = [ \"/bin/true\" ];\n"
                             f" run_as = \"{user}\"; }};\n")
            for done in (self.box.posthouse("-t"),
                         self.box.ctl("reload", check=False)):
                self.assertNotEqual(done.returncode, 0, user)
                self.assertRegex(
                    done.stdout + done.stderr,
                    rf"95-bad\.conf:3: run_as: \"{user}\": .*{why}")
        self.box.snippet("95-bad", "tool: { module = \"transport_pipe\"; "
                         "order = 200; enabled = false; run_as = \"root\"; };")
        self.assertEqual(self.box.posthouse("-t").returncode, 0)

    @unittest.skipUnless(ROOT, "becomes another user")
    def test_without_root_it_is_said(self):
        if subprocess.run(["test", "-x", BUILD + "/bin/posthouse"], check=False,
                          user=WHO.pw_uid, group=WHO.pw_gid, extra_groups=[]).returncode:
            self.skipTest("the build lies where other users can't reach it")
        conf = self.box.dir + "/plain.conf"
        os.mkdir(self.box.dir + "/nothing.d", 0o755)
        with open(conf, "w") as out:
            out.write("hostname = \"mail.example.test\"; include_dir = "
                      "\"nothing.d\"; tool: { module = \"transport_pipe\"; "
                      "command = [ \"/bin/true\" ]; run_as = \"daemon\"; };")
        done = subprocess.run(
            [BUILD + "/bin/posthouse", "-t", "-c", conf], user=WHO.pw_uid,
            group=WHO.pw_gid, extra_groups=[], capture_output=True, text=True,
            timeout=60)
        self.assertIn("tool: without root its program runs as the calling "
                      "user, not as daemon", done.stderr)

    def test_a_user_without_a_program(self):
        self.box.snippet("95-bad", "tool: { module = \"transport_pipe\"; "
                         f"order = 200; run_as = \"{WHO.pw_name}\"; }};")
        self.assertIn("there is no command to run",
                      self.box.posthouse("-t").stderr)

    @unittest.skipUnless(ROOT, "becomes another user")
    def test_the_child_refuses_to_be_root(self):
        for args in (["", "0", "0", "0"], ["root", "0", "0", "0"],
                     ["root", "1", "0", "0"], ["daemon", "1", "1", "0"]):
            done = subprocess.run(
                [BUILD + "/bin/posthouse", "--run-program", *args, "9", "0",
                 "9", "9", "0", "S=", "R=", "Q=", "/bin/true"], capture_output=True, text=True,
                start_new_session=True, timeout=60)
            self.assertEqual(done.returncode, 75)
            self.assertIn("it is root", done.stderr)


if __name__ == "__main__":
    unittest.main()
