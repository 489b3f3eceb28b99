/* SPDX-License-Identifier: Apache-2.0 */
/* core_tables.c - the core's own options, one table a section. */
#include "conf/core_conf.h"

static const char *const levels[] = { "debug", "info", "notice", "warn",
	"error", NULL };

static const char *const policy_stages[] = { "settled", "rcpt", "data",
	"message", NULL };

static const char *const policy_modes[] = { "enforce", "shadow", NULL };

static const struct ph_option top[] = {
	PH_OPT_STRING("include_dir", struct core_conf, include_dir, 1, 1024,
	    "conf.d",
	    "Folder of snippets; relative to this file"),
	PH_OPT_STRING("hostname", struct core_conf, hostname, 0, 255, "",
	    "Name of this server; empty: the machine's"),
	PH_OPT_LIST("domains", struct core_conf, domains, 0, 10000, "[]",
	    "Domains with mailboxes here; the first completes login names"),
	PH_OPT_STRING("postmaster", struct core_conf, postmaster, 0, 320, "",
	    "User who gets the mail for postmaster; empty: none"),
	PH_OPT_NETS("relay_networks", struct core_conf, relay_networks, 0,
	    10000, "[]", "Client networks that may send anywhere"),
	PH_OPT_NETS("relay_front_ends", struct core_conf, relay_front_ends, 0,
	    1000, "[]", "Front ends believed when they name such a client"),
	PH_OPT_PATH("data_dir", struct core_conf, data_dir,
	    "/var/lib/posthouse", "Where queue, mail and users are kept"),
	PH_OPT_PATH("run_dir", struct core_conf, run_dir, "/run/posthouse",
	    "Where the pid file and the control socket are"),
	PH_OPT_PATH("module_dir", struct core_conf, module_dir,
	    PH_MODULE_DIR, "Where NAME.so is looked for"),
	PH_OPT_STRING("user_prefix", struct core_conf, user_prefix, 1, 24,
	    "posthouse-", "Started by root, a role runs as user PREFIXrole"),
	PH_OPT_BOOL("allow_core_dumps", struct core_conf, allow_core_dumps,
	    "false", "Let debuggers and core dumps see the memory"),
	PH_OPT_UINT("crash_limit", struct core_conf, crash_limit, 1, 1000,
	    "5", "Crashes within a minute until a module is taken out"),
	PH_OPT_MSEC("crash_pause", struct core_conf, crash_pause_ms, 0,
	    86400000, "5m",
	    "Until it is tried again, twice as long each time; 0: a reload"),
	PH_OPT_MSEC("shutdown_timeout", struct core_conf, shutdown_timeout_ms,
	    100, 600000, "10s", "How long sessions may end by themselves"),
	PH_OPT_BYTES("message_limit_bytes", struct core_conf,
	    message_limit_bytes, 1 << 10, 2000000000, "50M",
	    "Largest message taken anywhere"),
	PH_OPT_END,
};

static const struct ph_option log_table[] = {
	PH_OPT_CHOICE("level", struct core_log, level, levels, "info",
	    "Lines below this level are left out"),
	PH_OPT_STRING("target", struct core_log, target, 1, 1024, "stderr",
	    "\"stderr\", \"journal\" or the path of a file"),
	PH_OPT_END,
};

static const struct ph_option tls_table[] = {
	PH_OPT_PATH("certificate", struct core_tls, certificate, "",
	    "PEM file, with its chain; empty: TLS is not offered"),
	PH_OPT_PATH("key", struct core_tls, key, "",
	    "PEM file of the certificate's private key"),
	PH_OPT_LIST("more_certificates", struct core_tls, more_certificates, 0,
	    32, "[]",
	    "PEM files of certificate, chain and key, for names they hold"),
	PH_OPT_MSEC("ticket_rotation", struct core_tls, ticket_rotation_ms,
	    1000, 86400000, "12h", "How long a key seals session tickets"),
	PH_OPT_PATH("client_ca_file", struct core_tls, client_ca_file, "",
	    "CAs that certificates of clients are verified with"),
	PH_OPT_PATH("ca_file", struct core_tls, ca_file, "",
	    "CAs that other servers are verified with; empty: the system's"),
	PH_OPT_END,
};

