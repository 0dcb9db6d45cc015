"""What every prompt format does: a problem becomes token ids, and token ids become words again.

A row of tokens is

    prompt · K thoughts · opening · what the model goes on to say

and an opening forces what comes next: the first word of a step (the values of the nodes are read there), or of the
answer. With markers the prompt ends with `<bot>` and every opening begins with `<eot>` (the Coconut paper); without
them the continuation starts from the last thought itself (Reasoning by Superposition, arXiv 2505.12514).

Values of nodes from values of tokens: the LM head says one token, not a name.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase

from workbench.errors import WorkbenchError
from workbench.problems.english import read_edge
from workbench.problems.problem import Item, Problem
from workbench.problems.vocabulary import Markers, marker_ids

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """A problem as token ids."""

    problem: Problem | Item
    ids: Ids
    """The question, up to the token whose last hidden state is thought 1."""
    nodes: tuple[Ids, ...]
    """Spelling of each node, N of them: the tokens that name it inside a step or answer. An item has none."""
    root: Ids
    """Spelling of the root at the beginning of a step; empty for an item."""

    @property
    def graph(self) -> Problem:
        """The problem, which must have a graph.

        Raises:
            WorkbenchError: It is words alone.
        """
        return with_graph(self.problem)


def with_graph(problem: Problem | Item) -> Problem:
    """Return a problem that has a graph.

    Raises:
        WorkbenchError: It is words alone.
    """
    if isinstance(problem, Item):
        why = f"It is of the task {problem.task}, and words alone."
        raise WorkbenchError(f"Problem {problem.id} has no graph.", why, "Use ProsQA problems, or another format.")
    return problem


def path(problem: Problem) -> tuple[int, ...]:
    """Return the nodes of the problem's chain of steps, root first, target last."""
    number = {name: node for node, name in enumerate(problem.names)}
    edges = [read_edge(step.rstrip(".")) for step in problem.steps]
    return (problem.root, *(number[edge[1]] for edge in edges if edge))


@dataclass(frozen=True)
class Wording:
    """What stands around question, thoughts and answer: `config.coconut.wording`. By default the official repository's.

    Tokens are named by their text, markers as "bot", "eot" and "thought", the end token as "eos".

    Raises:
        WorkbenchError: The question has no place in its sentence.
    """

    question: str = "{question}\n"
    """The text before the opening, in the text format."""
    opening: tuple[str, ...] | None = None
    """Tokens between question and thoughts, the last of which makes thought 1; by default `<bot>` with markers."""
    closing: tuple[str, ...] | None = None
    """Tokens after the thoughts; by default `<eot>` with markers."""
    answer: str = "### "
    """The text before the answer, in the text format."""
    bot: str = ""
    """Token that is the marker "bot", where the tokenizer has none of the names in `vocabulary.MARKERS`."""
    eot: str = ""
    """The same of "eot"."""
    thought: str = ""
    """The same of "thought"; where thoughts hold no token of their own any will do, for it is not read."""

    def __post_init__(self) -> None:
        """Refuse a text without the question."""
        if self.question.count("{question}") != 1 or not self.answer.strip():
            why = "`question` must hold {question} once, and `answer` some text."
            raise WorkbenchError("This wording cannot be used.", why, "Correct `wording` in config.coconut.")

    def asked(self, question: str) -> str:
        """Return the text of a question."""
        return self.question.replace("{question}", question)


OFFICIAL = Wording()


