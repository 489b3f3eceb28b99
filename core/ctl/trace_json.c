/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_json.c - a line of the log as a JSON object: its head as members, its
 * key=value words as an object of strings. What is no such line is its text.
 */
#include "ctl/trace.h"

#include "base/json.h"
#include "mail/octet.h"

enum { KEYS_MAX = 64, JSON_MAX = 2 << 20 };

/* What log.c puts in front of the fields: time, level, process[pid], event. */
struct head {
	struct ph_slice time, level, process, event;
	uint64_t pid;
};

static bool
take_head(struct ph_slice *rest, struct head *head)
{
	struct ph_slice pid;

	head->time = ph_slice_cut(rest, ' ');
	head->level = ph_slice_cut(rest, ' ');
	pid = ph_slice_cut(rest, ' ');
	head->process = ph_slice_cut(&pid, '[');
	head->event = ph_slice_cut(rest, ' ');
	if (pid.n < 2 || pid.p[pid.n - 1] != ']' || head->event.n == 0)
		return false;
	pid.n--;
	return ph_slice_number(pid, UINT32_MAX, &head->pid);
}

/* The length of a value with its quotes; 0: they are not closed. */
static size_t
quoted_length(struct ph_slice text)
{
	for (size_t i = 1; i < text.n; i++) {
		if (text.p[i] == '"')
			return i + 1;
		if (text.p[i] == '\\')
			i++;
	}
	return 0;
}

/* What stands between quotes, as it was before it was logged. */
static struct ph_slice
unquoted(struct ph_slice text, struct ph_buf *room)
{
	size_t begin = room->n;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\\' && i + 3 < text.n && text.p[i + 1] == 'x' &&
		    octet_hex(text.p[i + 2]) >= 0 &&
		    octet_hex(text.p[i + 3]) >= 0) {
			c = (char)(octet_hex(text.p[i + 2]) << 4 |
			    octet_hex(text.p[i + 3]));
			i += 3;
		} else if (c == '\\' && i + 1 < text.n) {
			c = text.p[++i];
		}
		ph_buf_char(room, c);
	}
	return (struct ph_slice){ room->p + begin, room->n - begin };
}

/* The next key=value; false: the rest is none. */
static bool
take_field(struct ph_slice *rest, struct ph_buf *room, struct ph_slice *key,
    struct ph_slice *value)
{
	size_t n;

	*key = ph_slice_cut(rest, '=');
	if (rest->p == NULL || key->n == 0)
		return false;
	if (rest->n == 0 || rest->p[0] != '"') {
		*value = ph_slice_cut(rest, ' ');
		return true;
	}
	n = quoted_length(*rest);
	if (n == 0)
		return false;
	*value = unquoted((struct ph_slice){ rest->p + 1, n - 2 }, room);
	rest->p += n;
	rest->n -= n;
	if (rest->n == 0)
		rest->p = NULL;
	else if (*rest->p == ' ')
		ph_slice_cut(rest, ' ');
	return true;
}

static bool
is_new(struct ph_slice keys[KEYS_MAX], size_t *n, struct ph_slice key)
{
	for (size_t i = 0; i < *n; i++)
		if (ph_slice_eq(keys[i], key))
			return false;
	if (*n == KEYS_MAX)
		return false;
	keys[(*n)++] = key;
	return true;
}

static bool
put_fields(struct ph_slice rest, struct ph_buf *buf)
{
	struct ph_slice keys[KEYS_MAX], key, value;
	struct ph_buf room;
	bool good = true;
	size_t n = 0;

	ph_buf_init(&room, NULL, JSON_MAX);
	while (good && rest.p != NULL) {
		room.n = 0;
		good = take_field(&rest, &room, &key, &value);
		if (!good || !is_new(keys, &n, key))
			continue;
		if (n > 1)
			ph_buf_char(buf, ',');
		json_slice(buf, key);
		ph_buf_char(buf, ':');
		json_slice(buf, value);
	}
	ph_buf_fini(&room);
	return good;
}

/* False: it is no line of ours. */
static bool
put_line(struct ph_slice line, struct ph_buf *buf)
{
	struct head head;

	if (!take_head(&line, &head))
		return false;
	ph_buf_str(buf, "{\"type\":\"log\",\"time\":");
	json_slice(buf, head.time);
	ph_buf_str(buf, ",\"level\":");
	json_slice(buf, head.level);
	ph_buf_str(buf, ",\"process\":");
	json_slice(buf, head.process);
	ph_buf_printf(buf, ",\"pid\":%llu,\"event\":",
	    (unsigned long long)head.pid);
	json_slice(buf, head.event);
	ph_buf_str(buf, ",\"fields\":{");
	if (!put_fields(line, buf))
		return false;
	ph_buf_str(buf, "}}\n");
	return true;
}

void
trace_put_json(struct ph_slice line, FILE *out)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, JSON_MAX);
	if (!put_line(line, &buf)) {
		buf.n = 0;
		ph_buf_str(&buf, "{\"type\":\"log\",\"text\":");
		json_slice(&buf, line);
		ph_buf_str(&buf, "}\n");
	}
	fwrite(buf.p, 1, buf.n, out);
	ph_buf_fini(&buf);
}
