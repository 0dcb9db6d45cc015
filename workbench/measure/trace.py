"""The run of a Coconut model on problems: prompts in, traces or answers out.

Answers after many numbers of thoughts, each prompt read once: `trace.answers` for a whole sweep.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.interventions.base import Bank, Intervention
from workbench.interventions.plan import Plan, as_plan
from workbench.interventions.run import Donors, InterventionRunner
from workbench.measure.arrays import Trace
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.prompts import Format, Ids, Prompt, first_token_shares
from workbench.model.session import Branches, Session, positions_left, prompt_batches, thought_count
from workbench.problems.problem import Item, Problem


@dataclass(frozen=True)
class Answer:
    """What a model answered to one problem after a given number of thoughts."""

    problem: Problem | Item
    text: str
    """The greedy answer, in the problem's own names."""
    right: bool
    """Whether it is exactly the right one."""
    valid: bool
    """Whether it is one of the two options and nothing else."""
    said: str = ""
    """All that was said after the thoughts, the forced opening included, in the format's own notation."""
    tokens: int = 0
    """Thoughts and tokens said by the model itself, the end token not counted."""


@torch.inference_mode()
def run(
    checkpoint: Checkpoint,
    problems: Iterable[Problem],
    thoughts: int | None = None,
    batch_size: int = 64,
    top: int = 10,
    continuations: bool = True,
    interventions: Plan | Sequence[Intervention] = (),
    bank: Bank | None = None,
    donors: Donors | None = None,
    spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
) -> Iterator[Trace]:
    """Run a checkpoint on problems and yield a trace for each, in order.

    Each prompt is run once, each thought once; what is said after 0..K thoughts branches off the same cache.

    Args:
        checkpoint: What to run.
        problems: May be a generator without end: no more than a few batches are held at a time.
        thoughts: Largest number of thoughts, K; by default as many as the model was trained with.
        batch_size: Problems run at a time.
        top: Number of decoded tokens to keep per thought.
        continuations: Whether to let the model go on after the forced step opening.
        interventions: Changes made while it thinks, one after the other; a plan may freeze later thoughts.
        bank: Thoughts that interventions take donors from, a row for each of the problems.
        donors: By name, problems that donors think about, or thoughts: one for each of the problems.
        spaces: Learned directions of every token that interventions name.

    Raises:
        WorkbenchError: A problem cannot be written in the checkpoint's format, or is too long for the model.
    """
    count = thought_count(checkpoint, thoughts)
    plan = as_plan(interventions)
    runner = InterventionRunner(checkpoint, [plan], count, donors, bank, spaces=spaces, batch_size=batch_size)
    tracer = _Tracer(runner, plan, top, continuations)
    for first, prompts, order in prompt_batches(checkpoint, problems, batch_size):
        traces: list[Trace] = []
        for start in range(0, len(prompts), batch_size):
            batch = order[start : start + batch_size]
            traces += tracer.traces([prompts[i] for i in batch], [first + i for i in batch])
        yield from (trace for _, trace in sorted(zip(order, traces, strict=True), key=lambda pair: pair[0]))


