# SPDX-License-Identifier: Apache-2.0
"""The plugin harness finds what is wrong with a module: modules that are wrong,
each in one way, and one session for all of them."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from sandbox import BUILD, TOP

GOOD = "return PH_NEXT;"

MODULE = """
#include <posthouse/check.h>
#include <posthouse/kv.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
struct conf { unsigned n; const char *file; };
static enum ph_verdict
on_mail(struct ph_call *call, const void *conf)
{
	(void)call;
	(void)conf;
	BODY
}
static const struct ph_option options[] = {
	PH_OPT_UINT("n", struct conf, n, 0, 9, "1", "a number"), PH_OPT_END };
static const struct ph_check_ops ops = { .at = { [PH_AT_MAIL] = on_mail } };
PH_MODULE(check_wrong) = { .abi = PH_ABI, .name = "check_wrong",
	.kinds = PH_KIND_CHECK, .conf_size = sizeof(struct conf),
	.options = options, .doc = "is wrong", .check = &ops };
"""

SESSION = """\
option n = 2
dns remote.example A 192.0.2.1
connect 192.0.2.1
mail a@remote.example
expect next
end
"""

ASK = "ph_dns_a(ph_call_arena(call), \"remote.example\")"


class Harness(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-harness-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def build(self, body, change=("", "")):
        source = os.path.join(self.dir, "check_wrong.c")
        with open(source, "w", encoding="ascii") as f:
            f.write(MODULE.replace("BODY", body).replace(*change))
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-O0",
             f"-I{TOP}/sdk/include", "-o", self.dir + "/check_wrong.so",
             source, f"-L{BUILD}/core", "-lposthouse"], check=True)

    def run_session(self, body, session=SESSION, change=("", "")):
        self.build(body, change)
        path = os.path.join(self.dir, "the.session")
        with open(path, "w", encoding="ascii") as f:
            f.write(session)
        done = subprocess.run(
            [f"{BUILD}/bin/posthouse-sdk", "run", "-v",
             self.dir + "/check_wrong.so", path], capture_output=True,
            text=True, timeout=120,
            env=dict(os.environ, LD_LIBRARY_PATH=f"{BUILD}/core"))
        return done.returncode, done.stdout.replace(path, "S")

    def assert_found(self, body, wanted, session=SESSION, change=("", "")):
        code, said = self.run_session(body, session, change)
        self.assertEqual(code, 1, said)
        self.assertRegex(said, re.compile(wanted, re.M))

    def test_lets_a_good_module_pass(self):
        code, said = self.run_session(
            f"return {ASK}->count > 9 ? PH_ACCEPT : PH_NEXT;")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"S: ok: 2 steps, \d+ runs")

    def test_names_the_line_that_was_not_met(self):
        self.assert_found('return ph_reject(call, 550, "5.7.1", "no");',
                          r'S:5: wanted next, got reject 550 5\.7\.1 "no"')

    def test_names_the_line_of_a_wrong_option(self):
        self.assert_found(GOOD, r"S:1: .*\bm\b",
                          SESSION.replace("option n", "option m"))
        self.assert_found(GOOD, "S:1: n: .*9",
                          SESSION.replace("n = 2", "n = 20"))

    def test_says_what_is_wrong_with_a_line(self):
        for old, new, wanted in (
                ("n = 2", "n = /x", r"S:1: syntax error: .*posthouse\.conf"),
                ("expect next", "expect log it bar",
                 r'S:5: "bar" is not KEY=PATTERN'),
                ("expect next", 'expect log it a="b c" d',
                 r'S:5: "d" is not KEY=PATTERN'),
                ("mail a@", "rcpt a@", r"S:4: rcpt: there is no mail before"),
                ("expect next", "reset\nmessage",
                 r"S:6: message: there is no mail before"),
                ("connect 192.0.2.1\n", "", r"S:3: mail: nobody is conn")):
            self.assert_found(GOOD, wanted, SESSION.replace(old, new))
        done = subprocess.run(
            [f"{BUILD}/bin/posthouse-sdk", "run",
             self.dir + "/check_wrong.c", self.dir + "/the.session"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("check_wrong.c: a module's file ends in .so",
                      done.stderr)

    def test_a_file_is_there_from_its_line_on_in_each_run(self):
        """Also in the runs after the first: no refusal is left over."""
        code, said = self.run_session(
            "const char *at = ((const struct conf *)conf)->file; "
            "return access(at, F_OK) == 0 ? "
            'ph_reject(call, 550, "5.7.1", "there") : PH_NEXT;',
            'option file = "$DIR/the-file"\nconnect 192.0.2.1\n'
            "mail a@remote.example\nfile the-file\n  text\n"
            "mail a@remote.example\nexpect reject\n",
            ('"a number"),', '"a number"), PH_OPT_PATH("file", struct conf, '
             'file, "", "a file"),'))
        self.assertEqual(code, 0, said)

    def test_says_why_a_module_can_not_be_loaded(self):
        for abi, wanted in (
                ("PH_ABI_MAJOR + 1, 0, 0", r"built for ABI 2\.0; wanted 1\."),
                ("PH_ABI_MAJOR, PH_ABI_MINOR + 1, sizeof(struct ph_module)",
                 r"built for ABI 1\.\d+; wanted 1\.\d+ or an older 1\.x"),
                ("PH_ABI_MAJOR, PH_ABI_MINOR, 8",
                 r"its descriptor has 8 octets; wanted \d+ for ABI")):
            self.assert_found(GOOD, r"check_wrong\.so: " + wanted,
                              change=("PH_ABI,", "{ " + abi + " },"))
        self.assert_found(GOOD, "exports no ph_module; the file must be "
                          "called", change=("(check_wrong)", "(check_other)"))
        self.assert_found(f"extern int nobody(void); nobody(); {GOOD}",
                          "undefined symbol: nobody",
                          change=("", ""))

    def test_finds_leaks(self):
        self.assert_found(f"volatile char *p = malloc(100); p[0] = 1; {GOOD}",
                          r"leak: .* leaves \d+ octets")
        self.assert_found(f'open("/dev/null", O_RDONLY); {GOOD}',
                          "leak: .* descriptors")

    def test_finds_answers_that_are_too_many_or_not_returned(self):
        self.assert_found('ph_reject(call, 550, "5.7.1", "no");'
                          'return ph_defer(call, 450, "4.7.1", "later");',
                          "answered more than once")
        self.assert_found(f'ph_reject(call, 550, "5.7.1", "no"); {GOOD}',
                          "a refusal that it did not return")

    def test_survives_and_names_a_crash(self):
        self.assert_found(f"abort(); {GOOD}",
                          "S:4: as written: the module crashed in its mail "
                          "hook")
        self.assert_found("_exit(3);", "S:4: .*ended its process in its "
                          "mail hook, status 3")

    def test_finds_what_happens_only_when_canceled(self):
        self.assert_found(f"if ({ASK}->result != PH_DNS_OK) abort(); {GOOD}",
                          "canceled at wait 1 of line 4: the module crashed")

    def test_finds_what_leaks_only_when_cut_short(self):
        self.assert_found(
            f"volatile char *p = malloc(5000); p[0] = 1; "
            f"if ({ASK}->result != PH_DNS_OK) return PH_NEXT; "
            f"free((void *)p); {GOOD}",
            r"S:4: leak: canceled at wait 1 of line 4, each round of the "
            r"session leaves 5\d\d\d octets")
        self.assert_found(
            f"if ({ASK}->result == PH_DNS_NO_ANSWER && "
            f'!ph_kv_put(ph_slice_str("k"), ph_slice_str("v"), 1000)) '
            f'open("/dev/null", O_RDONLY); {GOOD}',
            "leak: DNS fails, the session leaves descriptors open")

    def test_finds_a_hook_that_never_returns(self):
        self.assert_found(f"while (ph_sleep_ms(5) != PH_OK) ; {GOOD}",
                          "canceled at wait 1 .*neither waits nor returns")

    def test_finds_a_hook_that_is_late(self):
        self.assert_found(f"ph_sleep_ms(60000); {GOOD}",
                          "S:4: fault: out of time")

    def test_finds_refusals_for_what_could_not_be_told(self):
        body = (f"return {ASK}->result == PH_DNS_OK ? PH_NEXT : "
                'ph_reject(call, 550, "5.7.1", "no");')
        self.assert_found(body, "S:4: rejects when DNS fails")
        self.assert_found(body, "S:4: rejects when nothing outside answers")
        self.assert_found(
            "int64_t n; return ph_kv_add(PH_LIT(\"x\"), 1, 1000, &n) == 0 ? "
            'PH_NEXT : ph_reject(call, 550, "5.7.1", "no");',
            "S:4: rejects when the key-value store is down")

    def test_finds_limits_that_add_up_to_too_much(self):
        """Five questions in turn, of five seconds each at the worst."""
        self.assert_found(
            f"for (int i = 0; i < 5; i++) {ASK}; {GOOD}",
            "S:4: out of time when nothing outside answers")

    def test_a_pass_may_be_skipped(self):
        code, said = self.run_session(
            f"return {ASK}->result == PH_DNS_OK ? PH_NEXT : "
            'ph_reject(call, 550, "5.7.1", "no");',
            "skip dns\nskip silence\n" + SESSION)
        self.assertEqual(code, 0, said)

    def test_steps_the_clock(self):
        code, said = self.run_session(
            'ph_log(PH_INFO, "time", ph_f_int("t", ph_wall_time()));'
            "return PH_NEXT;",
            "clock 2026-11-23T00:00:00Z\nconnect 192.0.2.1\nwait 2d\n"
            "mail a@b.example\nexpect log time t=1795564800\n")
        self.assertEqual(code, 0, said)

    def test_shows_edits_notes_and_memory_of_a_message(self):
        session = ("connect 192.0.2.1\nmail a@b.example\ndata\n  Subject: x\n"
                   "expect edit change 1 Subject: y\nexpect edit remove 0 X-Old\n"
                   "expect edit insert 2 X-New: calls 1\n"
                   "expect no edit remove 1 *\n"
                   "expect note found = it\nexpect no note lost\n"
                   "message\nmail a@b.example\nexpect no note found\ndata\n"
                   "  Subject: z\nexpect edit insert 2 X-New: calls 1\n")
        code, said = self.run_session(
            "unsigned *n = ph_call_message_state(call, sizeof(*n)); ++*n;"
            'ph_change_header(call, "Subject", 1, "y");'
            'ph_remove_header(call, "X-Old", 0);'
            'ph_insert_header(call, 2, "X-New", "calls %u", *n);'
            'ph_note(call, "found", "it");' + GOOD, session,
            ("[PH_AT_MAIL]", "[PH_AT_DATA]"))
        self.assertEqual(code, 0, said)

    def test_shows_what_other_modules_said(self):
        code, said = self.run_session(
            'const char *note = ph_call_note(call, "other.word");'
            'ph_count("seen", 2); ph_score(call, 1);'
            'ph_reason(call, "%s %g", note != NULL ? note : "-",'
            ' ph_call_score(call));' + GOOD,
            "connect 192.0.2.1\nscore 0.5\nnote other.word = of all\n"
            "mail a@remote.example\nexpect reason of all 1.5\n"
            "expect counted seen = 2\nexpect no counted unseen\n"
            "score 2\nmail a@remote.example\nexpect reason of all 1.5\n"
            "note other.word = of it\nexpect counted seen = 4\n"
            "mail a@remote.example\nexpect reason of all 1.5\n")
        self.assertEqual(code, 0, said)
        self.assert_found('ph_count("seen", 1);' + GOOD,
                          "S:6: wanted counted seen = 2, got 1",
                          SESSION.replace("end", "expect counted seen = 2"))

    OCTETS = r"""
	struct ph_addr addr;
	struct ph_stream *stream;
	char all[9] = "";
	ph_addr_parse(PH_LIT("192.0.2.9"), &addr);
	if (ph_connect(ph_call_arena(call), &addr, 9, 1000, &stream, NULL) ==
	    PH_OK) {
		ph_stream_write(stream, "\0\1ab'c", 6);
		while (strlen(all) < 3 && ph_stream_fill(stream, 1000) ==
		    PH_OK) {
			struct ph_slice in = ph_stream_buffered(stream);

			memcpy(all + strlen(all), in.p, in.n);
			ph_stream_consume(stream, in.n);
		}
	}
	ph_reason(call, "%s", all);
	return PH_NEXT;"""

    def test_servers_speak_octets(self):
        change = ("<fcntl.h>", "<fcntl.h>\n#include <posthouse/stream.h>")
        session = ("server 192.0.2.9 9\n  take 00 ?? 'ab' 27 *\n"
                   "  give 78 'yz'\nconnect 192.0.2.1\nmail a@b.example\n"
                   "expect reason xyz\n")
        code, said = self.run_session(self.OCTETS, session, change)
        self.assertEqual(code, 0, said)
        self.assert_found(self.OCTETS, r"S:6: server 192\.0\.2\.9 9: wanted to "
                          r"take 00 02.*, octet 2 is 01",
                          session.replace("??", "02"), change)
        for wrong in ("0", "'ab", "zz", "* 00"):
            self.assert_found(GOOD, "S:1: server: its lines are .*take OCTETS",
                              session.replace("00 ??", wrong))

    ROUTER = """
