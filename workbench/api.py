"""The door: load a model and problems, trace thoughts, answer under interventions, read a whole set.

One problem may stand for a list of one, one intervention for a list of one, text for a path. What cannot be meant is a
`WorkbenchError` that says what to do. The docstrings' examples run as tests (`tests/test_api.py`) on the bundled model.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench import catalog
from workbench.errors import WorkbenchError, listed, unknown
from workbench.figures import node_curve, problem_graph, thought_strip, token_table
from workbench.figures.interventions import answer_options, downstream_map
from workbench.figures.layers import problem_lens
from workbench.figures.thoughts import search_tree
from workbench.figures.training import mass_over_checkpoints
from workbench.interventions.base import Control, Intervention
from workbench.interventions.controls import answered, without_effect
from workbench.interventions.plan import Plan, affected_region
from workbench.interventions.run import think_about
from workbench.interventions.text import from_address
from workbench.measure import trace as tracing
from workbench.measure.arrays import Trace as Arrays
from workbench.measure.effects import downstream
from workbench.measure.evaluate import Evaluation
from workbench.measure.evaluate import evaluate as measure
from workbench.measure.recording import record, record_controls
from workbench.measure.scores import MASSES, NodeScores, node_scores, statistics_frame
from workbench.measure.search_tree import search_tree_frame, spell
from workbench.measure.statistics import Estimate, resample
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.model.lens import CoconutLens
from workbench.model.prompts import with_graph
from workbench.model.supervision import Supervision
from workbench.problems.files import graphs_of, is_data_set, load_any, load_known
from workbench.problems.networks import from_networkx
from workbench.problems.problem import Item, Problem
from workbench.problems.prosqa import parse_question
from workbench.problems.sets import generate as generated
from workbench.problems.variants import entity_swap, twin
from workbench.readings import ITEM_READINGS, READINGS, find_reading
from workbench.readings.arithmetic import record_items
from workbench.readings.lenses import RAW, read_lenses
from workbench.readings.node_vectors import named_spaces
from workbench.train.state import stage_checkpoints

Asked = Problem | Item
"""What a model can be asked: a problem with a graph, or an item that is words alone."""

if TYPE_CHECKING:
    import networkx as nx
    from transformer_lens import ActivationCache

    Problems = str | Path | nx.Graph | Asked | Iterable[Asked]
    """Whatever `load_problems` takes."""
    Interventions = Plan | Intervention | Sequence[Intervention] | str
    """One intervention, several, a plan, or the text of a plan as a link to the explorer holds it."""
else:  # what a user gives is checked here, with an error in words
    Problems = Interventions = object

TWIN = "twin"
"""The source that stands for each problem's entity-swapped twin."""
MOST_OTHERS = 100
"""Problems that the means and exchanges of one problem are taken over, itself included."""


def list_runs() -> dict[str, Path]:
    """Return the runs that `load` knows by name, with their directories.

    Examples:
        >>> "reference_asked" in wb.list_runs()
        True
    """
    return catalog.runs()


def list_problem_sets() -> dict[str, Path]:
    """Return the problem sets that `load_problems` knows by name, with their files.

    Examples:
        >>> sorted(wb.list_problem_sets())[:3]
        ['balanced', 'edge_rewrites', 'far']
    """
    return catalog.problem_sets()


def list_readings() -> dict[str, str]:
    """Return the readings that `read` knows by name, each with the question that it asks.

    Examples:
        >>> wb.list_readings()["height"].endswith("?")
        True
    """
    return {name: reading.question for name, reading in READINGS.items()}


