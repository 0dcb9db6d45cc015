"""The shapes of official files, one problem at a time: which one an object has, and the item it becomes."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from workbench.oracle import Fault
from workbench.sentences import MOST_CHARACTERS, clip
from workbench.tasks import arithmetic_oracle, prontoqa_oracle
from workbench.tasks.item import Item
from workbench.tasks.ontology import QUERY
from workbench.tasks.prontoqa_oracle import OPTIONS
from workbench.text_files import read_shape

MOST_STEPS = 256

_STEP = re.compile(r"<<[^<>]*>>")
_RESULT = re.compile(r"=([^=<>]*)>>$")

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS, strip_whitespace=True)]
_Sentence = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]
_Steps = Annotated[list[_Sentence], Field(max_length=MOST_STEPS)]
_Id = Annotated[str, StringConstraints(pattern=r"^[\w.:+/-]{1,128}$")]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Ours(_Shape):
    """What `save_items` writes."""

    id: _Id
    task: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
    question: _Text
    answer: _Sentence
    steps: _Steps
    values: Annotated[list[_Sentence], Field(max_length=MOST_STEPS)] = []
    options: Annotated[list[_Sentence], Field(max_length=64)] = []


class _Steps3(_Shape):
    """Coconut's own files of GSM8k and ProntoQA, and GSM8K-Aug with a list of steps."""

    question: _Text
    steps: _Steps
    answer: _Sentence
    id: _Id | None = None


class _Chain(_Shape):
    """GSM8K-Aug with the chain in one string."""

    question: _Text
    cot: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
    answer: _Sentence
    id: _Id | None = None


class _Solution(_Shape):
    """GSM8K of its authors: the answer stands after "####" at the end of the solution."""

    question: _Text
    answer: _Text
    id: _Id | None = None


class _Math(_Shape):
    """MATH and MATH500."""

    problem: _Text
    solution: _Text
    answer: _Sentence
    subject: str | None = None
    level: int | str | None = None
    unique_id: _Id | None = None


class _Pronto(_Shape):
    """The "test_example" of the published ProntoQA generator."""

    question: _Text
    query: _Sentence
    chain_of_thought: Annotated[list[_Sentence], Field(max_length=2 * MOST_STEPS)]
    answer: _Sentence


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
