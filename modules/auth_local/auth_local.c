/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_local - users and passwords in one text file.
 *
 * The file is kept as a table in memory and looked at again at most once a
 * second. A file that can't be read, or is gone, makes every answer "could not
 * tell": a disk that went away must not bounce mail. Only a server that never
 * saw the file takes it for empty.
 */
#include <posthouse/auth.h>

#include <sys/random.h>
#include <sys/stat.h>

#include "cache.h"
#include "edit.h"
#include "file.h"
#include "hash.h"
#include "users.h"

enum { LOOK_MS = 1000 };

struct local_conf {
	const char *file; /* "": users in the role's folder */
	unsigned scheme;  /* enum hash_scheme, for new passwords */
	unsigned cache_ms;
};

struct ph_auth {
	const struct local_conf *conf;
	struct ph_arena *arena;
	const char *path;
	uint64_t seed;
	struct cache *cache;
	struct users *users;     /* in an arena of its own; NULL: not read yet */
	struct file_stamp stamp; /* of what users was read from */
	bool has_stamp;          /* false: there was no file */
	bool is_unsure;          /* the file can't be read now */
	bool is_looking;
	struct ph_event looked;
	uint64_t looked_ms;
	char dummy[HASH_TEXT_MAX]; /* while there are no users */
};

/* --- reading the file --- */

struct look {
	const struct ph_auth *auth;
	struct ph_arena *text_arena, *users_arena;
	struct file_stamp stamp;
	struct users *users; /* NULL: unchanged, or failed */
	struct ph_err err;
	int status;
};

static void
look_work(void *arg)
{
	struct look *look = arg;
	const struct ph_auth *auth = look->auth;
	struct ph_slice text;

	look->status = file_stat(auth->path, &look->stamp, &look->err);
	if (look->status != PH_OK)
		return;
	if (auth->has_stamp && !auth->stamp.is_young &&
	    file_stamp_eq(&look->stamp, &auth->stamp))
		return;
	look->status = file_read(look->text_arena, auth->path, &text,
	    &look->stamp, &look->err);
	if (look->status != PH_OK)
		return;
	look->users = users_parse(look->users_arena, text, auth->seed);
	ph_wipe((char *)(uintptr_t)text.p, text.n);
}

static void
log_lines(const struct ph_auth *auth, const struct users *users)
{
	size_t kept = users->error_count < USERS_ERRORS_MAX ?
	    users->error_count : USERS_ERRORS_MAX;

	for (size_t i = 0; i < kept; i++)
		ph_log(PH_WARN, "users_line_skipped",
		    ph_f_str("file", auth->path),
		    ph_f_int("line", users->errors[i].line),
		    ph_f_str("reason", users->errors[i].why));
	if (users->error_count > kept)
		ph_log(PH_WARN, "users_lines_skipped",
		    ph_f_str("file", auth->path),
		    ph_f_int("count", (int64_t)users->error_count));
}

static void
take_users(struct ph_auth *auth, const struct look *look)
{
	struct users *old = auth->users;

	auth->users = look->users;
	if (old != NULL)
		ph_arena_free(old->arena);
	if (auth->has_stamp && file_stamp_eq(&auth->stamp, &look->stamp))
		return; /* read once more because it was young */
	ph_log(PH_INFO, "users_read", ph_f_str("file", auth->path),
	    ph_f_int("count", (int64_t)look->users->count));
	log_lines(auth, look->users);
	if (look->stamp.mode & (S_IROTH | S_IWOTH))
		ph_log(PH_WARN, "users_file_is_open_to_all",
		    ph_f_str("file", auth->path),
		    ph_f_str("reason", "others may read or write the hashes"));
}

/* No file and none before: no users. Else the answer is not known. */
static void
take_failure(struct ph_auth *auth, const struct look *look)
{
	if (look->status == PH_NOT_FOUND && !auth->has_stamp) {
		if (auth->users == NULL) {
			ph_log(PH_NOTICE, "no_users_file",
			    ph_f_str("file", auth->path));
			auth->users = users_parse(ph_arena_create(NULL),
			    PH_LIT(""), auth->seed);
		}
		auth->is_unsure = false;
		return;
	}
	if (!auth->is_unsure)
		ph_log(PH_ERROR, "users_not_read",
		    ph_f_str("reason", look->err.text));
	auth->is_unsure = true;
}

