/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock.c - the paths a role may reach, as a table; everything else does
 * not open. Descriptors that the master or the queue passed stay usable.
 *
 * What the configuration names is read, too: modules by their path, and the
 * files of modules' options. Files are replaced by others of their name, so it
 * is their folder that is allowed. Nothing can be allowed later: what was is
 * remembered, so that one knows when another process is needed.
 *
 * glibc 2.36 has no wrappers, so the three system calls are made directly. The
 * ruleset asks only for rights that the kernel's version of Landlock knows.
 */
#include "role/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define ON_FILES                                               \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define MAY_READ \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAY_RUN (MAY_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define MAY_WRITE                                                            \
	(MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                          \
	    LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |      \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |      \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	    LANDLOCK_ACCESS_FS_REFER)
/* Devices (/dev/null): opened for writing, never made. */
#define MAY_USE (MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE)

struct path_right {
	unsigned roles;
	const char *path;
	uint64_t rights;
};

#define ALL_ROLES (~0u)
#define WITH_DNS (ROLE_BIT(ROLE_CHECK) | ROLE_BIT(ROLE_RELAY))

/* Libraries for everybody (a reload may load a module); the settings of the
 * resolver and of TLS where questions are asked. auth reads what its backends
 * name, bounded by its user alone. relay may run a program; that it may connect
 * to Unix sockets (LMTP), of which Landlock knows nothing, is left to the sockets'
 * own permissions. */
static const struct path_right path_rights[] = {
	{ ALL_ROLES, "/usr", MAY_READ },
	{ ALL_ROLES, "/opt", MAY_READ },
	{ ALL_ROLES, "/lib", MAY_READ },
	{ ALL_ROLES, "/lib64", MAY_READ },
	{ ALL_ROLES, "/etc/ld.so.cache", MAY_READ },
	{ ALL_ROLES, "/etc/localtime", MAY_READ },
	{ ALL_ROLES, "/dev", MAY_USE },
	{ ALL_ROLES, "/proc", MAY_READ },
	{ WITH_DNS, "/etc", MAY_READ },
	{ WITH_DNS, "/run/systemd/resolve", MAY_READ },
	{ ROLE_BIT(ROLE_AUTH), "/", MAY_READ },
	{ ROLE_BIT(ROLE_RELAY), "/usr", MAY_RUN },
	{ ROLE_BIT(ROLE_RELAY), "/bin", MAY_RUN },
	{ ROLE_BIT(ROLE_RELAY), "/lib", MAY_RUN },
	{ ROLE_BIT(ROLE_RELAY), "/lib64", MAY_RUN },
};

static uint64_t
known_rights(long version)
{
	uint64_t rights = LANDLOCK_ACCESS_FS_TRUNCATE * 2 - 1;

	if (version < 3)
		rights &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version < 2)
		rights &= ~LANDLOCK_ACCESS_FS_REFER;
	return rights;
}

/* What may be read, resolved; kept for confine_lacks. */
static struct allowed {
	struct allowed *next;
	char path[];
} *all_allowed;

static bool
resolve(const char *path, char resolved[PATH_MAX])
{
	return realpath(path, resolved) != NULL;
}

static void
remember(const char *path)
{
	struct allowed *allowed;
	char resolved[PATH_MAX];

	if (!resolve(path, resolved))
		return;
	allowed = malloc(sizeof(*allowed) + strlen(resolved) + 1);
	ph_assert(allowed != NULL);
	strcpy(allowed->path, resolved);
	allowed->next = all_allowed;
	all_allowed = allowed;
}

/* Whether it is path, or below it; both resolved. */
static bool
is_at_or_below(const char *at, const char *path)
{
	size_t n = strlen(path);

	if (n == 1) /* the root */
		return true;
	return strncmp(at, path, n) == 0 && (at[n] == '/' || at[n] == '\0');
}

static bool
is_allowed(const char *resolved)
{
	for (const struct allowed *at = all_allowed; at != NULL; at = at->next)
		if (is_at_or_below(resolved, at->path))
			return true;
	return false;
}

/*
 * What must be allowed for a file to be read, resolved: a folder itself; else
 * the file's folder, but for one with all of the server's data in it, or of the
 * machine. False: there is nothing.
 */
