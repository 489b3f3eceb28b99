#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages of section 3, made from the SDK's headers: one a header.

    sdk/manual.py            print what is documented nowhere
    sdk/manual.py --write    write sdk/manual/ph_*.3

A header opens with its purpose comment. After it come blocks: a comment and the
declarations below it, up to an empty line or the next comment. The manual says
of a block what its comment says. tests/lint.py holds pages against headers.
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HEADERS = os.path.join(HERE, "include", "posthouse")
PAGES = os.path.join(HERE, "manual")
DATE = "November 23, 2026"

FUNCTION = re.compile(r"\b(ph_\w+)\(([^;{]*)\)")


class Block:
    """A comment and what stands below it."""

    def __init__(self, comment, code, line):
        self.comment, self.code, self.line = comment, code, line

    def functions(self):
        """(type, name, [arguments]) of each."""
        for text in declarations(self.code):
            found = prototype(text)
            if found:
                yield found


def declarations(code):
    """The text of each declaration, comments and bodies left out."""
    code = re.sub(r"/\*.*?\*/", " ", code, flags=re.S)
    code = re.sub(r"^\s*#.*?(?<!\\)$", ";", code, flags=re.S | re.M)
    depth, text = 0, ""
    for c in code:
        if c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0 and "static inline" in text:
                yield " ".join(text.split())
                text = ""
        elif c == ";" and depth == 0:
            yield " ".join(text.split())
            text = ""
        elif depth == 0:
            text += c


def prototype(text):
    if not re.match(r"(PH_EXPORT|static inline)\b", text):
        return None
    text = re.sub(r"^(PH_EXPORT|static inline) ", "", text)
    text = re.sub(r" (PH_PRINTF|__attribute__)\s*\(.*$", "", text)
    found = re.fullmatch(r"(.*?)\b(ph_\w+) ?\((.*)\)", text)
    if not found:
        return None
    arguments = [a.strip() for a in re.split(r",(?![^()]*\))", found[3])]
    return found[1].strip(), found[2], arguments


def words_of(comment):
    """A comment's paragraphs, without its stars."""
    text = re.sub(r"^/\*+|\*+/$", "", comment.strip())
    lines = [re.sub(r"^\s*\*? ?", "", line).rstrip()
             for line in text.splitlines()]
    return [" ".join(p.split()) for p in
            "\n".join(lines).strip().split("\n\n") if p.strip()]


def read(path):
    """(purpose comment, [blocks]) of a header."""
    with open(path, encoding="ascii") as f:
        text = f.read()
    spdx, purpose, rest = re.match(
        r"(/\*.*?\*/)\n(/\*.*?\*/)\n(.*)", text, re.S).groups()
    assert "SPDX" in spdx
    at = text.count("\n", 0, len(spdx) + len(purpose)) + 2
    # what every header has is no interface
    rest = re.sub(r"^#(ifndef|define) POSTHOUSE_\w+_H$|^#include .*$|"
                  r"^#endif$|^#ifdef __cplusplus\n(extern \"C\" \{|\})\n#endif$",
                  lambda m: "\n" * m[0].count("\n"), rest, flags=re.M)
    blocks, comment, code, start, depth = [], "", "", at, 0
    pieces = re.split(r"(/\*.*?\*/|\n)", rest, flags=re.S)
    line = at
    for piece in pieces:
        is_comment = piece.startswith("/*")
        alone = is_comment and depth == 0 and not code.rsplit("\n", 1)[-1].strip()
        if alone:
            if code.strip():
                blocks.append(Block(comment, code.strip("\n"), start))
            comment, code = piece, ""
            start = line
        elif piece == "\n" and depth == 0 and code.endswith("\n"):
            if code.strip():
                blocks.append(Block(comment, code.strip("\n"), start))
            elif comment:
                blocks.append(Block(comment, "", start))
            comment, code = "", ""
        else:
            if not code.strip() and not comment:
                start = line
            code += piece
            if not is_comment:
                depth += piece.count("{") - piece.count("}")
        line += piece.count("\n")
    if code.strip():
        blocks.append(Block(comment, code.strip("\n"), start))
    return purpose, [b for b in blocks if b.code.strip() or b.comment]