/* Look at the file now. Suspends. */
static void
look_at_file(struct ph_auth *auth)
{
	struct look look = { .auth = auth };

	auth->is_looking = true;
	look.text_arena = ph_arena_create(NULL);
	look.users_arena = ph_arena_create(NULL);
	ph_work(look_work, &look);
	if (look.users == NULL)
		ph_arena_free(look.users_arena);
	ph_arena_free(look.text_arena);
	if (look.status != PH_OK) {
		take_failure(auth, &look);
	} else {
		if (look.users != NULL)
			take_users(auth, &look);
		auth->stamp = look.stamp;
		auth->has_stamp = true;
		auth->is_unsure = false;
	}
	auth->looked_ms = ph_now_ms();
	auth->is_looking = false;
	ph_event_signal(&auth->looked);
}

/*
 * Whether the table may be asked. Its pointers hold till the next suspension.
 * While somebody looks, the others use what is there.
 */
static bool
refresh(struct ph_auth *auth)
{
	while (auth->is_looking && auth->users == NULL && !auth->is_unsure)
		if (ph_event_wait(&auth->looked, PH_NO_LIMIT_MS) != PH_OK)
			return false;
	if (!auth->is_looking &&
	    (auth->users == NULL || ph_now_ms() - auth->looked_ms >= LOOK_MS))
		look_at_file(auth);
	return auth->users != NULL && !auth->is_unsure;
}

/* After a change of ours: it is seen by whoever asks next. */
static void
refresh_now(struct ph_auth *auth)
{
	while (auth->is_looking)
		if (ph_event_wait(&auth->looked, PH_NO_LIMIT_MS) != PH_OK)
			return;
	look_at_file(auth);
}

/* --- open and close --- */

static void
wipe_dummy(void *object)
{
	struct ph_auth *auth = object;

	ph_wipe(auth->dummy, sizeof(auth->dummy));
}

static void
dummy_work(void *arg)
{
	struct ph_auth *auth = arg;

	if (!hash_make("", auth->conf->scheme, auth->dummy))
		auth->dummy[0] = '\0';
}

static int
local_open(struct ph_arena *arena, const void *conf, struct ph_auth **auth_out,
    struct ph_err *err)
{
	struct ph_auth *auth = ph_arena_alloc(arena, sizeof(*auth));

	auth->conf = conf;
	auth->arena = arena;
	auth->path = auth->conf->file[0] != '\0' ?
	    auth->conf->file :
	    ph_arena_printf(arena, "%s/users", ph_auth_dir());
	auth->cache = cache_create(arena, auth->conf->cache_ms);
	if (auth->cache == NULL ||
	    getrandom(&auth->seed, sizeof(auth->seed), 0) !=
	        (ssize_t)sizeof(auth->seed))
		return ph_err_set(err, PH_UNAVAILABLE, 0, "no random octets");
	ph_arena_on_end(arena, wipe_dummy, auth);
	ph_work(dummy_work, auth);
	if (auth->dummy[0] == '\0')
		return ph_err_set(err, PH_INVALID, 0,
		    "auth_local: crypt(3) has no scheme %s here",
		    hash_schemes[auth->conf->scheme]);
	look_at_file(auth);
	*auth_out = auth;
	return PH_OK;
}

static void
local_close(struct ph_auth *auth)
{
	if (auth->users != NULL)
		ph_arena_free(auth->users->arena);
	auth->users = NULL;
}

/* --- passwords --- */

struct verification {
	const char *password, *hash;
	bool fits;
};

static void
verify_work(void *arg)
{
	struct verification *v = arg;

	v->fits = hash_fits(v->password, v->hash);
}

