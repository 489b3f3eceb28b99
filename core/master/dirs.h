/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirs.h - the users that roles run as and the folders they own.
 */
#ifndef CORE_MASTER_DIRS_H
#define CORE_MASTER_DIRS_H

#include "bus/bus.h"
#include "conf/core_conf.h"

struct role_user {
	bool drop; /* become uid and gid; else stay who we are */
	unsigned uid, gid;
};

/* Without root: nobody drops. As root PREFIXrole must exist: PH_NOT_FOUND. */
int dirs_users(const struct core_conf *core, struct role_user users_out[ROLES],
    struct ph_err *err);
/* Who the configuration checker runs as: the check role's user. */
int dirs_checker_user(const struct core_conf *core, struct role_user *user_out,
    struct ph_err *err);

/*
 * data_dir (0711) and one folder a role (0700, its user's); what is missing is
 * made. A folder of another owner, or one that others may enter, is refused:
 * PH_DENIED.
 */
int dirs_make_data(const struct core_conf *core,
    const struct role_user users[ROLES], struct ph_err *err);
/* run_dir (0755). */
int dirs_make_run(const struct core_conf *core, struct ph_err *err);

/*
 * run_dir/posthouse.pid, locked while the process lives. PH_BUSY: another
 * master runs. The descriptor is the lock.
 */
int dirs_lock_pid(const struct core_conf *core, int *fd_out,
    struct ph_err *err);
/* Write a small file in run_dir whole: beside, then renamed. */
int dirs_write_run(const struct core_conf *core, const char *name,
    struct ph_slice text, struct ph_err *err);

#endif
