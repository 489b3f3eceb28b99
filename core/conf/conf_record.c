/* SPDX-License-Identifier: Apache-2.0 */
/* conf_record.c - sections as a record, for the way to a role. */
#include "base/record.h"
#include "conf/conf_inner.h"

enum tag {
	C_MAIN = 1,
	C_SECTION, /* C_NAME C_FILE C_LINE C_SETTING* */
	C_NAME,
	C_FILE,
	C_LINE,
	C_SETTING, /* C_NAME C_FILE C_LINE C_TYPE and a value */
	C_TYPE,
	C_NUMBER, /* also a truth value */
	C_TEXT,
	C_ITEM,   /* of a list, repeated */
};

static void
put_setting(struct ph_buf *buf, const struct conf_setting *setting)
{
	size_t mark = record_begin(buf, C_SETTING);

	record_put_str(buf, C_NAME, setting->name);
	record_put_str(buf, C_FILE, setting->file);
	record_put_u64(buf, C_LINE, setting->line);
	record_put_u64(buf, C_TYPE, setting->type);
	if (setting->type == CONF_BOOL)
		record_put_u64(buf, C_NUMBER, setting->flag);
	if (setting->type == CONF_NUMBER)
		record_put_u64(buf, C_NUMBER, (uint64_t)setting->number);
	if (setting->type == CONF_TEXT)
		record_put_str(buf, C_TEXT, setting->text);
	if (setting->type == CONF_LIST)
		for (const char *const *item = setting->list; *item != NULL;
		     item++)
			record_put_str(buf, C_ITEM, *item);
	record_end(buf, mark);
}

void
conf_encode(const struct conf *conf,
    bool (*keep)(const struct conf_section *, void *), void *arg,
    struct ph_buf *buf)
{
	record_put_str(buf, C_MAIN, conf->main_file);
	for (const struct conf_section *section = conf->sections;
	     section != NULL; section = section->next) {
		size_t mark;

		if (keep != NULL && !keep(section, arg))
			continue;
		mark = record_begin(buf, C_SECTION);
		record_put_str(buf, C_NAME, section->name);
		record_put_str(buf, C_FILE, section->file);
		record_put_u64(buf, C_LINE, section->line);
		for (const struct conf_setting *setting = section->settings;
		     setting != NULL; setting = setting->next)
			put_setting(buf, setting);
		record_end(buf, mark);
	}
}

static const char *
take_text(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice text = record_get(record, tag);

	return text.p != NULL && memchr(text.p, '\0', text.n) == NULL ?
	    ph_arena_slice(arena, text).p : "";
}

static const char *const *
take_list(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_slice rest = record;
	struct record_field field;
	size_t n = 0;
	const char **list;

	while (record_next(&rest, &field))
		n += field.tag == C_ITEM;
	list = ph_arena_array(arena, n + 1, sizeof(*list));
	n = 0;
	while (record_next(&record, &field))
		if (field.tag == C_ITEM)
			list[n++] = ph_arena_slice(arena, field.value).p;
	return list;
}

static void
take_setting(struct ph_arena *arena, struct conf_section *section,
    struct ph_slice record)
{
	struct conf_setting *setting = ph_arena_alloc(arena, sizeof(*setting));

	setting->name = take_text(arena, record, C_NAME);
	setting->file = take_text(arena, record, C_FILE);
	setting->line = (unsigned)record_get_u64(record, C_LINE, 0);
	setting->type = (enum conf_type)record_get_u64(record, C_TYPE, 0);
	setting->number = (int64_t)record_get_u64(record, C_NUMBER, 0);
	setting->flag = setting->number != 0;
	setting->text = take_text(arena, record, C_TEXT);
	setting->list = take_list(arena, record);
	conf_setting_put(section, setting);
}

int
conf_decode(struct ph_arena *arena, struct ph_slice record,
    struct conf **conf_out)
{
	struct conf *conf = ph_arena_alloc(arena, sizeof(*conf));
	struct ph_slice rest = record;
	struct record_field field;

	if (record.p == NULL || !record_is_sound(record))
		return PH_DEFECT;
	conf->main_file = take_text(arena, record, C_MAIN);
	conf_section_obtain(arena, conf, "", conf->main_file, 1);
	while (record_next(&rest, &field)) {
		struct ph_slice inner = field.value;
		struct conf_section *section;
		struct record_field setting;

		if (field.tag != C_SECTION)
			continue;
		if (!record_is_sound(inner))
			return PH_DEFECT;
		section = conf_section_obtain(arena, conf,
		    take_text(arena, inner, C_NAME),
		    take_text(arena, inner, C_FILE),
		    (unsigned)record_get_u64(inner, C_LINE, 0));
		while (record_next(&inner, &setting))
			if (setting.tag == C_SETTING &&
			    record_is_sound(setting.value))
				take_setting(arena, section, setting.value);
	}
	*conf_out = conf;
	return PH_OK;
}
