# SPDX-License-Identifier: Apache-2.0
"""The expiring key-value store as a module sees it: shared by processes, apart
from other modules' keys, and there again after a crash."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from sandbox import TOP, Sandbox, until

# The name in HELO is an order: OP.KEY[.VALUE]; the answer is in the refusal.
MODULE = r"""
#include <stdlib.h>
#include <posthouse/check.h>
#include <posthouse/kv.h>

static enum ph_verdict
on_helo(struct ph_call *call, const void *conf)
{
	struct ph_slice rest = ph_session_helo(ph_call_session(call));
	struct ph_slice op = ph_slice_cut(&rest, '.');
	struct ph_slice key = ph_slice_cut(&rest, '.');
	struct ph_slice value = PH_LIT("");
	int64_t sum = 0;
	bool over = false;
	int status = PH_INVALID;

	(void)conf;
	if (ph_slice_eq(op, PH_LIT("put")))
		status = ph_kv_put(key, rest, 3600000);
	else if (ph_slice_eq(op, PH_LIT("brief")))
		status = ph_kv_put(key, rest, 50);
	else if (ph_slice_eq(op, PH_LIT("get")))
		status = ph_kv_get(ph_call_arena(call), key, &value);
	else if (ph_slice_eq(op, PH_LIT("many"))) {
		struct ph_slice keys[] = { key, PH_LIT("nowhere"), rest };
		struct ph_slice got[3];

		status = ph_kv_get_many(ph_call_arena(call), keys, 3, got);
		if (status == PH_OK)
			value = ph_slice_str(ph_arena_printf(
			    ph_call_arena(call), "%.*s|%d|%.*s",
			    PH_SLICE_ARG(got[0]), got[1].p == NULL,
			    PH_SLICE_ARG(got[2])));
	} else if (ph_slice_eq(op, PH_LIT("delete")))
		status = ph_kv_delete(key);
	else if (ph_slice_eq(op, PH_LIT("add")))
		status = ph_kv_add(key, 1, 3600000, &sum);
	else if (ph_slice_eq(op, PH_LIT("rate")))
		status = ph_kv_rate(key, 3, 3600000, &over);
	else
		return PH_NEXT;
	return ph_reject(call, 550, "5.7.1", "status=%d value=%.*s sum=%lld "
	    "over=%d", status, PH_SLICE_ARG(value), (long long)sum, over);
}

static const struct ph_check_ops ops = { .at = { [PH_AT_HELO] = on_helo } };

PH_MODULE(check_kv) = { .abi = PH_ABI, .name = "check_kv",
	.kinds = PH_KIND_CHECK, .check = &ops };
"""
UNAVAILABLE, NOT_FOUND, INVALID = -11, -8, -5


class Kv(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # where roles that dropped to their own users can pass
        cls.dir = tempfile.mkdtemp(prefix="posthouse-kv-", dir="/var/tmp")
        os.chmod(cls.dir, 0o755)
        with open(cls.dir + "/check_kv.c", "w") as out:
            out.write(MODULE)
        cls.module = cls.dir + "/check_kv.so"
        subprocess.run(
            ["cc", "-std=c17", "-shared", "-fPIC", "-fvisibility=hidden",
             "-Wall", "-Wextra", "-Werror", "-I" + TOP + "/sdk/include",
             "-o", cls.module, cls.dir + "/check_kv.c"], check=True)
        os.chmod(cls.module, 0o755)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def box(self, **sections):
        sections = sections or {"check_kv": ""}
        box = Sandbox({"kv": "processes: { check = 2; };" + "".join(
            f'{name}: {{ module = "{self.module}"; {text} }};'
            for name, text in sections.items())})
        self.addCleanup(box.close)
        return box

    def ask(self, box, *words):
        client = box.smtp()
        try:
            code, text = client.helo(".".join(words))
            if code == 250:  # a refusal may be spoken at the next command
                code, text = client.docmd("MAIL", "FROM:<x@remote.test>")
        finally:
            client.close()
        self.assertEqual(code, 550, text)
        return dict(w.split("=", 1) for w in text.decode().split() if "=" in w)

    def status(self, box, *words):
        return int(self.ask(box, *words)["status"])

    def value(self, box, key):
        answer = self.ask(box, "get", key)
        return answer["value"] if int(answer["status"]) == 0 else answer["status"]

    def test_values_are_shared_changed_and_expire(self):
        box = self.box()
        self.assertEqual(self.status(box, "get", "k"), NOT_FOUND)
        self.assertEqual(self.status(box, "put", "k", "one"), 0)
        for _ in range(6):  # sessions spread over both processes
            self.assertEqual(self.value(box, "k"), "one")
        self.assertEqual(self.ask(box, "many", "none", "k")["value"], "|1|one")
        self.assertEqual(self.ask(box, "many", "k", "k")["value"], "one|1|one")
        self.assertEqual(self.status(box, "many", "k"), INVALID, "an empty key")
        self.assertEqual(self.status(box, "put", "k", "two"), 0)
        self.assertEqual(self.value(box, "k"), "two")
        self.assertEqual(self.status(box, "add", "k"), INVALID)
        self.assertEqual(self.status(box, "delete", "k"), 0)
        self.assertEqual(self.status(box, "get", "k"), NOT_FOUND)
        self.assertEqual(self.status(box, "brief", "k", "x"), 0)
        until(lambda: self.status(box, "get", "k") == NOT_FOUND, "it expires")
        over = [self.ask(box, "rate", "r")["over"] for _ in range(5)]
        self.assertEqual(over, ["0", "0", "0", "1", "1"])

    def test_no_addition_is_lost(self):
        box = self.box()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            told = list(pool.map(lambda _: self.ask(box, "add", "n"), range(200)))
        # an answer that came too late tells nothing of whether it counted
        sums = [int(t["sum"]) for t in told if int(t["status"]) == 0]
        self.assertGreater(len(sums), 100)
        self.assertEqual(len(set(sums)), len(sums))
        self.assertLessEqual(max(sums), 200)
        self.assertGreater(int(self.ask(box, "add", "n")["sum"]), len(sums))
        self.assertTrue(len(sums) < 200 or sorted(sums) == list(range(1, 201)))

    def test_each_section_has_keys_of_its_own(self):
        box = self.box(check_one='mode = "shadow";', check_two="")
        self.assertEqual(self.ask(box, "add", "n")["sum"], "1")
        self.assertEqual(self.ask(box, "add", "n")["sum"], "2")

    def test_values_outlive_crash_and_restart(self):
        box = self.box()
        self.assertEqual(self.status(box, "put", "k", "kept"), 0)
        until(lambda: re.search(r"kv_unwritten[ :=]+0\b",
                                box.ctl("status").stdout), "it is written")
        box.kill_role("queue")
        until(lambda: self.value(box, "k") == "kept", "the queue is back")
        self.assertEqual(self.status(box, "put", "k", "stopped"), 0)
        box.stop()  # what was not yet written is written now
        box.restart()
        self.assertEqual(self.value(box, "k"), "stopped")

    def test_a_store_that_hangs_holds_nobody_up(self):
        box = self.box()
        self.assertEqual(self.status(box, "add", "n"), 0)
        with box.stopped("queue"):
            self.assertLess(self.status(box, "add", "n"), 0)
            self.assertNotIn("role_hangs role=queue", box.log(),
                             "before it was given up")
        until(lambda: self.status(box, "add", "n") == 0, "it goes on")


if __name__ == "__main__":
    unittest.main()