#include <posthouse/dns.h>
#include <posthouse/kv.h>
#include <posthouse/router.h>
static enum ph_route
route(struct ph_routing *routing, const void *conf, void *state)
{
	struct ph_slice to = ph_routing_recipient(routing);
	BODY
	return PH_ROUTE_NEXT;
}
static const struct ph_router_ops ops = { .route = route };
PH_MODULE(check_wrong) = { .abi = PH_ABI, .name = "check_wrong",
	.kinds = PH_KIND_ROUTER, .doc = "is wrong", .router = &ops };
"""
    ROUTED = """\
dns remote.example A 192.0.2.1
mailbox bob@example.test
mailbox carol@example.test carol
mailbox ill@example.test unsure
recipient all@example.test from a@b.example
expect result local bob@example.test
expect result local carol@example.test of carol
expect result unsure ill@example.test
expect result unknown nobody@example.test
expect result remote x@far.example via lmtp to 192.0.2.1 accepted
expect result copy remote log@far.example
expect no result *other*
"""
    ADDS = """
	if (ph_slice_eq(to, PH_LIT("all@example.test"))) {
		static const char *const all[] = { "bob@example.test",
			"carol@example.test", "ill@example.test",
			"nobody@example.test", "x@far.example", NULL };

		for (size_t i = 0; all[i] != NULL; i++)
			ph_routing_add(routing, ph_slice_str(all[i]));
		ph_routing_copy(routing, PH_LIT("log@far.example"));
		return PH_ROUTE_REPLACE;
	}
	if (ph_slice_eq(to, PH_LIT("x@far.example"))) {
		ph_routing_to(routing, "lmtp", "192.0.2.1");
		ph_routing_accept(routing);
		return PH_ROUTE_SEND;
	}
