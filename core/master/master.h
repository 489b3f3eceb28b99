/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.h - the supervisor's one state, and what its files ask of each other.
 *
 * The master binds sockets, starts a process for each role and index, tells
 * each its part of the plan, links those who may talk, starts again what dies.
 * It runs no module code and parses nothing that comes from the network.
 */
#ifndef CORE_MASTER_MASTER_H
#define CORE_MASTER_MASTER_H

#include "master/child.h"
#include "master/dirs.h"
#include "master/plan.h"
#include "role/role.h"

enum process_state {
	PROCESS_DOWN,     /* not running; waits to be started, or stays down */
	PROCESS_STARTING, /* runs, has no configuration yet */
	PROCESS_READY,
	PROCESS_STOPPING,
};
const char *process_state_name(enum process_state state);

/* One place for a process; a fiber of its own keeps it filled. */
struct process {
	enum role role;
	unsigned index;
	enum process_state state;
	struct child child;
	struct activity *page;     /* shared with the process; NULL: none */
	uint64_t started_ms;
	uint64_t generation;       /* it has confirmed */
	unsigned restarts;
	unsigned deaths_in_row;    /* since it last lived long */
	unsigned data_failures;    /* queue: exits because of a failed fsync */
	unsigned links_opened, links_closed; /* equal: no link */
	bool is_hung, is_over;     /* the watchdog killed it: time, memory */
	int stuck_pid;             /* the last that it killed in a module's load */
	char stuck_in[48];         /* of that module */
	uint64_t lost_links[ROLES]; /* that it told of: bit by index */
	bool is_deaf;              /* its link went down before it did */
	bool is_excused;           /* a module did it, which the breaker counts */
	bool is_refused;           /* it did not take its configuration */
	bool is_outgrown;          /* only another in its place can take it */
	bool is_renewing;          /* that one is to come */
	bool has_failed;           /* the server can't start because of it */
	struct ph_event changed;   /* state or link */
};

struct master {
	const char *main_file;     /* absolute */
	struct plan *plan;         /* the current generation */
	struct role_user users[ROLES];
	unsigned sizes[ROLES];
	uint8_t key[TOKEN_KEY_SIZE];
	struct process *processes;
	size_t process_count;
	int log_fd;
	int pid_fd;
	uint64_t started_ms;
	bool is_starting, is_stopping;
	struct ph_event changed;   /* a process's state, or is_stopping */
};
extern struct master master;

/* --- process.c --- */

/* Make the places; nothing runs yet. */
void process_table_create(void);
/* Start the fiber that keeps the place filled. */
void process_keep(struct process *process);
struct process *process_of(enum role role, unsigned index);
/* Send a plan; 0, PH_INVALID with the process's own errors added, or a status
 * when it died or did not answer. Suspends. */
int process_configure(struct process *process, struct plan *plan,
    struct conf_errors *errors);
/* It is outgrown: let it make way for another. */
void process_renew(struct process *process);
/* After a reload: let what was told to stay down try again. */
void process_forgive(void);
/* End it: told, then killed at the deadline. Suspends until it is gone. */
void process_stop(struct process *process, uint64_t deadline_ms);
void process_set_state(struct process *process, enum process_state state);

/* --- peers.c --- */

/* Whether two roles have something to say to each other. */
bool peers_may_talk(enum role a, enum role b);
/* Make socket pairs between a ready process and all others that are ready. */
void peers_link(struct process *process);
/* Make another when one breaks between two that go on. */
void peers_serve(void);

/* --- watch.c --- */

/* Start the fiber that reads the heartbeats. */
void watch_start(void);
/* Whether it made way, as it was told to. */
bool watch_is_renewed(const struct process *process);
/* Log a death and count it against the module the process was in. True: it is
 * one that will be taken out if it goes on so. */
bool watch_note_death(const struct process *process);
/* Tell who waits for a dead process of the checks what it died of, and over
 * whom, if that is certain: MSG_CRASH. */
void watch_tell_askers(const struct process *process);

/* --- reload.c --- */

/* Read the configuration again. 0, or PH_INVALID with errors; nothing has
 * changed then. Suspends. Logs either way. */
int master_reload(struct conf_errors *errors);

/* --- logs.c --- */

/* Open what the plan names. The descriptor is the caller's. */
int logs_open(const struct core_conf *core, int *fd_out, struct ph_err *err);
/* Log there from now on, and let every process do so. fd given. */
void logs_use(int fd);
/* SIGUSR1. */
void logs_reopen(void);

/* --- control.c --- */

int control_open(const struct core_conf *core, struct ph_err *err);
/* Answer no more; the socket's file goes. */
void control_close(void);

/* --- master.c --- */

/* End the server: once, from any fiber. */
void master_stop(void);
/* The life of the master from here on; returns the exit status. */
int master_main(const char *main_file, bool is_daemon);

#endif
