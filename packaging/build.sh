#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh DIR [cmake options] - configure (once) and build into DIR.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$1
shift
[ -f "$dir/build.ninja" ] || cmake -S "$top" -B "$dir" -G Ninja "$@" >"${dir%/}.cmake.log" 2>&1 || {
	cat "${dir%/}.cmake.log"
	exit 1
}
rm -f "${dir%/}.cmake.log"
ninja -C "$dir" --quiet
