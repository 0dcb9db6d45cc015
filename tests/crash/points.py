"""Every state of a folder that a kill of a command can leave, and what the same command makes of each.

A command runs once, in a child. Before each of its file operations the folder is copied: a process killed there leaves
just that, since what Python has not yet written is lost with it. Files that no Python call opens (those of Arrow and
safetensors) are seen at the next operation. Of every file that grew in its place there is a second state, with the file
cut in half: a kill, or a disk that is full, in the middle of writing.
"""

import ctypes
import errno
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.files import is_unfinished

Content = dict[str, bytes]
"""Bytes of files by their path in a folder."""
Call = Callable[[], object]
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
"""Audit events of Python for what changes a file system; each comes before the operation."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CAPABILITIES = 0x20080522
"""Version of the structures that Linux reads."""
_FOREIGN = 70
"""Exit status of a child that a foreign exception ended."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    status: int
    """0 well, 2 with an error in words, `_FOREIGN` with another exception, negative by a signal."""
    said: str
    """What it wrote to the terminal."""

    @property
    def foreign(self) -> bool:
        """Whether an exception came through that is no error in words."""
        return self.status not in (0, 2)


def in_child(call: Call) -> Ended:
    """Run something in a child, and say how it ended.

    The child would wait for threads of this process for ever: this process must have none.
    """
    return end(*begin(call))


def begin(call: Call) -> tuple[int, int]:
    """Start a child, and return its number and what to read its words from."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        _be_child(call, writes)  # which does not come back
    os.close(writes)
    return child, reads


def _be_child(call: Call, writes: int) -> None:
    status = _FOREIGN
    try:
        for number in (1, 2):
            os.dup2(writes, number)
        call()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def end(child: int, reads: int) -> Ended:
    """Wait for a child of `begin`."""
    with open(reads, errors="replace") as words:
        said = words.read()
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said)


def content(folder: Path) -> Content:
    """Return the files of a folder but the unfinished."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = {path: path.relative_to(folder).parts for path in files}
    return {
        "/".join(parts[path]): path.read_bytes()
        for path in files
        if not any(is_unfinished(Path(part)) for part in parts[path])
    }


def state(folder: Path) -> Content:
    """Return all that is in a folder, folders too; a process's number in a name does not tell states apart."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"/" for path in folder.rglob("*")}


def states(call: Call, folder: Path, kept: Path) -> Iterator[tuple[str, Path]]:
    """Run once, and yield every different state that a kill can leave, by the operation before which it comes.

    Args:
        call: Writes into the folder alone.
        folder: As it is before the call.
        kept: Where states lie while this runs.
    """
    kept.mkdir()
    shutil.copytree(folder, kept / "begin")
    ended = in_child(lambda: _copying(call, folder, kept))
    assert not ended.status, ended.said
    seen: list[Content] = [state(kept / "begin")]
    number = 0
    while (copy := kept / f"{number}").exists():
        now, before = state(copy), seen[-1]
        what = (kept / f"{number}.txt").read_text()
        if now != before:
            _, renamed = what.rsplit("\n", 1)
            for name, held in now.items():
                if held not in (b"/", b"") and held != before.get(name) and not f"{name}/".startswith(f"{renamed}/"):
                    cut = kept / f"{number}-cut"
                    shutil.copytree(copy, cut)
                    (cut / name).write_bytes(held[: len(held) // 2])
                    yield f"{number}, within {name}", cut
                    shutil.rmtree(cut)
            seen.append(now)
            yield f"{number}, before {what.splitlines()[0]}", copy
        shutil.rmtree(copy)
        number += 1
    shutil.rmtree(kept)


def _copying(call: Call, folder: Path, kept: Path) -> None:
    number, busy, renamed = 0, False, ""

    def before(event: str, given: tuple) -> None:
        nonlocal number, busy, renamed
        if busy or not changes(event, given, folder):
            return
        busy = True
        try:
            shutil.copytree(folder, kept / str(number))
            path = Path(os.fsdecode(given[0]))
            (kept / f"{number}.txt").write_text(f"{event} {path.relative_to(folder)}\n{renamed}")
            renamed = str(Path(os.fsdecode(given[1])).relative_to(folder)) if event == "os.rename" else ""
            number += 1
        finally:
            busy = False

    sys.addaudithook(before)
    call()
    busy = True  # what the end of the process closes is no operation of the command


def changes(event: str, given: tuple, folder: Path) -> bool:
    """Say whether an audit event is an operation that changes something in a folder."""
    if event not in OPERATIONS or not isinstance(given[0], str | bytes | os.PathLike):
        return False
    if event == "open" and not (isinstance(given[2], int) and given[2] & _WRITES):
        return False
    return os.fsdecode(given[0]).startswith(f"{folder}{os.sep}") or os.fsdecode(given[0]) == str(folder)


def failing_at(number: int, call: Call, folder: Path, error: int = errno.ENOSPC) -> Call:
    """Return a call whose operation of this number on a folder, and all after it, fail; removing never does."""

    def run() -> None:
        left = number

        def before(event: str, given: tuple) -> None:
            nonlocal left
            if event not in ("os.remove", "os.rmdir") and changes(event, given, folder):
                left -= 1
                if left < 0:
                    raise OSError(error, os.strerror(error), os.fsdecode(given[0]))

        sys.addaudithook(before)
        call()

    return run


def with_files_of_at_most(size: int, call: Call) -> Call:
    """Return a call in which no file grows beyond a size: writing fails as on a full disk, in any library."""

    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        call()

    return run


def without_rights(call: Call) -> Call:
    """Return a call of someone whom the rights of files bind, as they do not bind the superuser."""

    def run() -> None:
        if not os.geteuid():
            libc = ctypes.CDLL(None, use_errno=True)
            header, held = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
            assert not libc.capget(header, held), os.strerror(ctypes.get_errno())
            held[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of those in effect
            assert not libc.capset(header, held), os.strerror(ctypes.get_errno())
        call()

    return run
