/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h. */
#include "server.h"

#include <posthouse/mail.h>

enum { SMTP_PORT = 25 };

static bool
parse_port(struct ph_slice text, uint16_t *port_out)
{
	uint64_t port;

	if (!ph_slice_number(text, 65535, &port) || port == 0)
		return false;
	*port_out = (uint16_t)port;
	return true;
}

/* An IPv6 address stands in brackets, since colons are in it. */
static bool
parse_place(struct ph_slice text, struct next_server *server)
{
	struct ph_slice rest = text, host;

	server->port = SMTP_PORT;
	if (text.n > 0 && text.p[0] == '[') {
		rest = (struct ph_slice){ text.p + 1, text.n - 1 };
		host = ph_slice_cut(&rest, ']');
		if (rest.p == NULL || !ph_addr_parse(host, &server->addr))
			return false;
		return rest.n == 0 || (rest.p[0] == ':' && parse_port(
		    (struct ph_slice){ rest.p + 1, rest.n - 1 },
		    &server->port));
	}
	host = ph_slice_cut(&rest, ':');
	if (rest.p != NULL && !parse_port(rest, &server->port))
		return false;
	if (ph_addr_parse(host, &server->addr))
		return true;
	server->host = host;
	return ph_domain_is_valid(host);
}

const char *
next_server_parse(const char *text, struct next_server *server_out)
{
	struct ph_slice place = ph_slice_trim(ph_slice_str(text)), name;
	struct next_server server = { .port = SMTP_PORT };

	server.domain = ph_slice_cut(&place, ' ');
	name = server.domain;
	if (name.n > 2 && name.p[0] == '*' && name.p[1] == '.')
		name = (struct ph_slice){ name.p + 2, name.n - 2 };
	if (!ph_domain_is_valid(name))
		return "it does not begin with a domain";
	if (place.p == NULL || !parse_place(ph_slice_trim(place), &server))
		return "after the domain comes a host or address, and perhaps "
		       ":PORT";
	*server_out = server;
	return NULL;
}

bool
next_server_knows(const struct next_server *server, struct ph_slice domain)
{
	struct ph_slice name = server->domain;

	if (name.n > 0 && name.p[0] == '*') /* ".test" */
		name = (struct ph_slice){ name.p + 1, name.n - 1 };
	return ph_domain_fits(name, domain);
}

unsigned
reply_code(struct ph_slice line, bool *has_more_out)
{
	uint64_t code;

	if (line.n < 3 || !ph_slice_number((struct ph_slice){ line.p, 3 }, 599,
	        &code) || code < 200 ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return 0;
	*has_more_out = line.n > 3 && line.p[3] == '-';
	return (unsigned)code;
}

/* The enhanced code of a refusal is about the mailbox (RFC 3463): 5.1.x but
 * for the sender's 5.1.7 and 5.1.8, or 5.2.1, a mailbox that is disabled. */
static bool
is_about_mailbox(struct ph_slice text)
{
	if (text.n < 5 || text.p[0] != '5' || text.p[1] != '.' ||
	    text.p[3] != '.')
		return true; /* none is given */
	if (text.p[2] == '1')
		return text.p[4] != '7' && text.p[4] != '8';
	return text.p[2] == '2' && text.p[4] == '1';
}

enum call_answer
call_answer_of(struct ph_slice line)
{
	bool has_more;
	unsigned code = reply_code(line, &has_more);

	if (code / 100 == 2)
		return CALL_GOOD;
	if (code != 550 && code != 551 && code != 553)
		return CALL_UNSURE;
	return line.n > 4 && !is_about_mailbox((struct ph_slice){ line.p + 4,
	           line.n - 4 }) ? CALL_UNSURE : CALL_UNKNOWN;
}