def load(source: "str | Path | Model | Checkpoint" = "reference") -> "Model":
    """Load a model of continuous thoughts.

    Args:
        source: The name of a run (`wb.list_runs()`), a directory with a checkpoint or a run, or a model's name on the
            Hugging Face hub.

    Raises:
        WorkbenchError: There is no such model, or its files cannot be used.

    Examples:
        >>> wb.load("reference_asked")
        Model("reference_asked", 6 thoughts (next node asked, also mixtures of 24 walks), prompts in the edges format)
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, Checkpoint):
        return Model(source)
    known = catalog.runs()
    if not isinstance(source, str | Path) or not str(source).strip():
        raise WorkbenchError(
            f"Cannot load {source!r:.80}.", "A model is named by text or a path.", f"Known runs: {', '.join(known)}."
        )
    return Model(load_checkpoint(known.get(catalog.typed_run(str(source), known), source)))


def load_problems(source: Problems = "released", count: int | None = None) -> "ProblemList":
    """Return problems.

    Args:
        source: The name of a set (`wb.list_problem_sets()`), a file of any task (docs/tasks.md), a data set of the
            Hugging Face hub ("openai/gsm8k:main@test"), the text of a question (one sentence for each edge, the
            question last), a networkx graph whose nodes have roles, or problems, which are returned as they are.
        count: How many, from the beginning; by default all.

    Raises:
        WorkbenchError: There is no such set or file, or it cannot be read; the message names item and field.

    Examples:
        >>> len(wb.load_problems("released", 10))
        10
        >>> text = "Tom is a lempus. Every lempus is a rempus. Bo is a yumpus. Is Tom a rempus or yumpus?"
        >>> (problem,) = wb.load_problems(text)
        >>> problem.answer
        'Tom is a rempus.'
    """
    if count is not None and count < 1:
        raise WorkbenchError(f"Cannot give {count} problems.", "The count is below 1.", "Give a count of 1 or more.")
    return ProblemList(_problems(source)[:count])


class ProblemList(list[Any]):
    """A list of problems; a slice of it is one too."""

    def __repr__(self) -> str:
        """Return the number of problems and the first ids."""
        ids = ", ".join(problem.id for problem in self[:3])
        return f"{len(self)} problems ({ids}{', ...' if len(self) > 3 else ''})"

    def __getitem__(self, place: Any) -> Any:
        """Return a problem, or a `ProblemList` for a slice."""
        found = super().__getitem__(place)
        return ProblemList(found) if isinstance(place, slice) else found


def _problems(source: object) -> list[Asked]:
    if isinstance(source, Problem | Item):
        return [source]
    if isinstance(source, str | Path):
        known = catalog.problem_sets() | catalog.task_sets()
        if str(source) in known:
            return list(load_known(known[str(source)]))
        if str(source).rstrip().endswith("?"):  # before it is taken for a path: a question may be too long for one
            return [parse_question(str(source))]
        if os.path.isfile(source) or is_data_set(Path(source)):  # False, and no error, for a name no file system takes
            return list(load_any(Path(source)))
        raise unknown("problem set", source, known, "Name a set, a file that exists, or give the text of a question.")
    if hasattr(source, "nodes") and hasattr(source, "edges"):  # a graph of networkx
        return list[Asked]((from_networkx(cast("nx.Graph", source)),))
    found = list(source) if isinstance(source, Iterable) else []
    strange = next((one for one in found if not isinstance(one, Problem | Item)), None)
    if not found or strange is not None:
        do = 'Give problems, say wb.load_problems("released"), or their file.'
        raise WorkbenchError(f"Cannot ask {(strange if found else source)!r:.60}.", "It is no problem.", do)
    return found


def generate_problems(
    family: str = "released", count: int = 100, seed: int = 0, hops: dict[int, float] | None = None
) -> ProblemList:
    """Generate ProsQA problems; the same arguments give the same problems.

    Args:
        family: "released" (graphs like those of the released files), "balanced" (no rule that ignores the queried
            entity beats one half) or "algorithm1" (graphs as printed in arXiv 2412.06769, appendix A.2).
        count: Number of problems.
        seed: Of all draws.
        hops: Relative weight of each distance from root to target, in hops; by default as in the released files.

    Examples:
        >>> [problem.id for problem in wb.generate_problems("balanced", 2)]
        ['balanced-0', 'balanced-0-swap']
    """
    return ProblemList(generated(family, count, seed, hops))


def read(
    reading: str,
    model: "str | Path | Model" = "reference",
    problems: Problems = "released",
    controls: str | Sequence[str] = (),
    *,
    count: int | None = None,
    thoughts: int | None = None,
    seed: int = 0,
) -> "ReadingResult":
    """Read a whole problem set: a table and its figures, the controls beside the model.

    Args:
        reading: Its name (`wb.list_readings()`).
        model: As for `load`.
        problems: As for `load_problems`.
        controls: Of "untrained", "pause", "shuffled", "noise", "other_target"; one or several.
        count: How many problems, from the beginning; by default all.
        thoughts: How many thoughts; by default as many as the model was trained with.
        seed: Of the controls.

    Raises:
        WorkbenchError: There is no such reading, control, model or problem set.

    Examples:
        >>> result = wb.read("breadth", "reference_asked", "released", "shuffled", count=8)
        >>> sorted(result.frame["run"].unique())
        ['model', 'shuffled']
        >>> len(result.figures)
        4
    """
    found = find_reading(reading)
    loaded, asked = load(model), _problems(problems)[:count]
    names = [controls] if isinstance(controls, str) else list(controls)
    if reading in ITEM_READINGS:
        items = [one for one in asked if isinstance(one, Item)]
        frame = found.frame(record_items(loaded.checkpoint, items, thoughts, controls=names, seed=seed))
        return ReadingResult(found.title, found.question, found.source, found.chance, frame, found.figures(frame))
    own = record(loaded.checkpoint, graphs_of(asked), thoughts, continuations=False)
    frame = found.frame([own, *record_controls(own, names, seed)])
    return ReadingResult(found.title, found.question, found.source, found.chance, frame, found.figures(frame))


def read_checkpoints(
    run: str | Path, problem: Problem, readout: str = "lm_head", *, thoughts: int | None = None
) -> "ReadingResult":
    """Read one problem at every checkpoint that a training run kept.

    Args:
        run: The name of a run, or its directory.
        problem: The problem.
        readout: As for `Trace.scores`.
        thoughts: How many thoughts; by default as many as each checkpoint was trained with.

    Raises:
        WorkbenchError: There is no such run, or it kept no checkpoints.

    Examples:
        >>> result = wb.read_checkpoints("emergence", wb.load_problems("released")[0], thoughts=2)
        >>> result.frame["step"].n_unique() > 3
        True
    """
    tables = []
    for kept in stage_checkpoints(catalog.home(catalog.runs().get(catalog.run_name(str(run)), Path(run)))):
        scores = load(kept.path).trace(problem, thoughts=thoughts).scores(readout)
        tables.append(statistics_frame([scores]).with_columns(step=pl.lit(kept.step)))
    frame = pl.concat(tables)
    return ReadingResult(
        "One problem at every checkpoint", "When does the frontier appear?", "this repository",
        "in the columns that end in _chance", frame,
        [mass_over_checkpoints(frame, name) for name in MASSES if frame[name].is_not_null().any()],
    )  # fmt: skip


def evaluate(
    model: "str | Path | Model" = "reference",
    problems: Problems = "released",
    *,
    count: int | None = None,
    thoughts: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure what a model is judged by: accuracy, pairs, rewrites, candidate mass, each with interval and chance.

    Args:
        model: As for `load`.
        problems: As for `load_problems`.
        count: How many problems, from the beginning; by default all.
        thoughts: How many thoughts; by default as many as the model was trained with.
        seed: Draws the rewrites and the resamples.

    Examples:
        >>> print(wb.evaluate("reference_asked", "released", count=20).figure("accuracy").estimate)
        1.000 [0.839, 1.000]
    """
    return measure(load(model).checkpoint, _problems(problems)[:count], thoughts, seed)


