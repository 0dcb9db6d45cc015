"""One item of an official file: which of the known shapes it has, and the `Item` it becomes.

The shapes are ours and those of GSM8K, GSM8K-Aug, iCoT, ProntoQA and MATH; docs/tasks.md has the fields.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from workbench.errors import clip
from workbench.problems import arithmetic, prontoqa
from workbench.problems.english import MOST_CHARACTERS
from workbench.problems.problem import NUMBER, Fault, Item
from workbench.problems.uploads import read_shape

MOST_STEPS = 256

OWN = "own"
"""The task of problems that are of no known one."""
_STEP = re.compile(r"<<[^<>]*>>")
_RESULT = re.compile(r"=([^=<>]*)>>$")

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS, strip_whitespace=True)]
_Sentence = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]
_Steps = Annotated[list[_Sentence], Field(max_length=MOST_STEPS)]
_Id = Annotated[str, StringConstraints(pattern=r"^[\w.:+/-]{1,128}$")]

Read = tuple[Item | None, list[Fault]]
"""The item, if it could be read, and everything that is wrong with it."""


def read_item(data: Any, default_id: str) -> Read:
    """Turn one object of a JSON file into an item, or say everything that is wrong with it.

    Args:
        data: Any JSON value.
        default_id: The id of a problem that has none.
    """
    if not isinstance(data, dict):
        return None, [Fault("the problem", f"it is {type(data).__name__}, not an object with fields")]
    known = next((one for one in _SHAPES if all(field in data for field in one.split())), None)
    if known is None:
        return None, [
            Fault("the problem", f"its fields, {clip(', '.join(map(str, data)))}, are those of no known file")
        ]
    shape, made = _SHAPES[known]
    nested = "test_example" if known == "test_example" else None
    filled, faults = read_shape(shape, data[nested] if nested else data)
    if filled is None:
        return None, [Fault(f"{nested}.{fault.field}", fault.reason) for fault in faults] if nested else faults
    item = made(filled, getattr(filled, "id", None) or default_id)
    if isinstance(item, Fault):
        return None, [item]
    checks = {"arithmetic": arithmetic.check, "prontoqa": prontoqa.check}
    return item, checks[item.task](item) if item.task in checks else []


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
    if bar and (left := _STEP.sub("", chain).strip()):
        faults.append(Fault("steps", f'"{clip(left)}" stands outside of "<<...>>"'))
    return (None, faults) if faults else (_worked(default_id, question, _STEP.findall(chain), answer), [])


def _pronto(id: str, question: str, steps: list[str], answer: str) -> Item:
    return Item(id, question, answer, tuple(steps), "prontoqa", options=prontoqa.OPTIONS)


def _worked(id: str, question: str, steps: list[str], answer: str, task: str = "gsm8k") -> Item:
    """Return an item of GSM8k's kind. Its sums are not checked: those of GSM8K-Aug were made by a model."""
    results = [_RESULT.search(step) for step in steps]
    values = tuple(found[1].strip() for found in results if found)
    if len(values) < len(steps) or not all(values):
        values = ()
    return Item(id, question.strip(), answer.replace(",", "").strip(), tuple(steps), task, values)


def _split(chain: str) -> list[str]:
    """Return the calculations of a chain; if it has none its lines; if that is a single one its sentences."""
    lines = [line.strip() for line in chain.splitlines() if line.strip()]
    return _STEP.findall(chain) or (lines if len(lines) != 1 else re.split(r"(?<=[.?!])\s+", lines[0]))


def _with_steps(one: Any, id: str) -> Item:
    """Return an item of ProntoQA or GSM8k; where steps are no calculations, or the answer no number, of nobody's task.

    One that names its options, or values of its steps, is of nobody's task, too.
    """
    if one.options or one.values:
        return Item(id, one.question, one.answer, tuple(one.steps), OWN, tuple(one.values), tuple(one.options))
    if prontoqa.QUERY in one.question:
        return _pronto(id, one.question, one.steps, one.answer)
    calculated = one.steps and all(_STEP.search(step) for step in one.steps)
    number = NUMBER.fullmatch(one.answer.replace(",", "").strip())
    if not number:
        return Item(id, one.question, one.answer, tuple(one.steps), OWN)
    return _worked(id, one.question, one.steps, one.answer, "gsm8k" if calculated else OWN)


def _with_solution(one: Any, id: str) -> Item | Fault:
    solution, marks, answer = one.answer.rpartition("####")
    if not marks or not answer.strip():
        own = 'problems of your own have "steps", too, which may be []'
        return Fault("answer", f'it does not end with "#### " and a number: "{clip(one.answer)}"; {own}')
    return _worked(id, one.question, _split(solution), answer)


def _example(one: Any, id: str) -> Item:
    # As the official preprocessing: a fact and the rule that is used on it make one step.
    steps = [" ".join(one.chain_of_thought[start : start + 2]) for start in range(0, len(one.chain_of_thought), 2)]
    return _pronto(id, f"{one.question} {one.query}", steps, one.answer)


def _math(one: Any, id: str) -> Item:
    steps = tuple(line.strip() for line in one.solution.splitlines() if line.strip())
    return Item(one.unique_id or id, one.problem, one.answer, steps, "math")


def _ours(one: Any, id: str) -> Item:
    return Item(id, one.question, one.answer, tuple(one.steps), one.task, tuple(one.values), tuple(one.options))


def _shape(**fields: Any) -> type[BaseModel]:
    """Return a shape of these fields: each a type, or a type with its default."""
    typed: Any = {name: one if isinstance(one, tuple) else (one, ...) for name, one in fields.items()}
    return create_model("Shape", __config__=ConfigDict(strict=True), **typed)


_Few = Annotated[list[_Sentence], Field(max_length=64)]
_Chain = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
_Proof = Annotated[list[_Sentence], Field(max_length=2 * MOST_STEPS)]
_Task = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
_MAYBE_ID = (_Id | None, None)
_FREE = {"options": (_Few, []), "values": (_Steps, [])}
_SHAPES: dict[str, tuple[type[BaseModel], Callable[[Any, str], Item | Fault]]] = {
    # What `save_items` writes.
    "task": (
        _shape(id=_Id, task=_Task, question=_Text, answer=_Sentence, steps=_Steps, values=(_Steps, []),
               options=(_Few, [])),
        _ours,
    ),
    # The "test_example" of the published ProntoQA generator.
    "test_example": (_shape(question=_Text, query=_Sentence, chain_of_thought=_Proof, answer=_Sentence), _example),
    # Coconut's own files of GSM8k and ProntoQA, and GSM8K-Aug with a list of steps.
    # One's own: the same, with `options` where there are some and `values` to look for in thoughts.
    "question steps": (_shape(question=_Text, steps=_Steps, answer=_Sentence, id=_MAYBE_ID, **_FREE), _with_steps),
    # GSM8K-Aug with the chain in one string.
    "question cot": (
        _shape(question=_Text, cot=_Chain, answer=_Sentence, id=_MAYBE_ID),
        lambda one, id: _worked(id, one.question, _split(one.cot), one.answer),
    ),
    # GSM8K of its authors: the answer stands after "####" at the end of the solution.
    "question answer": (_shape(question=_Text, answer=_Text, id=_MAYBE_ID), _with_solution),
    # MATH and MATH500.
    "problem solution": (
        _shape(problem=_Text, solution=_Text, answer=_Sentence, subject=(str | None, None),
               level=(int | str | None, None), unique_id=_MAYBE_ID),
        _math,
    ),
}  # fmt: skip
"""By the fields that an object has: its shape, and what makes the item of it and its id. The first that fits is taken.
"""