@torch.inference_mode()
def answers(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    thoughts: int | None = None,
    interventions: Plan | Sequence[Intervention] = (),
    batch_size: int = 64,
    says: str | None = None,
    bank: Bank | None = None,
    donors: Donors | None = None,
) -> Iterator[Answer]:
    """Answer problems after one number of thoughts, in order, and nothing more: several times as fast as `run`.

    Args:
        checkpoint: What to run.
        problems: May be a generator.
        thoughts: Number of thoughts; by default as many as the model was trained with.
        interventions: Changes made while it thinks, one after the other; a plan may freeze later thoughts.
        batch_size: Problems run at a time.
        says: "answer" forces the answer's opening right after the thoughts; "chain" only the beginning of a
            continuation, and the model says steps and answer as it likes. By default what it was trained to.
        bank: Thoughts that interventions take donors from, a row for each of the problems.
        donors: By name, problems that donors think about, or thoughts: one for each of the problems.

    Raises:
        WorkbenchError: As `run`.
    """
    count, form, says = thought_count(checkpoint, thoughts), checkpoint.format, says or checkpoint.says
    plan = as_plan(interventions)
    runner = InterventionRunner(checkpoint, [plan], count, donors, bank, batch_size=batch_size)
    limit = form.answer_limit if says == "answer" else form.continuation_limit
    for first, prompts, order in prompt_batches(checkpoint, problems, batch_size):
        found: list[Answer] = []
        for start in range(0, len(prompts), batch_size):
            rows = order[start : start + batch_size]
            batch = [prompts[i] for i in rows]
            openings = [
                form.answer_opening(prompt) if says == "answer" else form.chain_opening(prompt) for prompt in batch
            ]
            needed = count + max(map(len, openings))
            # An answer must fit; a chain may be cut where the model's positions end.
            most = limit if says == "answer" else max(1, min(limit, positions_left(checkpoint.model, batch, needed)))
            session = runner.session(batch, needed + most)
            context = runner.context(session, batch, [first + i for i in rows])
            with runner.under(plan, session, context):
                ends = Branches(session, [count])
                told = ends.go_on(ends.say([[opening] for opening in openings]), most, form.end)
            for prompt, opening, (ids,) in zip(batch, openings, told, strict=True):
                found.append(_answer_trace(form, prompt, opening, ids, count, says))
        yield from (answer for _, answer in sorted(zip(order, found, strict=True), key=lambda pair: pair[0]))


def _answer_trace(form: Format, prompt: Prompt, opening: Ids, ids: list[int], thoughts: int, says: str) -> Answer:
    text = form.decode(prompt, ids) if says == "answer" else form.said_answer(prompt, ids)
    length = ids.index(form.end) if form.end in ids else len(ids)
    problem = prompt.problem
    said = form.decode(prompt, [*opening, *ids])
    return Answer(problem, text, form.right(problem, text), form.valid(problem, text), said, thoughts + length)


class _Tracer:
    """Runs batches of prompts."""

    def __init__(self, runner: InterventionRunner, plan: Plan, top: int, continuations: bool) -> None:
        self.checkpoint, self.count = runner.checkpoint, runner.count
        self.runner, self.plan = runner, plan
        self.top, self.continuations = top, continuations
        self._token_text: dict[int, str] = {}

    @torch.inference_mode()
    def traces(self, batch: Sequence[Prompt], rows: Sequence[int]) -> list[Trace]:
        """Return the traces of a batch, in its order; `rows` are the numbers of its problems in the whole set."""
        session = self._session(batch)
        context = self.runner.context(session, batch, rows)
        with self.runner.under(self.plan, session, context) as thoughts:
            return self._read(batch, session, thoughts)

    def _read(self, batch: Sequence[Prompt], session: Session, thoughts: Float[Tensor, "batch K d"]) -> list[Trace]:
        graphs = [prompt.graph for prompt in batch]  # items, words alone, have no nodes whose values could be read
        form, depths = self.checkpoint.format, range(self.count + 1)
        spellings = [prompt.nodes for prompt in batch]

        steps = Branches(session, depths)
        openings = [[form.step_opening(prompt, k) for k in depths] for prompt in batch]
        logits = steps.say(openings)
        forced = steps.spell(logits, spellings)
        said = [()] * len(batch)
        if self.continuations:
            tokens = steps.go_on(logits, self._limit, form.end)
            said = [
                tuple(form.decode(prompt, [*opening, *ids]) for opening, ids in zip(opened, told, strict=True))
                for prompt, opened, told in zip(batch, openings, tokens, strict=True)
            ]
        session.rewind(session.end)

        ends = Branches(session, depths)
        logits = ends.say([[form.answer_opening(prompt)] * len(depths) for prompt in batch])
        values = ends.spell(logits, spellings) if form.value_is_answer else []
        tokens = ends.go_on(logits, form.answer_limit, form.end)
        answered = [tuple(form.decode(p, ids) for ids in told) for p, told in zip(batch, tokens, strict=True)]
        if not form.value_is_answer:
            session.rewind(session.end)
            ends = Branches(session, depths)
            logits = ends.say([[form.value_opening(prompt)] * len(depths) for prompt in batch])
            values = ends.spell(logits, spellings)

        heads = lm_head(self.checkpoint.model, thoughts).softmax(-1)
        best = heads.topk(min(self.top, heads.shape[-1]), -1)
        return [
            Trace(
                graphs[row],
                self.checkpoint.name,
                _numpy(thoughts[row]),
                first_token_shares(_numpy(heads[row]), prompt),
                _numpy(forced[row]),
                _numpy(values[row]),
                answered[row],
                said[row],
                self._named(prompt, best.indices[row].tolist(), best.values[row].tolist()),
                form.name,
                self.checkpoint.thoughts_per_step,
            )
            for row, prompt in enumerate(batch)
        ]

    def _session(self, batch: Sequence[Prompt]) -> Session:
        """Read the prompts; continuations are cut where the model's positions end."""
        form, model = self.checkpoint.format, self.checkpoint.model
        opening = max(
            len(opening)
            for prompt in batch
            for opening in (form.step_opening(prompt, 0), form.step_opening(prompt, 1), form.value_opening(prompt))
        )
        needed = self.count + opening + max(form.answer_limit, max(len(word) for p in batch for word in p.nodes))
        self._limit = max(1, min(form.continuation_limit, positions_left(model, batch, self.count + opening)))
        return self.runner.session(batch, needed)

    def _named(self, prompt: Prompt, ids: list[list[int]], shares: list[list[float]]) -> tuple:
        own, text = self.checkpoint.format.token_names(prompt), self._token_text
        tokenizer = self.checkpoint.tokenizer
        for number in {i for row in ids for i in row} - text.keys():
            text[number] = str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
        return tuple(
            tuple((own.get(i) or text[i], share) for i, share in zip(row, values, strict=True))
            for row, values in zip(ids, shares, strict=True)
        )


