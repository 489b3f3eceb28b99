# SPDX-License-Identifier: Apache-2.0
"""The queue's process is killed while what waits is given other recipients: each
message goes to whom it is to go to now, none is lost, none doubled. An alias leads
from one stage to the next; PH_CRASH_KILLS (4) is how many kills must come in the
middle of a stage, PH_REROUTE_MESSAGES and PH_CRASH_SEED set and repeat a run.
"""
import collections
import json
import os
import random
import re
import time
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until

MESSAGES = int(os.environ.get("PH_REROUTE_MESSAGES", "400"))
KILLS = int(os.environ.get("PH_CRASH_KILLS", "4"))
SEED = int(os.environ.get("PH_CRASH_SEED", str(random.randrange(1 << 30))))
STAGES_MAX = 5 * KILLS
# Nobody can be asked where mail for new.test goes, so it waits.
ZONE = "new.test RCODE SERVFAIL\nfar.test A 127.0.0.2\n"
CONF = ("transport_smtp: { port = %d; allow_loopback = true; };\n"
        "crash_limit = 1000;\n"
        "limits: { connections_per_client = 0; };\n"
        "queue: { retry = [ \"10m\" ]; destination_failures = 1; };\n")


def text_of(number):
    return (b"From: <alice@example.test>\r\nSubject: number %d\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nNUMBER %d.\r\n"
            % (number, number))


def number_of(content):
    return int(re.search(rb"\nNUMBER (\d+)\.", content).group(1))


class RerouteCrash(unittest.TestCase):
    def send(self, box):
        client = box.submission()
        for n in range(MESSAGES):
            client.sendmail("alice@example.test", [f"s0.{n}@new.test"], text_of(n))
        client.quit()

    def write(self, box, stage, *to):
        """From now on who is of this stage is these."""
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check", "virtual")
        with open(path + ".new", "w") as out:
            for n in range(MESSAGES):
                out.write(f"s{stage}.{n}@new.test " +
                          ", ".join(one.replace("#", str(n)) for one in to) + "\n")
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def listed(self, box):
        """id -> its recipients that wait, of all pages."""
        found, after = {}, []
        while True:
            done = box.ctl("queue", "list", "--json", *after, check=False)
            if done.returncode != 0:
                return None  # it is being started
            lines = done.stdout.splitlines()
            for line in map(json.loads, lines):
                found[line["id"]] = [r["to"] for r in line["recipients"]]
            if not lines:
                return found
            after = ["--after=" + json.loads(lines[-1])["id"]]

    def rerouted(self, box, stage, since):
        return set(re.findall(rf" rerouted .*to=s{stage}\.(\d+)@",
                              box.log()[since:]))

    def kill_at(self, box, stage, since, mark):
        """When so many are under way; whether it was in the middle."""
        end = time.monotonic() + 120
        while len(self.rerouted(box, stage, since)) < mark:
            self.assertLess(time.monotonic(), end, f"seed {SEED}: nothing moves")
            box.ctl("queue", "reroute", "all", check=False)
        loaded = box.log().count(" queue_loaded ")
        box.kill_role("queue")
        done = len(self.rerouted(box, stage, since))
        until(lambda: box.log().count(" queue_loaded ") > loaded, "it again")
        return done < MESSAGES

    def finish(self, box, stage, expected):
        """All of it by hand, and everybody is who he is to be, once."""
        want = sorted(expected(n) for n in range(MESSAGES))

        def all_moved():
            box.ctl("queue", "reroute", "all", check=False)
            have = self.listed(box)
            return have is not None and sorted(map(sorted, have.values())) == want
        try:
            until(all_moved, "the next stage")
        except AssertionError:
            have = collections.Counter(tuple(sorted(to)) for to in
                                       (self.listed(box) or {}).values())
            odd = have - collections.Counter(map(tuple, want))
            self.fail(f"seed {SEED}, stage {stage}: {sum(have.values())} messages, "
                      f"odd: {list(odd)[:5]}")

    def test_what_is_rerouted_when_it_dies(self):
        chance = random.Random(SEED)
        with Remote() as remote, Dns(ZONE) as dns, Sandbox(
                {"a": CONF % remote.port, "route": "router_virtual: { };"},
                dns=dns.address) as box:
            box.ctl("queue", "suspend", "far.test")
            self.write(box, "none", "nobody@new.test")
            self.send(box)
            stage = middle = 0
            while middle < KILLS and stage < STAGES_MAX:
                since = len(box.log())
                self.write(box, stage, f"s{stage + 1}.#@new.test")
                middle += self.kill_at(box, stage, since, chance.randrange(
                    1, MESSAGES * 3 // 4))
                self.finish(box, stage, lambda n: [f"s{stage + 1}.{n}@new.test"])
                stage += 1
            self.assertGreaterEqual(middle, KILLS, f"seed {SEED}")
            since = len(box.log())
            self.write(box, stage, "#@far.test", "carol@example.test")
            self.kill_at(box, stage, since, MESSAGES // 2)
            self.finish(box, stage, lambda n: [f"{n}@far.test"])
            self.assertEqual(remote.messages, [])
            box.ctl("queue", "resume", "far.test")
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty", 300)
            once = list(range(MESSAGES))
            self.assertEqual(sorted(number_of(m[2]) for m in remote.messages), once,
                             f"seed {SEED}")
            self.assertEqual({to for _, all_of, _ in remote.messages for to in all_of},
                             {f"RCPT TO:<{n}@far.test>" for n in once})
            self.assertEqual(sorted(map(number_of, box.inbox("carol", MESSAGES))),
                             once, f"seed {SEED}")
            print(f"seed {SEED}: {MESSAGES} messages, {stage + 1} stages, {middle} "
                  "killed in the middle of one, 0 lost, 0 doubled")


if __name__ == "__main__":
    unittest.main()
