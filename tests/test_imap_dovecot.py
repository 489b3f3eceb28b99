# SPDX-License-Identifier: Apache-2.0
"""IMAP and POP3 answers over odd messages, side by side with Dovecot's.

Where the two differ on purpose the table says why; all else must be the same.
"""
import datetime
import poplib
import unittest

from dovecot import Dovecot, is_available
from imap_wire import Wire, fetched
from odd_mail import ALL
from sandbox import Sandbox

# RFC 3501 leaves these open, or Dovecot leaves the RFCs.
ENVELOPE_DIFFERS = {
    "twice": "fields that may occur once: the first counts, not all together",
    "folded": "unfolding keeps the blanks of the fold (RFC 5322 s2.2.3)",
    "empty angle": "no MISSING_MAILBOX for what is no address",
    "two commas": "no MISSING_MAILBOX for what is no address",
}
STRUCTURE_DIFFERS = {
    "bad type": "RFC 2045 s5.2: what can't be parsed is text/plain",
    "empty type": "RFC 2045 s5.2", "garbage type": "RFC 2045 s5.2",
    "no subtype": "RFC 2045 s5.2",
    "rfc2231": "isn't, or isn%27t: octets may be written as themselves",
    "message base64": "RFC 2046 s5.2.1 forbids it: not opened",
    "nested": "RFC 2046 s5.1.1: the line end before a boundary is its own",
    "no parts": "a multipart without parts is shown as text",
    "end at once": "a multipart without parts is shown as text",
    "no boundary": "a multipart without parts is shown as text",
    "same boundary": "an inner boundary that is the outer's ends the outer",
}
SECTION_DIFFERS = {
    "prefix": "RFC 2046 s5.1.1", "deep": "RFC 2046 s5.1.1",
    "nested": "RFC 2046 s5.1.1",
    "same boundary": "see above", "no parts": "see above",
    "end at once": "see above", "no boundary": "see above",
    "message base64": "see above",
    "empty parts": "RFC 2046 s5.1.1: the blank line is the header's end",
    "part without line": "a header line that no CRLF ends gets one",
    "no empty line": "RFC 3501 s6.4.5: the empty line follows in all cases",
}
SECTIONS = """RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT]
RFC822.HEADER BODY.PEEK[1] BODY.PEEK[2] BODY.PEEK[3] BODY.PEEK[1.MIME]
BODY.PEEK[2.MIME] BODY.PEEK[1.2] BODY.PEEK[1.HEADER] BODY.PEEK[1.TEXT]
BODY.PEEK[3.HEADER] BODY.PEEK[3.TEXT] BODY.PEEK[3.1] BODY.PEEK[3.2.MIME]
BODY.PEEK[]<5.20> BODY.PEEK[TEXT]<0.3> BODY.PEEK[]<99999.3>""".split() + [
    "BODY.PEEK[HEADER.FIELDS (SUBJECT FROM X-LONG)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT DATE)]",
    "BODY.PEEK[HEADER.FIELDS (NOSUCH)]",
    "BODY.PEEK[3.HEADER.FIELDS (SUBJECT)]"]

SEARCHES = """ALL|ANSWERED|DELETED|DRAFT|FLAGGED|NEW|OLD|RECENT|SEEN|UNSEEN
UNANSWERED|UNDELETED|UNDRAFT|UNFLAGGED|KEYWORD $k1|UNKEYWORD $k1|1:5|5,3,1:2|*
70:*|UID 1:3|UID 70:*|UID 100|FROM ann|FROM Ann|FROM "ann@example.org"|FROM ""
TO bob|CC ""|BCC x|SUBJECT plain|SUBJECT ""|SUBJECT once|SUBJECT "once twice"
SUBJECT tab|HEADER Subject folded|HEADER subject ""|HEADER X-Long ""
HEADER X-Long "a b"|HEADER Received y|HEADER nosuch ""|HEADER Message-ID noline
HEADER Content-Type multipart|HEADER Content-Type html|BODY hello|BODY Hello
BODY line|BODY plain|BODY implicit|BODY "caf"|TEXT hello|TEXT ann@example
TEXT "Content-Type"|TEXT boundary|TEXT inner|TEXT epilogue|TEXT disposition
BODY ""|TEXT ""|LARGER 100|SMALLER 100|LARGER 0|SMALLER 0
LARGER 100 SMALLER 300|BEFORE 10-Nov-2025|SINCE 10-Nov-2025|ON 10-Nov-2025
ON "10-Nov-2025"|ON 01-Nov-2025|SENTSINCE 23-Nov-2026|SENTON 23-Nov-2026
SENTON 22-Nov-2026|NOT SEEN|NOT NOT SEEN|OR SEEN FLAGGED
OR (SEEN 1:10) (FLAGGED 20:30)|(SEEN)|(SEEN UNFLAGGED) 1:20|()|((SEEN))
NOT (OR SEEN FLAGGED)|CHARSET UTF-8 ALL|CHARSET US-ASCII SUBJECT plain
CHARSET X-NO ALL|FOO|SEEN FOO|OR SEEN|NOT|HEADER Subject|BEFORE 1-Foo-2025
SUBJECT|0|1:0|UID 0|SUBJECT zwei|SUBJECT "=?utf-8"|FROM gen|SUBJECT say
SUBJECT "\\"hi\\""|BODY png""".replace("\n", "|").split("|")
WORDS = ("Grü", "Grüße", "grüße", "jürgen", "Jürgen", "café")