@dataclass(frozen=True)
class Format(ABC):
    """Turns problems into token ids and back; `formats.make_format` builds one."""

    name: ClassVar[str]
    continuation_limit: ClassVar[int]
    """Tokens after which a continuation is cut."""
    answer_limit: ClassVar[int]
    """Tokens after which an answer is cut."""
    value_is_answer: ClassVar[bool]
    """Whether the nodes' values are read right after the answer opening (else after `value_opening`)."""

    tokenizer: PreTrainedTokenizerBase
    markers: bool
    wording: Wording = OFFICIAL

    @cached_property
    def marker(self) -> Markers:
        """Token ids of `<bot>`, `<eot>` and `<thought>`."""
        return marker_ids(self.tokenizer, bot=self.wording.bot, eot=self.wording.eot, thought=self.wording.thought)

    @property
    def end(self) -> int:
        """Token id that ends a continuation."""
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    @property
    def pad(self) -> int:
        """Token id that fills a batch on the left; where the tokenizer has none, its end token."""
        pad = self.tokenizer.pad_token_id
        return self.end if pad is None else int(pad)  # type: ignore[arg-type]

    @cached_property
    def _bot(self) -> Ids:
        """Tokens between question and thoughts."""
        return self._named(self.wording.opening, "bot")

    @cached_property
    def _eot(self) -> Ids:
        """Tokens between thoughts and words."""
        return self._named(self.wording.closing, "eot")

    def _named(self, names: Sequence[str] | None, marker: str) -> Ids:
        marks = {**asdict(self.marker), "eos": self.end}
        names = ((marker,) if self.markers else ()) if names is None else names
        known = self._tokens([name for name in names if name not in marks])
        return tuple(marks[name] if name in marks else known[name] for name in names)

    def choices(self, prompt: Prompt) -> tuple[Ids, ...]:
        """Return the spelling of each possible answer after the value opening, the right one first.

        Those are target and negative; of an item its options, none where any number or text may be the answer.
        """
        one = prompt.problem
        if isinstance(one, Problem):
            return prompt.nodes[one.target], prompt.nodes[one.negative]
        return self._spelt(sorted(one.options, key=lambda option: option != one.answer))

    def values(self, prompt: Prompt) -> Ids:
        """Return the first token of the value that each step of an item newly says, where they say values."""
        spelt = self._spelt(prompt.problem.values) if isinstance(prompt.problem, Item) else ()
        return tuple(ids[0] for ids in spelt) if all(spelt) else ()

    def _spelt(self, words: Sequence[str]) -> tuple[Ids, ...]:
        """Return the tokens of words inside a text; only formats of items have them."""
        return ()

    @abstractmethod
    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode problems, a batch at a time.

        Raises:
            WorkbenchError: A problem cannot be written in this format.
        """

    @abstractmethod
    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return the forced beginning of the next step; the token after it begins a node's name.

        After k >= 1 thoughts that node is the step's source, at hop k; after none the step's source is the root and is
        part of the opening, so that the node is at hop 1.
        """

    @abstractmethod
    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return the beginning of whatever is said in words after the thoughts, be it a step or the answer."""

    @abstractmethod
    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return the forced beginning of the answer."""

    @abstractmethod
    def value_opening(self, prompt: Prompt) -> Ids:
        """Return the forced beginning of the answer up to the option's name."""

    @abstractmethod
    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return what should follow after k thoughts: the remaining steps, the answer, the end token."""

    @abstractmethod
    def decode(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return tokens as text in the problem's own names, without markers, padding and end token."""

    @abstractmethod
    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the answer at the end of a continuation, in the form in which `decode` gives one that was forced.

        Empty where the continuation has none.
        """

    @staticmethod
    @abstractmethod
    def valid(problem: Problem | Item, text: str) -> bool:
        """Say whether a greedy answer has the right form: one of the options (else a number), and nothing else."""

    @staticmethod
    @abstractmethod
    def right(problem: Problem | Item, text: str) -> bool:
        """Say whether a greedy answer is exactly the right one."""

    def token_names(self, prompt: Prompt) -> dict[int, str]:
        """Return the tokens that the screen calls otherwise than the tokenizer does (borrowed names)."""
        return {}

    def _tokens(self, words: Sequence[str]) -> dict[str, int]:
        """Return the token ids of words that the format cannot do without.

        Raises:
            WorkbenchError: The tokenizer lacks some.
        """
        known = self.tokenizer.get_vocab()
        missing = [word for word in words if word not in known]
        if missing:
            raise WorkbenchError(
                f"The tokenizer does not speak the {self.name} format.",
                f"{len(missing)} of its {len(words)} words are missing, among them {', '.join(missing[:3])}.",
                "Use the tokenizer saved with the checkpoint, or correct `format` or `wording` in config.coconut.",
            )
        return {word: known[word] for word in words}

    def _cut(self, ids: Sequence[int]) -> list[int]:
        """Cut at the end token; drop padding and markers."""
        ids = list(ids)
        if self.end in ids:
            ids = ids[: ids.index(self.end)]
        hidden = {self.pad, self.marker.bot, self.marker.eot, self.marker.thought}
        return [i for i in ids if i not in hidden]


def first_token_shares(
    values: Float[np.ndarray, "*thoughts vocab"], prompt: Prompt
) -> Float[np.ndarray, "*thoughts N"]:
    """Return for each node the value of its name's first token, divided equally among nodes that begin with it."""
    first = [spelling[0] for spelling in prompt.nodes]
    shared = Counter(first)
    return values[..., first] / np.array([shared[token] for token in first], dtype=np.float32)
