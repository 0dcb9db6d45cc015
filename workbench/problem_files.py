"""Files of ProsQA problems in the official JSON format: read with every fault named, written whole."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json, to_json

from workbench.errors import WorkbenchError
from workbench.oracle import MOST_NODES, Fault, check
from workbench.problem import Problem
from workbench.sentences import MOST_CHARACTERS, clip, listed, read_question

MOST_BYTES = 64 * 2**20
"""The largest file read; the official training set (17,886 problems) has 36 MB."""
MOST_EDGES = 8192
MOST_OF_ITEM = 10
"""Faults of one item printed one by one."""

_OFFICIAL_FIELD = {"names": "idx_to_symbol", "negative": "neg_target", "options": "question"}
_FOREIGN = {
    b"\x80": "it is a pickle, which can run code when it is read",
    b"PK\x03\x04": "it is a zip archive (or a checkpoint)",
    b"\x1f\x8b": "it is compressed with gzip",
    b"\xff\xfe": "it is encoded in UTF-16",
    b"\xfe\xff": "it is encoded in UTF-16",
}
_EXPORT = "Give a UTF-8 JSON list of problems as in the official ProsQA files."

_Node = Annotated[int, Field(ge=0, lt=MOST_NODES)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Sentence = Annotated[str, StringConstraints(max_length=1000)]
_Id = Annotated[str, StringConstraints(pattern=r"^[\w.:+-]{1,128}$")]


class _Item(BaseModel):
    """The shape of one problem in an official file; "id" is ours and optional, other keys are left alone."""

    model_config = ConfigDict(strict=True)

    question: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    answer: _Sentence
    steps: Annotated[list[_Sentence], Field(max_length=MOST_NODES)]
    idx_to_symbol: Annotated[list[_Name], Field(max_length=MOST_NODES)]
    edges: Annotated[list[Annotated[list[_Node], Field(min_length=2, max_length=2)]], Field(max_length=MOST_EDGES)]
    root: _Node
    target: _Node
    neg_target: _Node
    id: _Id | None = None


def load_problems(path: Path) -> list[Problem]:
    """Read a file of problems in the official JSON format, optionally with an "id" per problem.

    Args:
        path: A JSON file: a list of objects with question, answer, steps, idx_to_symbol, edges, root,
            target and neg_target. A problem without id is called after file and place: "prosqa_test-17".

    Returns:
        The problems in the order of the file, every one of them checked by the oracle.

    Raises:
        WorkbenchError: naming file, item (from 0), field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    data = _read_json(path)
    if not isinstance(data, list) or not data:
        found = "an empty list" if isinstance(data, list) else f"a single {type(data).__name__}"
        why = f"The file holds {found}, not a list of problems."
        raise WorkbenchError(f"No problems in {path}.", why, _EXPORT)
    problems: list[Problem] = []
    bad: list[str] = []
    items: dict[str, int] = {}
    for number, item in enumerate(data):
        problem, faults = _read_item(item, f"{path.stem}-{number}")
        if problem is not None:
            first = items.setdefault(problem.id, number)
            if first != number:
                faults.append(Fault("id", f"{problem.id!r} is the id of item {first} too"))
            problems.append(problem)
        if faults:
            reasons = [f"{fault.field}: {fault.reason}" for fault in faults]
            bad.append(f"item {number}, " + "; ".join(listed(reasons, MOST_OF_ITEM)))
    if bad:
        raise WorkbenchError(
            f"Nothing was loaded from {path}: {len(bad)} of its {len(data)} problems are faulty.",
            "\n       ".join(listed(bad)),
            "Correct these items (counted from 0) or take them out of the file.",
        )
    return problems


def save_problems(problems: Iterable[Problem], path: Path) -> None:
    """Write problems in the official JSON format plus "id", one a line; the file is written whole or not."""
    path = Path(path)
    lines = [
        to_json(
            {
                "id": problem.id,
                "question": problem.question,
                "answer": problem.answer,
                "steps": problem.steps,
                "idx_to_symbol": problem.names,
                "edges": problem.edges,
                "root": problem.root,
                "target": problem.target,
                "neg_target": problem.negative,
            }
        )
        for problem in problems
    ]
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(b"[\n" + b",\n".join(lines) + b"\n]\n")
    os.replace(unfinished, path)


def _read_json(path: Path) -> Any:
    what = f"Cannot read problems from {path}."
    try:
        if path.is_dir():
            raise WorkbenchError(what, "It is a directory, not a file.", "Name a JSON file.")
        if path.exists() and not path.is_file():
            raise WorkbenchError(what, "It is no ordinary file.", "Name a JSON file.")
        size = path.stat().st_size
        if size > MOST_BYTES:
            why = f"It has {size / 2**20:.0f} MB; {MOST_BYTES // 2**20} MB are allowed."
            raise WorkbenchError(what, why, "Split the file.")
        data = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(what, f"{error.strerror or error}.", "Check the path.") from error
    for magic, reason in _FOREIGN.items():
        if data.startswith(magic):
            raise WorkbenchError(what, f"It is not a JSON text: {reason}.", _EXPORT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkbenchError(what, f"Byte {error.start} is not UTF-8 text.", _EXPORT) from error
    try:
        return from_json(text)
    except ValueError as error:
        cut = " The file seems to be cut off." if str(error).startswith("EOF") else ""
        raise WorkbenchError(what, f"It is not valid JSON: {error}.{cut}", _EXPORT) from error


def _read_item(data: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    try:
        item = _Item.model_validate(data)
    except ValidationError as error:
        return None, [_shape_fault(dict(one)) for one in error.errors(include_url=False)]
    names = tuple(item.idx_to_symbol)
    read, _ = read_question(item.question)
    edges = [(source, destination) for source, destination in item.edges]
    # Official files list the edges by destination and shuffle the sentences: a Problem has the latter order.
    place = {edge: number for number, edge in enumerate(read.edges)}
    if all(max(edge) < len(names) for edge in edges):
        edges.sort(key=lambda edge: place.get((names[edge[0]], names[edge[1]]), len(place)))
    asked = [names.index(name) if name in names else -1 for name in read.options]
    candidates = (item.target, item.neg_target)
    if asked == [item.neg_target, item.target]:
        candidates = (item.neg_target, item.target)
    problem = Problem(
        id=item.id or default_id,
        question=item.question,
        answer=item.answer,
        steps=tuple(item.steps),
        names=names,
        edges=tuple(edges),
        root=item.root,
        target=item.target,
        negative=item.neg_target,
        options=candidates,
    )
    return problem, [Fault(_OFFICIAL_FIELD.get(fault.field, fault.field), fault.reason) for fault in check(problem)]


def _shape_fault(error: dict[str, Any]) -> Fault:
    """Put one of pydantic's findings into a fault: the field, the place in it, the value found."""
    field, *place = error["loc"] or ("the problem",)
    where = "".join(f"[{part}]" for part in place)
    value = "" if error["type"] == "missing" else f", got {clip(repr(error['input']), 60)}"
    return Fault(f"{field}{where}", error["msg"][0].lower() + error["msg"][1:] + value)
