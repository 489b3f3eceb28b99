# SPDX-License-Identifier: Apache-2.0
"""Hooks behind the queue, in a server: whose verdict counts how, what they see,
what they are told, and that a server without them sends no message about it."""
import json
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest

from remote import Remote
from sandbox import TOP, Dns, Sandbox, until
from test_modules import module

# What it does is in the recipient: "reject+x@..."; it sees the whole message.
SOURCE = r"""
#define _GNU_SOURCE
#include <posthouse/delivery.h>
#include <posthouse/dns.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>

static bool
asks(const struct ph_call *call, const char *what)
{
	struct ph_slice to = ph_call_recipient(call);
	size_t n = strlen(what);

	return to.n > n && memcmp(to.p, what, n) == 0 &&
	    (to.p[n] == '+' || to.p[n] == '@');
}

static bool
sends(const struct ph_call *call, const char *who)
{
	struct ph_slice from = ph_call_sender(call);

	return from.n > strlen(who) && memcmp(from.p, who, strlen(who)) == 0;
}

static enum ph_verdict
on_mail(struct ph_call *call, const void *conf)
{
	const struct ph_decision *decided = ph_call_decision(call);

	(void)conf;
	if (decided != NULL)
		ph_log(PH_INFO, "watched",
		    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
		    ph_f_slice("from", ph_call_sender(call)),
		    ph_f_str("came_to", ph_verdict_name(decided->verdict)),
		    ph_f_int("code", decided->code),
		    ph_f_slice("by", decided->module));
	if (decided != NULL && sends(call, "slow"))
		ph_sleep_ms(60000);
	if (decided == NULL && sends(call, "refused"))
		return ph_reject(call, 550, "5.7.43", "not from you");
	ph_note(call, "seen", "sender " PH_SLICE_FMT,
	    PH_SLICE_ARG(ph_call_sender(call)));
	return PH_NEXT;
}

static bool
is_about(const struct ph_call *call, const char *what)
{
	struct ph_slice header = ph_call_header(call);

	return memmem(header.p, header.n, what, strlen(what)) != NULL;
}

static enum ph_verdict
file(struct ph_call *call)
{
	static const char *const label[] = { "$Label1", "Post", NULL };
	static const char *const odd[] = { "one two", NULL };
	char longest[2000];

	if (is_about(call, "Subject: file")) {
		if (!ph_file_into(call, PH_LIT("Lists/Post"),
		        PH_SEEN | PH_FLAGGED, label) ||
		    !ph_file_into(call, PH_LIT("R\xc3\xa4t"), 0, NULL) ||
		    !ph_file_into(call, PH_LIT("Lists/Post"), PH_ANSWERED,
		        NULL))
			return PH_DISCARD;
		if (is_about(call, "kept") && !ph_file_into(call,
		        PH_LIT("inbox"), PH_ANSWERED, label + 1))
			return PH_DISCARD;
	}
	if (is_about(call, "Subject: odd")) {
		memset(longest, 'x', sizeof(longest));
		if (ph_file_into(call, PH_LIT("a\r\nb"), 0, NULL) ||
		    ph_file_into(call, PH_LIT(""), 0, NULL) ||
		    ph_file_into(call, PH_LIT("Fine"), 0, odd) ||
		    ph_file_into(call, (struct ph_slice){ longest,
		        sizeof(longest) }, 0, NULL))
			return PH_DISCARD;
		ph_file_into(call, PH_LIT("../../bob"), 0, NULL);
		ph_file_into(call, PH_LIT("a//b"), 0, NULL);
		ph_file_into(call, PH_LIT("\xff\xfe"), 0, NULL);
		ph_file_into(call, (struct ph_slice){ longest, 400 }, 0,
		    NULL);
	}
	return PH_NEXT;
}

#define REPLY "From: bob@example.test\r\nSubject: I am off\r\n" \
	"Auto-Submitted: auto-replied (vacation)\r\n\r\n"

static void
answer(struct ph_call *call)
{
	struct ph_slice content = ph_call_content(call), to =
	    ph_call_sender(call);
	const char *n = memmem(content.p, content.n, "NUMBER ", 7);
	bool good = n == NULL ||
	    ph_send_reply(call, to, PH_LIT("From: b\r\n\r\nno\r\n")) ||
	    ph_send_reply(call, to, PH_LIT("Auto-Submitted: auto-replied\r\n"
	        "\r\nno\r\n")) ||
	    ph_send_reply(call, to, PH_LIT(REPLY "bare\n")) ||
	    ph_send_reply(call, PH_LIT("a b@far.test"), PH_LIT(REPLY));

	good = !good && ph_send_reply(call, to, ph_slice_str(ph_arena_printf(
	    ph_call_arena(call), REPLY "I have got %.*s\r\n",
	    (int)strcspn(n, "."), n)));
	ph_log(PH_INFO, "answered", ph_f_slice("to", to),
	    ph_f_str("good", good ? "yes" : "no"));
}

static enum ph_verdict
on_before(struct ph_call *call, const void *conf)
{
	const struct ph_delivery_facts *d = ph_call_delivery(call);
	const struct ph_session *session = ph_call_session(call);
	char client[PH_ADDR_TEXT_MAX];
	bool is_route = ph_call_stage(call) == PH_AT_ROUTE;

	(void)conf;
	ph_log(PH_INFO, "seen",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("to", ph_call_recipient(call)),
	    ph_f_slice("mailbox", d->user),
	    ph_f_slice("destination", d->destination),
	    ph_f_str("note", ph_call_note(call, "seen")),
	    ph_f_str("client", ph_addr_format(ph_call_client(call), client)),
	    ph_f_str("listener", ph_session_listener(session)),
	    ph_f_str("user", ph_session_user(session)),
	    ph_f_int("octets", (int64_t)ph_call_content(call).n),
	    ph_f_str("came_to", ph_call_decision(call) != NULL ?
	        ph_verdict_name(ph_call_decision(call)->verdict) : NULL),
	    ph_f_int("attempts", d->attempts));
	if (asks(call, "routeless"))
		return is_route ? ph_reject(call, 550, "5.4.6",
		    "no way there") : PH_NEXT;
	if (is_route && asks(call, "wayless") && d->attempts < 2)
		return ph_defer(call, 451, "4.4.4", "no way yet");
	if (is_route)
		return PH_NEXT;
	if (asks(call, "many"))
		return ph_redirect(call, PH_LIT("members@example.test")) &&
		    ph_redirect(call, PH_LIT("members@example.test")) &&
		    ph_redirect(call, PH_LIT("m7@far.test")) ?
		    PH_DISCARD : PH_NEXT;
	if (asks(call, "toomany"))
		return ph_redirect(call, PH_LIT("everybody@example.test")) ?
		    PH_DISCARD : PH_NEXT;
	if (asks(call, "reject"))
		return ph_reject(call, 552, "5.7.42", "not for you");
	if (asks(call, "defer") && d->attempts < 2)
		return ph_defer(call, 451, "4.7.42", "come back");
	if (asks(call, "onward") ||
	    (asks(call, "alice") && sends(call, "loop")))
		return ph_redirect(call, PH_LIT("plain@far.test")) &&
		    ph_redirect(call, PH_LIT("bob@example.test")) ?
		    PH_DISCARD : PH_NEXT;
	if (asks(call, "nowhere")) {
		ph_redirect(call, PH_LIT("nobody-there@example.test"));
		return PH_DISCARD;
	}
	if (asks(call, "bob") && sends(call, "loop")) {
		ph_redirect(call, PH_LIT("alice@example.test"));
		return PH_DISCARD;
	}
	if (asks(call, "bob") && is_about(call, "away"))
		answer(call);
	if (asks(call, "bob"))
		return file(call);
	if (asks(call, "plain") &&
	    ph_file_into(call, PH_LIT("Lists/Post"), 0, NULL))
		return ph_reject(call, 550, "5.0.0", "no mailbox is there");
	while (asks(call, "patient") &&
	    ph_dns_host(ph_call_arena(call), "go.test")->result != PH_DNS_OK)
		if (ph_sleep_ms(100) != PH_OK)
			break;
	if (asks(call, "patient"))
		ph_log(PH_INFO, "went_on", ph_f_slice("to",
		    ph_call_recipient(call)));
	if (asks(call, "discard"))
		return PH_DISCARD;
	if (asks(call, "quarantine")) {
		ph_reason(call, "looks odd");
		return PH_QUARANTINE;
	}
	if (asks(call, "latecrash"))
		ph_sleep_ms(3000);
	if (asks(call, "crash") || asks(call, "latecrash"))
		raise(SIGSEGV);
	return PH_NEXT;
}

static enum ph_verdict
on_after(struct ph_call *call, const void *conf)
{
	const struct ph_delivery_facts *d = ph_call_delivery(call);

	(void)conf;
	ph_log(PH_INFO, "told",
	    ph_f_str("stage", ph_stage_name(ph_call_stage(call))),
	    ph_f_slice("to", ph_call_recipient(call)),
	    ph_f_slice("host", d->host), ph_f_int("code", d->code),
	    ph_f_slice("text", d->text), ph_f_int("attempts", d->attempts));
	return asks(call, "meddler") ? PH_DISCARD : PH_NEXT;
}

static const struct ph_check_ops ops = { .at = { [PH_AT_MAIL] = on_mail } };
static const struct ph_delivery_ops delivery = { .route = on_before,
	.deliver = on_before, .delivered = on_after, .deferred = on_after,
	.bounced = on_after };
PH_MODULE(check_part) = { .abi = PH_ABI, .name = "check_part",
	.kinds = PH_KIND_CHECK, .doc = "Plays a part", .check = &ops,
	.delivery = &delivery };
"""
KILLS = int(os.environ.get("PH_CRASH_KILLS", "12"))
TEXT = b"From: alice@example.test\r\nSubject: part\r\n\r\nNUMBER 1.\r\n"


