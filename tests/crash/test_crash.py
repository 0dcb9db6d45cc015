"""Commands killed, out of space, without rights and two at a time; every state: `python -m tests.crash`."""

import subprocess
import sys

EVERY = 30
"""One of so many states and operations is tried here, in the time that tests have."""


def test_a_command_that_was_disturbed_ends_in_the_same_bytes() -> None:
    command = [sys.executable, "-m", "tests.crash", "train", "--every", str(EVERY)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (states,) = (int(line.split(": ")[1].split()[0]) for line in ran.stdout.splitlines())
    assert states > 50
