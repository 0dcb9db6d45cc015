"""Files of problems in and out: ProsQA, which has graphs, and items, which are words alone. Every fault is named.

Read are, of problems with graphs: the official JSON format, and a graph as GraphML or node-link JSON. Of items: a JSON
list; JSON lines; the published ProntoQA generator's object of examples; iCoT's text files, a problem a line.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import from_json, to_json

from workbench.errors import WorkbenchError
from workbench.files import write_whole
from workbench.problems.english import MOST_CHARACTERS
from workbench.problems.item_shapes import Read, read_item, read_line
from workbench.problems.networks import parse_graphml, parse_node_link, read_network
from workbench.problems.problem import Fault, Item, Problem
from workbench.problems.prosqa import as_published
from workbench.problems.uploads import all_sound, read_json, read_shape, read_text
from workbench.problems.validator import MOST_EDGES, MOST_NODES, check

MOST_BYTES = 64 * 2**20
"""The largest file of problems read; the official training set (17,886 problems) has 36 MB."""
MOST_ITEM_BYTES = 256 * 2**20
"""The largest file of items read; GSM8K-Aug has about 90 MB."""

_OFFICIAL_FIELD = {"names": "idx_to_symbol", "negative": "neg_target", "options": "question"}
_WRITTEN = ("id", "question", "answer", "steps", "names", "edges", "root", "target", "negative")
_PROBLEMS = (
    "Give a UTF-8 JSON list of problems as in the official ProsQA files, or a graph as GraphML or node-link JSON."
)
_ITEMS = (
    "Give a JSON list or JSON lines of objects with question, steps and answer, a file of GSM8K, GSM8K-Aug, MATH or "
    "ProntoQA, or iCoT's text (question||<<1+2=3>> #### 3)."
)
_LOOK = 1 << 20
"""Bytes that `load_any` looks at: more than a problem has."""
_GRAPHS = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*<|"(?:idx_to_symbol|nodes)"\s*:')
"""Found at the start of files whose problems have graphs: XML, or a field of theirs."""

_Node = Annotated[int, Field(ge=0, lt=MOST_NODES)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Sentence = Annotated[str, StringConstraints(max_length=1000)]


class _Official(BaseModel):
    """One problem of an official file; "id" is ours and optional, other keys are left alone."""

    model_config = ConfigDict(strict=True)

    question: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    answer: _Sentence
    steps: Annotated[list[_Sentence], Field(max_length=MOST_NODES)]
    idx_to_symbol: Annotated[list[_Name], Field(max_length=MOST_NODES)]
    edges: Annotated[list[Annotated[list[_Node], Field(min_length=2, max_length=2)]], Field(max_length=MOST_EDGES)]
    root: _Node
    target: _Node
    neg_target: _Node
    id: Annotated[str, StringConstraints(pattern=r"^[\w.:+-]{1,128}$")] | None = None


def load_problems(path: Path) -> list[Problem]:
    """Read a file of problems with graphs; what kind of file it is shows in its content.

    Args:
        path: A JSON list in the official format (objects with question, answer, steps, idx_to_symbol, edges, root,
            target, neg_target and perhaps id), or one graph as `networks.write_graph` writes it: GraphML, or node-link
            JSON, of which a list may hold several. A problem without id is called after file and place:
            "prosqa_test-17".

    Returns:
        The problems in the order of the file, every one of them checked by the validator.

    Raises:
        WorkbenchError: Naming file, item (from 0), field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    text = read_text(path, MOST_BYTES, "JSON file", _PROBLEMS)
    if text.lstrip().startswith("<"):
        return all_sound(path, [_read_graph(text, f"{path.stem}-0")])
    data = read_json(text, path, _PROBLEMS)
    if _is_graph(data):
        data = [data]
    if not isinstance(data, list) or not data:
        found = "an empty list" if isinstance(data, list) else f"a single {type(data).__name__}"
        why = f"The file holds {found}, not a list of problems."
        raise WorkbenchError(f"No problems in {path}.", why, _PROBLEMS)
    return all_sound(path, (_read_problem(item, f"{path.stem}-{number}") for number, item in enumerate(data)))


def save_problems(problems: Iterable[Problem], path: Path) -> None:
    """Write problems in the official JSON format plus "id", one a line; the file is written whole or not at all."""
    _write_list(
        ({_OFFICIAL_FIELD.get(one, one): getattr(problem, one) for one in _WRITTEN} for problem in problems), path
    )


