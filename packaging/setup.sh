#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh GROUP... - install what is missing of the groups of packages.list
# (build run demo test bench), as root or with sudo. Services of installed mail
# servers are not started: they are there to be run by hand on loopback. With
# `test` the packages of the group `unpack`, which can't be installed beside the
# others, are unpacked into PH_UNPACKED, a folder each.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=
for group in "$@"; do
	for package in $(awk -v g="$group" '$1 == g { print $2 }' "$here/packages.list"); do
		case " $missing " in *" $package "*) continue ;; esac
		state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
		[ "$state" = "install ok installed" ] || missing="$missing $package"
	done
done

unpack() {
	folder=${PH_UNPACKED:-/var/cache/posthouse-test}/$1
	[ ! -d "$folder" ] || return 0
	new=$(mktemp -d)
	(cd "$new" && apt-get download -qq "$1" 2>/dev/null && dpkg -x ./*.deb tree) ||
		{ rm -rf "$new"; return 1; }
	as_root mkdir -p "$(dirname "$folder")"
	as_root mv "$new/tree" "$folder"
	rm -rf "$new"
}
case " $* " in
*" test "*)
	for package in $(awk '$1 == "unpack" { print $2 }' "$here/packages.list"); do
		unpack "$package" || echo "setup.sh: $package is left out" >&2
	done ;;
esac
[ -n "$missing" ] || exit 0

echo "installing:$missing"
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
	as_root chmod 755 $policy
	made_policy=yes
fi
status=0
as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || status=$?
# shellcheck disable=SC2086
[ $status != 0 ] || as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
	-qq -y --no-install-recommends $missing >/dev/null || status=$?
[ -z "$made_policy" ] || as_root rm -f $policy
exit $status
