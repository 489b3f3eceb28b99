/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - the queue role's mail in memory: what waits for whom and when.
 *
 * queue-db holds the truth; this is its index and the work under way. An entry
 * is one message. A lane is where recipients are handed to: one for each mail
 * process, one for each remote destination; what is due stands in its line. A
 * job is one attempt: recipients of one entry on one lane.
 */
#ifndef CORE_QUEUE_QUEUE_H
#define CORE_QUEUE_QUEUE_H

#include "base/id.h"
#include "queue/fair.h"
#include "queue/pace.h"
#include "queue_db.h"
#include "role/role.h"

enum {
	QUEUE_RCPT_MAX = 320,     /* octets of an address */
	QUEUE_JOB_RCPTS = 100,    /* recipients of one attempt */
	ATTEMPTS_MAX = (1 << 10) - 1,
	QUEUE_LOCAL_AT_ONCE = 256, /* deliveries at once to one mail process */
};

/* The words of an answer: those of a greylist are the same at many hosts. */
struct reply {
	unsigned references;
	int code;                 /* 0: none */
	const char *enhanced, *reason; /* NULL: none */
	uint16_t slot;            /* of said.c */
};

/* What an attempt was told, and by whom; shared, never changed. */
struct said {
	struct reply *reply;
	unsigned references;
	uint16_t slot;            /* of said.c */
	bool has_host;
	char host[];              /* said_host */
};

enum recipient_where {
	AT_REST, /* until next_ms */
	IN_LINE, /* due, and its lane has not come to it */
	AT_WORK, /* in a job */
};

/* What few recipients have; NULL: not given. */
struct recipient_more {
	const char *notify, *orcpt; /* RFC 3461 */
	const char *transport, *destination; /* routed so */
};

/* A million of these must fit: no more than what is asked of all of them. */
struct queue_recipient {
	int64_t next_ms;          /* wall time */
	struct lane *lane;        /* referenced; in line or at work not NULL */
	struct queue_recipient *next; /* in line */
	union {
		struct queue_recipient *prev; /* in line */
		struct job *job;              /* at work */
	};
	const char *address, *user; /* user NULL: remote */
	const struct recipient_more *more; /* in an entry not NULL */
	struct said *said;        /* in an entry not NULL */
	uint32_t number;
	enum queue_db_state state : 3;
	enum recipient_where where : 2;
	bool is_warned : 1;       /* its sender was told of the delay */
	bool is_nobody : 1;       /* routes lead it nowhere any more */
	unsigned index : 14;      /* in its entry */
	unsigned attempts : 10;   /* no more than ATTEMPTS_MAX are counted */
	bool is_routed : 1;       /* hooks were asked where it goes */
};

/* In memory from the acceptance to the first attempt: what is else read. */
struct kept {
	size_t facts_n, origin_n, content_n;
	char octets[];            /* facts, origin, content */
};

/* One allocation with its recipients and all texts. */
struct entry {
	struct entry *next_all, *prev_all; /* by id */
	struct entry *next_hash;
	uint64_t id;
	struct heap_node due;     /* in the schedule; the key is wall time */
	const char *sender;
	uint64_t session;         /* 0: none */
	struct kept *kept;        /* NULL: read from the store */
	uint32_t received_at;     /* s */
	uint32_t begun_at;        /* s: its age counts from here; above
	                           * received_at: who sent it wished so */
	uint32_t size_bytes;
	uint16_t jobs;
	uint16_t recipient_count;
	uint16_t payer;           /* its sender, for fair.h */
	uint16_t routes;          /* queue.routes when its own were found */
	bool is_routing : 1;      /* they are asked for */
	bool is_held : 1, is_removed : 1;
	bool is_quarantined : 1;  /* it came held: entry_quarantine */
	bool is_bounced : 1;      /* by hand: it fails, and asks nobody */
	bool is_by_user : 1;      /* who sent it had logged in */
	bool is_recording : 1;    /* a job puts its outcome on disk */
	uint8_t troubles;         /* in a row: nobody took a job of it */
	int8_t priority;          /* while it stands in no line: change it */
	struct queue_recipient recipients[];
};

struct job {
	struct job *next;
	struct entry *entry;
	struct lane *lane;
	bool is_silent;           /* asks nobody: an outcome is known already */
	bool was_unknown;         /* began on a destination that was */
};

/* A timer that outlives what it is for, until libuv lets it go. */
struct lane_timer;

/* The lanes of one transport share what it may do. */
struct pool {
	struct pool *next;
	char *name;               /* "TRANSPORT/"; "mail/": local */
	bool is_local;
	struct pace pace;
	struct pace_terms terms;
	uint64_t generation;      /* 1 + that the terms are of */
	/* Lanes by the highest priority that waits in them, the highest first;
	 * of destinations that are known to answer, and not. */
	struct heap ready[FAIR_LEVELS][2];
	/* Recipients of destinations that have no lane: in the line of one that
	 * stands for all of them, where the same tells them apart. NULL: nobody
	 * ever was. */
	struct lane *backlog[2];
	struct lane_timer *timer;
};

