/* SPDX-License-Identifier: Apache-2.0 */
/* search.c - see search.h. */
#include "search.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <posthouse/fiber.h>

static enum rule_form
try_line(struct search *search, struct ph_slice line)
{
	struct rule rule;
	enum rule_form form = rule_parse(line, &rule);

	if (form != RULE_GOOD)
		return form;
	search->asks_host |= rule.what == RULE_HOST;
	if (!search->is_found && rule_fits(&rule, &search->question)) {
		search->is_found = true;
		search->rule = rule;
		search->rule.pattern = ph_arena_slice(search->arena,
		    rule.pattern);
		search->rule.text = ph_arena_slice(search->arena, rule.text);
	}
	return form;
}

static void
search_text(struct search *search, struct ph_slice text)
{
	unsigned number = 0;

	while (text.p != NULL) {
		number++;
		if (try_line(search, ph_slice_cut(&text, '\n')) ==
		        RULE_WRONG && search->wrong_line == 0)
			search->wrong_line = number;
	}
}

/* In a worker thread. A file that shrinks while it is mapped would be deadly,
 * so it is copied. */
static void
search_file(void *arg)
{
	struct search *search = arg;
	int fd = open(search->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text;
	ssize_t n;

	search->error = errno;
	if (fd < 0)
		return;
	if (fstat(fd, &st) != 0) {
		search->error = errno;
	} else if (!S_ISREG(st.st_mode)) {
		search->error = EINVAL;
	} else if (st.st_size > SEARCH_FILE_MAX) {
		search->error = EFBIG;
	} else {
		text = ph_arena_alloc(search->arena, (size_t)st.st_size + 1);
		n = pread(fd, text, (size_t)st.st_size, 0);
		search->error = n < 0 ? errno : 0;
		if (n > 0)
			search_text(search, (struct ph_slice){ text,
			    (size_t)n });
	}
	close(fd);
}

void
search_run(struct search *search)
{
	for (const char *const *at = search->rules; *at != NULL; at++)
		(void)try_line(search, ph_slice_str(*at));
	if (search->file[0] != '\0' && !search->is_found)
		ph_work(search_file, search);
}