def _numpy(array: Tensor) -> np.ndarray:
    return array.float().cpu().numpy().copy()  # a copy, so that no trace holds on to its batch


Asked = tuple[int, str]
"""A number of thoughts, and what follows them: "answer" or "chain"."""


@torch.inference_mode()
def sweep(
    checkpoint: Checkpoint, problems: Sequence[Problem | Item], asked: Sequence[Asked], batch_size: int = 64
) -> Iterator[tuple[Asked, Answer]]:
    """Answer problems after several numbers of thoughts, with an answer forced or a chain begun.

    What is said after each number branches off the same cache, so that a sweep costs little more than one answer. The
    answers are those of `trace.answers` (tested).

    Args:
        checkpoint: What to ask.
        problems: What to ask it; problems of like length in one batch waste the least.
        asked: The questions asked of each.
        batch_size: Problems run at a time.

    Yields:
        The question and its answer: within a batch question by question, and for each the problems in their order.
    """
    form = checkpoint.format
    deepest = max(k for k, _ in asked)
    for start in range(0, len(problems), batch_size):
        prompts = form.prompts(list(problems[start : start + batch_size]))
        openings = {
            "answer": [form.answer_opening(prompt) for prompt in prompts],
            "chain": [form.chain_opening(prompt) for prompt in prompts],
        }
        limits = {"answer": form.answer_limit, "chain": form.continuation_limit}
        said = [says for says in limits if any(one == says for _, one in asked)]
        room = deepest + max(max(map(len, openings[says])) + limits[says] for says in said)
        session = Session(checkpoint.model, [prompt.ids for prompt in prompts], pad=form.pad, more=room)
        session.think(deepest, pause=checkpoint.pause)
        for says in said:
            depths = [k for k, one in asked if one == says]
            session.rewind(session.begin + deepest)
            branches = Branches(session, depths)
            logits = branches.say([[opening] * len(depths) for opening in openings[says]])
            told = branches.go_on(logits, limits[says], form.end)
            for index, k in enumerate(depths):
                for prompt, opening, ids in zip(prompts, openings[says], told, strict=True):
                    yield (k, says), _answer(checkpoint, prompt, [*opening, *ids[index]], len(opening), k, says)


def _answer(checkpoint: Checkpoint, prompt: Prompt, ids: list[int], opening: int, thoughts: int, says: str) -> Answer:
    form, problem, own = checkpoint.format, prompt.problem, ids[opening:]
    text = form.decode(prompt, own) if says == "answer" else form.said_answer(prompt, own)
    length = own.index(form.end) if form.end in own else len(own)
    right, valid = form.right(problem, text), form.valid(problem, text)
    return Answer(problem, text, right, valid, form.decode(prompt, ids), thoughts + length)
