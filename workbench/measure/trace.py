"""The run of a Coconut model on problems: traces, or answers alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan, as_plan
from workbench.interventions.run import Given, InterventionRunner
from workbench.interventions.thoughts import Noise
from workbench.measure.arrays import Trace
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.prompts import Ids, Prompt, first_token_shares
from workbench.model.recurrence import recurrence_of
from workbench.model.session import Batch, Branches, Session, as_numpy, in_batches, positions_left, thought_count
from workbench.problems.problem import Item, Problem


@dataclass(frozen=True)
class Answer:
    """The answer of a model to one problem after a given number of thoughts."""

    problem: Problem | Item
    text: str
    """The greedy answer, in the problem's own names."""
    right: bool
    """Whether it is exactly the right one."""
    valid: bool
    """Whether it is one of the two options and nothing else."""
    said: str = ""
    """Everything said after the thoughts, the forced opening included, in the format's own notation."""
    tokens: int = 0
    """Thoughts and tokens said by the model itself, the end token not counted."""


def run(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    thoughts: int | None = None,
    batch_size: int = 64,
    top: int = 10,
    continuations: bool = True,
    interventions: Plan | Sequence[Intervention] = (),
    **given: Unpack[Given],
) -> Iterator[Trace]:
    """Run a checkpoint on problems and yield a trace for each, in order.

    Each prompt is run once, each thought once; the words after 0..K thoughts branch off the same cache.

    Args:
        checkpoint: The model to run.
        problems: May be a generator without end: only a few batches are held at a time.
        thoughts: Largest number of thoughts, K; by default as many as the model was trained with.
        batch_size: Problems run at a time.
        top: Number of decoded tokens to keep per thought.
        continuations: Whether to let the model go on after the forced step opening.
        interventions: Changes made while it thinks, one after the other; a plan may freeze later thoughts.
        given: What they take from outside: sources, set_thoughts, spaces (`interventions.run.Given`).

    Raises:
        WorkbenchError: A problem cannot be written in the checkpoint's format, or is too long for the model.
    """
    plan = as_plan(interventions)
    count = thought_count(checkpoint, thoughts)
    runner = InterventionRunner(checkpoint, [plan], count, batch_size=batch_size, **given)
    yield from in_batches(checkpoint, problems, Tracer(runner, plan, top, continuations).traces, batch_size)


def answers(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    thoughts: int | None = None,
    interventions: Plan | Sequence[Intervention] = (),
    batch_size: int = 64,
    says: str | None = None,
    **given: Unpack[Given],
) -> Iterator[Answer]:
    """Answer problems after one number of thoughts, in order: several times as fast as `run`.

    Args:
        checkpoint: The model to run.
        problems: May be a generator.
        thoughts: Number of thoughts; by default as many as the model was trained with.
        interventions: As in `run`.
        batch_size: Problems run at a time.
        says: "answer" forces the answer's opening right after the thoughts; "chain" only the beginning of a
            continuation, and the model says steps and answer as it likes. By default as it was trained.
        given: As in `run`.

    Raises:
        WorkbenchError: As `run`.
    """
    asked = [(thought_count(checkpoint, thoughts), says or checkpoint.says)]
    for (answer,) in sweep(checkpoint, problems, asked, batch_size, interventions, **given):
        yield answer


Asked = tuple[int, str]
"""A number of thoughts, and the form of the answer after them: "answer" or "chain", as `says` of `answers`."""


