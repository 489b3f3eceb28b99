/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_senders - refuses the senders that a text file lists, one a line: an
 * address, or @domain for all of a domain. The file is read again when it
 * changed. Where it can't be read nobody is refused, and an operator is told.
 */
#include <posthouse/check.h>
#include <posthouse/lines.h>
#include <posthouse/mail.h>

struct senders_conf {
	const char *file;
};

static bool
is_listed(struct ph_call *call, const struct ph_lines *lines)
{
	struct ph_slice sender = ph_call_sender(call);
	struct ph_slice domain = ph_address_domain(sender);

	return ph_lines_has(lines, sender) ||
	    ph_lines_has(lines, ph_slice_str(ph_arena_printf(
	        ph_call_arena(call), "@%.*s", PH_SLICE_ARG(domain))));
}

static enum ph_verdict
senders_on_mail(struct ph_call *call, const void *conf)
{
	const struct senders_conf *c = conf;
	const struct ph_lines *lines;
	struct ph_err err;

	if (ph_lines_read(ph_call_arena(call), c->file, &lines, &err) != PH_OK) {
		ph_log(PH_ERROR, "senders_unreadable",
		    ph_f_str("reason", err.text));
		return PH_NEXT;
	}
	if (!is_listed(call, lines))
		return PH_NEXT;
	ph_log(PH_NOTICE, "senders_refused",
	    ph_f_slice("from", ph_call_sender(call)));
	return ph_reject(call, 550, "5.7.1", "we take no mail from you");
}

static const struct ph_option senders_options[] = {
	PH_OPT_PATH("file", struct senders_conf, file,
	    "/etc/posthouse/senders", "senders to refuse, one a line"),
	PH_OPT_END,
};

static const struct ph_check_ops senders_ops = {
	.at = { [PH_AT_MAIL] = senders_on_mail },
};

PH_MODULE(check_senders) = {
	.abi = PH_ABI, .name = "check_senders", .kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct senders_conf), .options = senders_options,
	.doc = "refuses senders that a file lists", .check = &senders_ops,
};