def arrived(remote):
    """The recipients of what the other server took."""
    return {re.search(r"<(.*)>", to).group(1)
            for _, all_of, _ in list(remote.messages) for to in all_of}


class Hooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="posthouse-hooks-", dir="/var/tmp")
        os.chmod(cls.dir, 0o755)
        source = os.path.join(cls.dir, "check_part.c")
        with open(source, "w", encoding="ascii") as out:
            out.write(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-I",
                        os.path.join(TOP, "sdk", "include"), source, "-o",
                        cls.dir + "/check_part.so"], check=True, timeout=120)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def box(self, options="", conf="", **how):
        box = Sandbox({"part": f'queue: {{ retry = [ "1s" ]; }};\n{conf}\n'
                       f'check_part: {{ module = "{self.dir}/check_part.so"; '
                       f'{options} }};'}, **how)
        self.addCleanup(box.close)
        return box

    def send(self, box, *to, text=TEXT):
        """Recipients of far.test, which only users may name."""
        client = box.submission("alice")
        client.sendmail("alice@example.test", list(to), text)
        client.quit()

    def far(self, conf="", **how):
        remote = self.enterContext(Remote())
        dns = self.enterContext(Dns("far.test A 127.0.0.2\n"))
        box = self.box(conf=f"{conf}\ntransport_smtp: {{ port = {remote.port}; "
                       "allow_loopback = true; };", dns=dns.address, **how)
        return box, remote

    def test_each_verdict_is_for_its_recipient_alone(self):
        box, remote = self.far()
        self.send(box, "bob@example.test", *(
            who + "@far.test" for who in
            ("routeless", "reject", "defer", "discard", "plain")))
        until(lambda: len(arrived(remote)) == 2, "what may go farther")
        self.assertEqual(arrived(remote),
                         {"plain@far.test", "defer@far.test"})
        box.inbox("bob", 1)
        reports = b"".join(box.inbox("alice", 1))
        until(lambda: b"reject@far.test" in b"".join(
            box.inbox("alice", 1)), "the report")
        reports = b"".join(box.inbox("alice", 1))
        self.assertIn(b"routeless@far.test", reports)
        self.assertRegex(reports, rb"552[ -]5\.7\.42 not for you \(\w+\)")
        self.assertNotIn(b"discard@far.test", reports)
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")
        log = box.log()
        self.assertEqual(len(re.findall(
            " seen .*stage=deliver to=defer@", log)), 3)
        for who in ("plain", "defer", "reject", "routeless"):
            self.assertEqual(len(re.findall(
                f" seen .*stage=route to={who}@", log)), 1, who)
        self.assertIn(" discarded ", log)

    def test_a_route_that_is_deferred_is_asked_about_again(self):
        box, remote = self.far()
        self.send(box, "wayless@far.test")
        until(lambda: len(remote.messages) == 1, "the message")
        log = box.log()
        for stage, times in (("route", 3), ("deliver", 1)):
            self.assertEqual(len(re.findall(
                f" seen .*stage={stage} to=wayless@", log)), times, stage)

    def test_it_sees_the_session_and_the_notes_of_before(self):
        box, _ = self.far()
        self.send(box, "plain@far.test", "bob@example.test")
        line = box.lines(" seen ", "stage=deliver", "to=plain@far.test")[0]
        for part in ("destination=far.test", "user=alice@example.test",
                     "listener=smtp_submission",
                     'note="sender alice@example.test"', "attempts=0"):
            self.assertIn(part, line)
        self.assertRegex(line, r" client=(127\.0\.0\.1|::1) ")  # localhost
        self.assertRegex(line, r" octets=[1-9]\d\d ")
        self.assertRegex(line, r" session=\w+ queue=\w+ ")
        self.assertIn("mailbox=bob@example.test", box.lines(
            " seen ", "stage=deliver", "to=bob@example.test")[0])

    def test_a_large_message_is_read_from_its_file(self):
        box, _ = self.far()
        text = TEXT + b"x" * 998 + b"\r\n"
        text += (b"y" * 998 + b"\r\n") * 300
        self.send(box, "bob@example.test", text=text)
        line = box.lines(" seen ", "stage=deliver", "to=bob@example.test")[0]
        self.assertGreater(int(re.search(r" octets=(\d+)", line).group(1)),
                           len(text))

    def test_what_is_deleted_while_a_check_looks_goes_nowhere(self):
        remote = self.enterContext(Remote())
        zone = "far.test A 127.0.0.2\n"
        dns = self.enterContext(Dns(zone))
        box = self.box('hook_timeout = "5m";', conf="transport_smtp: { port = "
                       f"{remote.port}; allow_loopback = true; }};",
                       dns=dns.address)
        self.send(box, "patient@far.test")
        until(lambda: box.lines(" seen ", "stage=deliver"), "the check looks")
        name = re.search(r" accepted .*queue=(\S+)", box.log()).group(1)
        box.ctl("queue", "delete", name)
        dns.write(zone + "go.test A 127.0.0.1\n")
        until(lambda: box.lines(" went_on "), "the check has looked")
        self.send(box, "plain@far.test")
        until(lambda: "plain@far.test" in arrived(remote), "the next message")
        self.assertNotIn("patient@far.test", arrived(remote))

    def test_outcomes_are_told(self):
        box, _ = self.far()
        self.send(box, "plain@far.test", "reject@far.test", "defer@far.test",
                  "discard@far.test", "meddler@far.test")
        box.lines(" told ", "stage=delivered", "to=plain@far.test", "code=250",
                  "host=")
        box.lines(" told ", "stage=bounced", "to=reject@far.test", "code=552")
        box.lines(" told ", "stage=deferred", "to=defer@far.test",
                  "attempts=1", "come back")
        box.lines(" told ", "stage=delivered", "to=defer@far.test",
                  "attempts=3")
        # deciding is none of its business there
        box.lines(" verdict ", "stage=delivered",
                  'failure="a verdict that the stage does not honour"')
        self.assertNotIn("to=discard@far.test host", box.log())
        until(lambda: re.search(r"check_part hook=delivered calls=\d",
                                box.ctl("modules").stdout), "the figures")
        self.assertRegex(box.ctl("modules").stdout, r" missed=0 ")

    def test_quarantine_holds_one_recipient_until_he_is_let_go(self):
        box, remote = self.far()
        box.ctl("queue", "suspend", "far.test")
        self.send(box, "quarantine@far.test", "plain@far.test")
        box.ctl("queue", "priority", "all", "6")
        box.ctl("queue", "resume", "far.test")
        until(lambda: len(remote.messages) == 1, "the other one")
        line = box.lines(" quarantined ", "to=quarantine@far.test")[0]
        self.assertIn("looks odd", line)
        name = re.search(r" queue=(\w+) ", line).group(1)
        listed = box.ctl("queue", "list").stdout
        self.assertIn(name, listed)
        self.assertIn(" quarantine priority=6\n", listed)
        self.assertIn("check_part: looks odd", listed)
        box.kill()
        box.restart()
        self.assertIn(name, box.ctl("queue", "list").stdout)
        box.ctl("queue", "release", name)
        until(lambda: len(remote.messages) == 2, "what was let go")
        self.assertIn("quarantine@far.test", arrived(remote))
        self.assertIn(b"NUMBER 1.", remote.messages[1][2])
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")

    def verdicts(self, box, name):
        shown = json.loads(box.ctl("queue", "show", name, "--json").stdout)
        return [(v["to"], v["stage"], v["verdict"], v["attempt"])
                for v in shown["verdicts"] if "to" in v]

    def test_what_was_said_stays_with_the_message(self):
        box, _ = self.far()
        box.snippet("90-slow", 'queue: { retry = [ "10m" ]; };')
        box.ctl("reload")
        self.send(box, "defer@far.test", "quarantine@far.test", "reject@far.test")
        name = re.search(r" queue=(\w+) ", box.lines(
            " deferred ", "to=defer@far.test")[0]).group(1)
        copy = re.search(r" queue=(\w+) ", box.lines(
            " quarantined ", "to=quarantine@far.test")[0]).group(1)
        self.assertEqual(sorted(self.verdicts(box, name)), [
            ("defer@far.test", "deliver", "defer", 1),
            ("defer@far.test", "route", "next", 1),
            ("quarantine@far.test", "deliver", "quarantine", 1),
            ("quarantine@far.test", "route", "next", 1),
            ("reject@far.test", "deliver", "reject", 1),
            ("reject@far.test", "route", "next", 1)])
        self.assertEqual(sorted(self.verdicts(box, copy)), [
            ("quarantine@far.test", "deliver", "quarantine", 1),
            ("quarantine@far.test", "route", "next", 1)])
        before = self.verdicts(box, name)
        box.kill()
        box.restart()
        box.ctl("queue", "retry", name)
        box.lines(" deferred ", "to=defer@far.test", "attempts=2")
        self.assertEqual(self.verdicts(box, name), before)  # nothing new
        with open(os.path.join(box.dir, "log"), "w"):
            pass  # the log is another one by now
        story = box.ctl("trace", name).stdout
        self.assertRegex(story, r"verdict module=check_part stage=deliver "
                         r"verdict=defer us=\d+ to=<defer@far.test> attempt=1 "
                         r'reason="come back')
        box.ctl("queue", "retry", name)
        until(lambda: "queue.0 messages 1\n" in box.ctl("status").stdout,
              "the copy alone")

    def test_many_large_copies_are_held_a_few_at_a_time(self):
        box, _ = self.far()
        to = [f"quarantine+{n}@far.test" for n in range(60)]
        self.send(box, *to, text=TEXT + (b"z" * 998 + b"\r\n") * 60)
        until(lambda: all(f"<{one}>" in listed for listed in
                          [box.ctl("queue", "list").stdout] for one in to) and
              "queue.0 messages 60\n" in box.ctl("status").stdout,
              "all of them held", 60)

    def test_a_message_is_sent_on(self):
        box, remote = self.far()
        self.send(box, "onward@far.test", "nowhere@far.test")
        until(lambda: len(remote.messages) == 2, "both")
        # who has nobody to send it on to keeps it
        self.assertEqual(arrived(remote),
                         {"plain@far.test", "nowhere@far.test"})
        self.assertIn(b"NUMBER 1.", box.inbox("bob", 1)[0])
        line = box.lines(" redirected ", "to=onward@far.test")[0]
        name = re.search(r" queue=(\w+) of=", line).group(1)
        box.lines(" delivered ", f"queue={name}", "to=bob@example.test")
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")

    def test_a_large_message_is_sent_on(self):
        box, remote = self.far()
        text = TEXT + (b"y" * 998 + b"\r\n") * 300 + b"END\r\n"
        self.send(box, "onward@far.test", text=text)
        until(lambda: len(remote.messages) == 1, "it")
        self.assertTrue(remote.messages[0][2].endswith(text[-3000:]))
        self.assertTrue(box.inbox("bob", 1)[0].endswith(text[-3000:]))

    def test_of_ten_thousand_each_has_what_is_said_for_him(self):
        """However much the rows of all of them weigh."""
        host = "l" * 60 + "." + "m" * 60 + ".test"
        box, remote = self.far(
            "smtp_submission: { max_recipients = 10000; };"
            f"router_routes: {{ routes = [ \"a.test transport_smtp {host}\" ]; }};")
        to = ["bob@example.test", "onward@a.test", "quarantine@a.test"]
        to += [f"discard+{n}@a.test" for n in range(10000 - len(to))]
        self.send(box, *to, text=TEXT.replace(b"part", b"away"))
        until(lambda: b"I have got NUMBER 1" in b"".join(
            box.inbox("alice", 1)), "the answer", 120)
        until(lambda: "plain@far.test" in arrived(remote), "what is sent on",
              120)
        box.lines(" quarantined ", "to=quarantine@a.test")
        until(lambda: "queue.0 messages 1\n" in box.ctl("status").stdout,
              "nothing left but what is held", 120)
        self.assertNotIn(" not_set_aside ", box.log())
        self.assertEqual(len(remote.messages), 1)

    def test_an_answer_is_sent_and_never_to_a_machine(self):
        box, remote = self.far()
        text = TEXT.replace(b"part", b"away")
        with box.smtp() as client:
            client.sendmail("writer@far.test", ["bob@example.test"], text)
            box.lines(" answered ", "to=writer@far.test", "good=yes")
            client.sendmail("", ["bob@example.test"], text)
            box.lines(" answered ", "good=no")
            client.sendmail("robot@far.test", ["bob@example.test"],
                            b"Auto-Submitted: auto-generated\r\n" + text)
            box.lines(" answered ", "to=robot@far.test", "good=no")
            # one that has nobody to answer is delivered all the same
            client.sendmail("gone@example.test", ["bob@example.test"], text)
            box.lines(" not_replied ", "to=gone@example.test")
        box.inbox("bob", 4)
        until(lambda: remote.messages, "the answer")
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")
        self.assertEqual(len(remote.messages), 1)
        sender, to, answer = remote.messages[0]
        self.assertRegex(sender, "^(MAIL FROM:)?<>")
        self.assertIn("<writer@far.test>", to[0])
        header, body = answer.split(b"\r\n\r\n", 1)
        self.assertEqual(body, b"I have got NUMBER 1\r\n")
        for name in (b"Date", b"Message-ID", b"From", b"Auto-Submitted"):
            self.assertEqual(len(re.findall(
                rb"(?m)^%s: \S" % name, header)), 1, name)
        box.lines(" replied ", "to=bob@example.test")

    def filed(self, box, mailbox):
        """Flags and content of what bob has there."""
        with box.imap() as client:
            if client.select(mailbox)[0] != "OK":
                return []
            found = client.fetch("1:*", "(FLAGS BODY.PEEK[])")[1]
            return [(set(re.search(rb"FLAGS \(([^)]*)\)",
                                   part[0]).group(1).split()) - {rb"\Recent"},
                     part[1]) for part in found if isinstance(part, tuple)]

    def test_a_message_is_put_into_mailboxes_with_flags(self):
        box = self.box()
        with box.smtp() as client:
            client.sendmail("x@out.test", ["bob@example.test"],
                            TEXT.replace(b"part", b"file"))
            until(lambda: self.filed(box, "R&AOQ-t"), "the second mailbox")
            client.sendmail("x@out.test", ["bob@example.test"],
                            TEXT.replace(b"part", b"file, kept"))
        until(lambda: len(self.filed(box, "INBOX")) == 1, "what was kept")
        lines = box.lines(" delivered ", "to=bob@example.test", count=2)
        self.assertIn(r' into="Lists/Post, R\xc3\xa4t" ', lines[0])
        self.assertIn(r' into="Lists/Post, R\xc3\xa4t, INBOX" ', lines[1])
        post = self.filed(box, "Lists/Post")
        self.assertEqual([flags for flags, _ in post], 2 * [
            {rb"\Seen", rb"\Flagged", rb"\Answered", b"$Label1", b"Post"}])
        self.assertIn(b"Subject: file\r", post[0][1])
        self.assertEqual(len(self.filed(box, "R&AOQ-t")), 2)
        inbox = self.filed(box, "INBOX")
        self.assertEqual(inbox[0][0], {rb"\Answered", b"Post"})
        self.assertIn(b"Subject: file, kept\r", inbox[0][1])

    def test_a_name_that_none_can_have_is_the_inbox(self):
        box = self.box()
        with box.smtp() as client:
            client.sendmail("x@out.test", ["bob@example.test"],
                            TEXT.replace(b"part", b"odd"))
        box.inbox("bob", 1)
        self.assertEqual(len(box.lines(" mailbox_not_made ", count=4)), 4)
        self.assertEqual(len(self.filed(box, "INBOX")), 1)
        with box.imap() as client:
            self.assertEqual(len(client.list()[1]), 1)

    def test_a_mailbox_that_is_open_or_goes_away_meanwhile(self):
        box = self.box()
        text = TEXT.replace(b"part", b"file")
        with box.smtp() as client, box.imap() as reader:
            for n in range(1, 6):
                client.sendmail("x@out.test", ["bob@example.test"], text)
                until(lambda: len(self.filed(box, "Lists/Post")) == 1, "it")
                self.assertEqual(reader.select("Lists/Post"),
                                 ("OK", [b"1"]))
                client.sendmail("x@out.test", ["bob@example.test"], text)
                until(lambda: reader.noop() and reader.fetch("1:*", "FLAGS")
                      [1][1:], "the second, in the open mailbox")
                self.assertIn(b"$Label1", reader.fetch("2", "FLAGS")[1][0])
                reader.unselect()
                if n % 2:
                    reader.rename("Lists/Post", f"Old{n}")
                    self.assertEqual(len(self.filed(box, f"Old{n}")), 2)
                else:
                    reader.delete("Lists/Post")
        self.assertEqual(self.filed(box, "INBOX"), [])

    def write_aliases(self, box, **lists):
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check",
                            "aliases")
        with open(path, "w", encoding="ascii") as out:
            for name, count in lists.items():
                out.write(f"{name}: " + ", ".join(
                    f"m{n}@far.test" for n in range(count)) + "\n")
        os.chmod(path, 0o644)

    def test_a_message_is_sent_on_to_all_of_a_list_once(self):
        box, remote = self.far("router_aliases: { };")
        self.write_aliases(box, members=900)
        self.send(box, "many@far.test")
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty", 120)
        times = [to for _, all_of, _ in remote.messages for to in all_of]
        self.assertEqual(len(times), 900)
        self.assertEqual(arrived(remote),
                         {f"m{n}@far.test" for n in range(900)})

    def test_a_list_that_is_too_long_loses_nobody(self):
        box, remote = self.far("router_aliases: { };")
        self.write_aliases(box, everybody=2001)
        self.send(box, "toomany@far.test")
        box.lines(" deferred ", "to=toomany@far.test", "set aside")
        self.assertEqual(remote.messages, [])
        self.assertIn("queue.0 messages 1\n", box.ctl("status").stdout)

    def test_a_circle_ends(self):
        box, remote = self.far()
        with box.smtp() as client:
            client.sendmail("loop@out.test", ["bob@example.test"], TEXT)
        # bob sends it to alice, she to bob again and to another server
        box.lines(" not_sent_on ", "of=alice@example.test",
                  "to=bob@example.test")
        until(lambda: arrived(remote) == {"plain@far.test"}, "the one copy")
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")
        self.assertEqual(len(remote.messages), 1)

    def test_a_hook_that_crashes_delays_and_is_taken_out(self):
        # a crash is what is wanted: no report of it
        old = os.environ.get("ASAN_OPTIONS", "")
        os.environ["ASAN_OPTIONS"] = "handle_segv=0:" + old
        self.addCleanup(os.environ.__setitem__, "ASAN_OPTIONS", old)
        box, remote = self.far(conf="crash_limit = 3;")
        self.send(box, "crash@far.test")
        box.lines("check_left_out", "check=check_part")
        box.lines(" deferred ", "to=crash@far.test", "could not answer")
        self.send(box, "bob@example.test")
        self.assertEqual(module(box, "check_part")["crashes"], 1)
        for _ in range(2):
            self.send(box, "crash@far.test")
        until(lambda: re.search("check_part state=broken",
                                box.ctl("modules").stdout), "taken out", 90)
        self.assertEqual(remote.messages, [])
        self.assertIn("queue.0 messages 3\n", box.ctl("status").stdout)
        box.ctl("module", "disable", "check_part")
        box.ctl("queue", "flush", "all")
        until(lambda: len(remote.messages) == 3, "the messages", 90)
        box.inbox("bob", 1)

    def test_whose_hook_crashed_is_known_after_other_mail_too(self):
        old = os.environ.get("ASAN_OPTIONS", "")
        os.environ["ASAN_OPTIONS"] = "handle_segv=0:" + old
        self.addCleanup(os.environ.__setitem__, "ASAN_OPTIONS", old)
        box, _ = self.far()
        self.send(box, "latecrash@far.test")
        for _ in range(4):
            self.send(box, "bob@example.test")
        box.lines("check_left_out", "check=check_part")
        box.lines(" deferred ", "to=latecrash@far.test", "could not answer")
        self.assertEqual(module(box, "check_part")["crashes"], 1)
        box.inbox("bob", 4)

    def send_numbered(self, box, number):
        """Whether it was answered 250."""
        try:
            self.send(box, "bob@example.test", *(
                f"{who}+{number}@far.test" for who in
                ("plain", "reject", "discard", "quarantine")),
                text=TEXT.replace(b"NUMBER 1.", b"NUMBER %d." % number)
                .replace(b"part", b"file, kept, away"))
        except (OSError, smtplib.SMTPException):
            return False
        return True

    def test_a_process_may_die_at_any_moment(self):
        """Each recipient has the outcome that its hook said, once."""
        box, remote = self.far(conf="crash_limit = 1000;")
        acked = []
        for number in range(100, 100 + KILLS):
            if self.send_numbered(box, number):
                acked.append(number)
            role = ("check", "queue", "mail", "all")[number % 4]
            if role == "all":
                box.kill()
                box.restart()
            else:
                box.kill_role(role)
            until(lambda: box.ctl("status", check=False).returncode == 0,
                  "the server")
        while len(acked) < KILLS // 2 or number not in acked:
            number += 1 # a last one that nobody disturbs
            if self.send_numbered(box, number):
                acked.append(number)

        def count(words, texts):
            return {n: sum(words % n in text for text in texts) for n in acked}
        once = dict.fromkeys(acked, 1)

        def held():
            return box.ctl("queue", "list").stdout.split(
                "\n")
        until(lambda: count("<quarantine+%d@far.test>", held()) == once and
              not any("plain" in line or "reject" in line for line in held()),
              "what is held, and nothing else", 120)
        self.assertEqual(count(b"NUMBER %d.", box.inbox("bob", len(acked))),
                         once)
        for mailbox in ("Lists/Post", "R&AOQ-t"):
            self.assertEqual(count(b"NUMBER %d.", [
                text for _, text in self.filed(box, mailbox)]), once)
        until(lambda: count(b"I have got NUMBER %d\r",
                            box.inbox("alice", 2 * len(acked))) == once,
              "the answers, each once")
        self.assertEqual(count(
            b"\nFinal-Recipient: rfc822; reject+%d@far.test",
            box.inbox("alice", 2 * len(acked))), once)
        self.assertLessEqual({f"plain+{n}@far.test" for n in acked},
                             arrived(remote))
        self.assertEqual([to for to in arrived(remote)
                          if not to.startswith("plain+")], [])
        box.ctl("queue", "release", "all")
        until(lambda: {f"quarantine+{n}@far.test" for n in acked} <=
              arrived(remote), "what was let go", 60)

    def watched(self, **how):
        """One who enforces, and one who watches."""
        return self.far(conf=f'watcher: {{ module = "{self.dir}/check_part.so"; '
                        'mode = "observe"; hook_timeout = "5m"; };', **how)

    def test_an_observer_sees_what_was_decided_and_decides_nothing(self):
        box, remote = self.watched()
        with box.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.mail("refused@out.test")[0], 550)
        line = box.lines(" watched ", "from=refused@out.test")[0]
        for part in ("module=watcher", "stage=mail", "came_to=reject",
                     "code=550", "by=check_part"):
            self.assertIn(part, line)
        self.send(box, "reject@far.test", "plain@far.test")
        box.lines(" watched ", "from=alice@example.test", "came_to=accept")
        for who, verdict in (("reject", "reject"), ("plain", "accept")):
            box.lines(" seen ", "module=watcher", "stage=deliver",
                      f"to={who}@far.test", f"came_to={verdict}", "octets=0")
            box.lines(" seen ", "module=watcher", "stage=route",
                      f"to={who}@far.test")
        for stage, who in (("bounced", "reject"), ("delivered", "plain")):
            for section in ("watcher", "check_part"):
                box.lines(" told ", f"module={section}", f"stage={stage}",
                          f"to={who}@far.test")
        # it would have liked to reject, too
        box.lines(" verdict ", "module=watcher", "mode=observe",
                  'failure="a verdict that the stage does not honour"')
        self.assertEqual(len(remote.messages), 1)
        self.assertRegex(box.ctl("modules").stdout,
                         r"watcher state=observe .* mode=observe .* missed=0 ")

    def test_an_observer_delays_nobody_and_misses_what_is_too_much(self):
        box, _ = self.watched()
        for _ in range(30):
            with box.smtp() as client:
                client.ehlo("client.test")
                for _ in range(10):
                    self.assertEqual(client.mail("slow@out.test")[0], 250)
                    client.rset()
        with box.smtp() as client:
            client.sendmail("slow@out.test", ["bob@example.test"], TEXT)
        box.inbox("bob", 1)
        missed = until(lambda: re.search(r"watcher .* missed=([1-9]\d*) ",
                                         box.ctl("modules").stdout), "missed")
        self.assertGreaterEqual(int(missed.group(1)), 300 - 256)

    def test_an_observer_that_crashes_costs_nothing(self):
        old = os.environ.get("ASAN_OPTIONS", "")
        os.environ["ASAN_OPTIONS"] = "handle_segv=0:" + old
        self.addCleanup(os.environ.__setitem__, "ASAN_OPTIONS", old)
        box, remote = self.far(options='mode = "observe";')
        self.send(box, "crash@far.test", "discard@far.test")
        until(lambda: len(arrived(remote)) == 2, "both")
        box.lines("role_died", "role=check", "module=check_part")
        until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
              "the queue empty")

    def test_nobody_is_asked_where_nobody_has_a_hook(self):
        with Sandbox({"plain": "check_access: { };"}) as box:
            self.send(box, "bob@example.test")
            box.inbox("bob", 1)
            status = box.ctl("status").stdout
            self.assertRegex(status, r"check.0 stages [1-9]")
            self.assertIn("check.0 delivery_asked 0\n", status)
            self.assertIn("check.0 told 0\n", status)


if __name__ == "__main__":
    unittest.main()