def load_items(path: Path) -> list[Item]:
    """Read a file of items; what kind of file it is shows in its content.

    Args:
        path: The file. A problem without id is called after file and place: "gsm_test-17".

    Returns:
        The items in the order of the file. Those of ProntoQA and our arithmetic are checked by their validators.

    Raises:
        WorkbenchError: Naming file, item (from 0), field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    read = list(_read_items(read_text(path, MOST_ITEM_BYTES, "JSON or text file", _ITEMS), path))
    if not read:
        raise WorkbenchError(f"No problems in {path}.", "The file holds none.", _ITEMS)
    return all_sound(path, read)


def save_items(items: Iterable[Item], path: Path) -> None:
    """Write items as a JSON list, one a line, as `load_items` reads it; the file is written whole or not at all."""
    _write_list(map(asdict, items), path)


def _write_list(data: Iterable[dict[str, Any]], path: Path) -> None:
    write_whole(Path(path), b"[\n" + b",\n".join(map(to_json, data)) + b"\n]\n")


def load_any(path: Path) -> Sequence[Problem] | Sequence[Item]:
    """Read a file of problems; whether they have graphs shows in its first problem.

    Raises:
        WorkbenchError: Naming file, item, field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(_LOOK)
    except (OSError, ValueError):
        start = b""  # the reader below says what is wrong
    return load_problems(path) if _GRAPHS.search(start) else load_items(path)


def _is_graph(data: Any) -> bool:
    """Return whether an object of JSON is a graph in node-link form."""
    return isinstance(data, dict) and "nodes" in data and ("edges" in data or "links" in data)


def _read_graph(graph: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    """Read the text of a GraphML file, or an object of node-link JSON."""
    try:
        return read_network(parse_graphml(graph) if isinstance(graph, str) else parse_node_link(graph), default_id)
    except ValueError as error:
        return None, [Fault("the graph", str(error))]


def _read_problem(data: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    if _is_graph(data):
        return _read_graph(data, default_id)
    item, faults = read_shape(_Official, data)
    if item is None:
        return None, faults
    edges = [(source, destination) for source, destination in item.edges]
    problem = as_published(
        item.id or default_id, item.question, item.answer, item.steps, item.idx_to_symbol, edges,
        item.root, item.target, item.neg_target,
    )  # fmt: skip
    return problem, [Fault(_OFFICIAL_FIELD.get(fault.field, fault.field), fault.reason) for fault in check(problem)]


def _read_items(text: str, path: Path) -> Iterable[Read]:
    """Yield what each problem of a file reads as."""

    def of_json(items: Iterable[Any]) -> Iterable[Read]:
        return (read_item(data, f"{path.stem}-{number}") for number, data in enumerate(items))

    lines = [line for line in text.splitlines() if line.strip()]
    start = text.lstrip()[:1]
    if start == "[":
        return of_json(read_json(text, path, _ITEMS))
    if start == "{" and len(lines) > 1 and _is_object(lines[0]):
        return (_read_json_line(line, f"{path.stem}-{number}") for number, line in enumerate(lines))
    if start == "{":
        return of_json(_examples(read_json(text, path, _ITEMS), path))
    if lines and not any("||" in line for line in lines):
        raise WorkbenchError(f"Cannot read problems from {path}.", "It is neither JSON nor iCoT's text.", _ITEMS)
    return (read_line(line, f"{path.stem}-{number}") for number, line in enumerate(lines))


def _is_object(line: str) -> bool:
    """Return whether a line is a JSON object by itself."""
    try:
        return isinstance(from_json(line), dict)
    except ValueError:
        return False


def _examples(data: dict[str, Any], path: Path) -> Iterable[Any]:
    """Return the examples of the published ProntoQA generator; a single problem counts as one, too."""
    if "question" in data or "problem" in data or "test_example" in data:
        return [data]
    if not all(isinstance(example, dict) and "test_example" in example for example in data.values()):
        why = f"It is one JSON object with the fields {', '.join(list(data)[:5])}, not a list of problems."
        raise WorkbenchError(f"No problems in {path}.", why, _ITEMS)
    return data.values()


def _read_json_line(line: str, default_id: str) -> Read:
    try:
        return read_item(from_json(line), default_id)
    except ValueError as error:
        cut = "; the file seems to be cut off" if str(error).startswith("EOF") else ""
        return None, [Fault("the problem", f"its line is not valid JSON: {error}{cut}")]
