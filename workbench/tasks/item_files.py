"""Files of items: ours and the official ones of GSM8k, GSM8K-Aug, ProntoQA and MATH, every fault named at once.

Recognised by what is in them: a JSON list; the published ProntoQA generator's JSON object of examples; JSON lines; the
text files of iCoT, a problem a line. docs/tasks.md has the fields.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from workbench.errors import WorkbenchError
from workbench.oracle import Fault
from workbench.tasks.item import Item
from workbench.tasks.item_shapes import Read, read_item, read_line
from workbench.text_files import in_words, read_json, read_text, refuse, write_whole

MOST_BYTES = 256 * 2**20
"""The largest file read; GSM8K-Aug has about 90 MB."""

_KINDS = (
    "Give a JSON list or JSON lines of objects with question, steps and answer, a file of GSM8K, GSM8K-Aug, MATH or "
    "ProntoQA, or iCoT's text (question||<<1+2=3>> #### 3)."
)


def load_items(path: Path) -> list[Item]:
    """Read a file of items; what kind of file it is shows in its content.

    Args:
        path: The file. A problem without id is called after file and place: "gsm_test-17".

    Returns:
        The items in the order of the file. Those of ProntoQA, and our arithmetic, have been checked by their oracle.

    Raises:
        WorkbenchError: naming file, item (from 0), field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    text = read_text(path, MOST_BYTES, "JSON or text file", _KINDS)
    read = [reader(data, f"{path.stem}-{number}") for number, (reader, data) in enumerate(_parts(text, path))]
    if not read:
        raise WorkbenchError(f"No problems in {path}.", "The file holds none.", _KINDS)
    items: list[Item] = []
    bad: list[str] = []
    first: dict[str, int] = {}
    for number, (item, faults) in enumerate(read):
        if item is not None:
            if first.setdefault(item.id, number) != number:
                faults = [*faults, Fault("id", f"{item.id!r} is the id of item {first[item.id]} too")]
            items.append(item)
        if faults:
            bad.append(in_words(number, faults))
    refuse(path, len(read), bad)
    return items


def save_items(items: Iterable[Item], path: Path) -> None:
    """Write items as a JSON list, one a line, as `load_items` reads it; the file is written whole or not."""
    write_whole(b"[\n" + b",\n".join(to_json(asdict(item)) for item in items) + b"\n]\n", Path(path))


def _parts(text: str, path: Path) -> Iterable[tuple[Any, Any]]:
    """Yield the problems of a file, each with what reads it."""
    start = text.lstrip()[:1]
    if start == "[":
        for data in read_json(text, path, _KINDS):
            yield read_item, data
    elif start == "{":
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _is_object(lines[0]):
            yield from ((_read_json_line, line) for line in lines)
        else:
            yield from _examples(read_json(text, path, _KINDS), path)
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and not any("||" in line for line in lines):
            raise WorkbenchError(f"Cannot read problems from {path}.", "It is neither JSON nor iCoT's text.", _KINDS)
        for line in lines:
            yield read_line, line


def _is_object(line: str) -> bool:
    """Say whether a line is a JSON object of its own."""
    try:
        return isinstance(from_json(line), dict)
    except ValueError:
        return False


def _examples(data: dict[str, Any], path: Path) -> Iterable[tuple[Any, Any]]:
    """Yield the examples of the published ProntoQA generator; a single problem is one, too."""
    if "question" in data or "problem" in data or "test_example" in data:
        yield read_item, data
        return
    if not all(isinstance(example, dict) and "test_example" in example for example in data.values()):
        why = f"It is one JSON object with the fields {', '.join(list(data)[:5])}, not a list of problems."
        raise WorkbenchError(f"No problems in {path}.", why, _KINDS)
    for example in data.values():
        yield read_item, example


def _read_json_line(line: str, default_id: str) -> Read:
    try:
        return read_item(from_json(line), default_id)
    except ValueError as error:
        cut = "; the file seems to be cut off" if str(error).startswith("EOF") else ""
        return None, [Fault("the problem", f"its line is not valid JSON: {error}{cut}")]
