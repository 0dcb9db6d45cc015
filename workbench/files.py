"""Files written whole: a reader, or a run that goes on after a kill, finds all of a file or none of it.

Every file that a command leaves is written through `replacing` or `write_whole`, but for logs, which grow line by line.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import Any

from workbench.errors import WorkbenchError

MOST_BYTES = {"config.json": 2**20, "model.safetensors.index.json": 2**24}
"""The largest file read, by name."""
MOST_OTHER_BYTES = 2**27
"""The largest JSON or text file else: those of tokenizers with large vocabularies have up to 40 MB."""
MOST_DEPTH = 32
"""Levels of a config.json."""
_LONGEST_NAME = 200
"""Bytes of a file's name that its unfinished part repeats; file systems allow 255 in all."""


@contextmanager
def replacing(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a path to write to, and put what was written there in the place of `path` when the block ends.

    What was at `path` before stays until then. If the block raises an error, it stays for good. Processes that write
    the same path at a time do not meet: the last to end is the one that is read.

    Args:
        path: The file or folder to be written. Its parent is made if it is missing.
        folder: Whether to write a folder, which is there and empty when the block begins.

    Yields:
        A hidden path beside it that no other process has.

    Raises:
        OSError: It cannot be written, whatever error the library that writes it raised.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "table.txt"
        >>> with replacing(file) as part:
        ...     _ = part.write_text("done")
        >>> file.read_text()
        'done'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path)
    part = path.with_name(f"{_stem(path)}.{os.getpid()}-{get_ident()}.part")
    old = _aside(path)
    try:
        if folder:
            part.mkdir()
        yield part
        if folder and path.exists():
            os.replace(path, old)  # no folder takes the place of one with files in it
        os.replace(part, path)
    except Exception as error:
        # Libraries written in Rust raise errors of their own where writing fails, with its number in their words.
        said = None if isinstance(error, OSError) else re.search(r"\(os error (\d+)\)", str(error))
        if said is None:
            raise
        raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
    finally:
        if old.exists() and not path.exists():
            with suppress(OSError):  # then it stays aside, where `standing` finds it
                os.replace(old, path)
        if old.exists() and path.exists():
            _remove(old)
        _remove(part)


def standing(path: Path) -> Path:
    """Return where a folder written by `replacing` stands: at `path`, or aside if a kill came between two renames."""
    return path if path.exists() or not _aside(path).exists() else _aside(path)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes so that the file is there whole or not at all.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write_whole(file, "hello")
        >>> file.read_text()
        'hello'
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def file_sha256(file: Path) -> str:
    """Return a file's sha256, as hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_object(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        ValueError: The file cannot be read, is too large, or holds something else.
    """
    try:
        size, most = file.stat().st_size, MOST_BYTES.get(file.name, MOST_OTHER_BYTES)
        if not file.is_file() or size > most:
            raise ValueError(f"it has {size:,} bytes, at most {most:,} are read" if file.is_file() else "it is no file")
        held = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(held, dict):
        raise ValueError("it holds no object")
    return held


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Keep a second process from writing into a directory that this one goes on writing; ends with the process, too.

    Args:
        directory: Made if it is not there.

    Raises:
        WorkbenchError: Another process is at work in it.
    """
    if directory.exists() and not directory.is_dir():
        yield  # what writes there says what is wrong
        return
    directory.mkdir(parents=True, exist_ok=True)
    held = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise WorkbenchError(
                    f"Another process is writing to {directory}.",
                    "Two at a time would write over each other's files.",
                    "Wait for it, or end it; then type the same command again.",
                ) from error
            # Some network file systems lock no directories: there nothing is kept apart.
        yield
    finally:
        os.close(held)


def is_unfinished(path: Path) -> bool:
    """Say whether a path is what a killed process left of `replacing`, of this version or those before."""
    return path.name.endswith(".part") or (path.name.startswith(".") and path.name.endswith(".old"))


def _stem(path: Path) -> str:
    name = path.name.encode()
    return f".{path.name}" if len(name) <= _LONGEST_NAME else f".{hashlib.sha256(name).hexdigest()}"


def _aside(path: Path) -> Path:
    return path.with_name(f"{_stem(path)}.old")


def _tidy(path: Path) -> None:
    """Put back a folder that stands aside, and remove what killed processes left."""
    old = _aside(path)
    if old.exists() and not path.exists():
        os.replace(old, path)
    _remove(old)
    if len(path.name.encode()) <= _LONGEST_NAME:
        _remove(path.with_name(path.name + ".part"))  # what versions before this one left
    left = re.compile(re.escape(_stem(path)) + r"\.(\d+)-\d+\.part")
    for name in os.listdir(path.parent):
        if (found := left.fullmatch(name)) and not _runs(int(found[1])):
            _remove(path.with_name(name))


def _runs(process: int) -> bool:
    """Say whether a process of this machine runs; this one's own leftovers are gone already."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to someone else
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
