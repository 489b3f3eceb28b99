/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.c - system calls that a role never needs answer EPERM.
 *
 * A list of what is denied, not of what is allowed: libraries of modules we
 * have not seen must go on working, and what is dangerous is a short list. It
 * holds for all threads (TSYNC). Calls that this libseccomp can't name are
 * passed over.
 */
#include "role/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUT(roles) (~(unsigned)(roles))
#define ALL_ROLES (~0u)
#define EDGE ROLE_BIT(ROLE_EDGE)
#define CHECK ROLE_BIT(ROLE_CHECK)
#define QUEUE ROLE_BIT(ROLE_QUEUE)
#define MAIL ROLE_BIT(ROLE_MAIL)
#define AUTH ROLE_BIT(ROLE_AUTH)
#define RELAY ROLE_BIT(ROLE_RELAY)

struct denied_call {
	const char *name;
	unsigned roles;
};

static const struct denied_call denied_calls[] = {
	/* other processes and their memory */
	{ "ptrace", ALL_ROLES }, { "process_vm_readv", ALL_ROLES },
	{ "process_vm_writev", ALL_ROLES }, { "kcmp", ALL_ROLES },
	{ "pidfd_getfd", ALL_ROLES }, { "pidfd_open", BUT(RELAY) },
	{ "kill", BUT(RELAY | AUTH) }, { "tkill", BUT(RELAY | AUTH) },
	{ "pidfd_send_signal", BUT(RELAY | AUTH) },
	{ "rt_sigqueueinfo", BUT(RELAY | AUTH) },
	{ "rt_tgsigqueueinfo", BUT(RELAY | AUTH) },
	{ "fork", BUT(RELAY | AUTH) }, { "vfork", BUT(RELAY | AUTH) },
	{ "perf_event_open", ALL_ROLES }, { "userfaultfd", ALL_ROLES },
	/* the machine */
	{ "mount", ALL_ROLES }, { "umount2", ALL_ROLES },
	{ "pivot_root", ALL_ROLES }, { "chroot", ALL_ROLES },
	{ "move_mount", ALL_ROLES }, { "open_tree", ALL_ROLES },
	{ "fsopen", ALL_ROLES }, { "fsconfig", ALL_ROLES },
	{ "fsmount", ALL_ROLES }, { "fspick", ALL_ROLES },
	{ "mount_setattr", ALL_ROLES }, { "unshare", ALL_ROLES },
	{ "setns", ALL_ROLES }, { "reboot", ALL_ROLES },
	{ "swapon", ALL_ROLES }, { "swapoff", ALL_ROLES },
	{ "acct", ALL_ROLES }, { "quotactl", ALL_ROLES },
	{ "sethostname", ALL_ROLES }, { "setdomainname", ALL_ROLES },
	{ "settimeofday", ALL_ROLES }, { "clock_settime", ALL_ROLES },
	{ "adjtimex", ALL_ROLES }, { "clock_adjtime", ALL_ROLES },
	{ "iopl", ALL_ROLES }, { "ioperm", ALL_ROLES },
	{ "vhangup", ALL_ROLES }, { "syslog", ALL_ROLES },
	/* the kernel's code and keys */
	{ "bpf", ALL_ROLES }, { "kexec_load", ALL_ROLES },
	{ "kexec_file_load", ALL_ROLES }, { "init_module", ALL_ROLES },
	{ "finit_module", ALL_ROLES }, { "delete_module", ALL_ROLES },
	{ "keyctl", ALL_ROLES }, { "add_key", ALL_ROLES },
	{ "request_key", ALL_ROLES }, { "io_uring_setup", ALL_ROLES },
	/* files past the path checks */
	{ "open_by_handle_at", ALL_ROLES }, { "mknod", BUT(RELAY) },
	{ "mknodat", BUT(RELAY) },
	/* programs: relay may pipe a message to one */
	{ "execve", BUT(RELAY) }, { "execveat", BUT(RELAY) },
	/* edge: no connection of its own, no file changed */
	{ "socket", EDGE | QUEUE | MAIL }, { "connect", EDGE | QUEUE | MAIL },
	{ "bind", EDGE | QUEUE | MAIL }, { "listen", BUT(RELAY) },
	{ "accept", CHECK | QUEUE | MAIL }, { "accept4", CHECK | QUEUE | MAIL },
	{ "creat", EDGE | CHECK }, { "openat2", EDGE | CHECK },
	{ "truncate", EDGE | CHECK }, { "unlink", EDGE | CHECK },
	{ "unlinkat", EDGE | CHECK }, { "rename", EDGE | CHECK },
	{ "renameat", EDGE | CHECK }, { "renameat2", EDGE | CHECK },
	{ "mkdir", EDGE | CHECK }, { "mkdirat", EDGE | CHECK },
	{ "rmdir", EDGE | CHECK }, { "link", EDGE | CHECK },
	{ "linkat", EDGE | CHECK }, { "symlink", EDGE | CHECK },
	{ "symlinkat", EDGE | CHECK }, { "chmod", EDGE | CHECK },
	{ "fchmodat", EDGE | CHECK }, { "chown", EDGE | CHECK },
	{ "lchown", EDGE | CHECK }, { "fchownat", EDGE | CHECK },
};

