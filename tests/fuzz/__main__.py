"""Try many damaged inputs, each under a limit of time and memory: `python -m tests.fuzz --minutes 60`.

Inputs are numbered: the same numbers give the same inputs. Children of this process read 200 of them each; one that
ends by a signal has met a limit, and the next goes on after it. What is found is written to `--out`, an input a file.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.fuzz.targets import TARGETS, refused

SECONDS, GIGABYTE = 10, 2**30
"""Processor time and memory that one input may take."""
TOGETHER = 200
"""Inputs that one child reads."""


def inputs(examples: dict[str, list[str]], number: int) -> tuple[str, str]:
    """Return the target and the input of a number."""
    rng = random.Random(number)
    (name,) = rng.choices(list(TARGETS), [target.share for target in TARGETS.values()])
    known, limit = examples[name], sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # some inputs are nested more deeply than what reads them may go
    try:
        return name, TARGETS[name].damage(rng, rng.choice(known), known)
    finally:
        sys.setrecursionlimit(limit)


def child(examples: dict[str, list[str]], numbers: range, log: Path, scratch: Path) -> None:
    """Try inputs, and log a line before and after each."""
    limit = _size() + GIGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.setrecursionlimit(1000)
    with log.open("w") as file:
        for number in numbers:
            name, given = inputs(examples, number)
            place = scratch / str(number)
            place.mkdir(parents=True)
            file.write(json.dumps({"number": number, "target": name}) + "\n")
            file.flush()
            # The default of both signals is the end of the process: nothing can catch them.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(20 * SECONDS)
            before, began = _peak(), time.process_time()
            try:
                told = {"refused": refused(TARGETS[name], given, place)}
            except BaseException as error:
                lines = traceback.extract_tb(error.__traceback__)
                where = next((f"{Path(one.filename).name}:{one.lineno}" for one in reversed(lines)), "?")
                kind = "memory" if isinstance(error, MemoryError) else "foreign"
                told = {kind: f"{type(error).__name__} at {where}: {str(error)[:300]}"}
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            told |= {"number": number, "seconds": time.process_time() - began, "grown": _peak() - before}
            file.write(json.dumps(told) + "\n")
            file.flush()
            shutil.rmtree(place, ignore_errors=True)


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Run, print the table, and return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10**9, help="how many to try at most")
    parser.add_argument("--minutes", type=float, default=60, help="when to stop")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--target", choices=list(TARGETS), help="only inputs of this kind")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "found", help="where inputs go")
    given = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity(50)  # critical errors alone
    scratch = Path(tempfile.mkdtemp())
    examples = {}
    for name, target in TARGETS.items():
        (scratch / "examples" / name).mkdir(parents=True)
        examples[name] = target.examples(scratch / "examples" / name)
        refused(target, examples[name][0], scratch / "examples" / name)  # imports what it needs
    if given.target:
        for name in TARGETS:
            TARGETS[name] = replace(TARGETS[name], share=int(name == given.target))
    tried, said, found, kinds = Counter(), Counter(), Counter(), Counter()
    slowest, largest, began = 0.0, 0, time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    number, last = given.first, given.first + given.inputs
    while number < last and time.monotonic() - began < 60 * given.minutes:
        log = scratch / "log"
        numbers = range(number, min(number + TOGETHER, last))
        pid = os.fork()
        if not pid:
            try:
                child(examples, numbers, log, scratch)
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for start, end in itertools.zip_longest(lines[::2], lines[1::2]):
            number, name = start["number"] + 1, start["target"]
            tried[name] += 1
            if end is None:
                end = {"hang" if -status in (signal.SIGPROF, signal.SIGALRM) else "ended": f"by signal {-status}"}
            said[name] += int(end.get("refused", False))
            slowest, largest = max(slowest, float(end.get("seconds", 0))), max(largest, int(end.get("grown", 0)))
            for kind in ("foreign", "memory", "hang", "ended"):
                if kind in end:
                    found[kind] += 1
                    line = f"{name}: {kind}: {end[kind]}"
                    kinds[line.split(": ", 3)[2] if kind == "foreign" else line] += 1
                    if kinds[line.split(": ", 3)[2] if kind == "foreign" else line] <= 3:
                        print(f"{start['number']} {line}", flush=True)
                        text = inputs(examples, start["number"])[1]
                        mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
                        (given.out / f"{name}-{mark}").write_bytes(text.encode("utf-8", "surrogatepass"))
        if not lines:
            number += 1
    shutil.rmtree(scratch, ignore_errors=True)
    print(f"{sum(tried.values())} inputs in {time.monotonic() - began:.0f} s: {dict(tried)}")
    print(f"refused {dict(said)}; slowest {slowest:.1f} s of processor time; largest growth {largest / 2**20:.0f} MB")
    print(f"found: {dict(found) or 'nothing'}")
    for line, count in kinds.most_common():
        print(f"  {count} × {line}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
