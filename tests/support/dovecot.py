# SPDX-License-Identifier: Apache-2.0
"""Dovecot from Debian's package, to compare IMAP and POP3 answers with (root).

One throw-away instance on loopback, Maildirs, password "secret" for all.
"""
import os
import shutil
import signal
import subprocess
import tempfile

from ports import free_ports
from sandbox import until

CONF = """
base_dir = {dir}/run
state_dir = {dir}/state
protocols = imap pop3
listen = 127.0.0.1
log_path = {dir}/log
ssl = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_uid = mail
mail_gid = mail
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = home={dir}/mail/%n
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


def is_available():
    return os.geteuid() == 0 and shutil.which("dovecot") is not None


class Dovecot:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="dovecot-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.imap, self.pop3 = free_ports(2)
        os.mkdir(os.path.join(self.dir, "mail"))
        shutil.chown(os.path.join(self.dir, "mail"), "mail", "mail")
        path = os.path.join(self.dir, "dovecot.conf")
        with open(path, "w") as out:
            out.write(CONF.format(dir=self.dir, imap=self.imap, pop3=self.pop3))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", path],
                                        stderr=subprocess.DEVNULL)
        until(lambda: self.says("starting up"), "Dovecot is up")

    def says(self, text):
        try:
            with open(os.path.join(self.dir, "log")) as log:
                return text in log.read()
        except OSError:
            return False

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)
