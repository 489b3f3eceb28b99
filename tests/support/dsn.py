# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a delivery status notification: RFC 3464, 6522, 6533 and
3834, and the MIME that they stand on, held against its octets."""
import email
import email.policy
import re

MESSAGE = ["original-envelope-id", "reporting-mta", "dsn-gateway",
           "received-from-mta", "arrival-date"]
RECIPIENT = ["original-recipient", "final-recipient", "action", "status",
             "remote-mta", "diagnostic-code", "last-attempt-date", "final-log-id",
             "will-retry-until"]
EXTENSIONS = {"future-release-request", "smtp-remote-recipient"}
DATE = (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} "
        r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
        r"\d\d:\d\d:\d\d [+-]\d{4}")
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
SYNTAX = {
    "reporting-mta": r"dns; [A-Za-z0-9.-]+",
    "remote-mta": r"dns; ([A-Za-z0-9.-]+|\[[0-9.]+\]|\[IPv6:[0-9a-f:.]+\])",
    "arrival-date": DATE, "last-attempt-date": DATE, "will-retry-until": DATE,
    "original-recipient": ATOM + "; .+", "final-recipient": ATOM + "; .+",
    "action": "failed|delayed|delivered|relayed|expanded",
    "status": r"[245]\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})",
    "diagnostic-code": ATOM + "; .*",
}
CLASSES = {"failed": "45", "delayed": "4", "delivered": "2", "relayed": "2",
           "expanded": "2"}
KINDS = [{"text/plain"},
         {"message/delivery-status", "message/global-delivery-status"},
         {"message/rfc822", "text/rfc822-headers", "message/global",
          "message/global-headers"}]


def split(octets):
    """Header and body, at the first empty line."""
    head, _, body = octets.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def fields(block):
    """(lower-case name, value) of each, unfolded."""
    text = re.sub(rb"\r\n(?=[ \t])", b"", block).decode("utf-8")
    return [(name.lower(), value.strip()) for name, _, value in
            (line.partition(":") for line in text.split("\r\n") if line)]


def in_order(names, known):
    places = [known.index(name) if name in known else len(known) for name in names]
    return places == sorted(places)


def check_fields(block, known, needed):
    names = [name for name, _ in block]
    if not in_order(names, known):
        yield f"order of {names}"
    for name in needed:
        if name not in names:
            yield f"no {name}"
    for name in set(names):
        if names.count(name) > 1:
            yield f"{name} twice"
        if name not in known and name not in EXTENSIONS and \
                not name.startswith("x-posthouse-"):
            yield f"unknown {name}"
    for name, value in block:
        if name in SYNTAX and not re.fullmatch(SYNTAX[name], value):
            yield f"{name}: {value!r}"


def check_address(value, is_global):
    kind, address = value.split("; ", 1)
    if kind == "utf-8" and not is_global and not address.isascii():
        yield f"{value!r} outside ASCII"
    if kind == "rfc822" and not address.isascii():
        yield f"{value!r} is not rfc822"
    if kind == "utf-8" and is_global and "\\x{" in address:
        yield f"{value!r} could be written in UTF-8"  # RFC 6533 s4.1, SHOULD


def check_recipient(block, is_global):
    yield from check_fields(block, RECIPIENT, ["final-recipient", "action", "status"])
    one = dict(block)
    if one.get("status", " ")[0] not in CLASSES.get(one.get("action"), ""):
        yield f"{one.get('action')} with status {one.get('status')}"
    if "will-retry-until" in one and one["action"] != "delayed":
        yield "Will-Retry-Until of what is not delayed"
    for name in ("original-recipient", "final-recipient"):
        if name in one:
            yield from check_address(one[name], is_global)
    if one.get("diagnostic-code", "").startswith("smtp; ") and not re.match(
            r"smtp; [2-5]\d\d \S", one["diagnostic-code"]):
        yield one["diagnostic-code"]


def check_status(body, is_global):
    if not body.endswith(b"\r\n") or body.endswith(b"\r\n\r\n\r\n"):
        yield f"the status part ends with {body[-9:]!r}"
    blocks = [fields(block) for block in body.removesuffix(b"\r\n").split(b"\r\n\r\n")]
    if not all(blocks) or len(blocks) < 2:
        yield f"blocks {blocks}"
        return
    yield from check_fields(blocks[0], MESSAGE, ["reporting-mta", "arrival-date"])
    for block in blocks[1:]:
        yield from check_recipient(block, is_global)


def check_part(octets, kinds):
    head, body = split(octets)
    part = email.message_from_bytes(head + b"\r\n")
    kind, encoding = part.get_content_type(), part.get(
        "content-transfer-encoding", "7bit").lower()
    if kind not in kinds:
        yield f"{kind} where one of {sorted(kinds)} belongs"
    if encoding not in ("7bit", "8bit", "quoted-printable", "base64"):
        yield f"{kind} in {encoding}"
    if encoding != "8bit" and not body.isascii():
        yield f"{kind} in {encoding} is not ASCII"
    if kind == "message/delivery-status" and encoding != "7bit":
        yield f"{kind} in {encoding}"
    if kind in ("text/plain", "message/global", "message/global-headers",
                "message/global-delivery-status") and encoding == "8bit" and \
            part.get_content_charset("utf-8") == "utf-8":
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            yield f"{kind} is not UTF-8"
    if kind.endswith("delivery-status") and encoding in ("7bit", "8bit"):
        yield from check_status(body, kind.startswith("message/global"))
    if kind.endswith("headers") and b"\r\n\r\n" in body:
        yield f"{kind} has an empty line"


def check_header(top):
    for name in ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version",
                 "Auto-Submitted", "Content-Type"):
        if len(top.get_all(name, [])) != 1:
            yield f"{name}: {top.get_all(name)}"
    if top["Auto-Submitted"] != "auto-replied":
        yield f"Auto-Submitted: {top['Auto-Submitted']}"
    if top.get_content_type() != "multipart/report" or \
            top.get_param("report-type") != "delivery-status":
        yield f"Content-Type: {top['Content-Type']}"
    if len(top["From"].addresses) != 1 or "." not in top["From"].addresses[0].domain:
        yield f"From: {top['From']}"


def check(octets):
    """All that is wrong, as sentences; octets with CRLF."""
    head, body = split(octets)
    top = email.message_from_bytes(octets, policy=email.policy.default)
    wrong = list(check_header(top))
    boundary = b"--" + top.get_boundary().encode()
    preamble, *parts, end = (b"\r\n" + body).split(b"\r\n" + boundary)
    if preamble or end != b"--\r\n" or len(parts) != 3:
        wrong.append(f"{len(parts)} parts, behind {preamble!r}, before {end!r}")
    if not body.isascii() and top.get("Content-Transfer-Encoding") != "8bit":
        wrong.append("8-bit content under a header that says 7bit")
    if any(len(line) > 998 or b"\r" in line or b"\n" in line
           for line in octets.split(b"\r\n")):
        wrong.append("lines that are none of a message's")
    if any(len(line) > 78 for line in head.split(b"\r\n") if b"=?" in line):
        wrong.append("an encoded word on a line longer than 76")
    for octets_of, kinds in zip(parts, KINDS):
        wrong += check_part(octets_of.removeprefix(b"\r\n"), kinds)
    for defect in [d for part in top.walk() for d in part.defects]:
        wrong.append(repr(defect))
    return wrong