def sweep(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    asked: Sequence[Asked],
    batch_size: int = 64,
    interventions: Plan | Sequence[Intervention] = (),
    **given: Unpack[Given],
) -> Iterator[tuple[Answer, ...]]:
    """Answer problems after several numbers of thoughts, with an answer forced or a chain begun.

    The words after each number branch off the same cache, so a sweep costs little more than one answer.

    Args:
        checkpoint: The model to run.
        problems: May be a generator.
        asked: The questions put to each.
        batch_size: Problems run at a time.
        interventions: As in `run`.
        given: As in `run`.

    Yields:
        For each problem, in order, its answer to each question.
    """
    deepest, plan = max(k for k, _ in asked), as_plan(interventions)
    runner = InterventionRunner(checkpoint, [plan], deepest, batch_size=batch_size, **given)

    def answered(batch: Batch) -> Iterator[tuple[Answer, ...]]:
        reader, found = _AnswerReader(checkpoint, batch, asked), list[tuple[Answer, ...]]()
        for _, session, _ in runner.thinking(batch, reader.needed, [plan]):
            found = reader.read(session)
        yield from found

    yield from in_batches(checkpoint, problems, answered, batch_size)


class _AnswerReader:
    """Reads the answers of a batch that has thought, after several numbers of thoughts and in either form."""

    def __init__(self, checkpoint: Checkpoint, batch: Batch, asked: Sequence[Asked]) -> None:
        self.checkpoint, self.prompts, self.asked = checkpoint, batch.prompts, asked
        form, deepest = checkpoint.format, max(k for k, _ in asked)
        self.openings: dict[str, list[Ids]] = {}
        self.limits: dict[str, int] = {}
        self.needed = 0
        """Positions that thoughts and words take."""
        for says in dict.fromkeys(one for _, one in asked):
            answer = says == "answer"
            opening, limit = (
                (form.answer_opening, form.answer_limit) if answer else (form.chain_opening, form.continuation_limit)
            )
            self.openings[says] = [opening(prompt) for prompt in batch.prompts]
            used = deepest + max(map(len, self.openings[says]))
            # An answer must fit; a chain may be cut where the model's positions end.
            left = limit if answer else positions_left(checkpoint.model, batch.prompts, used)
            self.limits[says] = max(1, min(limit, left))
            self.needed = max(self.needed, used + self.limits[says])

    def read(self, session: Session) -> list[tuple[Answer, ...]]:
        """Return for each problem its answer to each question; what was said before is forgotten."""
        found: dict[Asked, list[Answer]] = {}
        for says, openings in self.openings.items():
            depths = [k for k, one in self.asked if one == says]
            session.rewind(session.end)
            branches = Branches(session, depths)
            logits = branches.say([[opening] * len(depths) for opening in openings])
            told = branches.go_on(logits, self.limits[says], self.checkpoint.format.end)
            stops = [max(depths)] * len(openings) if session.stops is None else session.stops.tolist()
            for index, k in enumerate(depths):
                found[k, says] = [
                    _answer(self.checkpoint, prompt, [*opening, *ids[index]], len(opening), min(k, stop), says)
                    for prompt, opening, ids, stop in zip(self.prompts, openings, told, stops, strict=True)
                ]
        return list(zip(*(found[one] for one in self.asked), strict=True))


def _answer(checkpoint: Checkpoint, prompt: Prompt, ids: list[int], opening: int, thoughts: int, says: str) -> Answer:
    form, problem, own = checkpoint.format, prompt.problem, ids[opening:]
    text = form.decode(prompt, own) if says == "answer" else form.said_answer(prompt, own)
    length = own.index(form.end) if form.end in own else len(own)
    right, valid = form.right(problem, text), form.valid(problem, text)
    return Answer(problem, text, right, valid, form.decode(prompt, ids), thoughts + length)


@dataclass(frozen=True)
class Traced:
    """A trace, and the answers that an evaluation needs beside it."""

    trace: Trace
    said: Answer | None
    """The answer in the model's own words after all thoughts, where it says a chain or this problem is an item: a
    trace forces the opening of an answer."""
    noise: Answer | None
    """The answer with noise of their length in place of all thoughts (`Noise`); None where it thinks none."""