/* Suspends as long as one hash takes; the copies are wiped. */
static bool
fits(struct ph_arena *arena, struct ph_slice password, struct ph_slice hash)
{
	bool is_long = password.n > hash_password_max();
	struct ph_slice copy = ph_arena_slice(arena,
	    is_long ? PH_LIT("") : password);
	struct verification v = { .password = copy.p, .hash = hash.p };

	ph_work(verify_work, &v);
	ph_wipe((char *)(uintptr_t)copy.p, copy.n);
	return v.fits && !is_long;
}

/* The hash to compute for this login: its own, or one that costs as much. */
static struct ph_slice
hash_for(const struct ph_auth *auth, const struct users_entry *entry)
{
	if (entry != NULL && !hash_is_locked(entry->hash))
		return entry->hash;
	return ph_slice_str(auth->users->usual_hash[0] != '\0' ?
	    auth->users->usual_hash : auth->dummy);
}

/* Who is no user, and who is locked, goes the same way with another's hash. */
static enum ph_user_answer
local_verify(struct ph_auth *auth, struct ph_arena *arena,
    struct ph_slice user, struct ph_slice password)
{
	const struct users_entry *entry;
	uint8_t mac[CACHE_MAC_SIZE];
	bool is_known, may_pass, ok;
	struct ph_slice hash;

	if (!refresh(auth))
		return PH_USER_UNSURE;
	entry = users_find(auth->users, user);
	if (entry != NULL && !ph_slice_eq(entry->name, user))
		entry = NULL; /* an alias has no password */
	is_known = entry != NULL;
	may_pass = is_known && !hash_is_locked(entry->hash);
	hash = ph_arena_slice(arena, hash_for(auth, entry));
	cache_mac(auth->cache, user, password, hash, mac);
	ok = cache_has(auth->cache, mac, ph_now_ms()) && may_pass;
	if (!ok) {
		ok = fits(arena, password, hash) && may_pass;
		if (ok)
			cache_put(auth->cache, mac, ph_now_ms());
	}
	ph_wipe((char *)(uintptr_t)hash.p, hash.n);
	ph_wipe(mac, sizeof(mac));
	if (!is_known)
		return PH_USER_UNKNOWN;
	return ok ? PH_USER_OK : PH_USER_WRONG;
}

/* --- look-ups --- */

static void
copy_user(struct ph_arena *arena, const struct users_entry *entry,
    struct ph_user *user_out)
{
	struct ph_slice *aliases = ph_arena_array(arena,
	    entry->alias_count + 1, sizeof(*aliases));

	for (size_t i = 0; i < entry->alias_count; i++)
		aliases[i] = ph_arena_slice(arena, entry->aliases[i]);
	*user_out = (struct ph_user){ ph_arena_slice(arena, entry->name),
		aliases, entry->alias_count };
}

static enum ph_user_answer
local_lookup(struct ph_auth *auth, struct ph_arena *arena,
    struct ph_slice address, struct ph_user *user_out)
{
	const struct users_entry *entry;

	if (!refresh(auth))
		return PH_USER_UNSURE;
	entry = users_find(auth->users, address);
	if (entry == NULL)
		return PH_USER_UNKNOWN;
	copy_user(arena, entry, user_out);
	return PH_USER_OK;
}

static int
local_list(struct ph_auth *auth, struct ph_arena *arena,
    const struct ph_user **users_out, size_t *count_out, struct ph_err *err)
{
	struct ph_user *users;

	refresh_now(auth);
	if (auth->users == NULL || auth->is_unsure)
		return ph_err_set(err, PH_IO, 0, "%s can't be read",
		    auth->path);
	users = ph_arena_array(arena, auth->users->count + 1, sizeof(*users));
	for (size_t i = 0; i < auth->users->count; i++)
		copy_user(arena, &auth->users->entries[i], &users[i]);
	*users_out = users;
	*count_out = auth->users->count;
	return PH_OK;
}

/* --- changes --- */

struct change {
	const struct ph_auth *auth;
	struct ph_arena *arena;
	enum { CHANGE_ADD, CHANGE_PASSWD, CHANGE_DEL } what;
	struct ph_slice user;
	const char *password;
	char hash[HASH_TEXT_MAX];
	struct ph_err *err;
	int status;
};

