/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_value.c - a setting's value into a member: units, ranges, networks,
 * choices, and the sentence when it does not fit.
 */
#include "conf/conf_inner.h"

#include <stdio.h>

/* Digits, then one of the units; the factor of unit i is factors[i]. */
static bool
with_unit(struct ph_slice text, const char *const *units,
    const uint64_t *factors, uint64_t *value_out)
{
	struct ph_slice digits = text, unit;
	uint64_t n;

	digits.n = 0;
	while (digits.n < text.n && text.p[digits.n] >= '0' &&
	    text.p[digits.n] <= '9')
		digits.n++;
	unit = (struct ph_slice){ text.p + digits.n, text.n - digits.n };
	if (!ph_slice_number(digits, UINT64_MAX >> 31, &n))
		return false;
	for (unsigned i = 0; units[i] != NULL; i++) {
		if (!ph_slice_eq(unit, ph_slice_str(units[i])))
			continue;
		return !__builtin_mul_overflow(n, factors[i], value_out);
	}
	return false;
}

bool
conf_duration_parse(struct ph_slice text, uint64_t *ms_out)
{
	static const char *const units[] = { "", "ms", "s", "m", "h", "d",
		NULL };
	static const uint64_t factors[] = { 1, 1, 1000, 60000, 3600000,
		86400000 };

	return with_unit(text, units, factors, ms_out);
}

bool
conf_size_parse(struct ph_slice text, uint64_t *octets_out)
{
	static const char *const units[] = { "", "K", "M", "G", NULL };
	static const uint64_t factors[] = { 1, 1 << 10, 1 << 20, 1 << 30 };

	return with_unit(text, units, factors, octets_out);
}

bool
conf_endpoint_parse(struct ph_slice text, uint16_t fallback_port,
    struct ph_addr *addr_out, uint16_t *port_out)
{
	struct ph_slice host = text, port = { NULL, 0 };
	const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
	struct ph_addr addr;
	uint64_t n = fallback_port;

	if (text.n > 0 && text.p[0] == '[') {
		const char *end = memchr(text.p, ']', text.n);

		if (end == NULL)
			return false;
		host = (struct ph_slice){ text.p + 1,
			(size_t)(end - text.p) - 1 };
		if (end + 1 < text.p + text.n) {
			if (end[1] != ':')
				return false;
			port = (struct ph_slice){ end + 2,
				text.n - host.n - 3 };
		}
	} else if (colon != NULL &&
	    memchr(text.p, ':', text.n) == colon) { /* IPv4 with a port */
		host.n = (size_t)(colon - text.p);
		port = (struct ph_slice){ colon + 1, text.n - host.n - 1 };
	}
	if (port.p != NULL ? !ph_slice_number(port, 65535, &n) :
	    fallback_port == 0)
		return false;
	if (!ph_addr_parse(host, &addr))
		return false;
	*addr_out = addr;
	*port_out = (uint16_t)n;
	return true;
}

/* --- one type each; they return NULL or a sentence --- */

static const char *
put_number(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	struct ph_slice text = ph_slice_str(setting->text);
	uint64_t n = (uint64_t)setting->number;
	bool is_duration = option->type == PH_OPTION_MSEC;
	bool good = setting->type == CONF_NUMBER && setting->number >= 0;

	if (setting->type == CONF_TEXT) {
		if (is_duration)
			good = conf_duration_parse(text, &n);
		else if (option->type == PH_OPTION_BYTES)
			good = conf_size_parse(text, &n);
		else
			good = false;
	}
	if (!good)
		return is_duration ?
		    "wanted a duration like \"500ms\", \"3s\", \"5m\", \"2h\" "
		    "or \"4d\"" :
		    option->type == PH_OPTION_BYTES ?
		    "wanted a size like \"64K\", \"20M\" or \"1G\"" :
		    "wanted a number";
	if (n > INT64_MAX || (int64_t)n < option->min ||
	    (option->max > 0 && (int64_t)n > option->max))
		return ph_arena_printf(arena,
		    "%llu is out of range: %lld to %lld%s",
		    (unsigned long long)n, (long long)option->min,
		    (long long)option->max, is_duration ? " ms" : "");
	if (option->type == PH_OPTION_BYTES)
		*(uint64_t *)member = n;
	else
		*(unsigned *)member = (unsigned)n;
	return NULL;
}