static const struct ph_option dns_table[] = {
	PH_OPT_LIST("servers", struct core_dns, servers, 0, 8, "[]",
	    "Resolvers, ADDRESS or ADDRESS:PORT; empty: /etc/resolv.conf"),
	PH_OPT_MSEC("timeout", struct core_dns, timeout_ms, 100, 60000, "10s",
	    "For one question altogether"),
	PH_OPT_UINT("attempts", struct core_dns, attempts, 1, 10, "3",
	    "How often one question is sent"),
	PH_OPT_BYTES("cache_bytes", struct core_dns, cache_bytes, 0, 1 << 30,
	    "0", "Answers each process keeps while their TTL lasts; 0: none, as "
	         "a resolver near by keeps them"),
	PH_OPT_END,
};

static const struct ph_option queue_table[] = {
	PH_OPT_LIST("retry", struct core_queue, retry, 1, 100,
	    "[ \"5m\", \"15m\", \"30m\", \"1h\", \"2h\", \"4h\" ]",
	    "Waits between attempts; the last one repeats"),
	PH_OPT_LIST("retry_greylisted", struct core_queue, retry_greylisted,
	    0, 100, "[ \"1m\", \"5m\" ]",
	    "The first waits when the other server greylists"),
	PH_OPT_LIST("retry_unreachable", struct core_queue, retry_unreachable,
	    0, 100, "[]",
	    "Waits when it does not answer; empty: twice those of retry"),
	PH_OPT_MSEC("lifetime", struct core_queue, lifetime_ms, 0, 2592000000,
	    "5d", "Then what was not delivered bounces"),
	PH_OPT_MSEC("delay_warning", struct core_queue, delay_warning_ms, 0,
	    2592000000, "4h",
	    "Then a sender is told once that mail waits; 0: never"),
	PH_OPT_PATH("bounce_template", struct core_queue, bounce_template, "",
	    "The words of bounces and other reports; empty: as shipped"),
	PH_OPT_BYTES("bounce_limit_bytes", struct core_queue,
	    bounce_limit_bytes, 0, 48 << 10, "48K",
	    "Of a larger message a bounce returns the header alone"),
	PH_OPT_BYTES("soft_free_bytes", struct core_queue, soft_free_bytes, 0,
	    INT64_MAX, "256M", "With less free disk nothing is accepted"),
	PH_OPT_BYTES("ballast_bytes", struct core_queue, ballast_bytes, 0,
	    1 << 30, "64M", "Disk held back for recovery"),
	PH_OPT_BYTES("cache_bytes", struct core_queue, cache_bytes, 1 << 20,
	    1LL << 34, "64M", "Memory for the queue's pages"),
	PH_OPT_UINT("relay_concurrency", struct core_queue, relay_concurrency,
	    1, 10000, "100", "Delivery attempts at once"),
	PH_OPT_UINT("destination_concurrency", struct core_queue,
	    destination_concurrency, 1, 1000, "20",
	    "Delivery attempts at once to one destination, at most"),
	PH_OPT_UINT("destination_start", struct core_queue, destination_start,
	    1, 1000, "5",
	    "Delivery attempts at once to a destination not yet known"),
	PH_OPT_UINT("destination_failures", struct core_queue,
	    destination_failures, 1, 1000, "3",
	    "Attempts in a row without an answer, then it is left alone"),
	PH_OPT_LIST("destination_limits", struct core_queue,
	    destination_limits, 0, 1000, "[]",
	    "Of single ones: \"NAME concurrency=N start=N rate=N/1m delay=1s\""),
	PH_OPT_MSEC("attempt_timeout", struct core_queue, attempt_timeout_ms,
	    1000, 3000000, "50m",
	    "For one attempt altogether, whatever the other server does"),
	PH_OPT_BOOL("fsync", struct core_queue, fsync, "true",
	    "False breaks the promise; for tests of tests only"),
	PH_OPT_END,
};

static const struct ph_option processes_table[] = {
	PH_OPT_UINT("edge", struct core_processes, edge, 0, 64, "0",
	    "Processes that speak to clients; 0: by the number of cores"),
	PH_OPT_UINT("check", struct core_processes, check, 1, 64, "1",
	    "Processes that run checks"),
	PH_OPT_UINT("mail", struct core_processes, mail, 0, 64, "0",
	    "Processes that hold mailboxes; 0: by the number of cores"),
	PH_OPT_UINT("relay", struct core_processes, relay, 1, 64, "1",
	    "Processes that speak to other servers"),
	PH_OPT_BYTES("check_memory", struct core_processes,
	    check_memory_bytes, 0, 1LL << 40, "512M",
	    "Over it a process of checks makes way for another; 0: no limit"),
	PH_OPT_END,
};

