#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the unit tests (ctest) and the end-to-end tests of one build tree.

    run.py BUILD [--only WORD]

tests/test_*.py each run in a process of their own, two at a time; the last
line is "N passed, N failed".
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))


def run_ctest(build, only):
    report = os.path.join(build, "ctest.xml")
    command = ["ctest", "--test-dir", build, "-j2", "--output-on-failure",
               "--output-junit", report]
    if only:
        command += ["-R", only]
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    sys.stdout.write(done.stdout)
    suite = ElementTree.parse(report).getroot()
    failed = sum(1 for case in suite.iter("testcase")
                 if case.get("status") != "run")
    passed = sum(1 for _ in suite.iter("testcase")) - failed
    if done.returncode != 0 and failed == 0 and not only:
        failed = 1
    return passed, failed


def run_file(path, build):
    env = dict(os.environ, PH_BUILD=build,
               PYTHONPATH=os.path.join(HERE, "support"),
               PYTHONDONTWRITEBYTECODE="1")
    name = os.path.basename(path)[:-3]
    try:
        done = subprocess.run([sys.executable, "-W", "error::DeprecationWarning:smtplib",
                               "-m", "unittest", "-v", name],
                              cwd=HERE, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=900,
                              errors="replace")
        text, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace")
        return f"{name}: did not end within 900 s\n{text}", 0, 1
    ran = re.search(r"^Ran (\d+) test", text, re.M)
    count = int(ran.group(1)) if ran else 0
    # the last line alone: what a test prints may hold such words, too
    last = re.findall(r"^(?:OK|FAILED) \(.*\)$", text, re.M)[-1:] or [""]
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", last[0]))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", last[0]))
    if status != 0 and bad == 0:
        bad = 1
    passed = max(0, count - bad - skipped)
    tail = text if bad else "".join(
        line + "\n" for line in text.splitlines() if " ... " in line)
    return f"--- {name}\n{tail}", passed, bad


def main():
    build = os.path.abspath(sys.argv[1])
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    passed, failed = run_ctest(build, only)
    files = [f for f in sorted(glob.glob(os.path.join(HERE, "test_*.py")))
             if only in os.path.basename(f)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for text, good, bad in pool.map(lambda f: run_file(f, build), files):
            sys.stdout.write(text)
            sys.stdout.flush()
            passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
