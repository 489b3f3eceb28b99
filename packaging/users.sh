#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# users.sh [PREFIX] - create the system users that the roles run as (root only).
# The packages do the same through sysusers; this is for trees without them.
set -eu
prefix=${1:-posthouse-}
exec 9>/run/lock/posthouse-users.lock
flock 9
# Its members may use posthousectl.
getent group posthouse >/dev/null || groupadd --system posthouse
for role in edge check auth queue mail relay; do
	getent passwd "$prefix$role" >/dev/null || useradd --system --user-group \
		--no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin "$prefix$role"
done
