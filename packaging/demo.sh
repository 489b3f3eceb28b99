#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - the main job, seen: mail goes both ways through a whole server.
#
# Installs what is missing (Debian 12), builds, starts two servers and a DNS
# server on loopback, sends with real clients, reads the mail back over POP3 and
# IMAP, compares the bodies octet for octet, stops everything. Exits non-zero
# on any difference. --keep leaves the first server running and says how to
# point a mail client at it.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
keep=
[ "${1:-}" != --keep ] || keep=yes

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { printf '\nDEMO FAILED: %s\n' "$*" >&2; exit 1; }

say "1. What is missing is installed, then posthouse is built"
"$top/packaging/setup.sh" build run demo
"$top/packaging/build.sh" "$top/build" -DPH_TESTS=OFF
echo "built in $top/build"

work=$(mktemp -d /tmp/posthouse-demo.XXXXXX)
chmod 755 "$work"
dns_pid=
finish() {
	local status=$?
	trap - EXIT
	if [ -z "$keep" ] || [ $status != 0 ]; then
		[ ! -d "$work/first" ] || "$top/tests/sandbox.sh" stop "$work/first" || status=1
		[ ! -d "$work/second" ] || "$top/tests/sandbox.sh" stop "$work/second" || status=1
		[ -z "$dns_pid" ] || kill "$dns_pid"
		if [ $status = 0 ]; then rm -rf "$work"; else echo "logs are in $work" >&2; fi
	fi
	exit $status
}
trap finish EXIT

say "2. A DNS server, and two mail servers: example.test and second.test"
cat >"$work/zone" <<ZONE
second.test MX 10 mx.second.test
mx.second.test A 127.0.0.1
example.test MX 10 mail.example.test
mail.example.test A 127.0.0.1
ZONE
/usr/bin/python3 "$top/tests/support/dns_server.py" 0 "$work/zone" >"$work/dns.port" &
dns_pid=$!
for _ in $(seq 100); do [ ! -s "$work/dns.port" ] || break; sleep 0.1; done
dns=127.0.0.1:$(cat "$work/dns.port")
mkdir "$work/second.d" "$work/first.d"
cat >"$work/second.d/domain.conf" <<CONF
hostname = "mx.second.test";
domains = [ "second.test" ];
postmaster = "dora";
CONF
run "$top/tests/sandbox.sh" start "$work/second" --dns "$dns" --conf "$work/second.d"
second() { sed -n "s/^$1=//p" "$work/second/env"; }
printf 'secret\n' | run "$(second PH_CTL)" user add dora
cat >"$work/first.d/relay.conf" <<CONF
transport_smtp: { port = $(second PH_SMTP); allow_loopback = true; };
CONF
run "$top/tests/sandbox.sh" start "$work/first" --dns "$dns" --conf "$work/first.d"
first() { sed -n "s/^$1=//p" "$work/first/env"; }
echo "\$ $(first PH_CTL) status | grep state"
"$(first PH_CTL)" status | grep state

# A message with what mail servers like to get wrong: lone dots, 8-bit text, a
# line of 998 octets, trailing blanks, no text on the last line.
message() { # FILE FROM TO SUBJECT
	{
		printf 'From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n' "$2" "$3" "$4"
		printf 'Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <%s@example.test>\r\n' "$RANDOM$RANDOM"
		printf 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
		printf 'Gr\303\274\303\237e aus dem Posthaus.\r\n.\r\n..\r\n.dot first\r\nblanks at the end   \r\n'
		printf '%0998d\r\n\r\nlast line\r\n' 7
	} >"$1"
}
body() { sed '1,/^\r*$/d' "$1"; }
same() { # SENT RECEIVED WHAT
	body "$1" >"$work/body.sent"
	body "$2" >"$work/body.got"
	cmp "$work/body.sent" "$work/body.got" || fail "$3: the bodies differ"
	echo "   $3: body identical, $(wc -c <"$work/body.got") octets"
}
wait_for() { # SERVER USER COUNT
	local n=0
	for _ in $(seq 150); do
		n=$(curl -sS --cacert "$($1 PH_CA)" -u "$2:secret" "imaps://localhost:$($1 PH_IMAPS)" \
			-X 'STATUS INBOX (MESSAGES)' | sed -n 's/.*MESSAGES \([0-9]*\).*/\1/p')
		[ "${n:-0}" -lt "$3" ] || return 0
		sleep 0.2
	done
	fail "$2 has ${n:-no} messages, not $3"
}