@dataclass(frozen=True)
class ReadingResult:
    """What `read` found.

    Examples:
        >>> result = wb.read("behaviour", count=4)
        >>> result.title
        'Behaviour by number of thoughts'
    """

    title: str
    question: str
    """What was asked of the thoughts."""
    source: str
    """Where the reading was published."""
    chance: str
    """What its chance level is."""
    frame: pl.DataFrame = field(repr=False)
    """One row per run ("model" or a control), and per problem and thought where the reading has these; `docs/data.md`
    describes the columns."""
    figures: list[go.Figure] = field(repr=False)
    """Plotly figures, the model and its controls in the same axes."""

    def show(self) -> None:
        """Show the figures, in a notebook or in the browser."""
        for figure in self.figures:
            figure.show()


@dataclass(frozen=True)
class Model:
    """A model that can be traced, asked, changed and opened with TransformerLens; made by `load`.

    Examples:
        >>> model = wb.load("reference_asked")
        >>> model.name, model.thoughts
        ('reference_asked', 6)
    """

    checkpoint: Checkpoint
    """Model, tokenizer and prompt format, for what this class does not do."""

    def __repr__(self) -> str:
        """Return name, number of thoughts, how they were supervised and prompt format."""
        about = f"{self.thoughts} thoughts ({self.supervision}), prompts in the {self.checkpoint.format.name} format"
        return f'Model("{self.name}", {about})'

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.checkpoint.name

    @property
    def thoughts(self) -> int:
        """The number of thoughts it was trained with."""
        return self.checkpoint.thoughts

    @property
    def supervision(self) -> Supervision:
        """How its thoughts were supervised; as text, the badge of every screen and table.

        Examples:
            >>> print(wb.load("coconut_words").supervision)
            words only; its start was asked for mixtures of 24 walks
        """
        return self.checkpoint.supervision

    @cached_property
    def lens(self) -> CoconutLens:
        """The model seen through TransformerLens, with hooks at every thought."""
        return CoconutLens(self.checkpoint)

    @overload
    def trace(
        self, problems: Asked | str, interventions: Interventions = (), thoughts: int | None = None
    ) -> "Trace": ...
    @overload
    def trace(
        self, problems: Sequence[Any], interventions: Interventions = (), thoughts: int | None = None
    ) -> "list[Trace]": ...
    def trace(
        self, problems: Any, interventions: Interventions = (), thoughts: int | None = None
    ) -> "Trace | list[Trace]":
        """Let the model think about problems and keep every thought and what it decodes to.

        Args:
            problems: One problem or the text of one question gives one trace, a list gives a list.
            interventions: What is changed while it thinks.
            thoughts: How many thoughts; by default as many as the model was trained with.

        Raises:
            WorkbenchError: A problem does not fit the model, or an intervention cannot be made.

        Examples:
            >>> trace = wb.load("reference_asked").trace(wb.load_problems("released")[0])
            >>> trace.answer == trace.problem.names[trace.problem.target]
            True
            >>> trace.thoughts.shape
            (6, 384)
        """
        single = isinstance(problems, str | Problem | Item)
        asked, plan = _problems(problems), _plan(interventions)
        given = _inputs(self.checkpoint, plan, asked, thoughts)
        found = tracing.run(self.checkpoint, asked, thoughts, interventions=plan, **given)
        traces = [Trace(one) for one in found]
        return traces[0] if single else traces

    def answer(
        self,
        problems: Problems,
        interventions: Interventions = (),
        thoughts: int | None = None,
        says: str | None = None,
    ) -> "Answers":
        """Answer problems, with or without interventions.

        Args:
            problems: As for `wb.load_problems`.
            interventions: What is changed while it thinks.
            thoughts: How many thoughts; by default as many as the model was trained with.
            says: What follows the thoughts: the "answer" at once, or the "chain" of steps in words with the answer at
                its end; by default what the model was trained to say.

        Raises:
            WorkbenchError: A problem does not fit the model, or an intervention cannot be made.

        Examples:
            >>> model, problems = wb.load("reference_asked"), wb.load_problems("released", 40)
            >>> print(model.answer(problems).accuracy)
            0.975 [0.871, 0.996]
            >>> model.answer(problems, wb.Noise()).accuracy.value < 0.8
            True
        """
        asked, plan = _problems(problems), _plan(interventions)
        given = _inputs(self.checkpoint, plan, asked, thoughts)
        found = tracing.answers(self.checkpoint, asked, thoughts, interventions=plan, says=says, **given)
        return Answers(list(found))

    def intervene(
        self,
        problem: Problem,
        interventions: Interventions,
        control: Control | None = None,
        thoughts: int | None = None,
        others: Sequence[Problem] = (),
    ) -> "Intervened":
        """Compare a run on one problem with and without interventions, and with their control.

        Args:
            problem: The problem.
            interventions: What is changed while the model thinks.
            control: "other nodes" or "random direction", as far as the plan has it (`plan.controls`); by default none.
            thoughts: How many thoughts; by default as many as the model was trained with.
            others: Problems whose thoughts may be taken, by their ids, and over which means are taken.

        Raises:
            WorkbenchError: An intervention cannot be made on this problem.

        Examples:
            >>> problem = wb.load_problems("released")[0]
            >>> result = wb.load("reference_asked").intervene(problem, wb.Zero(at=(1,)), "random direction")
            >>> result.answers["series"].unique(maintain_order=True).to_list()[0]
            'without'
        """
        plan, count = _plan(interventions), self.checkpoint.thoughts if thoughts is None else thoughts
        given = plan_inputs(self.checkpoint, problem, plan, count, others)
        before, after = (
            next(tracing.run(self.checkpoint, [problem], count, interventions=one, **given))
            for one in (without_effect(plan), plan)
        )
        return Intervened(
            Trace(before),
            Trace(after),
            answered(self.checkpoint, problem, plan, count, control, **given),
            downstream(before, after, affected_region(plan, count, self.checkpoint.pause is not None)),
            control,
        )

    def search_tree(self, problem: Problem, thoughts: int | None = None) -> go.Figure:
        """Draw all paths from the root, with the value of each node after as many thoughts as its depth.

        Args:
            problem: The problem.
            thoughts: How many thoughts at most; by default as many as the model was trained with.

        Examples:
            >>> len(wb.load("reference_asked").search_tree(wb.load_problems("released")[0]).data) > 0
            True
        """
        return search_tree(search_tree_frame(problem, spell(self.checkpoint, problem, thoughts)))

    def lens_layers(self, problem: Problem, thoughts: int | None = None) -> go.Figure:
        """Draw what every layer says at every thought of one problem, read with the logit lens.

        Args:
            problem: The problem.
            thoughts: How many thoughts; by default as many as the model was trained with.

        Examples:
            >>> len(wb.load("reference_asked").lens_layers(wb.load_problems("released")[0]).data) > 0
            True
        """
        return problem_lens(read_lenses(record(self.checkpoint, [problem], thoughts), []), problem.id, RAW)

    def run_with_cache(self, problems: Problems, thoughts: int | None = None) -> "tuple[Any, ActivationCache]":
        """Run problems through TransformerLens and keep every activation, over tokens and thoughts.

        Args:
            problems: As for `wb.load_problems`.
            thoughts: How many thoughts; by default as many as the model was trained with.

        Returns:
            The logits [problems, columns, vocabulary] and the cache under TransformerLens's names. The columns are the
            prompt's tokens, padded on the left, then the thoughts.

        Examples:
            >>> logits, cache = wb.load("reference_asked").run_with_cache(wb.load_problems("released")[:2])
            >>> cache["blocks.0.attn.hook_pattern"].shape[0]
            2
        """
        rows = self.lens.rows(graphs_of(_problems(problems)), thoughts)
        ran, cache = self.lens.run_with_cache(rows)
        return ran.logits, cache


