/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine.c - dropping to the role's user, and the order of the other layers.
 */
#include "role/confine.h"

#include <posthouse/log.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

bool
confine_is_on_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static bool
ids_are(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	    r == uid && e == uid && s == uid && rg == gid && eg == gid &&
	    sg == gid;
}

int
confine_user(const struct role_start *start, struct ph_err *err)
{
	gid_t gid = start->gid;
	uid_t uid = start->uid;

	if (start->drop &&
	    (uid == 0 || gid == 0 || setgroups(0, NULL) != 0 ||
	        setresgid(gid, gid, gid) != 0 ||
	        setresuid(uid, uid, uid) != 0 || !ids_are(uid, gid) ||
	        setresuid(0, 0, 0) == 0))
		return ph_err_set(err, PH_DENIED, errno,
		    "can't become uid %u gid %u: %s", start->uid, start->gid,
		    strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ph_err_set(err, PH_DENIED, errno,
		    "can't set no_new_privs: %s", strerror(errno));
	return PH_OK;
}

void
confine_dumps(bool allow)
{
	const struct rlimit none = { 0, 0 };

	/* LeakSanitizer attaches to its own process. */
	if (allow || IS_SANITIZED) {
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		return;
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
}

void
confine_offer_memory(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "500", 3) != 3)
		ph_log(PH_DEBUG, "not_confined", ph_f_str("by", "oom_score"));
	close(fd);
}

void
confine_judge(void)
{
	if (!IS_SANITIZED && !confine_is_on_valgrind())
		(void)confine_calls(ROLE_EDGE);
}

static void
log_layer(const char *layer, int error)
{
	if (error == 0)
		ph_log(PH_DEBUG, "confined", ph_f_str("by", layer));
	else
		ph_log(PH_WARN, "not_confined", ph_f_str("by", layer),
		    ph_f_str("reason", strerror(error)));
}

void
confine_process(enum role role, const struct core_conf *core, const char *dir,
    const struct conf *conf, const char *const *reads)
{
	if (IS_SANITIZED || confine_is_on_valgrind()) {
		ph_log(PH_INFO, "not_confined", ph_f_str("by", "landlock, seccomp"),
		    ph_f_str("reason", "runs under a sanitizer or valgrind"));
		return;
	}
	log_layer("landlock", confine_paths(role, core, dir, conf,
	    reads));
	log_layer("seccomp", confine_calls(role));
}
