# SPDX-License-Identifier: Apache-2.0
"""Check modules that misbehave, built for one test each."""
import os
import shutil
import subprocess
import tempfile

from sandbox import TOP, Sandbox

SOURCE = r"""
#define _GNU_SOURCE
#include <posthouse/check.h>
#include <posthouse/fiber.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
%(before)s
static enum ph_verdict
hook(struct ph_call *call, const void *conf)
{
	(void)call;
	(void)conf;
	%(statement)s
	return PH_NEXT;
}
static const struct ph_check_ops ops = { .at = { [PH_AT_%(stage)s] = hook } };
PH_MODULE(%(name)s) = { .abi = %(abi)s, .name = "%(name)s",
	.kinds = PH_KIND_CHECK, .doc = "A fault", .check = &ops };
"""


def build(folder, statement="", name="check_fault", stage="CONNECT", before="",
          abi="PH_ABI", more=("", "")):
    """The path of a module whose one hook runs the statement; more: what to put
    for what in its source."""
    source = os.path.join(folder, name + ".c")
    with open(source, "w") as file:
        file.write((SOURCE % locals()).replace(*more))
    path = os.path.join(folder, name + ".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-I",
                    os.path.join(TOP, "sdk", "include"), source, "-o", path],
                   check=True)
    return path


class Faulty:
    """For a TestCase: servers with modules of its own."""

    def modules(self):
        folder = tempfile.mkdtemp(prefix="posthouse-faults-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        return folder

    def faulty(self, statement, options='on_failure = "next";', conf="",
               users=0, **how):
        """A server with check_fault."""
        path = build(self.modules(), statement, **how)
        # a crash is what is wanted: no report of it
        os.environ["ASAN_OPTIONS"] = "handle_segv=0:handle_sigbus=0:" + \
            os.environ.get("ASAN_OPTIONS", "")
        box = Sandbox({"fault": f'{conf}\ncheck_fault: {{ module = "{path}"; '
                       f'{options} }};'}, users=users)
        self.addCleanup(box.close)
        return box
