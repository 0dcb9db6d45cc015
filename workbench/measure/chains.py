"""The chain that a model says in words about a problem without a graph, step by step beside the solution's.

Three things are asked of each step: whether it is the solution's, how likely it was, and how likely the same words are
where another problem is asked (chance). After every number of its steps the answer is forced, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import collate, lm_head, states
from workbench.model.prompts import Format, Ids, Prompt
from workbench.model.session import Batch, Branches, as_numpy, in_batches, positions_left, thought_count
from workbench.problems.arithmetic import STEP, apply
from workbench.problems.english import split_sentences
from workbench.problems.graph import hop_read
from workbench.problems.problem import NUMBER, Item
from workbench.problems.shortcuts import floor

ROWS = 4
"""Problems whose logits are computed at a time: those of a large vocabulary take much room."""

_VALUE = re.compile(r"=([^=<>]+?)\.?(?:>>)?$")


@dataclass(frozen=True)
class SaidStep:
    """One step that a model said."""

    text: str
    solution: str
    """The solution's step of the same number; empty where it has no more."""
    right: bool | None
    """Whether both have the same value; where the solution's step is no calculation, whether they are the same words.
    None where there is no solution to compare with."""
    why: str
    """What is wrong with it, or with its calculation; empty where nothing is."""
    tokens: tuple[tuple[str, float, float | None], ...]
    """Each token with its probability, and the mean of that probability where other problems are asked and the same
    words came before (chance); None where there are no others."""

    @property
    def probability(self) -> float:
        """The product of its tokens' probabilities."""
        return float(np.prod([probability for _, probability, _ in self.tokens]))


@dataclass(frozen=True)
class SaidChain:
    """What a model said about one item, from its first step to its answer."""

    item: Item
    thoughts: int
    """So many were thought before."""
    first: int
    """Number of the solution's step that the first one stands beside: thoughts stand for those before it."""
    steps: tuple[SaidStep, ...]
    answer: str
    """The answer at the end of the chain; empty where it came to none."""
    right: bool
    """Whether it is exactly the right one."""
    chances: tuple[float | None, ...]
    """For each step the mean probability of the same words where other problems are asked."""
    others: int
    """So many other problems give the chance levels."""
    right_by_chance: float | None
    """Share of these steps that would be right if they were the solutions of the others, the mean over these."""
    floor: tuple[str, float]
    """The best rule that does not reason on the item and the others, and what it gets right."""
    forced: tuple[tuple[str, bool], ...]
    """The answer that is forced after 0, 1, ... of its own steps, and whether it is right."""

    @property
    def frame(self) -> pl.DataFrame:
        """A row per step: step (its number in the solution), says, solution, right, probability, chance, why."""
        rows = [
            (number, one.text, one.solution, one.right, one.probability, chance, one.why)
            for number, (one, chance) in enumerate(zip(self.steps, self.chances, strict=True), self.first)
        ]
        names = ["step", "says", "solution", "right", "probability", "chance", "why"]
        return pl.DataFrame(rows, schema=dict(zip(names, _KINDS, strict=True)), orient="row")


_KINDS = (pl.Int16, pl.String, pl.String, pl.Boolean, pl.Float64, pl.Float64, pl.String)


