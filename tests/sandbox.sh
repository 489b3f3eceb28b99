#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sandbox.sh - a throw-away posthouse on free loopback ports.
#
#   sandbox.sh start DIR [--users N] [--conf DIR-of-snippets]
#                        [--dns IP:PORT] [--build DIR] [--ports "7 OF THEM"]
#   sandbox.sh stop DIR      end it cleanly (SIGTERM)
#   sandbox.sh kill DIR      SIGKILL to every process of it
#   sandbox.sh restart DIR   start it again, same ports, same data
#
# Domain example.test; users alice, bob, carol and u0001 ... (--users N),
# password "secret"; postmaster's mail goes to alice. The *.conf of --conf
# override all of it; where they set domains, the users are in the first of
# them. DIR/env tells where everything is. As root the roles drop to their own users; otherwise all runs
# as the caller. Without --dns no packet leaves the machine. PH_WRAP may name a
# command to run the server under (valgrind --trace-children=yes ...).
set -eu
umask 022 # what is made here is for other users, too
top=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "sandbox.sh: $*" >&2; exit 1; }

# Whether other users may pass through every folder above and at $1.
searchable() {
	local at=$1
	while :; do
		[ $(( 0$(stat -c %a "$at") & 1 )) = 1 ] || return 1
		[ "$at" != / ] || return 0
		at=$(dirname "$at")
	done
}

# The programs and modules: from the build tree where the role's users can
# reach it, else from a copy.
place_programs() {
	posthouse=$build/bin/posthouse
	posthousectl=$build/bin/posthousectl
	modules=$build/modules
	[ -x "$posthouse" ] && [ -x "$posthousectl" ] || die "$build holds no posthouse"
	if [ "$(id -u)" = 0 ] && ! searchable "$build"; then
		mkdir -p "$state/lib/modules"
		cp "$build"/modules/*.so "$state/lib/modules/"
		cp -P "$build"/core/libposthouse.so* "$state/lib/"
		modules=$state/lib/modules
		export LD_LIBRARY_PATH=$state/lib
	fi
}

# "localhost" is ::1, too, where there is IPv6: both listen.
endpoints() {
	if grep -qs '^0\{31\}1 ' /proc/net/if_inet6; then
		echo "[ \"127.0.0.1:$1\", \"[::1]:$1\" ]"
	else
		echo "[ \"127.0.0.1:$1\" ]"
	fi
}

make_certificates() {
	mkdir -p "$dir/tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj "/CN=posthouse sandbox CA" -keyout "$dir/tls/ca.key" \
		-out "$dir/tls/ca.pem" \
		-addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-subj "/CN=mail.example.test" -keyout "$dir/tls/key.pem" \
		-out "$dir/tls/csr.pem" 2>/dev/null
	printf '%s\n' "subjectAltName=DNS:mail.example.test,DNS:localhost,IP:127.0.0.1,IP:::1" \
		"basicConstraints=CA:FALSE" "extendedKeyUsage=serverAuth,clientAuth" \
		"authorityKeyIdentifier=keyid" >"$dir/tls/ext"
	openssl x509 -req -in "$dir/tls/csr.pem" -CA "$dir/tls/ca.pem" \
		-CAkey "$dir/tls/ca.key" -CAcreateserial -days 30 \
		-extfile "$dir/tls/ext" -out "$dir/tls/cert.pem" 2>/dev/null
	chmod 600 "$dir/tls/key.pem"
}

# The first of the domains that hold: those of the last snippet that has any.
first_domain() {
	local set
	set=$(sed 's/#.*//; s,//.*,,' "$dir"/conf.d/*.conf | tr '\n' ' ' |
		grep -Eo '(^|[ ;])domains *[=:] *\[[^]]*\]' | tail -1)
	set=$(echo "$set" | grep -o '"[^"]*"' | head -1 | tr -d '"')
	echo "${set:-example.test}"
}

make_users() {
	local hash domain
	mkdir -p "$state/data/auth"
	hash=$(openssl passwd -5 -salt sandboxsalt secret)
	domain=$(first_domain)
	{
		for user in alice bob carol; do echo "$user@$domain:$hash"; done
		[ "$users" = 0 ] || seq -f "u%04g@$domain:$hash" 1 "$users"
	} >"$state/data/auth/users"
	chmod 600 "$state/data/auth/users"
	chmod 700 "$state/data/auth"
	[ "$(id -u)" != 0 ] || chown -R posthouse-auth: "$state/data/auth"
}