static const char *
put_text(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	size_t n;

	if (setting->type != CONF_TEXT)
		return "wanted a text in quotes";
	n = strlen(setting->text);
	if ((int64_t)n < option->min ||
	    (option->max > 0 && (int64_t)n > option->max))
		return ph_arena_printf(arena,
		    "wanted %lld to %lld characters", (long long)option->min,
		    (long long)option->max);
	if (option->type == PH_OPTION_PATH && n > 0 && setting->text[0] != '/')
		return "wanted an absolute path";
	*(const char **)member = setting->text;
	return NULL;
}

static const char *
put_list(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	const char *const *list = setting->list;
	int64_t n = 0;

	if (setting->type == CONF_TEXT) { /* one item needs no brackets */
		const char **one = ph_arena_array(arena, 2, sizeof(*one));

		one[0] = setting->text;
		list = one;
	} else if (setting->type != CONF_LIST) {
		return "wanted a list like [ \"a\", \"b\" ]";
	}
	while (list[n] != NULL)
		n++;
	if (n < option->min || (option->max > 0 && n > option->max))
		return ph_arena_printf(arena, "wanted %lld to %lld items",
		    (long long)option->min, (long long)option->max);
	*(const char *const **)member = list;
	return NULL;
}

static const char *
put_paths(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	const char *const *list = NULL;
	const char *wrong = put_list(arena, option, setting, &list);

	if (wrong != NULL)
		return wrong;
	for (size_t i = 0; list[i] != NULL; i++)
		if (list[i][0] != '/')
			return ph_arena_printf(arena,
			    "\"%s\" is no absolute path", list[i]);
	*(const char *const **)member = list;
	return NULL;
}

static const char *
put_nets(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	const char *const *list = NULL;
	const char *wrong = put_list(arena, option, setting, &list);
	struct ph_net *net;
	size_t n = 0;

	if (wrong != NULL)
		return wrong;
	while (list[n] != NULL)
		n++;
	net = ph_arena_array(arena, n, sizeof(*net));
	for (size_t i = 0; i < n; i++)
		if (!ph_net_parse(ph_slice_str(list[i]), &net[i]))
			return ph_arena_printf(arena, "\"%s\" is no network "
			    "like 192.0.2.0/24 or 2001:db8::/32 (bits beyond "
			    "the prefix must be zero)", list[i]);
	*(struct ph_net_list *)member = (struct ph_net_list){ net, n };
	return NULL;
}

static const char *
put_choice(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *member)
{
	struct ph_buf buf;

	for (unsigned i = 0; setting->type == CONF_TEXT &&
	     option->choices[i] != NULL; i++) {
		if (strcmp(setting->text, option->choices[i]) == 0) {
			*(unsigned *)member = i;
			return NULL;
		}
	}
	ph_buf_init(&buf, arena, 4096);
	ph_buf_str(&buf, "wanted one of");
	for (unsigned i = 0; option->choices[i] != NULL; i++)
		ph_buf_printf(&buf, "%s \"%s\"", i > 0 ? "," : "",
		    option->choices[i]);
	ph_buf_char(&buf, '\0');
	return buf.p;
}

const char *
conf_value_put(struct ph_arena *arena, const struct ph_option *option,
    const struct conf_setting *setting, void *values)
{
	void *member = (char *)values + option->offset;

	switch (option->type) {
	case PH_OPTION_BOOL:
		if (setting->type != CONF_BOOL)
			return "wanted true or false";
		*(bool *)member = setting->flag;
		return NULL;
	case PH_OPTION_UINT:
	case PH_OPTION_MSEC:
	case PH_OPTION_BYTES:
		return put_number(arena, option, setting, member);
	case PH_OPTION_STRING:
	case PH_OPTION_PATH:
		return put_text(arena, option, setting, member);
	case PH_OPTION_LIST:
		return put_list(arena, option, setting, member);
	case PH_OPTION_PATHS:
		return put_paths(arena, option, setting, member);
	case PH_OPTION_NETS:
		return put_nets(arena, option, setting, member);
	case PH_OPTION_CHOICE:
		return put_choice(arena, option, setting, member);
	case PH_OPTION_END:
		break;
	}
	return "an option table is broken";
}
