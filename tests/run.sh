#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh - install what is missing, build with sanitizers, run every test.
# Ends with one line "N passed, N failed". --only WORD picks tests by name.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
"$top/packaging/setup.sh" build run test
"$top/packaging/build.sh" "$top/build-asan" -DPH_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
exec /usr/bin/python3 "$top/tests/run.py" "$top/build-asan" "$@"
