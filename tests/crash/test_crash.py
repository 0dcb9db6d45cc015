"""Commands killed, out of space, without rights and two at a time; every state: `python -m tests.crash`."""

import subprocess
import sys

import pytest

EVERY = 9
"""One of so many states and operations is tried here, in the time that tests have."""


@pytest.mark.parametrize("name", ["problems generate", "evaluate --json", "train", "audit"])
def test_a_command_that_was_disturbed_ends_in_the_same_bytes(name: str) -> None:
    command = [sys.executable, "-m", "tests.crash", name, "--every", str(EVERY)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 found" in ran.stdout
    assert int(ran.stdout.split(": ")[1].split()[0]) >= 3, "states after kills"
