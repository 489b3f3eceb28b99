/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.c - who may give us code, and whether it speaks our ABI. Nothing of a
 * descriptor is read before its version and size agree.
 */
#include "module/loader.h"

#include "module/module_conf.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	KINDS_KNOWN = PH_KIND_LISTENER | PH_KIND_AUTH | PH_KIND_CHECK |
	    PH_KIND_STORE | PH_KIND_TRANSPORT | PH_KIND_ROUTER,
};

static struct loaded {
	struct loaded *next;
	const struct ph_module *module;
	char *path;
	struct stat file; /* when it was loaded */
} *all_loaded;

/* Code may come from root, from us, or from who owns the program itself. */
static bool
is_trusted_owner(uid_t owner)
{
	struct stat st;

	return owner == 0 || owner == geteuid() ||
	    (stat("/proc/self/exe", &st) == 0 && st.st_uid == owner);
}

static int
check_file(const char *path, struct stat *st_out, struct ph_err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return ph_err_set(err, PH_NOT_FOUND, errno, "%s: %s", path,
		    strerror(errno));
	if (!S_ISREG(st.st_mode))
		return ph_err_set(err, PH_INVALID, 0, "%s: not a file", path);
	if ((st.st_mode & S_IWOTH) != 0)
		return ph_err_set(err, PH_DENIED, 0,
		    "%s: anybody may write to it; wanted mode 0755 or less",
		    path);
	if (!is_trusted_owner(st.st_uid))
		return ph_err_set(err, PH_DENIED, 0,
		    "%s: owned by uid %u; wanted root", path,
		    (unsigned)st.st_uid);
	*st_out = st;
	return PH_OK;
}

static bool
has_ops(const struct ph_module *module)
{
	const struct {
		unsigned kind;
		const void *ops;
	} all[] = {
		{ PH_KIND_LISTENER, module->listener },
		{ PH_KIND_AUTH, module->auth },
		{ PH_KIND_CHECK, module->check != NULL ?
		    (const void *)module->check :
		    (const void *)module_delivery(module) },
		{ PH_KIND_STORE, module->store },
		{ PH_KIND_TRANSPORT, module->transport },
		{ PH_KIND_ROUTER, module->abi.minor >= 1 ? module->router :
		    NULL },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if ((module->kinds & all[i].kind) != 0 && all[i].ops == NULL)
			return false;
	return module->kinds != 0;
}

bool
loader_accepts(const struct ph_module *module, struct ph_err *err)
{
	const struct ph_abi *abi = &module->abi;
	size_t wanted = abi->minor >= 4 ? sizeof(*module) :
	    abi->minor >= 1 ? offsetof(struct ph_module, delivery) :
	    offsetof(struct ph_module, router);

	if (abi->major != PH_ABI_MAJOR || abi->minor > PH_ABI_MINOR) {
		ph_err_set(err, PH_INVALID, 0,
		    "built for ABI %u.%u; wanted %u.%u or an older %u.x",
		    abi->major, abi->minor, PH_ABI_MAJOR, PH_ABI_MINOR,
		    PH_ABI_MAJOR);
		return false;
	}
	if (abi->size < wanted) {
		ph_err_set(err, PH_INVALID, 0,
		    "its descriptor has %u octets; wanted %zu for ABI %u.%u",
		    abi->size, wanted, abi->major, abi->minor);
		return false;
	}
	if ((module->kinds & ~(unsigned)KINDS_KNOWN) != 0) {
		ph_err_set(err, PH_INVALID, 0,
		    "claims kinds 0x%x that this server does not know",
		    module->kinds & ~(unsigned)KINDS_KNOWN);
		return false;
	}
	if (module->name == NULL || !has_ops(module)) {
		ph_err_set(err, PH_INVALID, 0,
		    "its descriptor has no name, or lacks the operations of "
		    "a kind it claims");
		return false;
	}
	return true;
}

/*
 * All that a module needs is found now, or it is refused: libltdl would leave it
 * to the first call, and hides why the system refused. Stays open. A role that
 * is at work is confined to a few folders.
 */
static bool
is_whole(const char *path, struct ph_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why;

	if (fd < 0) {
		ph_err_set(err, PH_DENIED, errno, "%s: %s; a server at work "
		    "reads modules of this kind in its module_dir, /usr and "
		    "/opt alone: restart it", path, strerror(errno));
		return false;
	}
	close(fd);
	if (dlopen(path, RTLD_NOW | RTLD_LOCAL) != NULL)
		return true;
	why = dlerror();
	ph_err_set(err, PH_INVALID, 0, "%s: %s%s", path,
	    why != NULL ? why : "can't be loaded",
	    why != NULL && strstr(why, "undefined symbol: ph_") != NULL ?
	    "; it was built for a newer server" : "");
	return false;
}

static const struct ph_module *
load(const char *path, struct ph_err *err)
{
	const struct ph_module *module;
	lt_dladvise advise;
	lt_dlhandle handle;
	struct ph_err why;

	if (all_loaded == NULL) {
		unsetenv("LTDL_LIBRARY_PATH");
		if (lt_dlinit() != 0) {
			ph_err_set(err, PH_IO, 0, "libltdl: %s", lt_dlerror());
			return NULL;
		}
	}
	if (!is_whole(path, err))
		return NULL;
	lt_dladvise_init(&advise);
	lt_dladvise_local(&advise);
	handle = lt_dlopenadvise(path, advise);
	lt_dladvise_destroy(&advise);
	if (handle == NULL) {
		ph_err_set(err, PH_INVALID, 0, "%s: %s", path, lt_dlerror());
		return NULL;
	}
	module = lt_dlsym(handle, "ph_module");
	if (module == NULL) {
		ph_err_set(err, PH_INVALID, 0,
		    "%s: exports no ph_module; the file must be called as in "
		    "PH_MODULE(name)", path);
		return NULL;
	}
	if (!loader_accepts(module, &why)) {
		ph_err_set(err, PH_INVALID, 0, "%s: %s", path, why.text);
		return NULL;
	}
	return module;
}

const struct ph_module *
loader_open(const char *path, struct ph_err *err)
{
	const struct ph_module *module;
	struct loaded *loaded;
	struct stat st;

	for (loaded = all_loaded; loaded != NULL; loaded = loaded->next)
		if (strcmp(loaded->path, path) == 0)
			return loaded->module;
	if (check_file(path, &st, err) != PH_OK)
		return NULL;
	module = load(path, err);
	if (module == NULL)
		return NULL;
	loaded = calloc(1, sizeof(*loaded));
	ph_assert(loaded != NULL);
	loaded->path = strdup(path);
	loaded->file = st;
	loaded->module = module;
	loaded->next = all_loaded;
	all_loaded = loaded;
	return module;
}

bool
loader_is_stale(const char *path)
{
	const struct loaded *loaded = all_loaded;
	struct stat st;

	while (loaded != NULL && strcmp(loaded->path, path) != 0)
		loaded = loaded->next;
	if (loaded == NULL || stat(path, &st) != 0)
		return false;
	return st.st_dev != loaded->file.st_dev ||
	    st.st_ino != loaded->file.st_ino ||
	    st.st_size != loaded->file.st_size ||
	    st.st_mtim.tv_sec != loaded->file.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != loaded->file.st_mtim.tv_nsec;
}
