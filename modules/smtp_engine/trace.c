/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - see trace.h. */
#include "trace.h"

#include <posthouse/mail.h>

const char *
smtp_protocol_name(const struct smtp_trace *trace)
{
	static const char *const name[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};

	if (!trace->extended)
		return "SMTP";
	return name[trace->smtputf8][trace->tls != NULL]
	           [trace->authenticated];
}

void
smtp_trace_format(const struct smtp_trace *trace, struct ph_buf *out)
{
	char addr[PH_ADDR_TEXT_MAX], date[PH_DATE_MAX];

	const bool hidden = trace->hide_client && trace->authenticated;

	ph_buf_str(out, "Received: from ");
	ph_buf_slice(out, hidden ? PH_LIT("hidden.invalid") :
	        trace->helo.n > 0 ? trace->helo : PH_LIT("unknown"));
	if (trace->client->family != 0 && !hidden)
		ph_buf_printf(out, " ([%s%s])",
		    trace->client->family == 6 ? "IPv6:" : "",
		    ph_addr_format(trace->client, addr));
	ph_buf_printf(out, "\r\n\tby %s (posthouse) with %s id %s",
	    trace->hostname, smtp_protocol_name(trace), trace->id);
	if (trace->tls != NULL)
		ph_buf_printf(out, "\r\n\t(using %s)", trace->tls);
	if (trace->certificate_subject != NULL && !hidden)
		ph_buf_printf(out,
		    "\r\n\t(Client CN \"%s\", Issuer \"%s\" (%s))",
		    trace->certificate_subject, trace->certificate_issuer,
		    trace->is_verified ? "verified OK" : "not verified");
	if (trace->rcpt.p != NULL) {
		ph_buf_str(out, "\r\n\tfor <");
		ph_buf_slice(out, trace->rcpt);
		ph_buf_char(out, '>');
	}
	ph_date_format(trace->wall_time, date);
	ph_buf_printf(out, ";\r\n\t%s\r\n", date);
}
