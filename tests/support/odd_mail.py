# SPDX-License-Identifier: Apache-2.0
"""Messages that are odd but arrive: what MIME and header parsers trip over."""


def crlf(text):
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


HEAD = """From: Ann Example <ann@example.org>
To: bob@example.test
Subject: {subject}
Date: Mon, 23 Nov 2026 08:00:00 +0100
Message-ID: <{subject}@example.org>
"""


def message(subject, rest):
    """One with plain header fields, then rest (more fields, body)."""
    return crlf(HEAD.format(subject=subject) + rest)


PLAIN = [
    ("plain", message("plain", "\nHello\n")),
    ("no body", message("nobody", "\n")),
    ("no empty line", message("noline", "")),
    ("body only", crlf("\nno header at all\n")),
    ("no date", crlf("From: a@b.example\nTo: c@d.example\n\nx\n")),
    ("last line without end", message("noeol", "\nHello")),
    ("many lines", message("lines", "\n" + "line\n" * 300)),
    ("8 bit", message("8bit", "Content-Type: text/plain; charset=utf-8\n"
                      "Content-Transfer-Encoding: 8bit\n\nGr\u00fc\u00dfe\n")),
    ("long line", message("longline", "\n" + "x" * 998 + "\n")),
    ("no colon", crlf("From: a@b.example\nnot a header line\nSubject: after\n\nx\n")),
    ("space before colon", crlf("From : a@b.example\nSubject : spaced\n\nx\n")),
    ("twice", crlf("From: a@b.example\nFrom: c@d.example\nSubject: one\n"
                   "Subject: two\nTo: e@f.example\nTo: g@h.example\n"
                   "Received: by x\nReceived: by y\n\nx\n")),
    ("folded", crlf("From: a@b.example\nSubject: folded\n  once\n\ttwice\n"
                    "To: a@b.example,\n  c@d.example,\n\te@f.example\n"
                    "In-Reply-To:\n <id@x.example>\nX-Long: a\n b\n c\n\nx\n")),
    ("tabs", crlf("From:\ta@b.example\nSubject:\t tab \n\nx\n")),
    ("empty fields", crlf("From:\nTo:\nCc: \nSubject:\nDate:\nMessage-ID:\n"
                          "Reply-To:\nSender:\n\nx\n")),
    ("raw 8 bit subject", crlf("From: a@b.example\nSubject: Gr\u00fc\u00dfe\n\nx\n")),
    ("encoded subject", crlf("From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\n"
                             "Subject: =?utf-8?B?R3LDvMOfZQ==?= =?utf-8?q?_zwei?=\n\nx\n")),
    ("quotes", crlf('From: "Ann \\"Q\\" Example" <ann@example.org>\n'
                    'Subject: say "hi" \\ there\n\nx\n')),
]


def addresses(name, value):
    return (name, crlf(f"From: {value}\nTo: {value}\nSubject: {name}\n"
                       "Date: Mon, 23 Nov 2026 08:00:00 +0100\n\nx\n"))


ADDRESSES = [
    addresses("comment", "a@b.example (Ann Example)"),
    addresses("comments", "(x) a (y) @ (z) b.example (w)"),
    addresses("group", "friends: a@b.example, Bo <c@d.example>;"),
    addresses("empty group", "undisclosed-recipients:;"),
    addresses("quoted local", '"a b"@c.example'),
    addresses("route", "<@x.example,@y.example:a@b.example>"),
    addresses("empty angle", "Nobody <>"),
    addresses("dots in phrase", "John Q. Public <jqp@b.example>"),
    addresses("literal", "a@[192.0.2.1]"),
    addresses("many", ", ".join(f"u{n}@b.example" for n in range(60))),
    addresses("quoted phrase", '"Example, Ann" <a@b.example>, "B" <b@b.example>'),
    addresses("encoded phrase", "=?utf-8?q?J=C3=BCrgen?= M <j@b.example>"),
    addresses("blank phrase", '"" <a@b.example>'),
    addresses("two commas", "a@b.example,, c@d.example,"),
]


def entity(name, fields, body="x\n"):
    return (name, message(name.replace(" ", "-"),
                          "MIME-Version: 1.0\n" + fields + "\n" + body))


def multipart(name, body, kind="mixed", more="", boundary="b1"):
    return entity(name, f'Content-Type: multipart/{kind}; boundary="{boundary}"'
                        f"{more}\n", body)


TWO = """preamble
--b1
Content-Type: text/plain

one
--b1
Content-Type: text/html; charset=us-ascii
Content-Disposition: attachment; filename="x.html"

<p>two</p>

--b1--
epilogue
"""

NESTED = """--b1
Content-Type: multipart/alternative; boundary="b2"

--b2
Content-Type: text/plain; charset=utf-8

plain
--b2
Content-Type: text/html

<p>html</p>
--b2--

--b1
Content-Type: application/octet-stream; name="a.bin"
Content-Transfer-Encoding: base64
Content-ID: <id1@example.org>
Content-Description: some octets
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Language: en, de
Content-Location: http://example.org/a.bin

AAECAwQ=
--b1
Content-Type: message/rfc822

From: inner@example.org
To: "In, Ner" <x@example.org>
Subject: inner
Date: Tue, 24 Nov 2026 08:00:00 +0100
Content-Type: multipart/mixed; boundary=b3

--b3

implicit text
--b3
Content-Type: image/png

png
--b3--
--b1--
"""