@torch.inference_mode()
def said_chain(
    checkpoint: Checkpoint, item: Item, others: Sequence[Item] = (), thoughts: int | None = None
) -> SaidChain:
    """Let a model say its chain about an item, and read it step by step.

    Args:
        checkpoint: What speaks, in the words or the text format.
        item: What it is asked.
        others: Problems of the same task, for the chance levels.
        thoughts: Number of thoughts before; by default as many as the model was trained with.

    Raises:
        WorkbenchError: The problem cannot be written in the checkpoint's format, or is too long for the model.

    Examples:
        >>> from workbench.model.checkpoint import make_checkpoint
        >>> from workbench.model.formats import words_tokenizer
        >>> from workbench.problems.sets import generate_items
        >>> from workbench.train.config import ModelConfig
        >>> from workbench.train.init import build_model
        >>> words = words_tokenizer("arithmetic")
        >>> model = build_model(ModelConfig(width=32, heads=2), seed=0, max_positions=256, tokenizer=words)
        >>> about = {"version": 1, "task": "arithmetic", "format": "words", "thoughts": 0, "says": "chain"}
        >>> asked = generate_items("arithmetic", 2, 0)
        >>> chain = said_chain(make_checkpoint(model.eval(), words, about, "untrained"), asked[0], asked[1:])
        >>> chain.right, len(chain.forced) == len(chain.steps) + 1
        (False, True)
    """
    form, count = checkpoint.format, thought_count(checkpoint, thoughts)
    gone = hop_read(count, checkpoint.thoughts_per_step)

    def say(batch: Batch) -> list[tuple[Prompt, list[int], list[tuple[int, int]], tuple[str, ...]]]:
        (prompt,), opening = batch.prompts, form.chain_opening(batch.prompts[0])
        left = positions_left(checkpoint.model, batch.prompts, count + len(opening) + form.answer_limit)
        limit = max(1, min(form.continuation_limit, left))
        session = batch.session(count + len(opening) + limit + form.answer_limit)
        session.think(count, pause=checkpoint.pause)
        whole = Branches(session, [count])
        ((ids,),) = whole.go_on(whole.say([[opening]]), limit, form.end)
        ids = ids[: ids.index(form.end)] if form.end in ids else ids
        parts, texts = spans(form, item.steps[gone:], ids), []
        for end in (0, *(end for _, end in parts)):
            session.rewind(session.end)
            ends = Branches(session, [count])
            told = ends.go_on(ends.say([[before_answer(form, prompt, ids[:end])]]), form.answer_limit, form.end)
            texts.append(form.decode(prompt, told[0][0]))
        return [(prompt, ids, parts, tuple(texts))]

    ((prompt, ids, parts, texts),) = in_batches(checkpoint, [item], say)
    shares = _probabilities(checkpoint, form.prompts([item, *others]), ids, count)
    chance = shares[1:].mean(0) if others else np.full(len(ids), np.nan)
    whole = [float(np.prod(shares[1:, start:end], 1).mean()) if others else None for start, end in parts]
    pieces, steps = _pieces(form, ids), []
    for number, (start, end) in enumerate(parts):
        solution, text = "".join(item.steps[gone + number :][:1]), form.decode(prompt, ids[start:end])
        rows = zip(pieces[start:end], shares[0, start:end], chance[start:end], strict=True)
        tokens = tuple((piece, float(own), float(mean) if others else None) for piece, own, mean in rows)
        right, why = judged(form, text, solution) if item.steps else (None, "")
        steps.append(SaidStep(text, solution, right, why, tokens))
    answer = form.said_answer(prompt, ids)
    alike = [
        judged(form, step.text, "".join(other.steps[number:][:1]))[0]
        for other in others
        if item.steps and other.steps
        for number, step in enumerate(steps, gone)
    ]
    best, level = floor([item, *others])
    return SaidChain(
        item, count, gone + 1, tuple(steps), answer, form.right(item, answer), tuple(whole), len(others),
        float(np.mean(alike)) if alike else None, (best, float(level.mean())),
        tuple((text, form.right(item, text)) for text in texts),
    )  # fmt: skip


