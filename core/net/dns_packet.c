/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_packet.c - DNS messages, built and taken apart.
 *
 * Every octet of an answer is hostile: each offset is checked against the end,
 * compression pointers only go backwards, names and records are counted. A
 * packet whose structure is wrong gives no answer at all; a record that is
 * sound but names something no host can be called is passed over.
 */
#include "net/dns_packet.h"

#include <stdlib.h>

#include "base/domain.h"

enum {
	HEADER = 12,
	LABEL_MAX = 63,
	HOPS_MAX = 64, /* compression pointers in one name */
	CLASS_IN = 1,
	RCODE_NXDOMAIN = 3,
};

/* --- names --- */

static bool
is_name_octet(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_' || c == '/';
}

/* Labels of 1 to 63 allowed octets; text is canonical but for that. */
static bool
labels_are_valid(const char *text, size_t n)
{
	size_t label = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!is_name_octet((unsigned char)text[i]) ||
		    ++label > LABEL_MAX) {
			return false;
		}
	}
	return label > 0;
}

static bool
canonical_ascii(const char *name, char text[DNS_NAME_TEXT])
{
	size_t n = strlen(name);

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n > DNS_NAME_WIRE - 2)
		return false;
	for (size_t i = 0; i < n; i++)
		text[i] = ph_lower(name[i]);
	text[n] = '\0';
	return labels_are_valid(text, n);
}

bool
dns_name_canonical(const char *name, char text[DNS_NAME_TEXT])
{
	size_t n = strnlen(name, DNS_NAME_TEXT * 4);
	char ascii[DOMAIN_TEXT];

	if (n >= DNS_NAME_TEXT * 4)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] >= 0x80)
			return domain_to_ascii((struct ph_slice){ name, n },
			    ascii) && canonical_ascii(ascii, text);
	return canonical_ascii(name, text);
}

size_t
dns_name_encode(const char *name, uint8_t wire[DNS_NAME_WIRE])
{
	struct ph_slice rest = ph_slice_str(name);
	size_t at = 0;

	while (rest.p != NULL) {
		struct ph_slice label = ph_slice_cut(&rest, '.');

		ph_assert(label.n > 0 && label.n <= LABEL_MAX &&
		    at + label.n + 2 <= DNS_NAME_WIRE);
		wire[at++] = (uint8_t)label.n;
		memcpy(wire + at, label.p, label.n);
		at += label.n;
	}
	wire[at++] = 0;
	return at;
}

enum name_answer {
	NAME_BROKEN, /* the packet is malformed */
	NAME_ODD,    /* sound, but nothing we would ask for */
	NAME_GOOD,
};

/* A dot inside a label becomes an octet that no name of ours has. */
static void
name_add_label(char text[DNS_NAME_TEXT], size_t *n, const char *label,
    size_t label_n)
{
	if (*n > 0)
		text[(*n)++] = '.';
	for (size_t i = 0; i < label_n; i++)
		text[(*n)++] = label[i] == '.' ? '?' : ph_lower(label[i]);
}

/*
 * name = *( length label ) ( %x00 / pointer ); pointer = 2 octets, the upper
 * two bits set, RFC 1035 s4.1.4. Reads one at *at, which is moved behind it.
 * The root is NAME_GOOD and "".
 */
static enum name_answer
name_decode(struct ph_slice packet, size_t *at, char text[DNS_NAME_TEXT])
{
	const uint8_t *p = (const uint8_t *)packet.p;
	size_t i = *at, n = 0, wire = 1, behind = 0;

	for (unsigned hops = 0;;) {
		uint8_t length;

		if (i >= packet.n)
			return NAME_BROKEN;
		length = p[i];
		if (length == 0)
			break;
		if (length >= 0xc0) {
			size_t to;

			if (i + 2 > packet.n || ++hops > HOPS_MAX)
				return NAME_BROKEN;
			to = (size_t)(length & 0x3f) << 8 | p[i + 1];
			if (behind == 0)
				behind = i + 2;
			if (to >= i || to < HEADER)
				return NAME_BROKEN;
			i = to;
			continue;
		}
		wire += length + 1u;
		if (length > LABEL_MAX || i + 1 + length > packet.n ||
		    wire > DNS_NAME_WIRE)
			return NAME_BROKEN;
		name_add_label(text, &n, packet.p + i + 1, length);
		i += length + 1u;
	}
	*at = behind != 0 ? behind : i + 1;
	text[n] = '\0';
	return n == 0 || (strlen(text) == n && labels_are_valid(text, n)) ?
	    NAME_GOOD : NAME_ODD;
}

