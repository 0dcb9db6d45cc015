"""Text files of others, read with care: size, encoding, foreign kinds, and every shape fault in words.

Files of ProsQA problems in the official JSON format: read with every fault named, written whole.

The shapes of official files, one problem at a time: which one an object has, and the item it becomes.

Files of items: ours and the official ones of GSM8k, GSM8K-Aug, ProntoQA and MATH, every fault named at once.

Recognised by what is in them: a JSON list; the published ProntoQA generator's JSON object of examples; JSON lines; the
text files of iCoT, a problem a line. docs/tasks.md has the fields.

Files of problems of any task: ProsQA's, which have graphs, and those that are words alone.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json, to_json

from workbench.errors import WorkbenchError, clip, listed
from workbench.files import write_whole
from workbench.problems import arithmetic as arithmetic_oracle
from workbench.problems import prontoqa as prontoqa_oracle
from workbench.problems.english import MOST_CHARACTERS, read_question
from workbench.problems.problem import Fault, Item, Problem
from workbench.problems.prontoqa import OPTIONS, QUERY
from workbench.problems.validator import MOST_NODES, check

Shape = TypeVar("Shape", bound=BaseModel)

MOST_OF_ITEM = 10
"""Faults of one item printed one by one."""

_FOREIGN = {
    b"\x80": "it is a pickle, which can run code when it is read",
    b"PK\x03\x04": "it is a zip archive (or a checkpoint)",
    b"\x1f\x8b": "it is compressed with gzip",
    b"PAR1": "it is a Parquet table",
    b"\xff\xfe": "it is encoded in UTF-16",
    b"\xfe\xff": "it is encoded in UTF-16",
}


def read_text(path: Path, most_bytes: int, kind: str, do: str) -> str:
    """Read a text file.

    Args:
        path: The file.
        most_bytes: The largest file read.
        kind: What it should be, for messages: "JSON file".
        do: What to give instead, for messages.

    Raises:
        WorkbenchError: It is no ordinary file, too large, of a foreign kind, or no UTF-8.
    """
    what = f"Cannot read problems from {path}."
    try:
        if path.is_dir():
            raise WorkbenchError(what, "It is a directory, not a file.", f"Name a {kind}.")
        if path.exists() and not path.is_file():
            raise WorkbenchError(what, "It is no ordinary file.", f"Name a {kind}.")
        size = path.stat().st_size
        if size > most_bytes:
            why = f"It has {size / 2**20:.0f} MB; {most_bytes // 2**20} MB are allowed."
            raise WorkbenchError(what, why, "Split the file.")
        data = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(what, f"{error.strerror or error}.", "Check the path.") from error
    for magic, reason in _FOREIGN.items():
        if data.startswith(magic):
            raise WorkbenchError(what, f"It is not a {kind.removesuffix(' file')} text: {reason}.", do)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkbenchError(what, f"Byte {error.start} is not UTF-8 text.", do) from error


def read_json(text: str, path: Path, do: str) -> Any:
    """Parse the JSON text of a file.

    Raises:
        WorkbenchError: It is no JSON, or cut off.
    """
    try:
        return from_json(text)
    except ValueError as error:
        cut = " The file seems to be cut off." if str(error).startswith("EOF") else ""
        raise WorkbenchError(
            f"Cannot read problems from {path}.", f"It is not valid JSON: {error}.{cut}", do
        ) from error


def read_shape(shape: type[Shape], data: object) -> tuple[Shape | None, list[Fault]]:
    """Check an object of JSON against its shape: the shape filled in, or everything that is wrong."""
    try:
        return shape.model_validate(data), []
    except ValidationError as error:
        return None, [_shape_fault(dict(one)) for one in error.errors(include_url=False)]


def in_words(number: int, faults: list[Fault]) -> str:
    """Return the faults of one item for a message."""
    reasons = [f"{fault.field}: {fault.reason}" for fault in faults]
    return f"item {number}, " + "; ".join(listed(reasons, MOST_OF_ITEM))


def refuse(path: Path, total: int, bad: list[str]) -> None:
    """Say what is wrong with the items of a file.

    Raises:
        WorkbenchError: There are bad ones.
    """
    if bad:
        raise WorkbenchError(
            f"Nothing was loaded from {path}: {len(bad)} of its {total} problems are faulty.",
            "\n       ".join(listed(bad)),
            "Correct these items (counted from 0) or take them out of the file.",
        )


def _shape_fault(error: dict[str, Any]) -> Fault:
    """Put one of pydantic's findings into a fault: the field, the place in it, the value found."""
    field, *place = error["loc"] or ("the problem",)
    where = "".join(f"[{part}]" for part in place)
    value = "" if error["type"] == "missing" else f", got {clip(repr(error['input']), 60)}"
    return Fault(f"{field}{where}", error["msg"][0].lower() + error["msg"][1:] + value)


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
    write_whole(path, b"[\n" + b",\n".join(lines) + b"\n]\n")


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
        entities=tuple(node for node, name in enumerate(names) if name in read.entities),
    )
    return problem, [Fault(_OFFICIAL_FIELD.get(fault.field, fault.field), fault.reason) for fault in check(problem)]


