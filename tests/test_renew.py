# SPDX-License-Identifier: Apache-2.0
"""What a reload brings to checks that are confined and have their code already:
files and modules elsewhere, a module built anew. The process of the checks makes
way for another, and no session hears of it."""
import os
import re
import threading
import unittest

from fault import Faulty, build
from sandbox import Sandbox, until
from test_modules import module

LISTED = """
	const struct ph_lines *lines;
	const char *file = *(const char *const *)conf;
	if (file[0] == 0 || ph_lines_read(ph_call_arena(call), file, &lines,
	    NULL) != PH_OK)
		return PH_NEXT;
	if (ph_lines_has(lines, ph_call_sender(call)))
		return ph_reject(call, 550, "5.7.1", "listed");
"""
OPTION = """
#include <posthouse/lines.h>
struct conf { const char *file; };
static const struct ph_option options[] = {
	PH_OPT_PATH("file", struct conf, file, "", "a list"), PH_OPT_END };
"""
DESCRIBED = (".check = &ops", ".check = &ops, .options = options, "
             ".conf_size = sizeof(struct conf)")


def answer(box, sender="pest@outside.test"):
    client = box.smtp()
    client.helo("client.test")
    code, text = client.mail(sender)
    client.close()
    return code, text.decode()


def renewed(box):
    return len(re.findall(r" role_renewed role=check ", box.log()))


class Renewal(Faulty, unittest.TestCase):
    def says(self, folder, text):
        """Not over the file that is mapped: beside it, then in its place."""
        new = build(self.modules(), f'return ph_reject(call, 550, "5.7.1", '
                    f'"{text}");', stage="MAIL")
        path = os.path.join(folder, "check_fault.so")
        os.rename(new, path)
        return path

    def test_a_list_in_any_folder_is_read_after_the_reload_that_names_it(self):
        lists = self.modules()
        path = build(self.modules(), LISTED, stage="MAIL", before=OPTION,
                     more=DESCRIBED)

        def write(text):
            with open(lists + "/new", "w", encoding="ascii") as out:
                out.write(text)
            os.chmod(lists + "/new", 0o644)
            os.rename(lists + "/new", lists + "/pests")

        write("pest@outside.test\n")
        with Sandbox({"fault": f'check_fault: {{ module = "{path}"; }};'}) as box:
            self.assertEqual(answer(box)[0], 250)
            box.snippet("90-fault", f'check_fault: {{ module = "{path}"; '
                        f'file = "{lists}/pests"; }};')
            box.ctl("reload")
            self.assertEqual(answer(box)[0], 550)
            before = renewed(box)
            write("other@outside.test\n")  # another file of the name
            until(lambda: answer(box)[0] == 250, "the new list")
            write("pest@outside.test\n")
            until(lambda: answer(box)[0] == 550, "the next one")
            # what can be read already is no reason to change the process
            box.ctl("reload")
            self.assertEqual(answer(box)[0], 550)
            self.assertEqual(renewed(box), before)
            self.assertEqual(module(box, "check_fault")["crashes"], 0)

    def test_a_module_built_anew_is_in_use_after_a_reload(self):
        folder = self.modules()
        path = self.says(folder, "the first")
        with Sandbox({"fault": f'check_fault: {{ module = "{path}"; }};'}) as box:
            self.assertIn("the first", answer(box)[1])
            self.says(folder, "the second")
            self.assertIn("the first", answer(box)[1])
            box.ctl("reload")
            self.assertIn("the second", answer(box)[1])
            self.assertEqual(renewed(box), 1)
            status = box.ctl("status").stdout
            self.assertIn("check.0 restarts 0", status)

    def test_a_module_elsewhere_needs_no_restart(self):
        with Sandbox({"a": "check_access: { };"}) as box:
            path = self.says(self.modules(), "from elsewhere")
            box.snippet("95-fault", f'check_fault: {{ module = "{path}"; }};')
            box.ctl("reload")
            self.assertIn("from elsewhere", answer(box)[1])

    def test_a_reload_that_is_refused_changes_no_process(self):
        folder = self.modules()
        path = self.says(folder, "the first")
        with Sandbox({"fault": f'check_fault: {{ module = "{path}"; }};'}) as box:
            self.says(folder, "the second")
            box.snippet("99-bad", "check_fault: { order = 5000; };")
            self.assertEqual(box.ctl("reload", check=False).returncode, 1)
            self.assertIn("the first", answer(box)[1])
            self.assertEqual(renewed(box), 0)

    def test_no_session_hears_of_it(self):
        """Mail without a pause, while the module is built anew time and again."""
        folder = self.modules()
        path = self.says(folder, "0")
        stop, wrong, sent = threading.Event(), [], []

        def talk(box):
            while not stop.is_set():
                client = box.smtp()
                client.helo("client.test")
                for _ in range(20):  # below the limit of errors
                    code, text = client.mail("x@outside.test")
                    if code != 550:
                        wrong.append((code, text))
                    sent.append(text)
                client.quit()

        with Sandbox({"fault": f'check_fault: {{ module = "{path}"; }};'}) as box:
            talkers = [threading.Thread(target=talk, args=(box,))
                       for _ in range(8)]
            for talker in talkers:
                talker.start()
            try:
                for number in range(1, 6):
                    self.says(folder, f"number {number}")
                    box.ctl("reload")
                    mark = f"number {number}".encode()
                    until(lambda: any(mark in text for text in sent[-50:]),
                          "an answer of the new module")
            finally:
                stop.set()
                for talker in talkers:
                    talker.join()
            self.assertEqual(wrong, [])
            self.assertEqual(renewed(box), 5)


if __name__ == "__main__":
    unittest.main()
