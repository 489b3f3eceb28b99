#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""campaign.py - run fuzz targets for so many CPU minutes each, one at a time.

    tests/fuzz/campaign.py BUILD MINUTES NAME...

BUILD is a tree made with -DPH_FUZZ=ON and clang; NAME is a target without
its fuzz_. Wall time says nothing on a busy machine, so a target runs until
the kernel has counted MINUTES of processor time for it. Inputs that reach
new code are kept in BUILD/corpus/NAME; what is in tests/fuzz/corpus/NAME is
where it begins. A finding (crash, leak, sanitizer report, an input that takes
over 10 s, 2 GiB of memory) ends the campaign with exit code 1; the input
that did it lies in BUILD/findings.
"""
import os
import pathlib
import resource
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def limit(seconds):
    """Let the kernel send SIGXCPU when the time is used up."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 60))


def processor_minutes():
    """What the children that ended have used: a little less than the limit,
    which counts in ticks."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def last_line(log, word):
    """The last line of a log that begins with libFuzzer's #count."""
    lines = [line for line in log.read_text(errors='replace').splitlines()
             if line.startswith('#') and word in line]
    return lines[-1].strip() if lines else 'nothing was run'


def run(build, name, minutes):
    """Fuzz one target; returns whether nothing was found."""
    target = build / 'tests' / 'fuzz' / f'fuzz_{name}'
    corpus = build / 'corpus' / name
    findings = build / 'findings'
    log = build / f'fuzz_{name}.log'
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    seeds = HERE / 'corpus' / name
    command = [target, '-timeout=10', '-rss_limit_mb=2048', '-use_value_profile=1',
               f'-artifact_prefix={findings}/{name}-', corpus]
    if seeds.is_dir():
        command.append(seeds)
    used, good = 0.0, True
    while good and used < minutes:
        seconds = int((minutes - used) * 60) + 1
        before = processor_minutes()
        with open(log, 'wb') as out:
            done = subprocess.run(command, stdout=out, stderr=out, check=False,
                                  preexec_fn=lambda s=seconds: limit(s))
        used += processor_minutes() - before
        good = done.returncode == -signal.SIGXCPU
    print(f'{name}: {used:.1f} CPU minutes,',
          'no finding' if good else f'ended with {done.returncode}: see {log}',
          '|', last_line(log, 'cov:'), flush=True)
    return good


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    minutes = int(sys.argv[2])
    good = [run(build, name, minutes) for name in sys.argv[3:]]
    sys.exit(0 if all(good) else 1)


if __name__ == '__main__':
    os.umask(0o022)
    main()