struct lane {
	struct lane *next_hash;
	struct pool *pool;
	unsigned transport_n;     /* not 0: name is TRANSPORT/destination */
	bool is_local;
	bool is_suspended;        /* by hand: nothing is handed out */
	bool is_backlog;          /* of a pool: no destination, no job */
	unsigned shard;           /* of the mail process */
	unsigned references;
	struct pace pace;
	struct pace_terms terms;
	uint64_t generation;      /* 1 + that the terms are of */
	struct lane_timer *timer; /* NULL: it never waited */
	struct fair_line line;
	struct heap *ready;       /* of the pool; NULL: nothing can begin */
	struct heap_node node;    /* in ready */
	struct said *said;        /* the last of its recipients; NULL: none */
	char name[];              /* domain; local: "mail/N" */
};

struct queue_state {
	struct queue_db *db;
	struct entry *oldest, *newest;
	size_t count;
	size_t memory;            /* octets of kept content */
	unsigned relaying;        /* remote attempts running */
	unsigned running;         /* all attempts */
	unsigned users;           /* fibers that wait for the store */
	uint64_t accepted, delivered, relayed, deferred, bounced;
	uint16_t routes;          /* moves on when routes may have changed */
	bool is_stopping, is_full;
	bool is_loading;          /* more waits in the store */
	struct ph_event moved;
	struct ph_event recorded; /* the outcome of a job is on disk */
	/* What a test steps: the clock of paces, and how a job begins. */
	uint64_t (*now_ms)(void);
	void (*begin)(struct job *job);
};
extern struct queue_state queue;

/* --- entry.c: what is in memory --- */

/* From a stored message, or one about to be (the same encoding). NULL: the
 * envelope can't be read. */
struct entry *entry_create(const struct queue_db_message *message);
void entry_free(struct entry *entry);
void entry_add(struct entry *entry);
/* Takes it out of the lists; frees it when no job holds it. */
void entry_remove(struct entry *entry);
struct entry *entry_find(uint64_t id);
/* Its id as text, and its session's (NULL: none): good until the next few. */
const char *entry_name(const struct entry *entry);
const char *entry_session(const struct entry *entry);
/* Why it came held; NULL: it did not. */
const char *entry_quarantine(const struct entry *entry);
struct entry *entry_of(struct queue_recipient *recipient);
/* Why a recipient failed whom another attempt might have served: "lifetime" or
 * "operator"; NULL: somebody refused it for good, or it did not fail. */
const char *recipient_given_up(const struct entry *entry,
    const struct queue_recipient *recipient);
/* Count one more attempt. */
void recipient_tried(struct queue_recipient *recipient);
/* Facts of the envelope and the content, unless too much is kept already. */
void entry_keep_content(struct entry *entry, struct ph_slice envelope,
    struct ph_slice content);
void entry_drop_content(struct entry *entry);
/* The durable part that changes with attempts. */
struct ph_slice recipient_record(struct ph_arena *arena,
    const struct queue_recipient *recipient);
/* What is known of a message ("body", "envid"): F_FACT fields of its envelope.
 * arena NULL: malloc'd, to be freed. */
struct ph_slice envelope_facts(struct ph_arena *arena,
    struct ph_slice envelope);
/* Its session and notes as they came from edge; absent where no hook wanted
 * them then. */
struct ph_slice envelope_origin(struct ph_slice envelope);
/* One of them; absent. */
struct ph_slice fact_of(struct ph_slice facts, const char *name);

/* --- said.c: what came back --- */

/* Set what the last attempt was told (copied, bounded). */
void recipient_say(struct queue_recipient *recipient, int code,
    struct ph_slice enhanced, struct ph_slice host, struct ph_slice reason);
/* Who said it; NULL: nobody, or it is not known. */
const char *said_host(const struct said *said);
struct said *said_get(struct said *said);
void said_put(struct said *said);

/* --- load.c: from the store --- */

/* Begin to fill the schedule, newest first; before anything is accepted. */
void load_start(void);

/* --- commit.c: the store, from a fiber --- */

int queue_open(const char *dir, const struct core_queue *conf,
    struct ph_err *err);
void queue_close(void);
/* Suspends until done. Takes the op. */
int queue_submit(struct queue_db_op *op, enum queue_db_when when);
/* Does not wait; what goes wrong is logged with the id. Takes the op. */
void queue_submit_later(struct queue_db_op *op, uint64_t id);
/* Read with body in the thread pool. */
int queue_read(uint64_t id, struct ph_arena *arena,
    struct queue_db_message *message_out);

/* --- accept.c: from edge --- */

void accept_serve(void);

/* --- schedule.c: when --- */

void schedule_start(void);
/* After recipients changed: find the next time, or take it out. */
void schedule_entry(struct entry *entry);
/* The same for one that was read from the store: its times may be from before
 * the clock was set back, so none is later than the longest retry; what is to be
 * returned is due. */