MIME = [
    entity("charset", "Content-Type: text/plain; charset=iso-8859-1\n"
                      "Content-Transfer-Encoding: quoted-printable\n", "caf=E9\n"),
    entity("upper case", "CONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8\n"
                         "CONTENT-TRANSFER-ENCODING: 7BIT\n"),
    entity("bad type", "Content-Type: text\n"),
    entity("empty type", "Content-Type:\n"),
    entity("garbage type", "Content-Type: ;;; =\n"),
    entity("no subtype", "Content-Type: text/\n"),
    entity("params", 'Content-Type: text/plain; charset="utf-8"; format=flowed;'
                     ' delsp=yes; name="a \\"b\\" c"\n'),
    entity("param comment", "Content-Type: text/plain (c); charset=us-ascii (d)\n"),
    entity("rfc2231", "Content-Type: application/x-stuff;\n"
                      " title*0*=us-ascii'en'This%20is%20even%20more%20;\n"
                      " title*1*=%2A%2A%2Afun%2A%2A%2A%20;\n title*2=\"isn't it!\"\n"),
    entity("rfc2231 plain", "Content-Type: message/external-body; access-type=URL;\n"
                            " URL*0=\"ftp://\";\n URL*1=\"cs.utk.edu/x\"\n"),
    entity("params without quotes", "Content-Type: image/png; name=a b.png\n"),
    entity("semicolon at end", "Content-Type: text/plain; charset=utf-8;\n"),
    entity("encoding odd", "Content-Type: text/plain\n"
                           "Content-Transfer-Encoding: x-unknown (why)\n"),
    entity("disposition", "Content-Type: text/plain\nContent-Disposition: "
                          "attachment; filename=\"x\"; size=3\n"),
    entity("disposition alone", "Content-Disposition: inline\n"),
    entity("message type", "Content-Type: message/rfc822\n",
           "From: in@example.org\nSubject: inner\n\nbody\n"),
    entity("message empty", "Content-Type: message/rfc822\n", ""),
    entity("message deep", "Content-Type: message/rfc822\n",
           "Subject: l1\nContent-Type: message/rfc822\n\n"
           "Subject: l2\nContent-Type: text/html\n\n<p>\n"),
    entity("message base64", "Content-Type: message/rfc822\n"
                             "Content-Transfer-Encoding: base64\n", "U3ViamVjdDogeAoKeQo=\n"),
    entity("delivery status", "Content-Type: message/delivery-status\n",
           "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b\n"),
    entity("empty body text", "Content-Type: text/plain\n", ""),
    entity("base64 text", "Content-Type: text/plain; charset=utf-8\n"
                          "Content-Transfer-Encoding: base64\n", "R3LDvMOfZQo=\n"),
    multipart("two", TWO),
    multipart("two with parameters", TWO, more="; charset=x; foo=\"a b\""),
    multipart("nested", NESTED),
    multipart("alternative", TWO, "alternative"),
    multipart("digest", "--b1\n\nSubject: d1\n\none\n--b1\n\nSubject: d2\n\ntwo\n--b1--\n",
              "digest"),
    multipart("no end", "--b1\n\none\n--b1\n\ntwo\n"),
    multipart("no parts", "nothing here\n"),
    multipart("end at once", "--b1--\n"),
    multipart("empty part", "--b1\n--b1--\n"),
    multipart("empty parts", "--b1\n\n--b1\n\n\n--b1--\n"),
    multipart("blank after boundary", "--b1  \n\none\n--b1-- \nmore\n"),
    multipart("prefix", "--b1\nContent-Type: multipart/mixed; boundary=b11\n\n"
                        "--b11\n\nin\n--b11--\n--b1\n\nout\n--b1--\n"),
    multipart("same boundary", "--b1\nContent-Type: multipart/mixed; boundary=b1\n\n"
                               "--b1\n\nin\n--b1--\n\n--b1\n\nout\n--b1--\n"),
    multipart("outer ends inner", "--b1\nContent-Type: multipart/mixed; boundary=b2\n\n"
                                  "--b2\n\nin\n--b1\n\nout\n--b1--\n"),
    multipart("boundary with blanks", "--b 1\n\none\n--b 1--\n", boundary="b 1"),
    entity("no boundary", "Content-Type: multipart/mixed\n", "--b1\n\none\n--b1--\n"),
    entity("boundary folded", "Content-Type: multipart/mixed;\n\tboundary=b1\n",
           "--b1\n\none\n--b1--\n"),
    multipart("part without line", "--b1\nContent-Type: text/html\n--b1--\n"),
    multipart("deep", "".join(
        f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n"
        for n in range(1, 12)) + "--b12\n\nbottom\n" +
        "".join(f"--b{n}--\n" for n in range(12, 0, -1))),
]

ALL = PLAIN + ADDRESSES + MIME