@dataclass(frozen=True)
class Trace:
    """What a model thought about one problem; made by `Model.trace`.

    Examples:
        >>> trace = wb.load("reference_asked").trace(wb.load_problems("released")[0])
        >>> trace.scores("lm_head").candidate_mass.shape
        (6,)
    """

    arrays: Arrays = field(repr=False)
    """The arrays of the run, for what this class does not do."""

    @property
    def problem(self) -> Problem | Item:
        """The problem."""
        return self.arrays.problem

    @property
    def thoughts(self) -> np.ndarray:
        """Thought 1 to K [thoughts, width] as the LM head reads it: the last hidden state after the final norm."""
        return self.arrays.thoughts

    @property
    def answer(self) -> str:
        """The greedy answer after all thoughts."""
        return self.arrays.answer_texts[-1]

    @property
    def right(self) -> bool:
        """Whether that is exactly the right answer."""
        return bool(self.arrays.answer_right[-1])

    def scores(self, readout: str = "lm_head") -> NodeScores:
        """Return the values of every node after every thought, with chance levels.

        Args:
            readout: "lm_head" (softmax of the LM head of thought k) or "forced_language" (the name that is said next).
        """
        return node_scores(self.arrays, readout)

    def frame(self, readout: str = "lm_head") -> pl.DataFrame:
        """Return `scores` as a table: one row per number of thoughts and node.

        Examples:
            >>> wb.load("reference_asked").trace(wb.load_problems("released")[0]).frame().columns[:3]
            ['checkpoint', 'problem', 'graph']
        """
        return self.scores(readout).to_frame()

    def decoded(self, thought: int) -> list[tuple[str, float]]:
        """Return the likeliest tokens under the LM head of a thought, with their probabilities, best first."""
        if not 1 <= thought <= len(self.arrays.top_tokens):
            raise unknown("thought", thought, range(1, len(self.arrays.top_tokens) + 1))
        return list(self.arrays.top_tokens[thought - 1])

    def graph(
        self, thought: int, readout: str = "lm_head", node: str | None = None, compare: "Trace | int | None" = None
    ) -> go.Figure:
        """Draw the problem's graph, coloured by the values after a number of thoughts.

        Args:
            thought: After how many thoughts.
            readout: As for `scores`.
            node: Name of a node to mark.
            compare: Another trace of the graph, or a number of thoughts of this one: its values are taken off.

        Raises:
            WorkbenchError: The problem has no node of that name.
        """
        marked, at = None if node is None else self._node(node), compare if isinstance(compare, int) else None
        less = None if compare is None else (compare if isinstance(compare, Trace) else self).scores(readout)
        return problem_graph(self.scores(readout), thought, selected=marked, compare=less, compare_depth=at)

    def strip(self, readout: str = "lm_head") -> go.Figure:
        """Draw how much probability each class of nodes has after each thought, chance beside it."""
        return thought_strip(self.scores(readout))

    def curve(self, node: str, readout: str = "lm_head") -> go.Figure:
        """Draw the value of one node over the thoughts.

        Raises:
            WorkbenchError: The problem has no node of that name.
        """
        return node_curve(self.scores(readout), self._node(node))

    def _node(self, name: str) -> int:
        names = with_graph(self.problem).names
        if name not in names:
            raise unknown("node", name, names)
        return names.index(name)

    def tokens(self) -> go.Figure:
        """Draw the likeliest tokens of every thought as a table."""
        return token_table(self.arrays)