void schedule_loaded(struct entry *entry);
/* All that is due goes into the lines of its lanes. */
void schedule_due(struct entry *entry);
/* Another priority, which is durable: what is due stands in line anew. */
void schedule_priority(struct entry *entry, int priority);
/* One that was made durable just now: to the others, and due. */
void schedule_new(struct entry *entry);
void schedule_stop(void);

/* --- lane.c: where --- */

enum { LANE_NAME_MAX = 2 * QUEUE_RCPT_MAX + 2 };

/* The name of the recipient's lane, whether there is one or not. */
const char *lane_name(const struct queue_recipient *recipient,
    char room[LANE_NAME_MAX]);
/* The recipient's own; NULL: he has none, or stands in a backlog. */
struct lane *lane_of(const struct queue_recipient *recipient);
/* Whether it is where his mail goes. */
bool lane_is_for(const struct lane *lane,
    const struct queue_recipient *recipient);
/* Whether it has not answered, and is left alone for that. */
bool lane_rests(const struct queue_recipient *recipient);
/* Make it the recipient's, who is in no line, and the lane itself if it is not
 * there. */
void lane_join(struct queue_recipient *recipient);
/* He is in no line and in no job any more. What only rests has no lane: there
 * may be a million of them, each with a destination of its own. */
void lane_leave(struct queue_recipient *recipient);
void lane_put(struct lane *lane);
/* Put a recipient in the line of its lane, or in the backlog where there is none;
 * lane_run comes after the last. */
void lane_add(struct queue_recipient *recipient);
/* Take it out of the line again; it has no lane then. */
void lane_withdraw(struct queue_recipient *recipient);
/* Look whether the lane of the recipient can begin something. Jobs begin when
 * the caller suspends, at the earliest. */
void lane_offer(struct lane *lane);
/* Begin what may begin. */
void lane_run(void);
/* A job for recipients that asks nobody. Whoever is in no line; the caller
 * gives it more of the same entry and lane. */
struct job *lane_begin_silent(struct entry *entry, struct lane *lane);
/* The attempt is over; frees the job. nobody: no process of ours took it. */
void lane_job_done(struct job *job, enum pace_end end, bool nobody);
/* The configuration is another one. */
void lane_reload(void);
size_t lane_count(void);
/* Begin nothing of the lane with this name, in any case, or again. */
void lane_set_suspended(const char *name, bool on);
/* Forget that it did not answer: it is tried now. */
void lane_forgive(const char *name);
void lane_forgive_all(void);

/* --- suspend.c: destinations that are to wait --- */

/* Read which ones; before lanes are made. */
int suspend_load(struct ph_err *err);
/* By hand, and durable: hand nothing out to the lane of this name and to
 * recipients of this domain, or again. Suspends. */
int suspend_set(const char *name, bool on);
/* Whether the lane, or the domain, was named; in any case of letters. */
bool suspend_has(struct ph_slice name);
/* Whether its lane begins nothing, or it is kept out of the line. */
bool suspend_holds(const struct queue_recipient *recipient);
/* Only the latter. */
bool suspend_keeps_out(const struct queue_recipient *recipient);

/* --- attempt.c: one job --- */

/* In a fiber of its own. */
void attempt_begin(struct job *job);

/* --- report.c: delivery status notifications, RFC 3464 --- */

enum report_action {
	REPORT_FAILED,
	REPORT_DELIVERED,
	REPORT_DELAYED,
	REPORT_EXPANDED, /* RFC 3461 s5.2.7.3: into several recipients */
};
struct report {
	const struct entry *about;
	enum report_action action;
	/* whom it is about, and that the sender wants to hear of it */
	const bool *concerned; /* by index of the recipient */
	/* delivered, and by whom: enum ph_onward; NULL: all of them here */
	const uint8_t *onward;
	/* whom somebody was asked about just now, and answered; NULL: nobody */
	const bool *attempted;
	struct ph_slice facts;   /* of the message */
	struct ph_slice content; /* of the message, or only its header */
};
enum report_result {
	REPORT_MADE,   /* *entry_out is to be added when op happened */
	REPORT_NOBODY, /* nobody is to hear of it; logged */
	REPORT_LATER,  /* who the sender is can't be told now */
};
/* Suspends. */
enum report_result report_make(const struct report *report,
    struct queue_db_op *op, struct ph_arena *arena, struct entry **entry_out);
/* Whether a value of NOTIFY (may be absent) has the word; any case. */
bool report_notify_has(struct ph_slice notify, const char *word);
/* report_text.c: the octets of it. */
struct ph_slice report_text(const struct report *report,
    struct ph_arena *arena);
/* What a report returns of a content that may be in a file (-1: it is not):
 * octets, and the first of the file's. */
struct ph_slice report_content(struct ph_arena *arena, struct ph_slice octets,
    int fd);
/* Whether the sender wants to hear of this outcome, RFC 3461 s4.1. */
bool report_is_wanted(const struct entry *entry,
    const struct queue_recipient *recipient, enum report_action action);

/* --- admin.c --- */

void admin_serve(void);

#endif
