"""Files of problems in and out, graphs and items alike. What a file holds shows in its content; every fault is named.

Read are a JSON list, JSON lines, a list under "data", the published ProntoQA generator's object of examples, iCoT's
text files (a problem a line), a graph as GraphML or node-link JSON, and data sets of the Hugging Face hub by name.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import from_json, to_json

from workbench.errors import WorkbenchError, clip, listed
from workbench.files import write_whole
from workbench.problems.english import MOST_CHARACTERS, asks
from workbench.problems.item_shapes import read_item, read_line
from workbench.problems.networks import parse_graphml, parse_node_link, read_network
from workbench.problems.problem import Fault, Item, Problem
from workbench.problems.prosqa import as_published, parse_question
from workbench.problems.uploads import all_sound, read_json, read_shape, read_text
from workbench.problems.validator import MOST_EDGES, MOST_NODES, check

MOST_BYTES = 256 * 2**20
"""The largest file read; GSM8K-Aug has about 90 MB, the official training set of ProsQA (17,886 problems) 36 MB."""

_OFFICIAL_FIELD = {"names": "idx_to_symbol", "negative": "neg_target", "options": "question"}
_WRITTEN = ("id", "question", "answer", "steps", "names", "edges", "root", "target", "negative")
_DO = (
    'Give UTF-8 JSON (a list, lines, or a list under "data") of objects with question, steps and answer, a file of '
    "ProsQA, ProntoQA, GSM8K, GSM8K-Aug or MATH, iCoT's text (question||<<1+2=3>> #### 3), or a graph as GraphML or "
    "node-link JSON."
)
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))?(@(?P<split>[\w.\[\]:%-]+))?")
"""A data set of the hub: "openai/gsm8k", with a configuration and a split "openai/gsm8k:main@train"."""

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


class _Words(BaseModel):
    """A problem of ProsQA without its graph, which is read from the sentences; steps and answer may be left out."""

    model_config = ConfigDict(strict=True)

    question: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    answer: _Sentence | None = None
    steps: Annotated[list[_Sentence], Field(max_length=MOST_NODES)] | None = None
    id: Annotated[str, StringConstraints(pattern=r"^[\w.:+-]{1,128}$")] | None = None


def load_problems(path: Path) -> list[Problem]:
    """Read problems with graphs.

    Args:
        path: A file or a data set, as for `load_any`.

    Returns:
        The problems in the order of the file, every one of them checked by the validator.

    Raises:
        WorkbenchError: As for `load_any`, or the problems have no graphs.
    """
    return graphs_of(load_any(path))


def load_items(path: Path) -> list[Item]:
    """Read items, which have steps and no graph.

    Args:
        path: A file or a data set, as for `load_any`.

    Raises:
        WorkbenchError: As for `load_any`, or the problems have graphs.
    """
    loaded = load_any(path)
    if items := [one for one in loaded if isinstance(one, Item)]:
        return items
    raise WorkbenchError(f"No items in {path}.", "Its problems are of ProsQA and have graphs.", "Name another file.")


def graphs_of(problems: Sequence[Problem | Item]) -> list[Problem]:
    """Return problems that must have graphs.

    Raises:
        WorkbenchError: Some are words alone.
    """
    if without := [one.id for one in problems if not isinstance(one, Problem)]:
        raise WorkbenchError(
            "This needs problems with graphs.",
            f"{len(without)} of {len(problems)} are of the task {task_of(problems)} and have none, {without[0]} among "
            "them.",
            "Use ProsQA problems here. Which command serves which task stands on the page Tasks of the documentation.",
        )
    return [one for one in problems if isinstance(one, Problem)]


def task_of(problems: Sequence[Problem | Item]) -> str:
    """Return the task of problems, "prosqa" of those with graphs; several with commas between."""
    return ", ".join(sorted({one.task if isinstance(one, Item) else "prosqa" for one in problems}))


def save_problems(problems: Iterable[Problem], path: Path) -> None:
    """Write problems in the official JSON format plus "id", one a line; the file is written whole or not at all."""
    _write_list(
        ({_OFFICIAL_FIELD.get(one, one): getattr(problem, one) for one in _WRITTEN} for problem in problems), path
    )


def save_items(items: Iterable[Item], path: Path) -> None:
    """Write items as a JSON list, one a line, as `load_items` reads it; the file is written whole or not at all."""
    _write_list(map(asdict, items), path)


def _write_list(data: Iterable[dict[str, Any]], path: Path) -> None:
    write_whole(Path(path), b"[\n" + b",\n".join(map(to_json, data)) + b"\n]\n")


def load_any(path: Path) -> Sequence[Problem] | Sequence[Item]:
    """Read problems of any task; which it is shows in their content.

    Args:
        path: A file: a JSON list, JSON lines, a list under "data", the published ProntoQA generator's object of
            examples, iCoT's text, a graph as `networks.write_graph` writes it. Or a data set of the Hugging Face hub,
            or a directory that `datasets` reads: "openai/gsm8k", with configuration and split
            "openai/gsm8k:main@train"; by default the split test. A problem without id is called after file and place:
            "prosqa_test-17". Where a problem of ProsQA has no graph, it is read from the sentences.

    Returns:
        The problems in the order of the file. Those of ProsQA, ProntoQA and our arithmetic are checked by their
        validators.

    Raises:
        WorkbenchError: Naming file, item (from 0), field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    read = [_read(one, f"{path.stem}-{number}") for number, one in enumerate(_raw(path))]
    if not read:
        raise WorkbenchError(f"No problems in {path}.", "The file holds none.", _DO)
    loaded = all_sound(path, read)
    graphs = [one for one in loaded if isinstance(one, Problem)]
    items = [one for one in loaded if isinstance(one, Item)]
    if graphs and items:
        why = f"Of its {len(loaded)} problems {len(graphs)} have graphs, and the others are words alone."
        raise WorkbenchError(f"{path} holds problems of two kinds.", why, "Make two files of it.")
    return graphs or items


