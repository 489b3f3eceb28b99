# SPDX-License-Identifier: Apache-2.0
"""What was built, installed into a prefix of its own, and the SDK's examples as
a stranger builds them from there."""
import os
import shutil
import subprocess
import tempfile

from sandbox import BUILD, TOP

EXAMPLES = os.path.join(TOP, "sdk", "examples")


def run(*command, env=None, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd,
                          env=dict(os.environ, **(env or {})), timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class Installed:
    """For a TestCase: cls.prefix, and cls.dir for what else is made."""

    @classmethod
    def setUpClass(cls):
        # where roles that dropped to their own users can pass
        cls.dir = tempfile.mkdtemp(prefix="posthouse-sdk-", dir="/var/tmp")
        os.chmod(cls.dir, 0o755)
        cls.prefix = os.path.join(cls.dir, "prefix")
        run("cmake", "--install", BUILD, "--prefix", cls.prefix,
            env={"DESTDIR": ""})
        found = [at for at, _, files in os.walk(cls.prefix)
                 if "posthouse.pc" in files]
        assert len(found) == 1, found
        cls.env = {"PKG_CONFIG_PATH": found[0], "CFLAGS": "-O2 -Wall -Werror"}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def example(self, to, name="check_minimal"):
        """A copy of an example, in the folder `to`."""
        to = os.path.join(self.dir, to)
        shutil.copytree(os.path.join(EXAMPLES, name), to)
        return to

    def plugin(self, name):
        """The path of an example's module, built."""
        source = self.example("plugin-" + self.id().rpartition(".")[2] + name,
                              name)
        run("make", "-C", source, env=self.env)
        return f"{source}/{name}.so"