static int
change_text(void *arg, struct ph_slice text, struct ph_buf *out)
{
	struct change *change = arg;
	struct ph_slice hash = ph_slice_str(change->hash);
	int status;

	if (change->what == CHANGE_ADD)
		status = edit_add(text, change->user, hash, out);
	else if (change->what == CHANGE_PASSWD)
		status = edit_passwd(text, change->user, hash, out);
	else
		status = edit_del(text, change->user, out);
	if (status == PH_EXISTS)
		ph_err_set(change->err, status, 0,
		    "a user or an alias is called so already");
	else if (status == PH_NOT_FOUND)
		ph_err_set(change->err, status, 0, "no such user");
	else if (status == PH_TOO_BIG)
		ph_err_set(change->err, status, 0, "%s is full",
		    change->auth->path);
	return status;
}

static void
change_work(void *arg)
{
	struct change *change = arg;
	const struct ph_auth *auth = change->auth;

	if (change->what != CHANGE_DEL &&
	    !hash_make(change->password, auth->conf->scheme, change->hash)) {
		change->status = ph_err_set(change->err, PH_INVALID, 0,
		    "crypt(3) refuses this password");
		return;
	}
	change->status = file_change(change->arena, auth->path, change_text,
	    change, change->err);
}

static int
make_change(struct ph_auth *auth, struct ph_arena *arena, struct change *change,
    struct ph_slice password, struct ph_err *err)
{
	struct ph_slice copy = ph_arena_slice(arena, password);

	if (!users_name_is_valid(change->user))
		return ph_err_set(err, PH_INVALID, 0,
		    "a user is local@domain, plain letters and digits and "
		    "!#$%%&'*+-=?^_`{|}~.");
	if (password.n > hash_password_max())
		return ph_err_set(err, PH_INVALID, 0,
		    "a password has at most %zu octets", hash_password_max());
	change->auth = auth;
	change->arena = arena;
	change->password = copy.p;
	change->err = err;
	ph_work(change_work, change);
	ph_wipe((char *)(uintptr_t)copy.p, copy.n);
	ph_wipe(change->hash, sizeof(change->hash));
	refresh_now(auth);
	return change->status;
}

static int
local_add(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice user,
    struct ph_slice password, struct ph_err *err)
{
	struct change change = { .what = CHANGE_ADD, .user = user };

	return make_change(auth, arena, &change, password, err);
}

static int
local_passwd(struct ph_auth *auth, struct ph_arena *arena,
    struct ph_slice user, struct ph_slice password, struct ph_err *err)
{
	struct change change = { .what = CHANGE_PASSWD, .user = user };

	return make_change(auth, arena, &change, password, err);
}

static int
local_del(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice user,
    struct ph_err *err)
{
	struct change change = { .what = CHANGE_DEL, .user = user };

	return make_change(auth, arena, &change, PH_LIT(""), err);
}

/* --- the module --- */

static const struct ph_option local_options[] = {
	PH_OPT_PATH("file", struct local_conf, file, "",
	    "The users; empty: the file users in the auth role's folder"),
	PH_OPT_CHOICE("scheme", struct local_conf, scheme, hash_schemes,
	    "yescrypt", "How new passwords are hashed"),
	PH_OPT_MSEC("cache", struct local_conf, cache_ms, 0, 3600000, "5m",
	    "How long a login that was right is not hashed again; 0 never"),
	PH_OPT_END,
};

static const struct ph_auth_ops local_ops = {
	.open = local_open,
	.close = local_close,
	.verify = local_verify,
	.lookup = local_lookup,
	.add = local_add,
	.passwd = local_passwd,
	.del = local_del,
	.list = local_list,
};

PH_MODULE(auth_local) = {
	.abi = PH_ABI,
	.name = "auth_local",
	.kinds = PH_KIND_AUTH,
	.conf_size = sizeof(struct local_conf),
	.options = local_options,
	.doc = "Users and passwords in one text file",
	.auth = &local_ops,
};