static bool
reach_of(const char *file, const struct core_conf *core,
    char reach[PATH_MAX])
{
	char data[PATH_MAX], folder[PATH_MAX], *slash;
	struct stat st;

	if (!resolve(file, reach)) { /* not there yet */
		snprintf(folder, sizeof(folder), "%s", file);
		slash = strrchr(folder, '/');
		*slash = '\0';
		return slash != folder && resolve(folder, reach) &&
		    (!resolve(core->data_dir, data) ||
		        !is_at_or_below(data, reach));
	}
	if (stat(reach, &st) != 0 || S_ISDIR(st.st_mode))
		return true;
	memcpy(folder, reach, sizeof(folder));
	slash = strrchr(folder, '/');
	*slash = '\0';
	if (slash != folder && (!resolve(core->data_dir, data) ||
	    !is_at_or_below(data, folder)))
		*strrchr(reach, '/') = '\0';
	return true;
}

/* A path that does not exist needs no rule. */
static int
allow_path(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	struct stat st;
	int error = 0, fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ON_FILES;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset,
	        LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		error = errno;
	close(fd);
	if (error == 0 && (rights & LANDLOCK_ACCESS_FS_READ_FILE) != 0)
		remember(path);
	return error;
}

/* What the user may not reach anyway is no reason to do without the rest. */
static int
allow_reads(int ruleset, const struct core_conf *core,
    const char *const *reads, uint64_t rights)
{
	char reach[PATH_MAX];

	for (; reads != NULL && *reads != NULL; reads++) {
		int error = reach_of(*reads, core, reach) ?
		    allow_path(ruleset, reach, rights) : 0;

		if (error != 0 && error != EACCES)
			return error;
	}
	return 0;
}

/* Modules named by their path, wherever they lie. */
static int
allow_modules(int ruleset, const struct conf *conf, uint64_t rights)
{
	int error = 0;

	for (const struct conf_section *at = conf->sections;
	     error == 0 && at != NULL; at = at->next) {
		const struct conf_setting *module = conf_setting(at, "module");

		if (module != NULL && module->text != NULL &&
		    module->text[0] == '/')
			error = allow_path(ruleset, module->text, rights);
	}
	return error;
}

static int
allow_role(int ruleset, enum role role, const struct core_conf *core,
    const char *dir, uint64_t known)
{
	int error = allow_path(ruleset, core->module_dir, MAY_READ & known);

	for (size_t i = 0; error == 0 &&
	    i < sizeof(path_rights) / sizeof(path_rights[0]); i++)
		if (path_rights[i].roles & ROLE_BIT(role))
			error = allow_path(ruleset, path_rights[i].path,
			    path_rights[i].rights & known);
	if (error == 0 && dir != NULL)
		error = allow_path(ruleset, dir, MAY_WRITE & known);
	if (error == 0 && role == ROLE_RELAY && core->tls.ca_file[0] != '\0')
		error = allow_path(ruleset, core->tls.ca_file,
		    MAY_READ & known);
	return error;
}

int
confine_paths(enum role role, const struct core_conf *core, const char *dir,
    const struct conf *conf, const char *const *reads)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { 0 };
	int error, ruleset;

	if (version < 0)
		return errno;
	attr.handled_access_fs = known_rights(version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
	    sizeof(attr), 0);
	if (ruleset < 0)
		return errno;
	error = allow_role(ruleset, role, core, dir, attr.handled_access_fs);
	if (error == 0 && conf != NULL)
		error = allow_modules(ruleset, conf,
		    MAY_READ & attr.handled_access_fs);
	if (error == 0)
		error = allow_reads(ruleset, core, reads,
		    MAY_READ & attr.handled_access_fs);
	if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		error = errno;
	close(ruleset);
	return error;
}

/* A file that nobody may reach, or that is not there, is not missing. */
static bool
is_beyond(const char *resolved)
{
	int fd = open(resolved, O_PATH | O_CLOEXEC); /* Landlock lets it */

	if (fd >= 0)
		close(fd);
	return fd >= 0 && !is_allowed(resolved);
}

bool
confine_lacks(const struct core_conf *core, const struct conf *conf,
    const char *const *reads)
{
	const struct conf_section *at = conf->sections;
	char reach[PATH_MAX];

	if (all_allowed == NULL)
		return false;
	for (; at != NULL; at = at->next) {
		const struct conf_setting *module = conf_setting(at, "module");

		if (module != NULL && module->text != NULL &&
		    module->text[0] == '/' && resolve(module->text, reach) &&
		    is_beyond(reach))
			return true;
	}
	for (; reads != NULL && *reads != NULL; reads++)
		if (reach_of(*reads, core, reach) && is_beyond(reach))
			return true;
	return false;
}
