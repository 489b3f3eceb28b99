#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""namespace.py COMMAND ...: run it where its mounts are seen by no one else.

What unshare --mount does, and also from within a chroot, whose / is no mount
point that could be made private: that is done at the true root, for a moment.
"""
import ctypes
import os
import sys
import tempfile

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def go_to_the_top():
    """With a root below the working directory, ".." leads to the true one."""
    below = tempfile.mkdtemp(dir="/tmp")
    os.chroot(below)
    here = None
    while here != os.stat("."):
        here = os.stat(".")
        os.chdir("..")
    os.chroot(".")
    return below


def enter():
    check(LIBC.unshare(CLONE_NEWNS))
    os.chdir("/")
    home = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    below = go_to_the_top()
    check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    os.fchdir(home)
    os.chroot(".")
    os.close(home)
    os.rmdir(below)


if __name__ == "__main__":
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])
