#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What several checks do to one message: their changes of its header compose, a
later one sees them as they are stored and reads what an earlier one noted, and
each message begins anew."""
import os
import shutil
import subprocess
import tempfile
import unittest

from sandbox import TOP, Sandbox, Smtp, until

# Does what its option tells: "insert N NAME VALUE", "change N NAME VALUE",
# "remove N NAME", "add NAME VALUE", "note KEY TEXT", "tell KEY" (a field with the
# note), "fail"; at message "rcpt+ ADDRESS NOTIFY", "rcpt- ADDRESS", "from ADDRESS",
# "body N TEXT" (N lines of it), "bare" (a body with a bare LF), "show" (a field with
# the envelope).
MODULE = r"""
#include <stdio.h>
#include <string.h>
#include <posthouse/check.h>

struct conf { const char *const *orders; unsigned stage; };
static const char *const stages[] = { "data", "message", "mail", NULL };

static enum ph_verdict
obey(struct ph_call *call, const char *order)
{
	char a[64] = "", b[64] = "", text[200] = "";
	unsigned n = 0;

	if (sscanf(order, "insert %u %63s %199[^\n]", &n, a, text) == 3)
		ph_insert_header(call, n, a, "%s", text);
	else if (sscanf(order, "change %u %63s %199[^\n]", &n, a, text) == 3)
		ph_change_header(call, a, n, "%s", text);
	else if (sscanf(order, "remove %u %63s", &n, a) == 2)
		ph_remove_header(call, a, n);
	else if (sscanf(order, "add %63s %199[^\n]", a, text) == 2)
		ph_add_header(call, a, "%s", text);
	else if (sscanf(order, "note %63s %63s", a, b) == 2)
		ph_note(call, a, "%s", b);
	else if (sscanf(order, "tell %63s", a) == 1)
		ph_add_header(call, "X-Note", "%s", ph_call_note(call, a) !=
		    NULL ? ph_call_note(call, a) : "nothing");
	else if (sscanf(order, "rcpt+ %63s %63s", a, b) == 2)
		ph_add_recipient(call, a, strcmp(b, "-") == 0 ? NULL : b, NULL);
	else if (sscanf(order, "rcpt- %63s", a) == 1)
		ph_remove_recipient(call, a);
	else if (sscanf(order, "from %63s", a) == 1)
		ph_change_sender(call, strcmp(a, "<>") == 0 ? "" : a);
	else if (sscanf(order, "body %u %190[^\n]", &n, text) == 2) {
		strcat(text, "\r\n");
		while (n-- > 0)
			ph_replace_body(call, text, strlen(text));
	} else if (strcmp(order, "bare") == 0)
		ph_replace_body(call, "a\nb\r\n", 5);
	else if (strcmp(order, "show") == 0) {
		for (size_t i = 0; i < ph_call_recipient_count(call); i++) {
			struct ph_slice to = ph_call_recipient_at(call, i);
			size_t had = strlen(text);

			snprintf(text + had, sizeof(text) - had, " %.*s",
			    (int)to.n, to.p);
		}
		ph_add_header(call, "X-Envelope", "%.*s:%s",
		    (int)ph_call_sender(call).n, ph_call_sender(call).p, text);
	} else if (strcmp(order, "fail") == 0)
		return (enum ph_verdict)99;
	return PH_NEXT;
}

static enum ph_verdict
on_content(struct ph_call *call, const void *conf)
{
	const struct conf *c = conf;
	unsigned *calls = ph_call_message_state(call, sizeof(*calls));
	enum ph_verdict verdict = PH_NEXT;

	++*calls;
	if (ph_call_stage(call) != (c->stage == 0 ? PH_AT_DATA : PH_AT_MESSAGE) ||
	    c->stage == 2 ||
	    (!ph_slice_eq_nocase(ph_call_sender(call), PH_LIT("x@remote.test")) &&
	     !ph_slice_eq(ph_call_sender(call), PH_LIT("new@remote.test"))))
		return PH_NEXT;
	for (const char *const *at = c->orders; *at != NULL; at++)
		if (obey(call, *at) != PH_NEXT)
			verdict = (enum ph_verdict)99;
	ph_reason(call, "calls=%u", *calls);
	return verdict;
}

