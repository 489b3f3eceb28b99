#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# valgrind.sh [BUILD] - one whole journey with every process under valgrind:
# submission and inbound in, POP3 and IMAP out, a clean stop. Fails on any error
# or lost block.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build}
dir=$(mktemp -d /tmp/posthouse-valgrind.XXXXXX)
chmod 777 "$dir"
export PH_WRAP="valgrind --trace-children=yes --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect --error-exitcode=99 --log-file=$dir/valgrind.%p --suppressions=$top/tests/support/valgrind.supp"
"$top/tests/sandbox.sh" start "$dir/box" --build "$build"
trap '"$top/tests/sandbox.sh" stop "$dir/box"' EXIT
. "$dir/box/env"
curl_="curl -sS --max-time 120 --cacert $PH_CA"
printf 'From: <alice@example.test>\r\nSubject: one\r\n\r\n.\r\nbody\r\n' >"$dir/m"
head -c 200000 /dev/zero | tr '\0' 'x' | fold -w 70 | { cat; echo; } | sed 's/$/\r/' >"$dir/big.body"
cat "$dir/m" "$dir/big.body" >"$dir/big"
for m in m big; do
	$curl_ --ssl-reqd -u alice:secret --url "smtp://localhost:$PH_SUBMISSION" \
		--mail-from alice@example.test --mail-rcpt bob@example.test --upload-file "$dir/$m"
done
$curl_ --url "smtp://127.0.0.1:$PH_SMTP" --mail-from x@outside.test \
	--mail-rcpt bob@example.test --upload-file "$dir/m"
for _ in $(seq 100); do
	n=$($curl_ -u bob:secret "imaps://localhost:$PH_IMAPS/INBOX" -X 'STATUS INBOX (MESSAGES)' |
		sed -n 's/.*MESSAGES \([0-9]*\).*/\1/p')
	[ "${n:-0}" -lt 3 ] || break
	sleep 0.5
done
$curl_ -u bob:secret "imaps://localhost:$PH_IMAPS/INBOX;MAILINDEX=2" >/dev/null
$curl_ -u bob:secret "imaps://localhost:$PH_IMAPS/INBOX" -X 'FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)' >/dev/null
$curl_ -u bob:secret "pop3s://localhost:$PH_POP3S/1" >/dev/null
"$PH_CTL" status >/dev/null
trap - EXIT
"$top/tests/sandbox.sh" stop "$dir/box"
if grep -l 'ERROR SUMMARY: [1-9]' "$dir"/valgrind.*; then
	grep -h -A12 -E 'Invalid|uninit|lost in|ERROR SUMMARY: [1-9]' "$dir"/valgrind.* | head -120
	exit 1
fi
echo "$(ls "$dir"/valgrind.* | wc -l) processes, no error, no lost block"
rm -rf "$dir"
