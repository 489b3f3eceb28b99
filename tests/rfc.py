#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The standards table of posthouse(8), made from tests/rfc.tsv.

    rfc.py          print it, as posthouse.8 ends with
    rfc.py --write  put it there

A row of rfc.tsv: number, title, yes, partly or no, a note (with yes: what is
left out; with partly: what there is), files and tests, blanks between them.
lint.py holds the rows against the sources and the manual against the rows.
"""
import collections
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "rfc.tsv")
MANUAL = os.path.join(os.path.dirname(HERE), "core/master/posthouse.8")
HEADING = ".Sh STANDARDS\n"

Rfc = collections.namedtuple("Rfc", "number title held note files tests line")


def rows():
    with open(TABLE, encoding="utf-8") as table:
        for line, text in enumerate(table, 1):
            if line == 1:
                continue
            cells = text.rstrip("\n").split("\t")
            number, title, held, note, files, tests = cells
            yield Rfc(int(number), title, held, note, files.split(),
                      tests.split(), line)


def manual():
    out = [HEADING, "What is kept of each, and by which tests, is in\n",
           ".Pa tests/rfc.tsv\n", "of the sources.\n", ".Pp\n",
           '.Bl -tag -width "RFC 5321" -compact\n']
    for rfc in rows():
        if rfc.held == "no":
            continue
        note = f" ({'without ' if rfc.held == 'yes' else ''}{rfc.note})" \
            if rfc.note else ""
        out.append(f".It RFC {rfc.number}\n{rfc.title}{note}\n")
    return "".join(out) + ".El\n"


def main():
    text = manual()
    if sys.argv[1:] != ["--write"]:
        sys.stdout.write(text)
        return
    with open(MANUAL, encoding="utf-8") as old:
        before = old.read().split(HEADING)[0]
    with open(MANUAL, "w", encoding="utf-8") as new:
        new.write(before + text)


if __name__ == "__main__":
    main()