def run_traced(
    checkpoint: Checkpoint,
    problems: Iterable[Problem | Item],
    thoughts: int | None = None,
    batch_size: int = 64,
    *,
    seed: int = 0,
    continuations: bool = True,
) -> Iterator[Traced]:
    """Run a checkpoint as `run` does, and answer as it would and with noise; each prompt is read once for all three.

    Args:
        checkpoint: As in `run`.
        problems: As in `run`.
        thoughts: As in `run`.
        batch_size: As in `run`.
        seed: Draws the noise, by the number of the problem.
        continuations: As in `run`.

    Raises:
        WorkbenchError: As `run`.
    """
    count, clean, noise = thought_count(checkpoint, thoughts), as_plan(()), as_plan([Noise(seed=seed)])
    plans = [clean, noise] if count else [clean]
    runner = InterventionRunner(checkpoint, plans, count, batch_size=batch_size)
    tracer = Tracer(runner, clean, continuations=continuations)

    def traced(batch: Batch) -> Iterator[Traced]:
        in_words = [checkpoint.says == "chain" or isinstance(prompt.problem, Item) for prompt in batch.prompts]
        reader = _AnswerReader(checkpoint, batch, [(count, checkpoint.says)])
        made, said, noisy = list[Trace](), [(None,)] * len(batch.rows), [(None,)] * len(batch.rows)
        for plan, (_, session, read) in zip(
            plans, runner.thinking(batch, max(tracer.needed(batch), reader.needed), plans), strict=True
        ):
            if plan is noise:
                noisy = reader.read(session)
                continue
            made = tracer.read(batch, session, read)
            if any(in_words):
                said = [one if asked else (None,) for one, asked in zip(reader.read(session), in_words, strict=True)]
        return (Traced(one, *a, *b) for one, a, b in zip(made, said, noisy, strict=True))

    yield from in_batches(checkpoint, problems, traced, batch_size)


