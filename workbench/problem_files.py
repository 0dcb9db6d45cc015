"""Files of ProsQA problems in the official JSON format: read with every fault named, written whole."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json

from workbench.errors import WorkbenchError
from workbench.oracle import MOST_NODES, Fault, check
from workbench.problem import Problem
from workbench.sentences import MOST_CHARACTERS, read_question
from workbench.text_files import in_words, read_json, read_shape, read_text, refuse, write_whole

MOST_BYTES = 64 * 2**20
"""The largest file read; the official training set (17,886 problems) has 36 MB."""
MOST_EDGES = 8192
_OFFICIAL_FIELD = {"names": "idx_to_symbol", "negative": "neg_target", "options": "question"}
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
    data = read_json(read_text(path, MOST_BYTES, "JSON file", _EXPORT), path, _EXPORT)
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
            bad.append(in_words(number, faults))
    refuse(path, len(data), bad)
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
    write_whole(b"[\n" + b",\n".join(lines) + b"\n]\n", path)


def _read_item(data: Any, default_id: str) -> tuple[Problem | None, list[Fault]]:
    item, faults = read_shape(_Item, data)
    if item is None:
        return None, faults
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