def spans(form: Format, solution: Sequence[str], ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return where the steps of a chain stand among its tokens: first token, and the one after the last.

    A step ends with its line. In the words format it ends with ">>", or after as many sentences as the solution's step
    of that number has. What stands after the mark of the answer is no step.
    """
    pieces, mark, end = _pieces(form, ids), form.wording.answer.strip(), len(ids)
    for last in range(len(ids)):
        if mark in "".join(pieces[: last + 1]):
            end = next(first for first in range(last, -1, -1) if mark in "".join(pieces[first : last + 1]))
            break
    sentences = [len(split_sentences(step)) for step in solution]
    found, start, said = list[tuple[int, int]](), 0, 0
    for place in range(end):
        piece, wanted = pieces[place], sentences[len(found)] if len(found) < len(sentences) else 1
        said += piece == "."
        line = "\n" in piece if form.name == "text" else piece == ">>" or said == wanted
        if line or place == end - 1:
            if "".join(pieces[start : place + 1]).strip():
                found.append((start, place + 1))
            start, said = place + 1, 0
    return found


def judged(form: Format, text: str, solution: str) -> tuple[bool, str]:
    """Say whether a said step is the solution's, and what is wrong with it or with its calculation."""
    said, wanted = _value(text), _value(solution)
    if not solution:
        return False, "the solution has no such step"
    if wanted is None:
        same = _words(form, text) == _words(form, solution)
        return same, "" if same else "not the words of the solution"
    slip = _slip(text)
    if said is None:
        return False, f"no value; the solution's is {wanted}"
    if _number(said) == _number(wanted):
        return True, slip
    return False, slip or f"the solution's value is {wanted}"


def _value(step: str) -> str | None:
    """Return what a calculation comes to, as it says: what stands after its last equals sign."""
    found = _VALUE.search("".join(step.split()))
    return found and found[1]


def _number(value: str) -> Fraction | str:
    bare = value.replace(",", "").lstrip("$")
    return Fraction(bare) if NUMBER.fullmatch(bare) else bare


def _slip(step: str) -> str:
    """Return what is wrong with a calculation of two whole numbers; empty where nothing is, or it is another."""
    found = STEP.fullmatch("".join(step.split()))
    if found is None or (found[2] == "/" and not int(found[3])):
        return ""
    comes_to = apply(found[2], Fraction(found[1]), Fraction(found[3]))
    return "" if comes_to == Fraction(found[4]) else f"{found[1]}{found[2]}{found[3]} comes to {comes_to}"


def _words(form: Format, text: str) -> list[str]:
    """Return the words of a step as the format writes them, case and marks left out."""
    if form.name == "words":  # its tokenizer leaves words out
        ids: list[int] = form.tokenizer(text, add_special_tokens=False)["input_ids"]
        text = " ".join(_pieces(form, ids))
    return re.findall(r"[^\W_]+", text.lower())


def _pieces(form: Format, ids: Sequence[int]) -> list[str]:
    """Return the text of each token."""
    if form.name == "words":
        return [str(word) for word in form.tokenizer.convert_ids_to_tokens(list(ids))]
    return [str(form.tokenizer.decode([one], clean_up_tokenization_spaces=False)) for one in ids]


def before_answer(form: Format, prompt: Prompt, ids: Sequence[int]) -> Ids:
    """Return the chain's opening, the first tokens of a chain, and the mark of the answer."""
    opening, answer = form.chain_opening(prompt), form.answer_opening(prompt)
    mark = answer[len(opening) :] if answer[: len(opening)] == opening else answer
    return (*opening, *ids, *mark) if ids else answer


def _probabilities(
    checkpoint: Checkpoint, prompts: Sequence[Prompt], ids: Sequence[int], count: int
) -> Float[np.ndarray, "prompts tokens"]:
    """Return the probability of each token of one chain after each of several prompts and their own thoughts."""
    form, found = checkpoint.format, [np.zeros((0, len(ids)))]
    for start in range(0, len(prompts) if ids else 0, ROWS):
        some = prompts[start : start + ROWS]
        rests = [[*form.chain_opening(prompt), *ids] for prompt in some]
        asked = [prompt.ids for prompt in some]
        rows = collate(asked, [count] * len(some), rests, pad=form.pad, thought=form.marker.thought)
        thinks = torch.zeros_like(rows.is_thought) if checkpoint.fed == "pause" else rows.is_thought
        hidden, _ = states(checkpoint.model, rows.ids, thinks, rows.mask)
        said = lm_head(checkpoint.model, hidden[:, -len(ids) - 1 : -1]).softmax(-1)
        found.append(as_numpy(said.gather(-1, torch.tensor([ids] * len(some))[..., None])[..., 0]))
    return np.concatenate(found) if ids else np.ones((len(prompts), 0))