"""

    def routed(self, body, session=ROUTED):
        return self.run_session("", session,
                                (MODULE.replace("BODY", ""),
                                 self.ROUTER.replace("BODY", body)))

    def test_routers_are_run_and_their_mistakes_found(self):
        code, said = self.routed(self.ADDS)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"S: ok: 1 steps")
        code, said = self.routed(self.ADDS.replace("x@far", "other@far"))
        self.assertEqual(code, 1)
        self.assertRegex(said, r"S:10: wanted result remote x@far")
        asks = ("if (ph_dns_a(ph_routing_arena(routing), \"remote.example\")"
                "->count == 0) return PH_ROUTE_%s;")
        code, said = self.routed(asks % "DEFER" + self.ADDS)
        self.assertEqual(code, 0, said)
        one = ("dns remote.example A 192.0.2.1\nmailbox bob@example.test\n"
               "recipient bob@example.test\n"
               "expect result local bob@example.test\n")
        code, said = self.routed(asks % "FAIL", one)
        self.assertEqual(code, 1, said)
        self.assertIn("S:3: there is no such recipient when DNS fails", said)
        self.assertEqual(self.routed("*(volatile int *)0 = 1;", one)[0], 1)
        code, said = self.routed(
            "while (ph_sleep_ms(60000) == PH_OK) {}", one)
        self.assertEqual(code, 1, said)
        code, said = self.routed(
            "if (ph_kv_add(PH_LIT(\"k\"), 1, 1000, &(int64_t){ 0 }) != PH_OK)"
            " ph_sleep_ms(30000);", one)
        self.assertEqual(code, 1, said)
        self.assertIn("S:3: out of time when ", said)

    def test_shows_another_body_and_envelope(self):
        change = "[PH_AT_MAIL]", "[PH_AT_MESSAGE]"
        body = ('ph_add_recipient(call, "b@example.test", "NEVER", NULL); '
                'ph_remove_recipient(call, "a@example.test"); '
                'ph_change_sender(call, ""); '
                'return ph_replace_body(call, "one\\r\\n", 5) == 0 && '
                'ph_replace_body(call, "two\\r\\n", 5) == 0 && '
                'ph_add_recipient(call, "x\\r\\ny@example.test", 0, 0) != 0 '
                '? PH_NEXT : PH_ACCEPT;')
        session = ("connect 192.0.2.1\nmail s@remote.example\nrcpt a@example.test\n"
                   "data\n  Subject: x\nmessage\n  came\n%send\n")
        told = ("expect edit recipient add b@example.test NEVER\n"
                "expect edit recipient remove a@example.test\n"
                "expect edit sender*\nexpect body\nexpect body one\n"
                "expect body two\nexpect no body came\n")
        code, said = self.run_session(body, session % told, change)
        self.assertEqual(code, 0, said)
        self.assert_found(body, "S:8: wanted no body, got another body",
                          session % "expect no body\n", change)

    def test_refuses_what_it_does_not_know(self):
        for line in ("conect 192.0.2.1", "dns a B c", "connect nowhere",
                     "connect 192.0.2.1\nexpect miracles", "mail a@b.example"):
            code, said = self.run_session(GOOD, line + "\n")
            self.assertEqual(code, 1, line + said)
            self.assertTrue(re.search(r"^S:[12]: ", said, re.M), said)


if __name__ == "__main__":
    unittest.main()
