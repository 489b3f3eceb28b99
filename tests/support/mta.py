# SPDX-License-Identifier: Apache-2.0
"""Postfix, Exim and OpenSMTPD as throw-away clients on loopback (root).

Each sends what it is given to one server over STARTTLS and keeps everything in
one folder. Exim and OpenSMTPD can't be installed beside Postfix: they lie
unpacked in PH_UNPACKED (packaging/setup.sh does it) and run in a mount namespace
of their own, where their users and folders exist.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from ports import free_ports
from rival import POSTFIX_MASTER
from sandbox import DEADLINE, Smtp, until

PRIVATELY = [sys.executable, os.path.join(os.path.dirname(__file__), "namespace.py")]
UNPACKED = os.environ.get("PH_UNPACKED", "/var/cache/posthouse-test")

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.client.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
relayhost = [127.0.0.1]:{port}
smtp_tls_security_level = verify
smtp_tls_verify_cert_match = localhost, mail.example.test
smtp_tls_CAfile = {ca}
disable_dns_lookups = yes
"""

EXIM = """
exim_path = {program}
keep_environment =
primary_hostname = exim.client.test
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
exim_user = mail
exim_group = mail
never_users =
log_selector = +all
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_verify_cert_hostnames =
  hosts_try_chunking = {chunking}
begin retry
* * F,1h,1m
"""

OPENSMTPD = """
listen on 127.0.0.1 port {own}
action "out" relay host "smtp+tls://127.0.0.1:{port}" tls no-verify helo opensmtpd.client.test
match from any for any action "out"
"""


class Mta:
    """A folder with a configuration in it; text is formatted with its facts."""

    def __init__(self, box, port="smtp"):
        self.dir = tempfile.mkdtemp(prefix="mta-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.own, = free_ports(1)
        self.fill = {"dir": self.dir, "port": box.port(port), "own": self.own,
                     "ca": box.dir + "/tls/ca.pem", "smtp": self.own,
                     "submissions": free_ports(1)[0]}
        self.process = None

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text.format(**self.fill))
        os.chmod(path, 0o644)
        return path

    def start(self, *command):
        with open(os.path.join(self.dir, "output"), "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def smtp(self, sender, to, message):
        def client():
            try:
                return Smtp("127.0.0.1", self.own)
            except OSError:
                return None
        link = until(client, f"port {self.own}")
        link.sendmail(sender, to, message, mail_options=["BODY=8BITMIME"])
        link.quit()

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Postfix(Mta):
    def __init__(self, box):
        super().__init__(box)
        for folder in ("spool", "data"):
            os.mkdir(os.path.join(self.dir, folder))
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        self.write("conf/main.cf", POSTFIX_MAIN)
        self.write("conf/master.cf", POSTFIX_MASTER)
        self.start("/usr/sbin/postfix", "-c", self.dir + "/conf", "start-fg")

    def close(self):
        subprocess.run(["/usr/sbin/postfix", "-c", self.dir + "/conf", "stop"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().close()


# What an unpacked package needs to find: its own users, empty folders of its
# own; and no name server. Seen by this process and its children alone.
NAMESPACE = """
set -e
cp /etc/passwd /etc/group {dir}
for user in Debian-exim opensmtpd opensmtpq; do
  grep -q "^$user:" {dir}/passwd || {{
    id=$((64100 + ${{#user}}))
    echo "$user:x:$id:$id::/var/lib/$user/empty:/bin/false" >>{dir}/passwd
    echo "$user:x:$id:" >>{dir}/group; }}
done
echo lookup file >{dir}/resolv.conf
[ ! -e /etc/resolv.conf ] || mount --bind {dir}/resolv.conf /etc/resolv.conf
mount --bind {dir}/passwd /etc/passwd
mount --bind {dir}/group /etc/group
mount -t tmpfs -o mode=755 tmpfs /var/spool
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty
exec "$@"
"""


def in_namespace(mta):
    """The words before a command that runs it in the namespace."""
    return [*PRIVATELY, "sh", mta.write("namespace", NAMESPACE)]


class Exim(Mta):
    PROGRAM = UNPACKED + "/exim4-daemon-light/usr/sbin/exim4"

    def __init__(self, box, chunking="*"):
        super().__init__(box)
        self.fill.update(chunking=chunking, program=self.PROGRAM)
        for folder in ("spool", "log"):
            os.mkdir(os.path.join(self.dir, folder))
            shutil.chown(os.path.join(self.dir, folder), "mail", "mail")
        self.conf = self.write("exim.conf", EXIM)

    def send(self, sender, to, message):
        """Deliver in the foreground; returns Exim's own log, which goes to
        standard error once it has dropped its rights."""
        return subprocess.run(
            [*in_namespace(self), self.PROGRAM, "-C", self.conf, "-odf", "-i",
             "-f", sender, *to], input=message.replace(b"\r\n", b"\n"),
            check=True, timeout=DEADLINE,
            stderr=subprocess.PIPE).stderr.decode(errors="replace")


class OpenSmtpd(Mta):
    PROGRAM = UNPACKED + "/opensmtpd/usr/sbin/smtpd"

    def __init__(self, box):
        super().__init__(box)
        conf = self.write("smtpd.conf", OPENSMTPD)
        self.start(*in_namespace(self), self.PROGRAM, "-d", "-f", conf)
