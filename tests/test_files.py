"""Files written whole: killed at every operation, with no space, by two at a time, under any name."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.files import is_unfinished, only_writer, replacing, standing, write_whole

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
"""Audit events of Python for what changes a file system; each comes before the operation."""


def killed_at(number: int, write: Callable[[], object], within: Path) -> bool:
    """Run in a child that is killed just before its file operation of this number; say whether it came so far."""
    child = os.fork()
    if not child:
        left = [number]

        def count(event: str, arguments: tuple) -> None:
            if event in OPERATIONS and str(arguments[0]).startswith(str(within)):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

        sys.addaudithook(count)
        try:
            write()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def write_file(path: Path, content: str) -> None:
    write_whole(path, content)


def write_folder(path: Path, content: str) -> None:
    with replacing(path, folder=True) as part:
        for name in ("one", "two"):
            (part / name).write_text(content)


def read_file(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def read_folder(path: Path) -> str | None:
    path = standing(path)
    if not path.exists():
        return None
    one, two = (path / name for name in ("one", "two"))
    assert one.read_text() == two.read_text()
    return one.read_text()


KINDS = {"file": (write_file, read_file), "folder": (write_folder, read_folder)}


@pytest.mark.parametrize("before", [None, "before"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_file_operation_leaves_all_or_nothing(tmp_path: Path, kind: str, before: str | None) -> None:
    write, read = KINDS[kind]
    seen, number = set(), 0
    while True:
        directory = tmp_path / str(number)
        directory.mkdir()
        path = directory / "kept"
        if before:
            write(path, before)
        killed = killed_at(number, lambda path=path: write(path, "after"), directory)
        seen.add(read(path))
        assert all(is_unfinished(one) for one in directory.iterdir() if one != path)
        write(path, "again")  # the run goes on
        assert read(path) == "again"
        assert [one.name for one in directory.iterdir()] == ["kept"]
        if not killed:
            break
        number += 1
    assert number >= 2
    assert seen == {before, "after"}


def test_a_second_kill_while_a_folder_stands_aside_loses_nothing(tmp_path: Path) -> None:
    asides = 0
    for first in (6, 7, 8):
        for second in range(3):
            path = tmp_path / f"{first}-{second}" / "kept"
            path.parent.mkdir()
            write_folder(path, "before")
            killed_at(first, lambda path=path: write_folder(path, "after"), path.parent)
            asides += not path.exists()
            killed_at(second, lambda path=path: write_folder(path, "later"), path.parent)
            assert read_folder(path) in ("before", "after", "later")
    assert asides


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    for kind, (write, read) in KINDS.items():
        write(path, "before")
        with suppress(RuntimeError), replacing(path, folder=path.is_dir()) as part:
            (part / "one" if part.is_dir() else part).write_text("half")
            raise RuntimeError
        assert read(path) == "before"
        assert [one.name for one in tmp_path.iterdir()] == ["kept"]
        path.unlink(missing_ok=True) if kind == "file" else None


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, "before")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_whole(path, "x" * 5000)
        except OSError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def test_a_full_disk_is_said_as_such_whatever_library_writes(tmp_path: Path) -> None:
    for error, known in (
        (Exception("I/O error: No space left on device (os error 28)"), OSError),
        (ValueError("x"), ValueError),
    ):
        with pytest.raises(known) as raised, replacing(tmp_path / "kept"):
            raise error
        if isinstance(raised.value, OSError):
            assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "kept"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "a" * 195 + "é" * 10, "with space\nand break", "*.part?"])
def test_every_name_that_a_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    for content in ("before", "after"):
        write_whole(tmp_path / name, content)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {name: "after"}


def test_names_too_long_for_a_file_system_raise_its_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        write_whole(tmp_path / ("n" * 300), "x")
    assert not list(tmp_path.iterdir())


def test_the_unfinished_file_of_a_process_that_runs_is_left(tmp_path: Path) -> None:
    running, dead = subprocess.Popen(["sleep", "60"]), subprocess.Popen(["true"])
    dead.wait()
    parts = {one: tmp_path / f".kept.{one.pid}-1.part" for one in (running, dead)}
    for part in parts.values():
        part.write_text("half")
    write_whole(tmp_path / "kept", "whole")
    running.terminate()
    running.wait()
    assert parts[running].exists()
    assert not parts[dead].exists()


def test_one_process_at_a_time_writes_into_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    busy = pytest.raises(WorkbenchError, match="Another process is writing")
    with only_writer(directory), busy, only_writer(directory):
        raise AssertionError
    with only_writer(directory):  # the first has ended
        pass
    (tmp_path / "file").touch()
    with only_writer(tmp_path / "file"):  # whatever writes there says what is wrong
        pass


def test_a_killed_process_holds_no_directory(tmp_path: Path) -> None:
    def work() -> None:
        with only_writer(tmp_path / "out"):
            (tmp_path / "out" / "file").write_text("x")

    assert killed_at(2, work, tmp_path)
    with only_writer(tmp_path / "out"):
        pass
