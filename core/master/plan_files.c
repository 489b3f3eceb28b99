/* SPDX-License-Identifier: Apache-2.0 */
/* plan_files.c - the files that the master reads for roles that may not: keys,
 * certificates, the words of reports. */
#include "master/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "net/stream.h"
#include "queue/notice.h"
#include "role/messages.h"

enum { PEM_LIMIT = 128 << 10, MORE_LIMIT = 256 << 10 };

void
plan_error_at(struct conf_errors *errors, const struct conf *conf,
    const char *section, const char *setting, const char *text)
{
	const struct conf_section *in = conf_section(conf, section);
	const struct conf_setting *at =
	    in != NULL ? conf_setting(in, setting) : NULL;

	if (at != NULL)
		conf_error_add(errors, at->file, at->line, "%s", text);
	else
		conf_error_add(errors, in != NULL ? in->file : conf->main_file,
		    in != NULL ? in->line : 0, "%s", text);
}

/* --- TLS --- */

static int
read_fd(int fd, struct ph_arena *arena, struct ph_slice *text_out)
{
	char *p = ph_arena_alloc(arena, PEM_LIMIT + 1);
	size_t n = 0;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	for (;;) {
		ssize_t got = read(fd, p + n, PEM_LIMIT - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (got == 0)
			break;
		n += (size_t)got;
		if (n == PEM_LIMIT)
			return EFBIG;
	}
	*text_out = (struct ph_slice){ p, n };
	return 0;
}

static int
read_pem(struct ph_arena *arena, const char *path, struct ph_slice *text_out)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno;
	error = read_fd(fd, arena, text_out);
	close(fd);
	if (error == 0 && memmem(text_out->p, text_out->n, "-----BEGIN ",
	                      strlen("-----BEGIN ")) == NULL)
		error = EBADMSG;
	return error;
}

struct reading {
	struct ph_arena *arena;
	const struct conf *conf;
	struct conf_errors *errors;
	struct tls_server *server; /* tries what was read; NULL: there is none */
	int status;
};

static void
wrong(struct reading *reading, const char *setting, const char *path,
    const char *why)
{
	plan_error_at(reading->errors, reading->conf, "tls", setting,
	    ph_arena_printf(reading->errors->arena, "%s: %s", path, why));
	reading->status = PH_INVALID;
}

static struct ph_slice
read_setting(struct reading *reading, const char *setting, const char *path)
{
	struct ph_slice pem = PH_LIT("");
	int error = read_pem(reading->arena, path, &pem);

	if (error == 0)
		return pem;
	plan_error_at(reading->errors, reading->conf, "tls", setting,
	    ph_arena_printf(reading->errors->arena, "can't read %s: %s", path,
	        error == EBADMSG ? "no PEM text" : strerror(error)));
	reading->status = PH_INVALID;
	return PH_LIT("");
}

/* All of them go to edge in one message. */
static void
read_more(struct reading *reading, const struct core_conf *core,
    struct plan_tls *tls)
{
	struct ph_err err = { 0 };
	struct ph_slice pem;
	struct ph_buf buf;

	ph_buf_init(&buf, reading->arena, MORE_LIMIT);
	for (const char *const *at = core->tls.more_certificates; *at != NULL;
	     at++) {
		pem = read_setting(reading, "more_certificates", *at);
		if (pem.n > 0 && reading->server != NULL &&
		    tls_server_add(reading->server, pem, &err) != PH_OK)
			wrong(reading, "more_certificates", *at, err.text);
		record_put(&buf, F_CERT_MORE, pem);
		ph_wipe((char *)(uintptr_t)pem.p, pem.n);
	}
	if (core->tls.client_ca_file[0] != '\0') {
		pem = read_setting(reading, "client_ca_file",
		    core->tls.client_ca_file);
		if (pem.n > 0 && reading->server != NULL &&
		    tls_server_trust(reading->server, pem, &err) != PH_OK)
			wrong(reading, "client_ca_file",
			    core->tls.client_ca_file, err.text);
		record_put(&buf, F_CLIENT_CA, pem);
	}
	if (buf.full) {
		plan_error_at(reading->errors, reading->conf, "tls",
		    "more_certificates",
		    "with client_ca_file more than 256 KiB in all");
		reading->status = PH_INVALID;
	}
	tls->more = ph_buf_content(&buf);
}

/* As edge will: what it can't use must not take the place of what it has. */
static void
try(struct reading *reading, const struct core_conf *core,
    const struct plan_tls *tls)
{
	struct ph_err err = { 0 };

	reading->server = tls_server_create(tls->certificate, tls->key, &err);
	if (reading->server != NULL)
		return;
	if (strncmp(err.text, "the key", strlen("the key")) == 0)
		wrong(reading, "key", core->tls.key, err.text);
	else
		wrong(reading, "certificate", core->tls.certificate, err.text);
}

/* It is relay that opens it, when it starts. */
static void
try_ca_file(struct reading *reading, const char *path)
{
	struct ph_err err = { 0 };

	if (path[0] != '\0' && tls_client_init(path, &err) != PH_OK) {
		plan_error_at(reading->errors, reading->conf, "tls",
		    "ca_file", err.text);
		reading->status = PH_INVALID;
	}
	tls_client_fini();
}

int
plan_read_tls(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct plan_tls *tls_out,
    struct conf_errors *errors)
{
	struct reading reading = { arena, conf, errors, NULL, PH_OK };

	tls_out->certificate = tls_out->key = tls_out->more = PH_LIT("");
	try_ca_file(&reading, core->tls.ca_file);
	if (core->tls.certificate[0] == '\0')
		return reading.status;
	tls_out->certificate = read_setting(&reading, "certificate",
	    core->tls.certificate);
	tls_out->key = read_setting(&reading, "key", core->tls.key);
	if (reading.status == PH_OK)
		try(&reading, core, tls_out);
	read_more(&reading, core, tls_out);
	tls_server_free(reading.server);
	return reading.status;
}

/* --- the words of reports --- */

static int
read_notices(struct ph_arena *arena, const char *path,
    struct ph_slice *text_out)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno;
	error = read_fd(fd, arena, text_out);
	close(fd);
	return error == 0 && text_out->n > NOTICE_FILE_MAX ? EFBIG : error;
}

int
plan_read_notices(struct ph_arena *arena, const struct conf *conf,
    const struct core_conf *core, struct ph_slice *file_out,
    struct conf_errors *errors)
{
	const char *path = core->queue.bounce_template, *why;
	struct ph_slice file = PH_LIT("");
	struct notices notices;
	unsigned line;
	int error = path[0] != '\0' ? read_notices(arena, path, &file) : 0;

	*file_out = file;
	if (error != 0)
		plan_error_at(errors, conf, "queue", "bounce_template",
		    ph_arena_printf(errors->arena, "can't read %s: %s", path,
		        strerror(error)));
	else if (notices_parse(arena, file, &notices, &line, &why) == PH_OK)
		return PH_OK;
	else
		conf_error_add(errors, path, line, "%s", why);
	return PH_INVALID;
}
