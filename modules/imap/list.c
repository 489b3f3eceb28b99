/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c - LIST and LSUB, RFC 3501 s6.3.8 and s6.3.9, with CHILDREN
 * (RFC 3348) and the attributes of RFC 6154.
 */
#include "imap.h"

#include "mutf7.h"
#include "names.h"

enum { LIST_OUTPUT_MAX = 16 << 20 };

/* list = "LIST" SP mailbox SP list-mailbox; mailbox is the reference. */
bool
imap_parse_list(struct command *command)
{
	struct lex *lex = &command->lex;
	struct ph_slice pattern;

	return lex_space(lex) && lex_mailbox(lex, &command->mailbox) &&
	    lex_space(lex) && lex_pattern(lex, &pattern) &&
	    mutf7_decode(command->arena, pattern, &command->other);
}

static void
add_line(struct command *command, struct ph_buf *buf, const char *verb,
    const char *attributes, struct ph_slice name)
{
	ph_buf_printf(buf, "* %s (%s) \"/\" ", verb, attributes);
	name_format(command->arena, name, buf);
	ph_buf_str(buf, "\r\n");
}

static void
add_listed(struct command *command, struct ph_buf *buf,
    const struct ph_mailbox_name *name)
{
	const char *use = name_special_use(name->name);

	add_line(command, buf, "LIST",
	    ph_arena_printf(command->arena, "%s%s%s%s",
	        name->selectable ? "" : "\\Noselect ",
	        name->has_children ? "\\HasChildren" : "\\HasNoChildren",
	        use != NULL ? " " : "", use != NULL ? use : ""),
	    name->name);
}

/*
 * LSUB "%" names the parent "a" when only "a/b" is subscribed, as \Noselect;
 * names come sorted, so one parent is told once.
 */
static void
add_parent(struct command *command, struct ph_buf *buf,
    struct pattern *pattern, struct ph_slice name, struct ph_slice *last)
{
	for (size_t i = 1; i < name.n; i++) {
		struct ph_slice parent = { name.p, i };

		if (name.p[i] != '/' || ph_slice_eq(parent, *last) ||
		    !pattern_matches(pattern, parent))
			continue;
		*last = parent;
		add_line(command, buf, "LSUB", "\\Noselect", parent);
		return;
	}
}

static void
add_matches(struct command *command, struct ph_buf *buf,
    struct pattern *pattern, const struct ph_mailbox_name *names, size_t count)
{
	bool lsub = command->row->name[1] == 'S';
	struct ph_slice last = { NULL, 0 };

	for (size_t i = 0; i < count && !buf->full; i++) {
		const struct ph_mailbox_name *name = &names[i];
		bool matches;

		if (lsub ? !name->subscribed : !name->exists &&
		            name->selectable)
			continue;
		matches = pattern_matches(pattern, name->name);
		if (matches && lsub) {
			last = name->name;
			add_line(command, buf, "LSUB",
			    name->exists && name->selectable ? "" :
			                                       "\\Noselect",
			    name->name);
		} else if (matches && (name->exists || name->has_children)) {
			add_listed(command, buf, name);
		} else if (lsub) {
			add_parent(command, buf, pattern, name->name, &last);
		}
	}
}

void
imap_do_list(struct imap *imap, struct command *command)
{
	const struct ph_mailbox_name *names;
	struct pattern pattern;
	struct ph_slice text;
	struct ph_buf buf;
	size_t count;
	int rc;

	ph_buf_init(&buf, command->arena, LIST_OUTPUT_MAX);
	if (command->other.n == 0) { /* asks for the separator */
		ph_buf_printf(&buf, "* %s (\\Noselect) \"/\" \"\"\r\n",
		    command->row->name);
		imap_buf(imap, &buf);
		imap_done(imap, command, "OK Done");
		return;
	}
	text = ph_slice_str(ph_arena_printf(command->arena,
	    PH_SLICE_FMT PH_SLICE_FMT, PH_SLICE_ARG(command->mailbox),
	    PH_SLICE_ARG(command->other)));
	rc = ph_mailbox_list(imap->session, command->arena, &names, &count);
	if (rc != PH_OK) {
		imap_failed(imap, command, rc, "Nothing there");
		return;
	}
	if (pattern_init(command->arena, text, &pattern))
		add_matches(command, &buf, &pattern, names, count);
	imap_buf(imap, &buf);
	imap_done(imap, command, "OK Done");
}