@dataclass(frozen=True)
class Intervened:
    """What interventions do on one problem; made by `Model.intervene`.

    Examples:
        >>> result = wb.load("reference_asked").intervene(wb.load_problems("released")[0], "noise:at=1")
        >>> len(result.figures)
        2
    """

    before: Trace
    """The run without interventions."""
    after: Trace
    """The run with them."""
    answers: pl.DataFrame = field(repr=False)
    """A row per series (without, with, control) and draw of the control, with the probabilities of both options."""
    changes: pl.DataFrame = field(repr=False)
    """What changed from one run to the other: a row per thought, per step said and per answer."""
    control: str | None = None
    """Which control the answers hold."""

    @property
    def figures(self) -> list[go.Figure]:
        """The changes over the thoughts, and the answers' probabilities."""
        return [
            downstream_map(self.changes),
            answer_options(self.answers, with_graph(self.before.problem), self.control or ""),
        ]

    def show(self) -> None:
        """Show the figures, in a notebook or in the browser."""
        for figure in self.figures:
            figure.show()


@dataclass(frozen=True)
class Answers(Sequence[tracing.Answer]):
    """The answers to a list of problems, in their order; made by `Model.answer`.

    Examples:
        >>> answers = wb.load("reference_asked").answer(wb.load_problems("released", 3))
        >>> answers[0].right, answers.frame().height
        (True, 3)
    """

    answers: list[tracing.Answer] = field(repr=False)

    @overload
    def __getitem__(self, place: int) -> tracing.Answer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[tracing.Answer]: ...
    def __getitem__(self, place: int | slice) -> tracing.Answer | Sequence[tracing.Answer]:
        """Return one answer, or some of them."""
        return self.answers[place]

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self.answers)

    def __iter__(self) -> Iterator[tracing.Answer]:
        """Go through the answers."""
        return iter(self.answers)

    def __repr__(self) -> str:
        """Return the number of answers and the accuracy."""
        return f"{len(self)} answers, accuracy {self.accuracy}"

    @property
    def accuracy(self) -> Estimate:
        """The share of exactly right answers, with its 95 % interval over graphs."""
        return resample([float(one.right) for one in self.answers], clusters=self._graphs)

    @property
    def valid(self) -> Estimate:
        """The share of answers in the right format, with its 95 % interval over graphs."""
        return resample([float(one.valid) for one in self.answers], clusters=self._graphs)

    @property
    def _graphs(self) -> list[str]:
        return [one.problem.graph for one in self.answers]

    def frame(self) -> pl.DataFrame:
        """Return a table: one row per problem with problem, graph, answer, right, valid, said and tokens."""
        return pl.DataFrame(
            [
                {
                    "problem": one.problem.id, "graph": one.problem.graph, "answer": one.text, "right": one.right,
                    "valid": one.valid, "said": one.said, "tokens": one.tokens,
                }
                for one in self.answers
            ]
        )  # fmt: skip


