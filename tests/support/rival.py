# SPDX-License-Identifier: Apache-2.0
"""Postfix + Dovecot from Debian's packages, as one throw-away server (root).

Delivery by LMTP into Maildirs, fsync on, one virtual user table; the settings
are Debian's except what the comparison fixes for both sides. Everything lies in
one folder and listens on loopback only.
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from ports import free_ports

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.test
virtual_mailbox_maps = texthash:{dir}/users
virtual_transport = lmtp:unix:{dir}/lmtp
virtual_alias_maps =
alias_maps =
maillog_file = {dir}/log/postfix.log
maillog_file_prefixes = {dir}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dir}/auth
default_process_limit = 100
lmtp_destination_concurrency_limit = 20
"""

POSTFIX_RELAY = """
relayhost = [127.0.0.1]:{relay}
smtp_destination_concurrency_limit = 20
relay_destination_concurrency_limit = 20
initial_destination_concurrency = 20
"""

POSTFIX_MASTER = """
{smtp} inet n - n - - smtpd
{submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/state
protocols = imap pop3 lmtp
listen = 127.0.0.1
log_path = {dir}/log/dovecot.log
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
mail_location = maildir:~/Maildir
mail_fsync = always
first_valid_uid = 1
mail_uid = {user}
mail_gid = {user}
auth_mechanisms = plain login
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=SHA256-CRYPT username_format=%n {dir}/passwd
}}
userdb {{
  driver = static
  args = home={dir}/mail/%n allow_all_users=yes
}}
service lmtp {{
  process_min_avail = 4
  process_limit = 100
  unix_listener {dir}/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {dir}/auth {{
    mode = 0666
  }}
}}
service imap-login {{
  process_limit = 10000
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
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
service imap {{
  process_limit = 10000
}}
service stats {{
  process_limit = 1
}}
"""


class Rival:
    """Postfix and Dovecot for example.test, users u0001.. of the list. All other
    mail goes to the port `relay` of this machine, when one is given."""

    def __init__(self, users, cert, key, relay=None):
        self.dir = tempfile.mkdtemp(prefix="rival-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        names = ("smtp", "submissions", "imap", "imaps", "pop3")
        self.ports = dict(zip(names, free_ports(len(names))))
        fill = dict(self.ports, dir=self.dir, cert=cert, key=key, user="mail")
        for folder in ("conf", "spool", "data", "log", "run", "state", "mail"):
            os.mkdir(os.path.join(self.dir, folder))
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        shutil.chown(os.path.join(self.dir, "mail"), "mail", "mail")
        self.write("conf/main.cf", POSTFIX_MAIN.format(**fill) + (
            POSTFIX_RELAY.format(relay=relay) if relay else ""))
        self.write("conf/master.cf", POSTFIX_MASTER.format(**fill))
        self.write("dovecot.conf", DOVECOT.format(**fill))
        hashed = subprocess.check_output(
            ["openssl", "passwd", "-5", "-salt", "sandboxsalt", "secret"],
            text=True).strip()
        self.write("users", "".join(f"{u}@example.test x\n" for u in users))
        self.write("passwd", "".join(f"{u}:{hashed}\n" for u in users))
        os.chmod(os.path.join(self.dir, "passwd"), 0o644)
        self.mail = os.path.join(self.dir, "mail")
        self.dovecot = subprocess.Popen(
            ["dovecot", "-F", "-c", os.path.join(self.dir, "dovecot.conf")],
            stderr=subprocess.DEVNULL)
        self.postfix = subprocess.Popen(
            ["/usr/sbin/postfix", "-c", os.path.join(self.dir, "conf"), "start-fg"],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.wait_for_port(self.ports["smtp"])
        self.wait_for_port(self.ports["imap"])

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as out:
            out.write(text)

    def wait_for_port(self, port):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"port {port} did not open; see {self.dir}/log")

    def roots(self):
        return [self.dovecot.pid, self.postfix.pid]

    def close(self, keep=False):
        subprocess.run(["/usr/sbin/postfix", "-c", os.path.join(self.dir, "conf"),
                        "stop"], stderr=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
        self.dovecot.send_signal(signal.SIGTERM)
        self.dovecot.wait(30)
        try:
            self.postfix.wait(30)
        except subprocess.TimeoutExpired:
            self.postfix.kill()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