/* --- the question --- */

static void
put_u16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static unsigned
get_u16(const char *at)
{
	const uint8_t *p = (const uint8_t *)at;

	return (unsigned)p[0] << 8 | p[1];
}

size_t
dns_query_build(uint8_t packet[DNS_QUERY_MAX], uint16_t id, const char *name,
    enum dns_kind kind)
{
	size_t n = HEADER;

	memset(packet, 0, HEADER);
	put_u16(packet, id);
	packet[2] = 0x01; /* RD */
	packet[5] = 1;    /* one question */
	n += dns_name_encode(name, packet + n);
	put_u16(packet + n, kind);
	put_u16(packet + n + 2, CLASS_IN);
	return n + 4;
}

/* --- the answer --- */

struct rr {
	enum name_answer owner_answer;
	char owner[DNS_NAME_TEXT];
	unsigned kind, class;
	uint32_t ttl_s;
	size_t data, data_n; /* where its data is, in the packet */
};

struct walk {
	struct ph_slice packet;
	size_t at;
	unsigned left;
};

/* 1: a record, 0: the end, -1: broken. */
static int
walk_next(struct walk *walk, struct rr *rr)
{
	const char *p;

	if (walk->left == 0)
		return 0;
	walk->left--;
	rr->owner_answer = name_decode(walk->packet, &walk->at, rr->owner);
	if (rr->owner_answer == NAME_BROKEN ||
	    walk->packet.n - walk->at < 10)
		return -1;
	p = walk->packet.p + walk->at;
	rr->kind = get_u16(p);
	rr->class = get_u16(p + 2);
	rr->ttl_s = (uint32_t)get_u16(p + 4) << 16 | get_u16(p + 6);
	if (rr->ttl_s > INT32_MAX) /* the first bit is none of its own */
		rr->ttl_s = 0;
	rr->data = walk->at + 10;
	rr->data_n = get_u16(p + 8);
	if (walk->packet.n - rr->data < rr->data_n)
		return -1;
	walk->at = rr->data + rr->data_n;
	return 1;
}

/* MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM, RFC 1035 s3.3.13. */
static bool
take_minimum(const struct walk *walk, const struct rr *rr, uint32_t *ttl_out)
{
	char text[DNS_NAME_TEXT];
	size_t at = rr->data;
	const char *p;
	uint32_t minimum;

	if (name_decode(walk->packet, &at, text) == NAME_BROKEN ||
	    name_decode(walk->packet, &at, text) == NAME_BROKEN ||
	    at + 20 != rr->data + rr->data_n)
		return false;
	p = walk->packet.p + at + 16;
	minimum = (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
	*ttl_out = minimum < rr->ttl_s ? minimum : rr->ttl_s;
	return true;
}

/* RFC 2308 s5. */
uint32_t
dns_packet_negative_ttl(struct ph_slice packet)
{
	struct walk walk = { packet, HEADER, 0 };
	char text[DNS_NAME_TEXT];
	uint32_t ttl_s = 0, longest_s = DNS_NEGATIVE_S_MAX;
	struct rr rr;

	if (packet.n < HEADER || packet.n > DNS_PACKET_MAX ||
	    get_u16(packet.p + 4) != 1 ||
	    name_decode(packet, &walk.at, text) == NAME_BROKEN ||
	    packet.n - walk.at < 4)
		return 0;
	walk.at += 4;
	walk.left = get_u16(packet.p + 6) + get_u16(packet.p + 8);
	if (walk.left > DNS_WALK_MAX)
		walk.left = DNS_WALK_MAX;
	while (walk_next(&walk, &rr) > 0) {
		if (rr.kind == DNS_KIND_CNAME && rr.ttl_s < longest_s)
			longest_s = rr.ttl_s;
		if (rr.kind == DNS_KIND_SOA && rr.class == CLASS_IN &&
		    take_minimum(&walk, &rr, &ttl_s))
			break;
	}
	return ttl_s < longest_s ? ttl_s : longest_s;
}

/* Header and question; false when it is no answer to what was asked. */
static bool
walk_begin(struct ph_slice packet, const char *name, enum dns_kind kind,
    struct walk *walk)
{
	char text[DNS_NAME_TEXT];
	size_t at = HEADER;
	const char *p = packet.p;

	if (packet.n < HEADER || packet.n > DNS_PACKET_MAX ||
	    ((uint8_t)p[2] & 0xf8) != 0x80 || get_u16(p + 4) != 1 ||
	    name_decode(packet, &at, text) != NAME_GOOD ||
	    packet.n - at < 4 || strcmp(text, name) != 0 ||
	    get_u16(p + at) != (unsigned)kind ||
	    get_u16(p + at + 2) != CLASS_IN)
		return false;
	walk->packet = packet;
	walk->at = at + 4;
	walk->left = get_u16(p + 6);
	if (walk->left > DNS_WALK_MAX)
		walk->left = DNS_WALK_MAX;
	return true;
}

/* What one pass over the answer section found for a name. */
struct found {
	struct ph_addr *addr;
	struct ph_dns_mx *mx;
	struct ph_slice *txt;
	const char **ptr;
	size_t count;
	bool odd; /* a record was passed over */
	uint32_t ttl_s; /* the shortest of what was used */
	char alias[DNS_NAME_TEXT];
};

static bool
take_addr(const struct walk *walk, const struct rr *rr, struct found *found)
{
	struct ph_addr *addr = &found->addr[found->count];
	size_t n = rr->kind == DNS_KIND_A ? 4 : 16;
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (rr->data_n != n)
		return false;
	memcpy(addr->octet, walk->packet.p + rr->data, n);
	addr->family = n == 4 ? 4 : 6;
	if (n == 16 && memcmp(addr->octet, mapped, sizeof(mapped)) == 0) {
		memmove(addr->octet, addr->octet + 12, 4);
		memset(addr->octet + 4, 0, 12);
		addr->family = 4;
	}
	found->count++;
	return true;
}

/* A name that must fill the rest of the record's data. */
static enum name_answer
take_name(const struct walk *walk, const struct rr *rr, size_t skip,
    char text[DNS_NAME_TEXT])
{
	size_t at = rr->data + skip;
	enum name_answer answer;

	if (rr->data_n <= skip)
		return NAME_BROKEN;
	answer = name_decode(walk->packet, &at, text);
	return at != rr->data + rr->data_n ? NAME_BROKEN : answer;
}

static bool
take_host(struct ph_arena *arena, const struct walk *walk, const struct rr *rr,
    struct found *found)
{
	char text[DNS_NAME_TEXT];
	bool is_mx = rr->kind == DNS_KIND_MX;
	enum name_answer answer = take_name(walk, rr, is_mx ? 2 : 0, text);

	if (answer == NAME_BROKEN)
		return false;
	if (answer == NAME_ODD || (!is_mx && text[0] == '\0')) {
		found->odd = true;
		return true;
	}
	if (is_mx) {
		found->mx[found->count].preference =
		    (uint16_t)get_u16(walk->packet.p + rr->data);
		found->mx[found->count].host = ph_arena_strdup(arena, text);
	} else {
		found->ptr[found->count] = ph_arena_strdup(arena, text);
	}
	found->count++;
	return true;
}

/* TXT-DATA = 1*( length *OCTET ), RFC 1035 s3.3.14; the strings are joined. */
static bool
take_txt(struct ph_arena *arena, const struct walk *walk, const struct rr *rr,
    struct found *found)
{
	const char *p = walk->packet.p + rr->data;
	char *joined = ph_arena_alloc(arena, rr->data_n + 1);
	size_t n = 0;

	for (size_t i = 0; i < rr->data_n;) {
		size_t length = (uint8_t)p[i];

		if (rr->data_n - i - 1 < length)
			return false;
		memcpy(joined + n, p + i + 1, length);
		n += length;
		i += length + 1;
	}
	found->txt[found->count++] = (struct ph_slice){ joined, n };
	return rr->data_n > 0;
}

static bool
take(struct ph_arena *arena, const struct walk *walk, const struct rr *rr,
    struct found *found)
{
	switch (rr->kind) {
	case DNS_KIND_A:
	case DNS_KIND_AAAA:
		return take_addr(walk, rr, found);
	case DNS_KIND_MX:
	case DNS_KIND_PTR:
		return take_host(arena, walk, rr, found);
	case DNS_KIND_TXT:
		return take_txt(arena, walk, rr, found);
	default:
		return false;
	}
}

/* One pass: the records of owner, or else its alias. False: malformed. */
static bool
pass(struct ph_arena *arena, struct walk walk, const char *owner,
    enum dns_kind kind, struct found *found)
{
	struct rr rr;
	int more;

	found->count = 0;
	found->alias[0] = '\0';
	while (found->count < DNS_RECORDS_MAX &&
	    (more = walk_next(&walk, &rr)) != 0) {
		if (more < 0)
			return false;
		if (rr.class != CLASS_IN || rr.owner_answer != NAME_GOOD ||
		    strcmp(rr.owner, owner) != 0)
			continue;
		if (rr.kind == (unsigned)kind) {
			if (!take(arena, &walk, &rr, found))
				return false;
			if (rr.ttl_s < found->ttl_s)
				found->ttl_s = rr.ttl_s;
		} else if (rr.kind == DNS_KIND_CNAME &&
		    found->alias[0] == '\0') {
			if (take_name(&walk, &rr, 0, found->alias) !=
			        NAME_GOOD || found->alias[0] == '\0')
				return false;
			if (rr.ttl_s < found->ttl_s)
				found->ttl_s = rr.ttl_s;
		}
	}
	return true;
}

static int
mx_compare(const void *a, const void *b)
{
	const struct ph_dns_mx *x = a, *y = b;

	return (int)x->preference - (int)y->preference;
}

static void
answer_fill(struct ph_dns_answer *answer, struct found *found)
{
	answer->result = found->count > 0 ? PH_DNS_OK :
	    found->odd ? PH_DNS_NO_ANSWER : PH_DNS_NO_DATA;
	answer->count = found->count;
	answer->ttl_s = found->ttl_s;
	answer->addr = found->addr;
	answer->txt = found->txt;
	answer->ptr = found->ptr;
	answer->mx = found->mx;
	if (found->mx != NULL)
		qsort(found->mx, found->count, sizeof(*found->mx), mx_compare);
}

static void
found_init(struct ph_arena *arena, enum dns_kind kind, struct found *found)
{
	memset(found, 0, sizeof(*found));
	if (kind == DNS_KIND_A || kind == DNS_KIND_AAAA)
		found->addr = ph_arena_array(arena, DNS_RECORDS_MAX,
		    sizeof(*found->addr));
	else if (kind == DNS_KIND_MX)
		found->mx = ph_arena_array(arena, DNS_RECORDS_MAX,
		    sizeof(*found->mx));
	else if (kind == DNS_KIND_TXT)
		found->txt = ph_arena_array(arena, DNS_RECORDS_MAX,
		    sizeof(*found->txt));
	else
		found->ptr = ph_arena_array(arena, DNS_RECORDS_MAX,
		    sizeof(*found->ptr));
}

static void
keep_shortest(struct ph_dns_answer *answer, uint32_t ttl_s)
{
	if (ttl_s < answer->ttl_s)
		answer->ttl_s = ttl_s;
}

void
dns_packet_parse(struct ph_arena *arena, struct ph_slice packet,
    const char *name, enum dns_kind kind, unsigned *cnames,
    struct ph_dns_answer *answer, const char **alias_out)
{
	char owner[DNS_NAME_TEXT];
	struct found found;
	struct walk walk;
	unsigned rcode;

	*alias_out = NULL;
	answer->result = PH_DNS_NO_ANSWER;
	answer->count = 0;
	if (!walk_begin(packet, name, kind, &walk))
		return;
	rcode = (uint8_t)packet.p[3] & 0x0f;
	if (rcode == RCODE_NXDOMAIN) {
		answer->result = PH_DNS_NO_NAME;
		keep_shortest(answer, dns_packet_negative_ttl(packet));
	}
	if (rcode != 0)
		return;
	found_init(arena, kind, &found);
	found.ttl_s = answer->ttl_s;
	memcpy(owner, name, strlen(name) + 1);
	for (;;) {
		if (!pass(arena, walk, owner, kind, &found))
			return;
		if (found.count > 0 || found.odd || found.alias[0] == '\0')
			break;
		if (++*cnames > DNS_CNAMES_MAX)
			return;
		memcpy(owner, found.alias, sizeof(owner));
	}
	if (found.count == 0 && !found.odd && strcmp(owner, name) != 0)
		*alias_out = ph_arena_strdup(arena, owner);
	answer_fill(answer, &found);
	if (answer->result == PH_DNS_NO_DATA && *alias_out == NULL)
		keep_shortest(answer, dns_packet_negative_ttl(packet));
}

/* --- reversed addresses --- */

const char *
ph_dns_reverse(struct ph_arena *arena, const struct ph_addr *addr,
    const char *zone)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *o = addr->octet;
	char nibbles[64];

	if (addr->family == 4)
		return ph_arena_printf(arena, "%u.%u.%u.%u.%s", o[3], o[2],
		    o[1], o[0], zone);
	for (unsigned i = 0; i < 16; i++) {
		char *to = nibbles + (size_t)(15 - i) * 4;

		to[0] = hex[o[i] & 15];
		to[1] = '.';
		to[2] = hex[o[i] >> 4];
		to[3] = '.';
	}
	return ph_arena_printf(arena, "%.64s%s", nibbles, zone);
}
