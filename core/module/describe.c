/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - option tables as the files of an administrator and as manuals. */
#include "module/module_conf.h"

#include <stdio.h>

static void
put_value(const struct ph_option *option, struct ph_buf *buf)
{
	bool plain = option->type == PH_OPTION_BOOL ||
	    option->type == PH_OPTION_UINT || option->type == PH_OPTION_LIST ||
	    option->type == PH_OPTION_NETS || option->type == PH_OPTION_PATHS;

	if (option->fallback == NULL)
		ph_buf_str(buf, "\"\"");
	else if (plain)
		ph_buf_str(buf, option->fallback);
	else
		ph_buf_printf(buf, "\"%s\"", option->fallback);
}

static void
put_range(const struct ph_option *option, struct ph_buf *buf)
{
	switch (option->type) {
	case PH_OPTION_UINT:
		ph_buf_printf(buf, "%lld to %lld", (long long)option->min,
		    (long long)option->max);
		break;
	case PH_OPTION_MSEC:
		ph_buf_str(buf, "a duration");
		break;
	case PH_OPTION_BYTES:
		ph_buf_str(buf, "a size");
		break;
	case PH_OPTION_CHOICE:
		for (unsigned i = 0; option->choices[i] != NULL; i++)
			ph_buf_printf(buf, "%s\"%s\"", i > 0 ? " or " : "",
			    option->choices[i]);
		break;
	case PH_OPTION_LIST:
		ph_buf_str(buf, "a list of texts");
		break;
	case PH_OPTION_PATHS:
		ph_buf_str(buf, "a list of absolute paths");
		break;
	case PH_OPTION_NETS:
		ph_buf_str(buf, "a list of networks");
		break;
	case PH_OPTION_PATH:
		ph_buf_str(buf, "an absolute path");
		break;
	case PH_OPTION_BOOL:
		ph_buf_str(buf, "true or false");
		break;
	default:
		ph_buf_str(buf, "a text");
		break;
	}
}

static void
put_option(const struct ph_option *option, const char *indent,
    struct ph_buf *buf)
{
	ph_buf_printf(buf, "%s# %s (", indent, option->doc);
	put_range(option, buf);
	ph_buf_printf(buf, ")%s.\n%s%s%s = ",
	    option->fallback == NULL ? ". Must be set" : "", indent,
	    option->fallback == NULL ? "#" : "", option->name);
	put_value(option, buf);
	ph_buf_str(buf, ";\n");
}

/* The options of a table; what has a dot in its name stands in a group. */
static void
put_options(const struct ph_option *options, const char *indent,
    struct ph_buf *buf)
{
	char group[32] = "";

	for (; options != NULL && options->name != NULL; options++) {
		const char *dot = strchr(options->name, '.');
		size_t n = dot != NULL ? (size_t)(dot - options->name) : 0;
		struct ph_option inner = *options;

		if (strlen(group) != n ||
		    strncmp(group, options->name, n) != 0) {
			if (group[0] != '\0')
				ph_buf_printf(buf, "%s};\n", indent);
			snprintf(group, sizeof(group), "%.*s", (int)n,
			    options->name);
			if (n > 0)
				ph_buf_printf(buf, "%s%s: {\n", indent,
				    group);
		}
		if (n > 0)
			inner.name = dot + 1;
		put_option(&inner, n > 0 ? "\t\t" : indent, buf);
	}
	if (group[0] != '\0')
		ph_buf_printf(buf, "%s};\n", indent);
}

/* Which of the settings that every section has mean something here. */
static bool
common_applies(const struct ph_option *option, unsigned kinds)
{
	bool is_listen = strncmp(option->name, "listen", 6) == 0 ||
	    strcmp(option->name, "proxy_from") == 0 ||
	    strcmp(option->name, "client_certificate") == 0;
	bool is_check = strcmp(option->name, "on_failure") == 0 ||
	    strcmp(option->name, "mode") == 0 ||
	    strcmp(option->name, "hook_timeout") == 0;

	if (is_listen)
		return (kinds & PH_KIND_LISTENER) != 0;
	if (is_check)
		return (kinds & PH_KIND_CHECK) != 0;
	return strcmp(option->name, "module") != 0 &&
	    strchr(option->name, '.') == NULL;
}

void
module_describe_snippet(const struct ph_module *module, struct ph_buf *buf)
{
	ph_buf_printf(buf, "# %s\n# See %s(8).\n%s: {\n", module->doc,
	    module->name, module->name);
	for (const struct ph_option *option = module_common_options;
	     option->name != NULL; option++)
		if (common_applies(option, module->kinds))
			put_option(option, "\t", buf);
	put_options(module->options, "\t", buf);
	ph_buf_str(buf, "};\n");
}

void
core_describe_file(struct ph_buf *buf)
{
	size_t count;
	const struct core_table *tables = core_tables(&count);

	ph_buf_str(buf, "# posthouse.conf - see posthouse.conf(5)\n");
	for (size_t i = 0; i < count; i++) {
		bool is_top = tables[i].section[0] == '\0';

		ph_buf_printf(buf, "\n# %s.\n", tables[i].doc);
		if (!is_top)
			ph_buf_printf(buf, "%s: {\n", tables[i].section);
		put_options(tables[i].options, is_top ? "" : "\t", buf);
		if (!is_top)
			ph_buf_str(buf, "};\n");
	}
}

/* Text in an argument of a macro: quotes end it, a backslash escapes. */
static void
put_mdoc(struct ph_slice text, struct ph_buf *buf)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"')
			ph_buf_str(buf, "\\(dq");
		else if (text.p[i] == '\\')
			ph_buf_str(buf, "\\e");
		else
			ph_buf_char(buf, text.p[i]);
	}
}

static void
put_mdoc_option(const struct ph_option *option, struct ph_buf *buf)
{
	struct ph_buf value;

	ph_buf_init(&value, NULL, 4096);
	ph_buf_printf(buf, ".It Ic %s Li = Ar \"", option->name);
	put_range(option, &value);
	put_mdoc(ph_buf_content(&value), buf);
	ph_buf_str(buf, "\"\n");
	put_mdoc(ph_slice_str(option->doc), buf);
	ph_buf_str(buf, ".\n");
	value.n = 0;
	if (option->fallback != NULL) {
		put_value(option, &value);
		ph_buf_str(buf, "Default:\n.Ql \"");
		put_mdoc(ph_buf_content(&value), buf);
		ph_buf_str(buf, "\" .\n");
	} else {
		ph_buf_str(buf, "Must be set.\n");
	}
	ph_buf_fini(&value);
}

void
module_describe_mdoc(const char *section, const struct ph_option *options,
    struct ph_buf *buf)
{
	ph_buf_printf(buf, ".\\\" Options of %s\n.Bl -tag -width Ds\n",
	    section);
	for (; options != NULL && options->name != NULL; options++)
		put_mdoc_option(options, buf);
	ph_buf_str(buf, ".El\n");
}

void
core_describe_mdoc(struct ph_buf *buf)
{
	size_t count;
	const struct core_table *tables = core_tables(&count);

	for (size_t i = 0; i < count; i++)
		module_describe_mdoc(tables[i].section[0] == '\0' ?
		    "the top level" : tables[i].section, tables[i].options,
		    buf);
	module_describe_mdoc("every module", module_common_options, buf);
}
