"""Files written whole: a reader, or a run that goes on after a kill, finds all of a file or none of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, and put what was written there in the place of `path` when the block ends.

    The file before stays until then, and stays where the block raises an error.

    Args:
        path: The file to be written. Its folder is made where it is missing.

    Yields:
        A path in the same folder, `NAME.part`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "table.txt"
        >>> with replacing(file) as part:
        ...     _ = part.write_text("done")
        >>> file.read_text()
        'done'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes so that the file is there whole or not at all.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write_whole(file, "hello")
        >>> file.read_text()
        'hello'
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