def graphs_from_words(path: Path) -> int:
    """Return of how many problems of a file, as for `load_any`, the graph is read from the question's sentences."""
    return sum(_is_words(one) for one in _raw(Path(path)))


def load_known(path: Path) -> Sequence[Problem] | Sequence[Item]:
    """Read the file of a named set as `load_any` does; while it is unchanged, it is read and checked once."""
    about = path.stat()
    return _known(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=4)
def _known(path: Path, size: int, changed: int) -> Sequence[Problem] | Sequence[Item]:
    return load_any(path)


def is_data_set(path: Path) -> bool:
    """Return whether a name is not that of a file, and may be that of a data set on the hub."""
    file = os.path.isfile(path) or path.suffix in (".json", ".jsonl", ".txt", ".graphml")
    return not file and _HUB.fullmatch(str(path)) is not None


def _hub(name: str, config: str | None, split: str | None) -> list[Any]:
    """Return the rows of a data set."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    what = f"Cannot read the data set {name}."
    try:
        found = load_dataset(name, config)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        do = "Check the name and the connection: owner/name, owner/name:config or owner/name:config@split."
        raise WorkbenchError(what, clip(" ".join(str(error).split()), 300), do) from error
    splits = [str(one) for one in found]
    chosen = split or ("test" if "test" in splits else splits[0])
    if chosen not in splits:
        raise WorkbenchError(what, f"It has no split {chosen}.", f"Its splits are {', '.join(listed(splits, 10))}.")
    return [dict(row) for row in found[chosen]]


class _Text(str):
    """What stands for a problem outside of JSON: a line of iCoT's text, or a whole GraphML file."""


_Raw = Any
"""What stands for a problem in a file: a value of JSON, a `_Text`, or the `Fault` of a line."""


def _raw(path: Path) -> Iterable[_Raw]:
    """Return what stands for each problem of a file or a data set."""
    if is_data_set(path) and (hub := _HUB.fullmatch(str(path))):
        return _hub(**hub.groupdict())
    return _objects(read_text(path, MOST_BYTES, "JSON or text file", _DO), path)