class Tracer:
    """Traces batches under a plan.

    Args:
        runner: Runs them.
        plan: Of those that the runner was made for.
        top: Number of decoded tokens to keep per thought.
        continuations: Whether to let the model go on after the forced step opening.
    """

    def __init__(self, runner: InterventionRunner, plan: Plan, top: int = 10, continuations: bool = True) -> None:
        self.checkpoint, self.count = runner.checkpoint, runner.count
        self.runner, self.plan = runner, plan
        self.top, self.continuations = top, continuations
        self._token_text: dict[int, str] = {}

    def traces(self, batch: Batch) -> list[Trace]:
        """Return the traces of a batch, in its order."""
        found: list[Trace] = []
        for _, session, thoughts in self.runner.thinking(batch, self.needed(batch), [self.plan]):
            found = self.read(batch, session, thoughts)
        return found

    def needed(self, batch: Batch) -> int:
        """Return how many positions thoughts and words take; a continuation is cut where the model's positions end."""
        form, prompts, options = self.checkpoint.format, batch.prompts, self._options(batch)
        words = max(
            (len(word) for p, more in zip(prompts, options, strict=True) for word in (*p.nodes, *more)), default=0
        )
        return self.count + self._opening(batch) + max(form.answer_limit, words)

    def read(self, batch: Batch, session: Session, thoughts: Float[Tensor, "batch K d"]) -> list[Trace]:
        """Return the traces of a batch that has thought.

        Args:
            batch: What thought.
            session: Its run, with room for `needed` positions.
            thoughts: What the LM head reads of the thoughts.
        """
        self.thought(batch, session)
        left = positions_left(self.checkpoint.model, batch.prompts, self.count + self._opening(batch))
        limit = max(1, min(self.checkpoint.format.continuation_limit, left))
        return self._read(batch, session, thoughts, self._options(batch), limit)

    def _opening(self, batch: Batch) -> int:
        """Return the length of the longest opening of a step or a value."""
        return max(
            len(opening)
            for prompt in batch.prompts
            for opening in (*(self._step(prompt, k) for k in (0, 1)), self.checkpoint.format.value_opening(prompt))
        )

    def _options(self, batch: Batch) -> list[Sequence[Ids]]:
        return [() if prompt.nodes else self.checkpoint.format.choices(prompt) for prompt in batch.prompts]

    def thought(self, batch: Batch, session: Session) -> None:
        """Called when the thoughts of a batch have ended."""

    def opened(self, batch: Batch, session: Session) -> None:
        """Called when the opening of an answer has been said, after which the nodes' probabilities are read.

        The newest column is the opening's last token after all thoughts.
        """

    def _read(
        self,
        batch: Batch,
        session: Session,
        thoughts: Float[Tensor, "batch K d"],
        options: Sequence[Sequence[Ids]],
        limit: int,
    ) -> list[Trace]:
        form, prompts, depths = self.checkpoint.format, batch.prompts, range(self.count + 1)
        spellings = [prompt.nodes for prompt in prompts]  # an item has none, but perhaps options

        steps = Branches(session, depths)
        openings = [[self._step(prompt, k) for k in depths] for prompt in prompts]
        logits = steps.say(openings)
        forced = steps.spell(logits, spellings)
        said = [()] * len(prompts)
        if self.continuations:
            tokens = steps.go_on(logits, limit, form.end)
            said = [
                tuple(form.decode(prompt, [*opening, *ids]) for opening, ids in zip(opened, told, strict=True))
                for prompt, opened, told in zip(prompts, openings, tokens, strict=True)
            ]

        def after(opening: Callable[[Prompt], Sequence[int]]) -> tuple[Branches, Float[Tensor, "batch depths vocab"]]:
            session.rewind(session.end)
            branches = Branches(session, depths)
            return branches, branches.say([[opening(prompt)] * len(depths) for prompt in prompts])

        values, logits = after(form.value_opening)
        self.opened(batch, session)
        spelt = values.spell(logits, [prompt.nodes or more for prompt, more in zip(prompts, options, strict=True)])
        ends, logits = (values, logits) if form.value_is_answer else after(form.answer_opening)
        tokens = ends.go_on(logits, form.answer_limit, form.end)
        answered = [tuple(form.decode(p, ids) for ids in told) for p, told in zip(prompts, tokens, strict=True)]

        heads = lm_head(self.checkpoint.model, thoughts).softmax(-1)
        best, apart = heads.topk(min(self.top, heads.shape[-1]), -1), recurrence_of(session.model).apart
        return [
            Trace(
                prompt.problem,
                self.checkpoint.name,
                as_numpy(thoughts[row]),
                first_token_shares(as_numpy(heads[row]), prompt),
                as_numpy(forced[row]),
                as_numpy(spelt[row][:, : len(prompt.nodes)]),
                answered[row],
                said[row],
                self._named(prompt, best.indices[row].tolist(), best.values[row].tolist()),
                form.name,
                self.checkpoint.thoughts_per_step,
                as_numpy(session.vectors[row]) if apart else None,
                None if session.stops is None else int(session.stops[row]),
                as_numpy(spelt[row]) if options[row] else None,
                as_numpy(heads[row][:, list(told)]) if (told := form.values(prompt)) else None,
            )
            for row, prompt in enumerate(prompts)
        ]

    def _step(self, prompt: Prompt, after: int) -> Ids:
        """Return what a continuation is forced to begin with: a step; for an item no more than begins any chain."""
        form = self.checkpoint.format
        return form.step_opening(prompt, after) if prompt.nodes else form.chain_opening(prompt)

    def _named(self, prompt: Prompt, ids: list[list[int]], shares: list[list[float]]) -> tuple:
        own, text = self.checkpoint.format.token_names(prompt), self._token_text
        tokenizer = self.checkpoint.tokenizer
        for number in {i for row in ids for i in row} - text.keys():
            text[number] = str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
        return tuple(
            tuple((own.get(i) or text[i], share) for i, share in zip(row, values, strict=True))
            for row, values in zip(ids, shares, strict=True)
        )