def lower(value):
    """Types, parameters and encodings know no case."""
    if isinstance(value, list):
        return [lower(v) for v in value]
    return value.lower() if isinstance(value, bytes) else value


def none_is_empty(value):
    """A part that is not there: NIL here, an empty string there."""
    return {k: b"" if v is None else v for k, v in (value or {}).items()}


def instants(value):
    """Dates as points in time, whatever zone they are told in."""
    return {k: datetime.datetime.strptime(v.decode().strip(), "%d-%b-%Y %H:%M:%S %z")
            for k, v in value.items()}


def fill(wire):
    flags = ("", "\\Seen", "\\Flagged $k1", "\\Answered \\Draft", "\\Deleted")
    for n, (name, content) in enumerate(ALL):
        done = wire.command(
            f'APPEND INBOX ({flags[n % 5]}) "{n % 22 + 1:2d}-Nov-2025 '
            f'0{n % 10}:00:00 +0000" {{{len(content)}}}', content)
        assert done[-1][1] == "OK", (name, done)


@unittest.skipUnless(is_available(), "needs root and Dovecot")
class BesideDovecot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.dovecot = Dovecot()
        cls.ours = Wire(cls.box.port("imaps"), tls=cls.box.tls())
        cls.theirs = Wire(cls.dovecot.imap)
        for wire in (cls.ours, cls.theirs):
            fill(wire)
            wire.command("SELECT INBOX")

    @classmethod
    def tearDownClass(cls):
        cls.ours.close()
        cls.theirs.close()
        cls.dovecot.close()
        cls.box.close()

    def both(self, command, literal=None):
        return (self.ours.command(command, literal),
                self.theirs.command(command, literal))

    def same_items(self, item, differs, form):
        a, b = self.both(f"FETCH 1:* ({item})")
        self.assertEqual(a[-1][1], b[-1][1])
        a, b = fetched(a), fetched(b)
        for n, (name, _) in enumerate(ALL, 1):
            if name not in differs:
                with self.subTest(message=name, item=item):
                    self.assertEqual(form(a.get(n)), form(b.get(n)))

    def test_envelope(self):
        self.same_items("ENVELOPE", ENVELOPE_DIFFERS, lambda v: v)

    def test_structure(self):
        for item in ("BODYSTRUCTURE", "BODY"):
            self.same_items(item, STRUCTURE_DIFFERS,
                            lambda v: lower(list(v.items())[0][1]))

    def test_sections(self):
        for item in SECTIONS:
            self.same_items(item, SECTION_DIFFERS, none_is_empty)
        self.same_items("INTERNALDATE", {}, instants)

    def found(self, answers):
        return [answers[-1][1], (answers[-1][2] or "").split()[:1],
                *(a for a in answers if a[1] == "SEARCH")]

    def test_search(self):
        for key in SEARCHES:
            for command in ("SEARCH", "UID SEARCH"):
                with self.subTest(key=key, command=command):
                    self.both("NOOP")  # bad commands in a row are few
                    a, b = self.both(f"{command} {key}")
                    self.assertEqual(self.found(a), self.found(b))
        for word in (w.encode() for w in WORDS):
            for field in ("SUBJECT", "FROM", "TEXT", "BODY"):
                with self.subTest(word=word, field=field):
                    a, b = self.both(
                        f"SEARCH CHARSET UTF-8 {field} {{{len(word)}}}", word)
                    self.assertEqual(self.found(a), self.found(b))

    def test_pop3(self):
        for wire in (Wire(self.box.port("imaps"), "carol", tls=self.box.tls()),
                     Wire(self.dovecot.imap, "carol")):
            fill(wire)
            wire.close()
        theirs = poplib.POP3("127.0.0.1", self.dovecot.pop3)
        theirs.user("carol")
        theirs.pass_("secret")
        ours = self.box.pop3("carol")
        try:
            self.assertEqual(ours.stat(), theirs.stat())
            self.assertEqual(ours.list()[1:], theirs.list()[1:])
            for n, (name, _) in enumerate(ALL, 1):
                with self.subTest(message=name):
                    self.assertEqual(ours.retr(n)[1], theirs.retr(n)[1])
                    for lines in (0, 1, 3, 1000):
                        self.assertEqual(ours.top(n, lines)[1],
                                         theirs.top(n, lines)[1])
        finally:
            ours.quit()
            theirs.quit()


if __name__ == "__main__":
    unittest.main()