def _is_words(raw: _Raw) -> bool:
    """Return whether something is a problem of ProsQA without its graph."""
    if not isinstance(raw, dict) or _is_graph(raw) or "idx_to_symbol" in raw or "neg_target" in raw:
        return False
    question = raw.get("question")
    return raw.get("task", "prosqa") == "prosqa" and isinstance(question, str) and asks(question)


def _is_graph(data: Any) -> bool:
    """Return whether an object of JSON is a graph in node-link form."""
    return isinstance(data, dict) and "nodes" in data and ("edges" in data or "links" in data)


def _objects(text: str, path: Path) -> Iterable[_Raw]:
    """Return what stands for each problem of a file."""
    lines = [line for line in text.splitlines() if line.strip()]
    start = text.lstrip()[:1]
    if start == "<":
        return [_Text(text)]
    if start == "[":
        return read_json(text, path, _DO)
    if start == "{" and len(lines) > 1 and isinstance(_of_line(lines[0]), dict):
        return map(_of_line, lines)
    if start == "{":
        return _examples(read_json(text, path, _DO), path)
    if lines and not any("||" in line for line in lines):
        raise WorkbenchError(f"Cannot read problems from {path}.", "It is neither JSON nor iCoT's text.", _DO)
    return map(_Text, lines)


def _of_line(line: str) -> _Raw:
    try:
        return from_json(line)
    except ValueError as error:
        cut = "; the file seems to be cut off" if str(error).startswith("EOF") else ""
        return Fault("the problem", f"its line is not valid JSON: {error}{cut}")


def _examples(data: dict[str, Any], path: Path) -> Iterable[_Raw]:
    """Return the list under "data", or the examples of the published ProntoQA generator; a single problem is one."""
    if isinstance(data.get("data"), list):
        return data["data"]
    if _is_graph(data) or {"question", "problem", "test_example"} & data.keys():
        return [data]
    if not all(isinstance(example, dict) and "test_example" in example for example in data.values()):
        why = f"It is one JSON object with the fields {', '.join(list(data)[:5])}, not a list of problems."
        raise WorkbenchError(f"No problems in {path}.", why, _DO)
    return data.values()


def _read(raw: _Raw, default_id: str) -> tuple[Problem | Item | None, list[Fault]]:
    """Read what stands for a problem."""
    if isinstance(raw, Fault):
        return None, [raw]
    if isinstance(raw, _Text):
        return read_line(raw, default_id) if raw.lstrip()[:1] != "<" else _read_graph(parse_graphml, raw, default_id)
    if _is_graph(raw):
        return _read_graph(parse_node_link, raw, default_id)
    if not isinstance(raw, dict):
        return read_item(raw, default_id)
    if "idx_to_symbol" in raw or "neg_target" in raw:
        return _read_problem(raw, default_id)
    return _read_words(raw, default_id) if _is_words(raw) else read_item(raw, default_id)


def _read_graph(parse: Callable[[Any], Any], graph: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    """Read the text of a GraphML file, or an object of node-link JSON."""
    try:
        return read_network(parse(graph), default_id)
    except ValueError as error:
        return None, [Fault("the graph", str(error))]


def _read_problem(data: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    item, faults = read_shape(_Official, data)
    if item is None:
        return None, faults
    edges = [(source, destination) for source, destination in item.edges]
    problem = as_published(
        item.id or default_id, item.question, item.answer, item.steps, item.idx_to_symbol, edges,
        item.root, item.target, item.neg_target,
    )  # fmt: skip
    return problem, [Fault(_OFFICIAL_FIELD.get(fault.field, fault.field), fault.reason) for fault in check(problem)]


def _read_words(data: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    """Read a problem of ProsQA whose graph is not given: the sentences hold it."""
    read, faults = read_shape(_Words, data)
    if read is None:
        return None, faults
    try:
        derived = parse_question(read.question)
    except WorkbenchError as error:
        reason = f"this is ProsQA without its graph, and none can be read from the sentences: {error.why}"
        return None, [Fault("question", " ".join(reason.split()))]
    problem = replace(
        derived, id=read.id or default_id, answer=read.answer or derived.answer,
        steps=tuple(read.steps) if read.steps else derived.steps,
    )  # fmt: skip
    return problem, check(problem)