/* Address families with nothing in them for mail. */
static const unsigned denied_families[] = { AF_PACKET, AF_ALG, AF_VSOCK,
	AF_KEY, AF_BLUETOOTH, AF_TIPC, AF_CAN };

static int
deny_families(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 &&
	    i < sizeof(denied_families) / sizeof(denied_families[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, denied_families[i], 0));
	return rc;
}

/* Those by which somebody outside ends us: the master blames nobody for them. */
static const int denied_signals[] = { SIGKILL, SIGTERM, SIGINT, SIGHUP };

static int
deny_signals(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 &&
	    i < sizeof(denied_signals) / sizeof(denied_signals[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(tgkill), 1,
		    SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)denied_signals[i], 0));
	return rc;
}

/*
 * Threads, but no processes, and signals to ourselves alone. The arguments of
 * clone3 lie in memory, where a filter can't look: the C library goes back to
 * clone when the kernel seems to lack it.
 */
static int
deny_processes(scmp_filter_ctx filter)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
	    SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));

	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(tgkill), 1,
		    SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid(), 0));
	return rc == 0 ? deny_signals(filter) : rc;
}

/* open(2) and openat(2) only for reading. */
static int
deny_opening_for_writing(scmp_filter_ctx filter)
{
	static const unsigned ways[] = { O_WRONLY, O_RDWR };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(ways) / sizeof(ways[0]); i++) {
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(openat), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, ways[i]));
		if (rc == 0)
			rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
			    SCMP_SYS(open), 1,
			    SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE, ways[i]));
	}
	return rc;
}

static int
deny_calls(scmp_filter_ctx filter, enum role role)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 &&
	    i < sizeof(denied_calls) / sizeof(denied_calls[0]); i++) {
		int call = seccomp_syscall_resolve_name(denied_calls[i].name);

		if (call != __NR_SCMP_ERROR &&
		    (denied_calls[i].roles & ROLE_BIT(role)))
			rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
			    call, 0);
	}
	return rc;
}

int
confine_calls(enum role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (filter == NULL)
		return ENOMEM;
	rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = deny_calls(filter, role);
	if (rc == 0 && !(ROLE_BIT(role) & (EDGE | QUEUE | MAIL)))
		rc = deny_families(filter);
	if (rc == 0 && !(ROLE_BIT(role) & (RELAY | AUTH)))
		rc = deny_processes(filter);
	if (rc == 0 && role == ROLE_EDGE)
		rc = deny_opening_for_writing(filter);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return -rc;
}