static enum ph_verdict
on_mail(struct ph_call *call, const void *conf)
{
	const struct conf *c = conf;

	for (const char *const *at = c->orders; c->stage == 2 && *at != NULL; at++)
		obey(call, *at);
	return PH_NEXT;
}

static const struct ph_option options[] = {
	PH_OPT_LIST("orders", struct conf, orders, 0, 20, "[]", "what to do"),
	PH_OPT_CHOICE("stage", struct conf, stage, stages, "data", "when"),
	PH_OPT_END,
};
static const struct ph_check_ops ops = { .at = { [PH_AT_DATA] = on_content,
	[PH_AT_MESSAGE] = on_content, [PH_AT_MAIL] = on_mail } };

PH_MODULE(check_edit) = { .abi = PH_ABI, .name = "check_edit",
	.kinds = PH_KIND_CHECK, .conf_size = sizeof(struct conf),
	.options = options, .check = &ops };
"""
HEADER = (b"X-Bad: 1\r\nSubject: came\r\nX-Bad: 2\r\nX-Posthouse-Score: forged\r\n"
          b"From: x@remote.test\r\n\r\n")


def fnv1a(octets):
    h = 0xcbf29ce484222325
    for c in octets:
        h = ((h ^ c) * 0x100000001b3) & (2 ** 64 - 1)
    return h


class Edits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="posthouse-edit-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        os.chmod(cls.dir, 0o755)
        with open(cls.dir + "/check_edit.c", "w") as out:
            out.write(MODULE)
        shutil.copy(TOP + "/sdk/examples/check_seal/check_seal.c", cls.dir)
        for name in ("check_edit", "check_seal"):
            subprocess.run(
                ["cc", "-std=c17", "-shared", "-fPIC", "-fvisibility=hidden",
                 "-Wall", "-Wextra", "-Werror", "-I" + TOP + "/sdk/include",
                 "-o", f"{cls.dir}/{name}.so", f"{cls.dir}/{name}.c"], check=True)
            os.chmod(f"{cls.dir}/{name}.so", 0o755)

    def box(self, more="", **sections):
        box = Sandbox({"edits": more + "".join(
            f'{name}: {{ module = "{self.dir}/check_edit.so"; {text} }};'
            for name, text in sections.items())})
        self.addCleanup(box.close)
        return box

    def client(self, box):
        client = Smtp("127.0.0.1", box.port("smtp"))
        self.addCleanup(client.close)
        return client

    def own(self, mail):
        """The header section without what the server puts in front."""
        return mail[mail.index(b"+0000\r\n") + 7:]

    def test_changes_compose(self):
        box = self.box(
            "policy: { tag_at = 1; };",
            a_late='order = 30; orders = [ "change 1 Subject [late] edited" ];',
            b_first='order = 10; orders = [ "remove 0 x-bad", "insert 99 X-Last first" ];',
            c_first='order = 10; orders = [ "insert 99 X-Last second", '
                    '"change 1 Subject edited", "change 1 X-Bad gone" ];',
            d_shadow='order = 20; mode = "shadow"; orders = [ "remove 0 Subject" ];',
            e_fails='order = 20; on_failure = "next"; '
                    'orders = [ "remove 0 Subject", "fail" ];',
            f_end='order = 5; stage = "message"; orders = [ "change 2 X-Last end" ];')
        bodies = [b"small\r\n", b"x" * 70 + b"\r\n"]
        bodies[1] *= 9000  # in a file of the queue
        bodies.append(b"y" * 76 + b"\r\n")
        bodies[2] *= 65536 // 78 - 8  # in memory until its header is changed
        for body in bodies:
            client = self.client(box)
            client.sendmail("x@remote.test", ["bob@example.test"], HEADER + body)
            client.quit()
        inbox = box.inbox("bob", 3)
        for body in bodies:
            mail = next(m for m in inbox if m.endswith(b"\r\n\r\n" + body))
            got = mail[mail.index(b"Subject: "):-len(body)]
            self.assertEqual(got, b"Subject: [late] edited\r\n"
                             b"From: x@remote.test\r\nX-Last: first\r\n"
                             b"X-Last: end\r\n\r\n")
            self.assertNotIn(b"X-Bad", mail)

    def seal(self, order=900):
        return f'check_seal: {{ module = "{self.dir}/check_seal.so"; order = {order}; }};'

    def check_seal(self, mail):
        """What arrived is what the seal saw; the sealed octets."""
        above, seal = mail.split(b"X-Seal: fnv1a=", 1)
        self.assertNotIn(b"\r\n\r\n", above)
        words, sealed = seal.split(b"\r\n", 1)
        self.assertEqual(words, b"%016x octets=%d" % (fnv1a(sealed), len(sealed)))
        return sealed

    def test_a_later_order_sees_what_is_stored(self):
        box = self.box(
            "policy: { tag_at = 1; };" + self.seal(),
            a_early='stage = "mail"; orders = [ "add X-Early mail" ];',
            b_data='order = 10; orders = [ "remove 0 x-bad", "add X-Data one" ];',
            c_data='order = 20; orders = [ "remove 0 X-Data", "change 1 X-Early seen", '
                   '"add X-Data two", "add X-More three" ];',
            d_end='stage = "message"; order = 10; '
                  'orders = [ "insert 9999 X-Last end", "add X-Data four" ];')
        heads = {b"short": HEADER, b"long": b"".join(
            b"X-Long-%04d: %s\r\n" % (n, b"z" * 70) for n in range(900)) + HEADER}
        bodies = [b"small\r\n", (b"x" * 70 + b"\r\n") * 9000,
                  (b"y" * 76 + b"\r\n") * (65536 // 78 - 8)]
        for kind, head in heads.items():
            client = self.client(box)
            for n, body in enumerate(bodies):
                client.sendmail("x@remote.test", ["bob@example.test"],
                                head + b"%s %d\r\n" % (kind, n) + body)
            client.quit()
        inbox = box.inbox("bob", len(heads) * len(bodies))
        for kind, head in heads.items():
            for n, body in enumerate(bodies):
                end = b"\r\n\r\n%s %d\r\n" % (kind, n) + body
                mail = next(m for m in inbox if m.endswith(end))
                sealed = self.check_seal(mail)
                self.assertTrue(sealed.startswith(
                    b"X-Data: four\r\nX-Data: two\r\nX-More: three\r\n"
                    b"X-Early: seen\r\nReceived: from "), sealed[:300])
                self.assertTrue(sealed.endswith(b"\r\nX-Last: end" + end))
                self.assertNotIn(b"forged", mail)
                self.assertNotIn(b"X-Bad", mail)

    def test_without_changes_it_sees_what_is_stored(self):
        box = self.box(self.seal(), shadow='mode = "shadow"; orders = '
                       '[ "remove 0 Subject", "add X-Shadow x" ];')
        user = box.submission()
        client = self.client(box)
        for body in (b"Subject: x\r\n\r\nhello\r\n", b"no header\r\n",
                     b"Subject: only\r\n", b"\r\nempty header\r\n", b"",
                     b"Subject: x\r\n\r\n" + b"long\r\n" * 40000):
            user.sendmail("alice@example.test", ["bob@example.test"], body)
            client.sendmail("x@remote.test", ["bob@example.test"], body)
        user.quit()
        client.quit()
        for mail in box.inbox("bob", 12):
            sealed = self.check_seal(mail)
            self.assertTrue(sealed.startswith(b"Received: "))
            self.assertNotIn(b"X-Shadow", mail)
            if b"ESMTPSA" in mail:
                self.assertIn(b"\r\nMessage-ID: <", sealed)
                self.assertIn(b"\r\nDate: ", sealed)

    def test_modules_of_one_order_see_the_same(self):
        box = self.box(
            self.seal(order=50),
            a_same='stage = "message"; order = 50; '
                   'orders = [ "remove 0 Subject", "add X-Same a" ];',
            d_same='stage = "message"; order = 50; orders = [ "add X-Same d", '
                   '"remove 0 X-Same" ];')
        client = self.client(box)
        client.sendmail("x@remote.test", ["bob@example.test"], HEADER + b"x\r\n")
        mail = box.inbox("bob", 1)[0]
        # the seal was made of what still had a subject
        self.assertRegex(mail, rb"X-Same: a\r\nX-Seal: [^\r]*\r\nX-Same: d\r\nReceived:")
        self.assertNotIn(b"Subject", mail)
        with self.assertRaises(AssertionError):
            self.check_seal(mail)

    def test_a_body_is_replaced(self):
        box = self.box(
            self.seal(),
            a_first='stage = "message"; order = 10; orders = [ "body 1 first" ];',
            b_last='stage = "message"; order = 10; orders = [ "body 2 last", '
                   '"add X-Body b" ];',
            c_shadow='stage = "message"; order = 20; mode = "shadow"; '
                     'orders = [ "body 1 shadow" ];',
            d_fails='stage = "message"; order = 20; on_failure = "next"; '
                    'orders = [ "body 1 failed", "fail" ];',
            e_bare='stage = "message"; order = 20; on_failure = "next"; '
                   'orders = [ "bare" ];')
        client = self.client(box)
        sent = [HEADER + b"x\r\n", b"Subject: only\r\n", b"no header\r\n",
                HEADER + b"y" * 70 + b"\r\n" + b"long\r\n" * 30000]
        for body in sent:
            client.sendmail("x@remote.test", ["bob@example.test"], body)
        client.quit()
        for mail in box.inbox("bob", len(sent)):
            sealed = self.check_seal(mail)
            self.assertTrue(sealed.startswith(b"X-Body: b\r\n"))
            self.assertEqual(sealed[sealed.index(b"\r\n\r\n"):],
                             b"\r\n\r\nlast\r\nlast\r\n")
        self.assertRegex(box.log(), r'module=e_bare .*failure="a body that can.t be one"')

    def test_a_body_larger_than_memory(self):
        box = self.box(self.seal(), grow='stage = "message"; orders = '
                       f'[ "body 3000 {"z" * 70}", "remove 0 x-bad" ];')
        client = self.client(box)
        for body in (b"small\r\n", b"large\r\n" * 30000):
            client.sendmail("x@remote.test", ["bob@example.test"], HEADER + body)
        client.quit()
        for mail in box.inbox("bob", 2):
            sealed = self.check_seal(mail)
            self.assertTrue(sealed.endswith(b"\r\n\r\n" + (b"z" * 70 + b"\r\n") * 3000))
            self.assertNotIn(b"X-Bad", sealed)

    def test_the_envelope_changes(self):
        box = self.box(
            a_first='stage = "message"; order = 10; orders = [ '
                    '"rcpt- BOB@example.test", "rcpt+ carol@example.test NEVER", '
                    '"rcpt+ alice@example.test -", "from new@remote.test" ];',
            b_then='stage = "message"; order = 20; orders = [ "show", '
                   '"rcpt+ nobody@example.test -", "rcpt+ x@elsewhere.test -", '
                   '"rcpt+ not@an@address -" ];',
            c_shadow='stage = "message"; order = 30; mode = "shadow"; '
                     'orders = [ "rcpt- alice@example.test", "from <>" ];',
            d_fails='stage = "message"; order = 30; on_failure = "next"; '
                    'orders = [ "rcpt- alice@example.test", "from <>", "fail" ];')
        client = self.client(box)
        client.sendmail("x@remote.test", ["bob@example.test", "alice@example.test"],
                        HEADER + b"x\r\n")
        client.quit()
        for user in ("alice", "carol"):
            mail = box.inbox(user, 1)[0]
            self.assertIn(b"Return-Path: <new@remote.test>", mail)
            self.assertRegex(mail, rb"X-Envelope: new@remote\.test:\s+"
                             rb"alice@example\.test\s+carol@example\.test\r\n")
        self.assertEqual(box.inbox("bob", 0), [True])
        log = box.log()
        self.assertRegex(log, r"recipient_removed .*by=a_first to=BOB@example.test")
        self.assertRegex(log, r"recipient_added .*by=a_first to=carol@example.test")
        self.assertRegex(log, r"recipient_not_added .*to=nobody@example.test "
                         r'reason="no such user"')
        # a stranger's session may not relay, so no module may for it
        self.assertRegex(log, r"recipient_not_added .*to=x@elsewhere.test "
                         r'reason="the session may not relay"')
        self.assertRegex(log, r"sender_changed .*by=a_first from=new@remote.test")

    def test_who_may_relay_may_have_more_recipients_elsewhere(self):
        box = self.box('smtp_submission: { sender_check = "off"; };',
                       adds='stage = "message"; orders = [ "rcpt+ x@elsewhere.test NEVER" ];')
        user = box.submission()
        user.sendmail("x@remote.test", ["bob@example.test"],
                      b"From: alice@example.test\r\n\r\nx\r\n")
        user.quit()
        self.assertIn("recipient_added", box.log())
        until(lambda: "x@elsewhere.test" in box.ctl("queue", "list").stdout,
              "the one elsewhere waits")

    def test_without_recipients_it_is_discarded(self):
        box = self.box(none='stage = "message"; orders = [ "rcpt- bob@example.test" ];')
        client = self.client(box)
        client.sendmail("x@remote.test", ["bob@example.test"], HEADER + b"x\r\n")
        client.sendmail("x@remote.test", ["bob@example.test", "alice@example.test"],
                        HEADER + b"y\r\n")
        client.quit()
        self.assertTrue(box.inbox("alice", 1)[0].endswith(b"\r\ny\r\n"))
        self.assertEqual(box.inbox("bob", 0), [True])
        self.assertRegex(box.log(), r" discarded .*to=bob@example.test")
        self.assertIn("no_recipient_left", box.log())

    def test_a_forged_score_goes_when_there_is_one(self):
        box = self.box("""policy: { tag_at = 1; };
            check_helo: { exempt = [ ]; unknown = "off"; };""")
        client = self.client(box)
        client.helo("short")
        client.sendmail("x@remote.test", ["bob@example.test"], HEADER + b"x\r\n")
        mail = box.inbox("bob", 1)[0]
        self.assertNotIn(b"forged", mail)
        self.assertIn(b"X-Posthouse-Score: 1 (check_helo 1)", mail)

    def test_a_later_order_reads_what_was_noted(self):
        box = self.box(
            first='order = 10; orders = [ "note spf.result pass" ];',
            ghost='order = 11; mode = "shadow"; orders = [ "note spf.result shadow" ];',
            later='order = 20; orders = [ "tell spf.result" ];',
            at_end='order = 1; stage = "message"; orders = [ "tell spf.result" ];')
        client = self.client(box)
        for sender in ("x@remote.test", "other@remote.test", "X@remote.test"):
            client.sendmail(sender, ["bob@example.test"], b"Subject: x\r\n\r\nx\r\n")
        client.quit()
        told = [m.count(b"X-Note: pass") for m in box.inbox("bob", 3)]
        self.assertEqual(sorted(told), [0, 2, 2])
        self.assertNotIn("reason=\"calls=3\"", box.log())

    def test_each_message_begins_anew(self):
        box = self.box("log: { level = \"debug\"; };",
                       counts='stage = "message"; orders = [ ];',
                       tells='order = 1; orders = [ "tell never" ];')
        client = self.client(box)
        for _ in range(3):
            client.sendmail("x@remote.test", ["bob@example.test"], b"Subject: x\r\n\r\nx\r\n")
        client.quit()
        for mail in box.inbox("bob", 3):
            self.assertIn(b"X-Note: nothing", mail)
        self.assertEqual(box.log().count('module=counts stage=message verdict=next '
                                         'reason="calls=2"'), 3)


if __name__ == "__main__":
    unittest.main()