def _plan(interventions: object) -> Plan:
    if isinstance(interventions, str):
        return from_address(interventions)
    if isinstance(interventions, Intervention):
        return Plan((interventions,))
    if isinstance(interventions, Plan):
        return interventions
    listed = list(interventions) if isinstance(interventions, Iterable) else [interventions]
    found = tuple(one for one in listed if isinstance(one, Intervention))
    if len(found) < len(listed):
        strange = next(one for one in listed if not isinstance(one, Intervention))
        raise WorkbenchError(
            f"Cannot do {strange!r:.60} to a thought.",
            "It is no intervention.",
            "Give interventions, say wb.Noise(), or one as text: 'noise:at=1'.",
        )
    return Plan(found)


def plan_inputs(
    checkpoint: Checkpoint, problem: Problem, plan: Plan, thoughts: int, others: Sequence[Problem] = ()
) -> dict[str, Any]:
    """Return what a plan on one problem needs beside it: the problems it takes thoughts from, and those of the set.

    Args:
        checkpoint: What runs.
        problem: The problem.
        plan: The plan.
        thoughts: Number of thoughts.
        others: Problems of the same set; sources are found by their ids, means are taken over the first of them, and
            codes are learned from generated problems like all of them.

    Raises:
        WorkbenchError: There is no such source.

    Examples:
        >>> problem = wb.load_problems("released")[0]
        >>> plan_inputs(wb.load("reference_asked").checkpoint, problem, wb.Plan((wb.Noise(),)), 6)
        {'sources': {}}
    """
    others = [one for one in others if one.id != problem.id]
    found = {one.id: one for one in others} | {TWIN: entity_swap(problem)}
    given: dict[str, Any] = {"sources": {}}
    for name in plan.sources:
        if name == TWIN and found[TWIN] is None:
            raise WorkbenchError(
                f"Problem {problem.id} has no entity-swapped twin.",
                "Nobody in it reaches the negative without reaching the target.",
                "Patch in the thought of another problem, or choose another problem.",
            )
        if name not in found:
            raise unknown(
                "source", name, listed([TWIN, *found]), "Name the twin, or a problem of the set by its id."
            )  # fmt: skip
        given["sources"][name] = [found[name]]
    if plan.needs_set and others:
        several = [problem, *others[: MOST_OTHERS - 1]]
        given["set_thoughts"] = think_about(checkpoint, several, thoughts)
    return given | named_spaces(checkpoint, [problem, *others], plan, thoughts)


def _inputs(checkpoint: Checkpoint, plan: Plan, asked: Sequence[Asked], thoughts: int | None) -> dict[str, Any]:
    """Return what a plan on a whole set needs beside it: the problems' twins, and the thoughts about the set."""
    given: dict[str, Any] = {}
    if TWIN in plan.sources:
        twins = [twin(one) for one in asked]
        if without := [one.id for one, swap in zip(asked, twins, strict=True) if swap is None]:
            raise WorkbenchError(
                "Thoughts cannot be taken from every problem's twin.",
                f"{len(without)} of {len(asked)} problems have none, {without[0]} among them.",
                "Leave these problems out: keep those for which `entity_swap` returns a problem.",
            )
        given["sources"] = {TWIN: twins}
    if plan.needs_set:
        given["set_thoughts"] = think_about(checkpoint, list(asked), thoughts)
    return given | named_spaces(checkpoint, [one for one in asked if isinstance(one, Problem)], plan, thoughts)
