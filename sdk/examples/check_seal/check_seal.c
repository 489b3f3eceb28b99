/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_seal - adds a field with a sum of the message below it, as a signer adds
 * a signature. In a late order ph_call_content is, octet for octet, what will
 * be stored: with the trace fields of the server and all that modules of
 * earlier orders changed.
 */
#include <posthouse/check.h>

/* FNV-1a, 64 bits; a signer would take a cryptographic one. */
static uint64_t
sum(struct ph_slice octets)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < octets.n; i++)
		h = (h ^ (unsigned char)octets.p[i]) * 0x100000001b3;
	return h;
}

struct summing {
	struct ph_slice content;
	uint64_t sum;
};

static void
work(void *arg)
{
	struct summing *s = arg;

	s->sum = sum(s->content);
}

static enum ph_verdict
seal_on_message(struct ph_call *call, const void *conf)
{
	struct summing s = { .content = ph_call_content(call) };

	(void)conf;
	ph_work(work, &s); /* others are served meanwhile */
	ph_add_header(call, "X-Seal", "fnv1a=%016llx octets=%zu",
	    (unsigned long long)s.sum, s.content.n);
	return PH_NEXT;
}

static const struct ph_check_ops seal_ops = {
	.at = { [PH_AT_MESSAGE] = seal_on_message },
};

PH_MODULE(check_seal) = {
	.abi = PH_ABI, .name = "check_seal", .kinds = PH_KIND_CHECK,
	.doc = "adds a field with a sum of the message below it",
	.check = &seal_ops,
};
