"""Files written whole: a reader, or a run that goes on after a kill, finds all of a file or none of it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a path to write to, and put what was written there in the place of `path` when the block ends.

    What was at `path` before stays until then. If the block raises an error, it stays for good.

    Args:
        path: The file or folder to be written. Its parent is made if it is missing.
        folder: Whether to write a folder, which is there and empty when the block begins.

    Yields:
        A path beside it, `NAME.part`.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "table.txt"
        >>> with replacing(file) as part:
        ...     _ = part.write_text("done")
        >>> file.read_text()
        'done'
    """
    part = path.with_name(path.name + ".part")
    _remove(part)  # left by a process that was killed
    (part if folder else path.parent).mkdir(parents=True, exist_ok=True)
    try:
        yield part
        if folder:
            _remove(path)
        os.replace(part, path)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
