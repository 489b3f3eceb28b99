#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A very long queue: how soon a restarted server delivers, lists, and what it
takes in memory.

    million.py [--recipients 1000000] [--build DIR] [--shape NAME ...]

Each shape is loaded into the queue of a stopped server by queue_load; one
message in the middle is for a mailbox and due. Bars, for a million recipients:
restart to that delivery under 5 s, a page of the list under 100 ms, the queue's
process under 400 MiB. Exits 1 when one is missed.

In the shape "tried" all that is remote is due at once, and a transport puts it
off, each in the name of a host of its domain: afterwards every destination was
tried and rests. Its memory is the most that the process ever had.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

# recipients of a message, state, how many recipients share a domain (0: many)
SHAPES = {"one": (1, "deferred", 0), "ten": (10, "deferred", 0),
          "due": (1, "due", 0), "domains": (1, "deferred", 1),
          "tried": (1, "tried", 1)}
BARS = {"first_s": 5.0, "list_ms": 100.0, "rss_mib": 400.0}


def rss_mib(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as lines:
        for line in lines:
            if line.startswith(what + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def load(box, build, messages, recipients, state, domains):
    folder = box.env["PH_QUEUE"]
    owner = os.stat(folder)
    subprocess.run([os.path.join(build, "core", "queue", "queue_load"), folder,
                    str(messages), str(recipients), state, str(domains)],
                   check=True)
    for path in [folder] + glob.glob(folder + "/**", recursive=True):
        os.chown(path, owner.st_uid, owner.st_gid)


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as line:
        words = line.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def queue_pid(box):
    return next(p for p, a in box.children().items() if "--role=queue" in a)


def timed_list(box, *words):
    start = time.monotonic()
    text = box.ctl("queue", "list", *words).stdout
    return 1000 * (time.monotonic() - start), text


NOBODY = r"""
#include <posthouse/transport.h>

static void
put_off(struct ph_attempt *a, const void *conf)
{
	struct ph_slice domain = ph_attempt_destination(a);

	(void)conf;
	ph_attempt_result(a, PH_ALL_RECIPIENTS, PH_DEFERRED, 451, NULL,
	    ph_arena_printf(ph_attempt_arena(a), "mx1." PH_SLICE_FMT,
	    PH_SLICE_ARG(domain)), "come back later");
}

static const struct ph_transport_ops ops = { .attempt = put_off };
PH_MODULE(nobody) = { .abi = PH_ABI, .name = "nobody",
	.kinds = PH_KIND_TRANSPORT, .doc = "Takes nothing.", .transport = &ops };
"""


def figure(box, name):
    return int(re.search(rf"queue\.0 {name} (\d+)", box.ctl("status").stdout)[1])


def tried(build, total, folder):
    """How a queue is off that found nobody anywhere."""
    from sandbox import TOP, Sandbox, until
    os.chmod(folder, 0o755)
    source = os.path.join(folder, "nobody.c")
    with open(source, "w", encoding="ascii") as out:
        out.write(NOBODY)
    subprocess.run(["cc", "-shared", "-fPIC", "-I", TOP + "/sdk/include", source,
                    "-o", folder + "/nobody.so"], check=True)
    with Sandbox({"nobody":
                  'queue: { retry = [ "1h" ]; retry_unreachable = [ "1h" ]; };'
                  f'nobody: {{ module = "{folder}/nobody.so"; order = 1; }};'},
                 ) as box:
        box.stop()
        load(box, build, total, 1, "tried", total)
        start = time.monotonic()
        box.run("restart")
        until(lambda: figure(box, "delivered") > 0, "a delivery", 600)
        first = time.monotonic() - start
        result = {}
        pid = queue_pid(box)
        until(lambda: figure(box, "deferred") >= total - 1 and
              figure(box, "running") == 0, "all of them tried", 3600)
        result["list_ms"] = sorted(timed_list(box)[0] for _ in range(7))[3]
        result["rss_mib"] = rss_mib(pid, "VmHWM")
        print(f"tried: a delivery after {first:.1f} s, "
              f"all in {time.monotonic() - start:.0f} s (the "
              f"queue used {cpu_s(pid):.1f} s of CPU), now {rss_mib(pid):.0f} "
              f"MiB, {figure(box, 'destinations')} lanes")
        return result


def measure(build, shape, total):
    from sandbox import Sandbox, until
    if shape == "tried":
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            return tried(build, total, folder)
    recipients, state, share = SHAPES[shape]
    domains = total // share if share else 2000
    with Sandbox() as box:
        box.stop()
        start = time.monotonic()
        load(box, build, total // recipients, recipients, state, domains)
        print(f"{shape}: loaded in {time.monotonic() - start:.1f} s", flush=True)
        seen = len(box.log())
        start = time.monotonic()
        box.run("restart")
        ready = time.monotonic() - start
        until(lambda: " delivered " in box.log()[seen:] and
              time.monotonic() - start, "a delivery", 600)
        result = {"first_s": time.monotonic() - start}
        until(lambda: "queue_loaded" in box.log()[seen:], "all of it", 600)
        loaded = time.monotonic() - start
        pid = queue_pid(box)
        cpu = cpu_s(pid)
        result["list_ms"] = sorted(timed_list(box)[0] for _ in range(7))[3]
        result["rss_mib"] = rss_mib(pid)
        print(f"{shape}: ready {ready:.2f} s, loaded {loaded:.2f} s "
              f"(the queue used {cpu:.2f} s of CPU), peak "
              f"{rss_mib(pid, 'VmHWM'):.0f} MiB, "
              + re.sub(r"(?m)^(?!.* of ).*\n", "", timed_list(box)[1]).strip())
        if state == "due":
            box.kill()
        return result


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--recipients", type=int, default=1000000)
    words.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    words.add_argument("--shape", action="append", choices=sorted(SHAPES))
    words = words.parse_args()
    build = os.path.abspath(words.build)
    os.environ["PH_BUILD"] = build
    missed = 0
    for shape in words.shape or SHAPES:
        result = measure(build, shape, words.recipients)
        for name, value in result.items():
            good = value < BARS[name]
            missed += not good
            print(f"{shape}: {name} {value:.1f} (bar {BARS[name]:.0f})"
                  + ("" if good else "  MISSED"), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