static const struct ph_option mail_table[] = {
	PH_OPT_UINT("partitions", struct core_mail, partitions, 1, 1024, "8",
	    "Parts the mailboxes are spread over; fixed at the first start"),
	PH_OPT_END,
};

static const struct ph_option limits_table[] = {
	PH_OPT_UINT("connections", struct core_limits, connections, 1,
	    1000000, "20000", "Connections at once, of all edge processes"),
	PH_OPT_UINT("connections_per_client", struct core_limits,
	    connections_per_client, 0, 1000000, "100",
	    "Of one address (IPv6: /64); 0: no limit"),
	PH_OPT_BYTES("content_memory", struct core_limits,
	    content_memory_bytes, 1 << 16, 1LL << 40, "256M",
	    "Content that checks look at, in one edge process; over it, 452"),
	PH_OPT_MSEC("auth_failure_delay", struct core_limits,
	    auth_failure_delay_ms, 0, 15000, "2s",
	    "Wait before a wrong password is answered"),
	PH_OPT_UINT("auth_failures", struct core_limits, auth_failures, 1,
	    1000, "5", "Wrong passwords until a connection ends"),
	PH_OPT_END,
};

static const struct ph_option policy_table[] = {
	PH_OPT_UINT("reject_at", struct core_policy, reject_at, 0, 100000, "0",
	    "Points from which on to refuse for good; 0: never"),
	PH_OPT_UINT("defer_at", struct core_policy, defer_at, 0, 100000, "0",
	    "Points from which on to refuse for now; 0: never"),
	PH_OPT_UINT("quarantine_at", struct core_policy, quarantine_at, 0,
	    100000, "0",
	    "Points from which on to take and hold in the queue; 0: never"),
	PH_OPT_UINT("tag_at", struct core_policy, tag_at, 0, 100000, "0",
	    "Points from which on to add the header field; 0: never"),
	PH_OPT_CHOICE("stage", struct core_policy, stage, policy_stages,
	    "settled", "From which stage on the score may refuse"),
	PH_OPT_CHOICE("mode", struct core_policy, mode, policy_modes,
	    "enforce", "\"shadow\": decides, is recorded, changes nothing"),
	PH_OPT_BOOL("spare_postmaster", struct core_policy, spare_postmaster,
	    "true", "Refuse no message that is for postmaster alone"),
	PH_OPT_STRING("header", struct core_policy, header, 0, 60,
	    "X-Posthouse-Score", "Name of the header field; empty: none"),
	PH_OPT_STRING("reject_text", struct core_policy, reject_text, 1, 300,
	    "The message looks unwanted", "What a client is told for good"),
	PH_OPT_STRING("defer_text", struct core_policy, defer_text, 1, 300,
	    "The message looks unwanted, try again later",
	    "What a client is told for now"),
	WHEN_OPTIONS(struct core_policy, when),
	PH_OPT_END,
};

static const struct core_table tables[] = {
	{ "", top, 0, "The server as a whole" },
	{ "log", log_table, offsetof(struct core_conf, log),
	    "What is written down, and where" },
	{ "tls", tls_table, offsetof(struct core_conf, tls),
	    "Certificate and trust" },
	{ "dns", dns_table, offsetof(struct core_conf, dns),
	    "Who is asked for names" },
	{ "queue", queue_table, offsetof(struct core_conf, queue),
	    "Mail that waits" },
	{ "processes", processes_table, offsetof(struct core_conf, processes),
	    "How many processes a role has" },
	{ "mail", mail_table, offsetof(struct core_conf, mail),
	    "Mailboxes" },
	{ "policy", policy_table, offsetof(struct core_conf, policy),
	    "What the points that checks gave come to" },
	{ "limits", limits_table, offsetof(struct core_conf, limits),
	    "What one client may take" },
};

const struct core_table *
core_tables(size_t *count_out)
{
	*count_out = sizeof(tables) / sizeof(tables[0]);
	return tables;
}

bool
core_section_is(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (strcmp(tables[i].section, name) == 0)
			return true;
	return false;
}