say "3. alice -> bob, by authenticated submission over TLS (curl)"
message "$work/m1" alice@example.test bob@example.test "to the same server"
run curl -sS --cacert "$(first PH_CA)" --ssl-reqd -u alice:secret \
	--url "smtp://localhost:$(first PH_SUBMISSION)" --mail-from alice@example.test \
	--mail-rcpt bob@example.test --upload-file "$work/m1"
wait_for first bob 1

say "4. an outside server -> bob, on the inbound port (swaks)"
message "$work/m2" carla@outside.test bob@example.test "from outside"
head -c -2 "$work/m2" >"$work/m2.cut" # swaks ends the last line itself
run swaks --silent 1 --server 127.0.0.1 --port "$(first PH_SMTP)" --helo mail.outside.test \
	--from carla@outside.test --to bob@example.test --data "@$work/m2.cut"
wait_for first bob 2

say "5. alice -> dora@second.test, whose MX the DNS server knows (implicit TLS, curl)"
message "$work/m3" alice@example.test dora@second.test "to another server"
run curl -sS --cacert "$(first PH_CA)" -u alice:secret \
	--url "smtps://localhost:$(first PH_SUBMISSIONS)" --mail-from alice@example.test \
	--mail-rcpt dora@second.test --upload-file "$work/m3"
wait_for second dora 1

say "6. a stranger may not relay through us"
if swaks --silent 2 --server 127.0.0.1 --port "$(first PH_SMTP)" --helo mail.outside.test \
	--from carla@outside.test --to victim@elsewhere.test; then
	fail "the server relayed for a stranger"
fi

say "7. bob reads his mail over POP3 and IMAP, dora hers over IMAP"
for n in 1 2; do
	curl -sS --cacert "$(first PH_CA)" -u bob:secret \
		"pop3s://localhost:$(first PH_POP3S)/$n" >"$work/pop3.$n"
	same "$work/m$n" "$work/pop3.$n" "POP3 message $n"
	curl -sS --cacert "$(first PH_CA)" -u bob:secret \
		"imaps://localhost:$(first PH_IMAPS)/INBOX;MAILINDEX=$n" >"$work/imap.$n"
	same "$work/m$n" "$work/imap.$n" "IMAP message $n"
done
curl -sS --cacert "$(second PH_CA)" -u dora:secret \
	"imaps://localhost:$(second PH_IMAPS)/INBOX;MAILINDEX=1" >"$work/imap.3"
same "$work/m3" "$work/imap.3" "IMAP message of dora"

say "8. What the first server says of the message to second.test"
id=$(sed -n 's/.* accepted .*queue=\([0-9a-z]*\).*/\1/p' "$(first PH_LOG)" | tail -1)
run "$(first PH_CTL)" trace "$id"
run "$(first PH_CTL)" queue list

if [ -n "$keep" ]; then
	say "The first server stays: point a mail client at it"
	cat <<TEXT
   user alice, bob or carol, password secret
   IMAP        localhost port $(first PH_IMAP) (STARTTLS) or $(first PH_IMAPS) (TLS)
   POP3        localhost port $(first PH_POP3) (STLS) or $(first PH_POP3S) (TLS)
   inbound     localhost port $(first PH_SMTP), as other servers see it
   submission  localhost port $(first PH_SUBMISSION) (STARTTLS) or $(first PH_SUBMISSIONS) (TLS)
   the CA      $(first PH_CA)
   the log     $(first PH_LOG)
   stop it     $top/tests/sandbox.sh stop $work/first
               $top/tests/sandbox.sh stop $work/second; kill $dns_pid
TEXT
else
	say "Everything is stopped"
fi
echo "DEMO PASSED"
