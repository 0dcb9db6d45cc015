"""Kill every writing command at every file operation: `python -m tests.crash`, or of some commands by their names.

For every state that a kill can leave: whether the same command typed again ends in the same bytes. Then a full disk, at
every operation and at several sizes of files; a folder without rights; and two processes in one folder.
Printed are a line for each command, one for each finding, and with `--list` every state.
"""

import argparse
import importlib
import pkgutil
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.commands import COMMANDS, prepare
from tests.crash.points import (
    Call,
    begin,
    content,
    end,
    failing_at,
    in_child,
    state,
    states,
    with_files_of_at_most,
    without_rights,
)
from workbench.files import is_unfinished
from workbench.measure.provenance import provenance

SIZES = (0, 1, 300, 3000, 30_000)
"""Bytes that a file may have where the disk is full."""


@dataclass
class Told:
    """What was tried of a command, and what was found."""

    name: str
    states: list[str] = field(default_factory=list)
    full: int = 0
    found: list[str] = field(default_factory=list)


class Trial:
    """Trials of one command in folders of its own.

    Args:
        name: Of `COMMANDS`.
        home: An empty folder.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.told, self.command, self.home = Told(name), COMMANDS[name], home
        self.inputs, self.out = home / "in", home / "out"
        self.inputs.mkdir()
        self.out.mkdir()
        made = in_child(self._prepare)
        assert not made.status, made.said
        shutil.copytree(self.out, home / "before")
        self.expected: dict[str, bytes] = {}

    def _prepare(self) -> None:
        prepare(self.inputs)
        self.command.prepare(self.inputs, self.out)

    def call(self) -> None:
        """Run the command."""
        self.command.run(self.inputs, self.out)

    def restore(self, place: Path | None = None) -> None:
        """Make the folder as it was before, or as it is at a place."""
        shutil.rmtree(self.out)
        shutil.copytree(place or self.home / "before", self.out)

    def again(self, what: str) -> None:
        """Type the command again, and look whether it gives what an undisturbed one gives."""
        there = self.command.new and self.command.result(self.out) == self.expected
        ended = in_child(self.call)
        if ended.status and not (there and ended.status == 2):
            self.told.found.append(f"{what}: ends with {ended.status}: {ended.said[-700:]}")
            return
        found = self.command.result(self.out)
        if found != self.expected:
            names = sorted(n for n in found.keys() | self.expected.keys() if found.get(n) != self.expected.get(n))
            self.told.found.append(f"{what}: other bytes in {', '.join(names)}")
        self._left(what)

    def _left(self, what: str, aside: bool = False) -> None:
        """Look for what is unfinished; a folder that could not be put back may stand aside."""
        left = [name for name in state(self.out) if any(is_unfinished(Path(part)) for part in Path(name).parts)]
        left = [name for name in left if not (aside and ".old" in name)]
        if left:
            self.told.found.append(f"{what}: left are {', '.join(left)}")

    def whole(self) -> None:
        """Run undisturbed, twice: what differs then is not the kill's doing."""
        ended = in_child(self.call)
        assert not ended.status, ended.said
        self.expected = self.command.result(self.out)
        assert self.expected, "nothing is written"
        self.restore()
        self.again("undisturbed, a second time")
        self.again("when it is done")
        self.restore()

    def kills(self, every: int = 1) -> None:
        """Go on after a kill in every state, or in one of so many."""
        for number, (what, place) in enumerate(states(self.call, self.out, self.home / "states")):
            self.told.states.append(what)
            if number % every == 0:
                self.restore(place)
                self.again(f"killed at {what}")
        self.restore()

    def full_disk(self, every: int = 1) -> None:
        """Let operations fail for want of space: the error is in words, what was there stays, and it can go on."""
        number, status = 0, 2
        while status:
            if number % every == 0:
                status = self._fails(f"full at operation {number}", failing_at(number, self.call, self.out))
            number += 1
        self.told.full = number - 1
        for size in SIZES if every == 1 else SIZES[::2]:
            self._fails(f"full at {size} bytes", with_files_of_at_most(size, self.call))

    def _fails(self, what: str, call: Call) -> int:
        self.restore()
        ended = in_child(call)
        if ended.foreign or "Traceback" in ended.said:
            self.told.found.append(f"{what}: foreign: {ended.said[-700:]}")
        self._left(what, aside=True)
        if ended.status:
            self.again(f"after {what}")
        self.restore()
        return ended.status

    def no_rights(self) -> None:
        """Run where nothing may be written: an error in words, and nothing is changed."""
        before = content(self.out)
        folders = [self.out, *(path for path in self.out.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        ended = in_child(without_rights(self.call))
        if ended.status != 2 or "Traceback" in ended.said:
            self.told.found.append(f"no rights: ends with {ended.status}: {ended.said[-700:]}")
        if content(self.out) != before:
            self.told.found.append("no rights: the folder has changed")
        for path in folders:
            path.chmod(0o755)
        self.restore()

    def two(self) -> None:
        """Run twice at a time: each ends well or says that the other is at work; the result is that of one."""
        ended = [end(*child) for child in [begin(self.call), begin(self.call)]]
        for one in ended:
            refused = one.status == 2 and "Another process is writing" in one.said
            refused |= one.status == 2 and self.command.new
            if one.status and not (refused and (self.command.one or self.command.new)):
                self.told.found.append(f"two at a time: ends with {one.status}: {one.said[-700:]}")
        if all(one.status for one in ended):
            self.told.found.append("two at a time: none ends well")
        if self.command.result(self.out) != self.expected:
            self.told.found.append("two at a time: other bytes")
        self.again("after two at a time")
        self.restore()


def trials(names: list[str], every: int = 1) -> Iterator[Told]:
    """Try commands."""
    ready()
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            home = Path(place).resolve()
            trial = Trial(name, home)
            trial.whole()
            trial.kills(every)
            trial.full_disk(every)
            trial.no_rights()
            trial.two()
            yield trial.told


def ready() -> None:
    """Import what commands import, early or late: children begin with it. Nothing that starts a thread is called."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    import tests.model.test_bases
    import tests.model.test_importing
    import tests.studies.test_compare_report
    import tests.train.test_grpo
    import tests.train.test_pretrained
    import workbench

    assert tests
    for name in ("scipy.optimize", "scipy.stats", "torch.utils.benchmark", "transformers.models.qwen2.modeling_qwen2"):
        importlib.import_module(name)
    get_checkpoint_conversion_mapping("qwen2")  # makes the patterns of all families
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        if module.name not in ("workbench.__main__", "workbench.model.engines.on_ray"):
            importlib.import_module(module.name)
    provenance(0)  # asks git once for all: a commit in between is no finding


def main() -> int:
    """Run, print, and return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="commands; by default all")
    parser.add_argument("--every", type=int, default=1, help="try one of so many states")
    parser.add_argument("--list", action="store_true", help="print every state")
    given = parser.parse_args()
    bad, began = 0, time.monotonic()
    for told in trials(given.names or list(COMMANDS), given.every):
        print(f"{told.name}: {len(told.states)} states after kills, {told.full} operations on a full disk, "
              f"{len(told.found)} found, {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        for line in told.found:
            print(f"  {line}", flush=True)
        for line in told.states if given.list else ():
            print(f"  - {line}", flush=True)
        bad += len(told.found)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
