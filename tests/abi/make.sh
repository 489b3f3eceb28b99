#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make.sh INCLUDE LIB MAJOR_MINOR: check_frozen_MAJOR_MINOR.so from the headers
# in INCLUDE, with libposthouse in LIB. See README.md; not a part of any build.
set -eu
cd "$(dirname "$0")"
out=check_frozen_$3.so
cc -std=gnu17 -Os -Wall -Wextra -Werror -I"$1" -shared -fPIC -fvisibility=hidden \
	-DFROZEN_NAME="check_frozen_$3" -Wl,-z,noseparate-code -Wl,-z,norelro \
	-Wl,--hash-style=gnu -Wl,--build-id=none -s \
	-o "$out" frozen.c -L"$2" -lposthouse
ls -l "$out"
