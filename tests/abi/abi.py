#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What modules were built against, held with libabigail.

    abi.py BUILD            print what would break a module built before; exit 1
    abi.py BUILD --write    keep the interface of BUILD from now on

Two dumps are kept: functions.abi, the functions that libposthouse exports with
all that they take and return, and structs.abi, every struct of the headers (a
module fills some that no function takes: its descriptor, its options). Opaque
handles are left out: no module knows what is in them. Functions may be added;
so may members at the end of structs of which a module says the size, or that it
only reads and never has in an array.
"""
import os
import platform
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
HEADERS = os.path.join(TOP, "sdk", "include", "posthouse")
MAY_GROW = ["ph_module", r"ph_[a-z]+_ops", "ph_dns_answer", "ph_delivery_facts",
            "ph_decision", "ph_delivery_job"]
DUMP = ["--no-show-locs", "--no-corpus-path", "--no-comp-dir-path",
        "--no-elf-needed", "--no-architecture", "--exported-interfaces-only"]


def structs():
    """(defined, opaque) names of structs in the headers; opaque is, too, what
    our own programs share with the library."""
    named, defined = set(), set()
    for name in sorted(os.listdir(HEADERS)):
        with open(os.path.join(HEADERS, name), encoding="ascii") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        named |= set(re.findall(r"\bstruct (ph_\w+)", text))
        defined |= set(re.findall(r"\bstruct (ph_\w+) \{", text))
    return sorted(defined), sorted(named - defined) + ["harness_fakes"]


def suppressions(where):
    path = os.path.join(where, "sdk.abignore")
    with open(path, "w", encoding="ascii") as f:
        f.write("[suppress_type]\n  drop = yes\n"
                f"  name_regexp = ^({'|'.join(structs()[1])})$\n\n"
                "[suppress_function]\n  drop = yes\n"
                "  name_regexp = ^(posthouse|__)\n\n")
        for name in MAY_GROW:
            f.write(f"[suppress_type]\n  name_regexp = ^{name}$\n"
                    "  has_data_member_inserted_at = end\n\n")
    return path


def probe(where, include=os.path.join(TOP, "sdk", "include")):
    """A library that has a pointer to each struct, and nothing else."""
    with open(os.path.join(where, "structs.c"), "w", encoding="ascii") as f:
        for name in sorted(os.listdir(HEADERS)):
            f.write(f"#include <posthouse/{name}>\n")
        for name in structs()[0]:
            f.write(f"struct {name} *all_{name};\n")
    out = os.path.join(where, "structs.so")
    subprocess.run(["cc", "-std=gnu17", "-g", "-shared", "-fPIC",
                    f"-I{include}", "-o", out, "structs.c"], check=True,
                   cwd=where)
    return out


def library(build):
    return os.path.realpath(os.path.join(build, "core", "libposthouse.so"))


def differences(kept, now, ignore):
    """What abidiff says; "" when nothing breaks."""
    done = subprocess.run(
        ["abidiff", "--no-added-syms", "--no-architecture",
         "--exported-interfaces-only", "--suppressions", ignore,
         os.path.join(HERE, kept), now],
        capture_output=True, text=True, check=False)
    return f"{kept}: {done.stdout}{done.stderr}" if done.returncode else ""


def changes(build):
    with tempfile.TemporaryDirectory() as where:
        ignore = suppressions(where)
        return (differences("functions.abi", library(build), ignore) +
                differences("structs.abi", probe(where), ignore))


def write(build):
    with tempfile.TemporaryDirectory() as where:
        ignore = suppressions(where)
        for kept, now in (("functions.abi", library(build)),
                          ("structs.abi", probe(where))):
            subprocess.run(["abidw", *DUMP, "--suppressions", ignore,
                            "--out-file", os.path.join(HERE, kept), now],
                           check=True)


def is_ours():
    """Sizes and offsets are those of this kind of machine."""
    return platform.machine() == "x86_64"


def main():
    build = os.path.abspath(sys.argv[1])
    if sys.argv[2:] == ["--write"]:
        write(build)
        return 0
    said = changes(build)
    print(said, end="")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