def undocumented(path):
    """(line, name) of functions without a comment of their own."""
    for block in read(path)[1]:
        names = [name for _, name, _ in block.functions()]
        for name in names if not block.comment else names[1:]:
            yield block.line, name


# --- mdoc ---

def escape(text):
    return text.replace("\\", "\\e")


def prose(text):
    """A paragraph in mdoc: a sentence a line."""
    lines = re.split(r"(?<=[A-Za-z0-9)\"\]][.:;?]) (?=[A-Z(\"0-9])",
                     escape(text))
    return "\n".join(("\\&" if line[0] in ".'" else "") + line
                     for line in lines)


def literal(code):
    lines = [("\\&" if line.startswith((".", "'")) else "") + escape(line)
             for line in code.replace("PH_EXPORT ", "").splitlines()]
    return "\n".join([".Bd -literal -offset indent", *lines, ".Ed"])


def synopsis(kind, name, arguments):
    out = [f".Ft {escape(kind)}", f".Fo {name}"]
    out += [f'.Fa "{escape(a)}"' for a in arguments]
    return "\n".join(out + [".Fc"])


def page(path):
    name = os.path.basename(path)[:-2]
    purpose, blocks = read(path)
    paragraphs = words_of(purpose)
    title = re.sub(r"^posthouse/\w+\.h - ", "", paragraphs[0])
    title, _, more = title.partition(". ")
    paragraphs[0] = more
    functions = [f for b in blocks for f in b.functions()]
    names = [f"ph_{name}"] + [f[1] for f in functions
                              if f[1] != f"ph_{name}"]
    out = ['.\\" SPDX-License-Identifier: Apache-2.0',
           f'.\\" Made by sdk/manual.py from posthouse/{name}.h: edit that.',
           f".Dd {DATE}", f".Dt PH_{name.upper()} 3", ".Os", ".Sh NAME"]
    out += [f".Nm {n} ," for n in names[:-1]] + [f".Nm {names[-1]}"]
    title = title.rstrip(".")
    out += [f".Nd {title}", ".Sh LIBRARY",
            "The SDK of posthouse (libposthouse, -lposthouse)",
            ".Sh SYNOPSIS", f".In posthouse/{name}.h"]
    out += [synopsis(*f) for f in functions]
    out += [".Sh DESCRIPTION"]
    if not any(paragraphs):
        out += [f"The header\n.In posthouse/{name}.h\nhas these."]
    out += ["\n.Pp\n".join(prose(p) for p in paragraphs if p)]
    for block in blocks:
        if block.code.strip():
            out.append(literal(block.code))
        if block.comment:
            said = "\n.Pp\n".join(prose(p) for p in words_of(block.comment))
            section = re.fullmatch(r"-+ (.*?) -+", said.replace("\n", " "))
            out.append(f".Ss {section[1]}" if section else
                       said if block.code.strip() else ".Pp\n" + said)
    out += [".Sh SEE ALSO", ".Xr posthouse-sdk 1 ,"]
    others = [f"ph_{o}" for o in re.findall(
        r"^#include <posthouse/(\w+)\.h>$", open(path).read(), re.M)]
    out += [f".Xr {o} 3 ," for o in sorted(others)]
    out += [".Xr posthouse-sdk 7"]
    return "\n".join(line for line in out if line) + "\n"


def headers():
    return [os.path.join(HEADERS, n) for n in sorted(os.listdir(HEADERS))
            if n.endswith(".h")]


def pages():
    """path of the page -> what it should be."""
    return {os.path.join(PAGES, "ph_" + os.path.basename(h)[:-2] + ".3"):
            page(h) for h in headers()}


def main():
    if sys.argv[1:] == ["--write"]:
        os.makedirs(PAGES, exist_ok=True)
        for path, text in pages().items():
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        return 0
    bad = [f"{h}:{line}: {name}" for h in headers()
           for line, name in undocumented(h)]
    print(*bad, sep="\n", end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