MOST_STEPS = 256

_STEP = re.compile(r"<<[^<>]*>>")
_RESULT = re.compile(r"=([^=<>]*)>>$")

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS, strip_whitespace=True)]
_Sentence_item_shapes = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]
_Steps = Annotated[list[_Sentence_item_shapes], Field(max_length=MOST_STEPS)]
_Id_item_shapes = Annotated[str, StringConstraints(pattern=r"^[\w.:+/-]{1,128}$")]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Ours(_Shape):
    """What `save_items` writes."""

    id: _Id_item_shapes
    task: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
    question: _Text
    answer: _Sentence_item_shapes
    steps: _Steps
    values: Annotated[list[_Sentence_item_shapes], Field(max_length=MOST_STEPS)] = []
    options: Annotated[list[_Sentence_item_shapes], Field(max_length=64)] = []


class _Steps3(_Shape):
    """Coconut's own files of GSM8k and ProntoQA, and GSM8K-Aug with a list of steps."""

    question: _Text
    steps: _Steps
    answer: _Sentence_item_shapes
    id: _Id_item_shapes | None = None


class _Chain(_Shape):
    """GSM8K-Aug with the chain in one string."""

    question: _Text
    cot: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    answer: _Sentence_item_shapes
    id: _Id_item_shapes | None = None


class _Solution(_Shape):
    """GSM8K of its authors: the answer stands after "####" at the end of the solution."""

    question: _Text
    answer: _Text
    id: _Id_item_shapes | None = None


class _Math(_Shape):
    """MATH and MATH500."""

    problem: _Text
    solution: _Text
    answer: _Sentence_item_shapes
    subject: str | None = None
    level: int | str | None = None
    unique_id: _Id_item_shapes | None = None


class _Pronto(_Shape):
    """The "test_example" of the published ProntoQA generator."""

    question: _Text
    query: _Sentence_item_shapes
    chain_of_thought: Annotated[list[_Sentence_item_shapes], Field(max_length=2 * MOST_STEPS)]
    answer: _Sentence_item_shapes


Read = tuple[Item | None, list[Fault]]


def read_item(data: Any, default_id: str) -> Read:
    """Turn one object of a JSON file into an item, or say everything that is wrong with it.

    Args:
        data: Any JSON value.
        default_id: The id of a problem that has none.
    """
    if not isinstance(data, dict):
        return None, [Fault("the problem", f"it is {type(data).__name__}, not an object with fields")]
    if "idx_to_symbol" in data:
        return None, [Fault("idx_to_symbol", "this is a ProsQA problem, which has a graph (task prosqa)")]
    for needed, read in _READERS.items():
        if all(field in data for field in needed.split()):
            return read(data, default_id)
    return None, [Fault("the problem", f"its fields, {clip(', '.join(map(str, data)))}, are those of no known file")]


def read_line(line: str, default_id: str) -> Read:
    """Turn one line of an iCoT text file, "question||<<1+2=3>> #### 3", into an item, or say what is wrong."""
    question, bar, rest = line.partition("||")
    chain, marks, answer = rest.rpartition("####")
    faults = []
    if not bar:
        faults.append(Fault("question", f'no "||" ends it in "{clip(line)}"'))
    elif not question.strip():
        faults.append(Fault("question", "it is empty"))
    if bar and not marks:
        faults.append(Fault("answer", f'no "####" begins it in "{clip(rest)}"'))
    elif bar and not answer.strip():
        faults.append(Fault("answer", "it is empty"))
    if bar and _STEP.sub("", chain).strip():
        left = clip(_STEP.sub("", chain).strip())
        faults.append(Fault("steps", f'"{left}" stands outside of "<<...>>"'))
    if faults:
        return None, faults
    return _worked(default_id, question, _STEP.findall(chain), answer)