write_conf() {
	local smtp submission submissions pop3 pop3s imap imaps
	[ -n "$ports" ] || ports=$(/usr/bin/python3 "$top/tests/support/ports.py" 7)
	read -r smtp submission submissions pop3 pop3s imap imaps <<<"$ports"
	mkdir -p "$dir/conf.d"
	cat >"$dir/posthouse.conf" <<CONF
hostname = "mail.example.test";
domains = [ "example.test" ];
postmaster = "alice";
data_dir = "$state/data";
run_dir = "$state/run";
module_dir = "$modules";
log: { target = "$dir/log"; level = "info"; };
tls: { certificate = "$dir/tls/cert.pem"; key = "$dir/tls/key.pem"; };
dns: { servers = [ "${dns:-127.0.0.1:1}" ]; };
queue: { soft_free_bytes = "64M"; ballast_bytes = "16M"; cache_bytes = "64M"; };
CONF
	cat >"$dir/conf.d/50-sandbox.conf" <<CONF
smtp_inbound: { listen = $(endpoints $smtp); };
smtp_submission: { listen = $(endpoints $submission);
                   listen_tls = $(endpoints $submissions); };
imap: { listen = $(endpoints $imap); listen_tls = $(endpoints $imaps); };
pop3: { listen = $(endpoints $pop3); listen_tls = $(endpoints $pop3s); };
auth_local: { };
store_maildir: { };
transport_smtp: { };
CONF
	if [ -n "$conf" ]; then
		for file in "$conf"/*.conf; do
			[ ! -e "$file" ] || cp "$file" "$dir/conf.d/90-$(basename "$file")"
		done
	fi
	cat >"$dir/ctl" <<CTL
#!/bin/sh
${LD_LIBRARY_PATH:+export LD_LIBRARY_PATH="$LD_LIBRARY_PATH"}
exec "$posthousectl" -c "$dir/posthouse.conf" "\$@"
CTL
	chmod 755 "$dir/ctl"
	cat >"$dir/settings" <<ENV
posthouse=$posthouse
state=$state
${LD_LIBRARY_PATH:+export LD_LIBRARY_PATH=$LD_LIBRARY_PATH}
ENV
	cat >"$dir/env.ports" <<ENV
PH_HOST=127.0.0.1
PH_SMTP=$smtp
PH_SUBMISSION=$submission
PH_SUBMISSIONS=$submissions
PH_POP3=$pop3
PH_POP3S=$pop3s
PH_IMAP=$imap
PH_IMAPS=$imaps
PH_CA=$dir/tls/ca.pem
PH_DOMAIN=$(first_domain)
PH_CTL=$dir/ctl
PH_LOG=$dir/log
PH_MAIL=$state/data/mail
PH_QUEUE=$state/data/queue
ENV
}

is_alive() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null; }
is_zombie() { grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
master_pid() { cat "$dir/pid" 2>/dev/null || true; }

# Start the master and wait until the log says that it is ready.
launch() {
	local seen pid
	. "$dir/settings"
	touch "$dir/log"
	seen=$(wc -l <"$dir/log")
	setsid ${PH_WRAP:-} "$posthouse" -F -c "$dir/posthouse.conf" </dev/null >>"$dir/stderr" 2>&1 9>&- &
	pid=$!
	echo $pid >"$dir/pid"
	for _ in $(seq 2400); do
		if tail -n +$((seen + 1)) "$dir/log" | grep -q " master\[$pid\] ready"; then
			{ cat "$dir/env.ports"; echo "PH_PID=$pid"; } >"$dir/env.new"
			mv "$dir/env.new" "$dir/env"
			return 0
		fi
		is_alive $pid || break
		sleep 0.05
	done
	{ tail -n +$((seen + 1)) "$dir/log" | tail -20; tail -20 "$dir/stderr"; } >&2
	! is_alive $pid || kill -9 $pid
	die "the server did not become ready"
}

start() {
	local users=0 conf="" dns="" ports="" build=$top/build state=$dir
	local posthouse posthousectl modules
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--users) users=$2 ;;
		--conf) conf=$2 ;;
		--dns) dns=$2 ;;
		--ports) ports=$2 ;;
		--build) build=$(cd "$2" 2>/dev/null && pwd) || die "there is no $2" ;;
		*) die "unknown option $1" ;;
		esac
		shift 2
	done
	[ -z "$conf" ] || [ -d "$conf" ] || die "there is no folder $conf"
	[ "$users" -ge 0 ] 2>/dev/null || die "--users needs a number"
	! is_alive "$(master_pid)" || die "$dir is running already"
	[ -d "$build/modules" ] || "$top/packaging/build.sh" "$build" -DPH_TESTS=OFF
	if [ "$(id -u)" = 0 ]; then
		"$top/packaging/users.sh"
		chmod 755 "$dir"
		if ! searchable "$dir"; then
			state=$(mktemp -d /var/tmp/posthouse-sandbox.XXXXXX)
			chmod 755 "$state"
		fi
	fi
	place_programs
	make_certificates
	write_conf
	make_users
	launch
}

# All processes of the sandbox: the master, stopped so that it starts no more,
# and its children.
kill_all() {
	local pid all left p
	pid=$(master_pid)
	is_alive "$pid" || return 0
	kill -STOP "$pid"
	all="$pid $(pgrep -P "$pid" | tr '\n' ' ')"
	kill -KILL $all 2>/dev/null || true
	for _ in $(seq 1200); do
		left=
		for p in $all; do
			[ ! -e "/proc/$p" ] || is_zombie "$p" || left=yes
		done
		[ -n "$left" ] || return 0
		sleep 0.05
	done
	die "processes survive SIGKILL: $all"
}

stop() {
	local pid
	pid=$(master_pid)
	is_alive "$pid" || return 0
	kill -TERM "$pid"
	for _ in $(seq 2400); do
		is_alive "$pid" || return 0
		! is_zombie "$pid" || return 0
		sleep 0.05
	done
	kill_all
	die "did not end within 120 s; killed"
}

[ $# -ge 2 ] || die "usage: sandbox.sh start|stop|kill|restart DIR [options]"
command=$1
[ "$command" != start ] || mkdir -p "$2"
[ -d "$2" ] || die "there is no sandbox in $2"
dir=$(cd "$2" && pwd)
shift 2
case $command in
start) start "$@" ;;
stop) stop ;;
kill) kill_all ;;
restart)
	[ -e "$dir/settings" ] || die "there is no sandbox in $dir"
	stop
	launch ;;
*) die "unknown command $command" ;;
esac
