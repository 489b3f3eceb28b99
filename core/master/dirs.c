/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirs.c - users, folders and the pid file. The master works here as root in
 * folders that only root may change; what a role owns it never looks into.
 */
#include "master/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- users --- */

static int
find_user(const struct core_conf *core, enum role role,
    struct role_user *user_out, struct ph_err *err)
{
	const struct passwd *found;
	char name[64];

	snprintf(name, sizeof(name), "%s%s", core->user_prefix,
	    role_name(role));
	errno = 0;
	found = getpwnam(name);
	if (found == NULL)
		return ph_err_set(err, PH_NOT_FOUND, errno,
		    "there is no user %s; packaging/users.sh creates them",
		    name);
	if (found->pw_uid == 0 || found->pw_gid == 0)
		return ph_err_set(err, PH_DENIED, 0,
		    "user %s must not be root", name);
	*user_out = (struct role_user){ true, found->pw_uid, found->pw_gid };
	return PH_OK;
}

int
dirs_users(const struct core_conf *core, struct role_user users_out[ROLES],
    struct ph_err *err)
{
	const struct role_user self = { false, geteuid(), getegid() };

	for (unsigned role = 0; role < ROLES; role++) {
		int status = PH_OK;

		users_out[role] = self;
		if (role != ROLE_MASTER && self.uid == 0)
			status = find_user(core, (enum role)role,
			    &users_out[role], err);
		if (status != PH_OK)
			return status;
	}
	return PH_OK;
}

int
dirs_checker_user(const struct core_conf *core, struct role_user *user_out,
    struct ph_err *err)
{
	*user_out = (struct role_user){ false, geteuid(), getegid() };
	return user_out->uid == 0 ?
	    find_user(core, ROLE_CHECK, user_out, err) : PH_OK;
}

/* --- folders --- */

/* The folders above path, as anybody may read them. */
static int
make_parents(const char *path, struct ph_err *err)
{
	char part[1024];

	if (strlen(path) >= sizeof(part) || path[0] != '/')
		return ph_err_set(err, PH_INVALID, 0,
		    "%s: not an absolute path of at most 1023 octets", path);
	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return ph_err_set(err, PH_IO, errno,
			    "can't make folder %s: %s", part, strerror(errno));
		*p = '/';
	}
	return PH_OK;
}

static int
open_folder(const char *path, mode_t mode, const struct role_user *owner,
    struct ph_err *err)
{
	bool is_new = mkdir(path, 0700) == 0;
	int fd;

	if (!is_new && errno != EEXIST)
		return ph_err_set(err, PH_IO, errno,
		    "can't make folder %s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	        (is_new ? O_NOFOLLOW : 0));
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "can't open folder %s: %s",
		    path, strerror(errno));
	if (is_new && ((owner->uid != geteuid() &&
	                   fchown(fd, owner->uid, owner->gid) != 0) ||
	                  fchmod(fd, mode) != 0)) {
		ph_err_set(err, PH_IO, errno, "can't give folder %s away: %s",
		    path, strerror(errno));
		close(fd);
		return PH_IO;
	}
	return fd;
}

/* mode: what a new one gets; forbidden: bits an existing one must not have. */
static int
make_folder(const char *path, mode_t mode, mode_t forbidden,
    const struct role_user *owner, struct ph_err *err)
{
	struct stat st;
	int fd = open_folder(path, mode, owner, err), status = PH_OK;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0)
		status = ph_err_set(err, PH_IO, errno, "%s: %s", path,
		    strerror(errno));
	else if (st.st_uid != owner->uid)
		status = ph_err_set(err, PH_DENIED, 0,
		    "folder %s belongs to user %u, not %u", path, st.st_uid,
		    owner->uid);
	else if (st.st_mode & forbidden)
		status = ph_err_set(err, PH_DENIED, 0,
		    "folder %s has mode %03o: others may enter or change it; "
		    "chmod %03o", path, st.st_mode & 07777, mode);
	close(fd);
	return status;
}

int
dirs_make_data(const struct core_conf *core,
    const struct role_user users[ROLES], struct ph_err *err)
{
	int status = make_parents(core->data_dir, err);

	if (status == PH_OK)
		status = make_folder(core->data_dir, 0711, 022,
		    &users[ROLE_MASTER], err);
	for (unsigned role = ROLE_EDGE; status == PH_OK && role < ROLES;
	     role++) {
		char path[1024];

		if (snprintf(path, sizeof(path), "%s/%s", core->data_dir,
		        role_name((enum role)role)) >= (int)sizeof(path))
			return ph_err_set(err, PH_INVALID, 0,
			    "data_dir is too long");
		status = make_folder(path, 0700, 077, &users[role], err);
	}
	return status;
}

int
dirs_make_run(const struct core_conf *core, struct ph_err *err)
{
	const struct role_user self = { false, geteuid(), getegid() };
	int status = make_parents(core->run_dir, err);

	return status == PH_OK ?
	    make_folder(core->run_dir, 0755, 022, &self, err) : status;
}

/* --- files in run_dir --- */

static int
run_path(const struct core_conf *core, const char *name, char *path,
    size_t size, struct ph_err *err)
{
	if (snprintf(path, size, "%s/%s", core->run_dir, name) < (int)size)
		return PH_OK;
	return ph_err_set(err, PH_INVALID, 0, "run_dir is too long");
}

static int
write_pid(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n ?
	    0 : -1;
}

static int
running_pid(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return strspn(text, "0123456789") == strlen(text) && strlen(text) < 10 ?
	    atoi(text) : 0;
}

int
dirs_lock_pid(const struct core_conf *core, int *fd_out, struct ph_err *err)
{
	char path[1024];
	int fd, status = run_path(core, "posthouse.pid", path, sizeof(path),
	    err);

	if (status != PH_OK)
		return status;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "can't open %s: %s", path,
		    strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		status = ph_err_set(err, errno == EWOULDBLOCK ? PH_BUSY : PH_IO,
		    errno, errno == EWOULDBLOCK ?
		    "it runs already, as process %d (%s is locked)" :
		    "process %d: can't lock %s", running_pid(fd), path);
	} else if (write_pid(fd) != 0) {
		status = ph_err_set(err, PH_IO, errno, "can't write %s: %s",
		    path, strerror(errno));
	}
	if (status == PH_OK)
		*fd_out = fd;
	else
		close(fd);
	return status;
}

static int
write_all(int fd, struct ph_slice text)
{
	while (text.n > 0) {
		ssize_t put = write(fd, text.p, text.n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return PH_IO;
		text.p += put;
		text.n -= (size_t)put;
	}
	return PH_OK;
}

int
dirs_write_run(const struct core_conf *core, const char *name,
    struct ph_slice text, struct ph_err *err)
{
	char path[1024], beside[1024 + 8];
	int fd, status = run_path(core, name, path, sizeof(path), err);

	if (status != PH_OK)
		return status;
	snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	if (fd >= 0) {
		status = write_all(fd, text);
		close(fd);
		if (status == PH_OK && rename(beside, path) == 0)
			return PH_OK;
	}
	return ph_err_set(err, PH_IO, errno, "can't write %s: %s", path,
	    strerror(errno));
}