def _ours(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Ours, data)
    if shape is None:
        return None, faults
    lists = (tuple(part) for part in (shape.steps, shape.values, shape.options))
    steps, values, options = lists
    item = Item(shape.id, shape.question, shape.answer, steps, shape.task, values, options)
    if item.task == "arithmetic":
        return item, arithmetic_oracle.check(item)
    return item, prontoqa_oracle.check(item) if item.task == "prontoqa" else []


def _with_steps(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Steps3, data)
    if shape is None:
        return None, faults
    if QUERY in shape.question:
        return _pronto_item(shape.id or default_id, shape.question, shape.steps, shape.answer)
    return _worked(shape.id or default_id, shape.question, shape.steps, shape.answer)


def _with_chain(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Chain, data)
    if shape is None:
        return None, faults
    return _worked(shape.id or default_id, shape.question, _split(shape.cot), shape.answer)


def _with_solution(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Solution, data)
    if shape is None:
        return None, faults
    solution, marks, answer = shape.answer.rpartition("####")
    if not marks or not answer.strip():
        return None, [Fault("answer", f'it does not end with "#### " and a number: "{clip(shape.answer)}"')]
    return _worked(shape.id or default_id, shape.question, _split(solution), answer)


def _math(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Math, data)
    if shape is None:
        return None, faults
    steps = tuple(line.strip() for line in shape.solution.splitlines() if line.strip())
    return Item(shape.unique_id or default_id, shape.problem, shape.answer, steps, "math"), []


def _pronto(data: Any, default_id: str) -> Read:
    shape, faults = read_shape(_Pronto, data["test_example"])
    if shape is None:
        return None, [Fault(f"test_example.{fault.field}", fault.reason) for fault in faults]
    chain = shape.chain_of_thought
    # As the official preprocessing: a fact and the rule that is used on it make one step.
    steps = [" ".join(chain[start : start + 2]) for start in range(0, len(chain), 2)]
    return _pronto_item(default_id, f"{shape.question} {shape.query}", steps, shape.answer)


def _pronto_item(id: str, question: str, steps: list[str], answer: str) -> Read:
    item = Item(id, question, answer, tuple(steps), "prontoqa", options=OPTIONS)
    return item, prontoqa_oracle.check(item)


def _worked(id: str, question: str, steps: list[str], answer: str) -> Read:
    """Build an item of GSM8k's kind. Its sums are not checked: those of GSM8K-Aug were made by a model."""
    results = [_RESULT.search(step) for step in steps]
    values = tuple(found[1].strip() for found in results if found)
    if len(values) < len(steps) or not all(values):
        values = ()
    return Item(id, question.strip(), answer.replace(",", "").strip(), tuple(steps), "gsm8k", values), []


def _split(chain: str) -> list[str]:
    """Return the calculations of a chain, where it has none its lines, where it is one line its sentences."""
    lines = [line.strip() for line in chain.splitlines() if line.strip()]
    return _STEP.findall(chain) or (lines if len(lines) != 1 else re.split(r"(?<=[.?!])\s+", lines[0]))


_READERS: dict[str, Callable[[Any, str], Read]] = {
    "task": _ours,
    "test_example": _pronto,
    "question steps": _with_steps,
    "question cot": _with_chain,
    "question answer": _with_solution,
    "problem solution": _math,
}
"""How to read an object that has these fields; the first that fits is taken."""


MOST_ITEM_BYTES = 256 * 2**20
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
    text = read_text(path, MOST_ITEM_BYTES, "JSON or text file", _KINDS)
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
    write_whole(Path(path), b"[\n" + b",\n".join(to_json(asdict(item)) for item in items) + b"\n]\n")


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


_PROSQA = b'"idx_to_symbol"'
_LOOK = 1 << 20
"""Bytes looked at: more than a problem has."""


def load_any(path: Path) -> Sequence[Problem] | Sequence[Item]:
    """Read a file of problems; whether they have graphs shows in its first problem.

    Raises:
        WorkbenchError: naming file, item, field and reason of every bad item; nothing is loaded.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            prosqa = _PROSQA in file.read(_LOOK)
    except OSError:
        prosqa = False  # the reader below says what is wrong
    return load_problems(path) if prosqa else load_items(path)
