"""The prompt formats by name, and where in a prompt edges, options and root stand (`places`).

- `edges`: ProsQA as lists of edges, for models from scratch.
- `text`: the sentences of any task, for pre-trained models.
- `words`: ProntoQA and arithmetic with one token per word, for models from scratch. A small model learns short rows
  much faster, so the tokenizer leaves words out: "Every jompus is not shy." is `jompus not shy .`, and every whole
  number is one token. Its normaliser does that, so it is saved with the checkpoint.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, pairwise, takewhile
from typing import ClassVar, cast

from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from workbench.errors import WorkbenchError, listed, unknown
from workbench.model.prompts import OFFICIAL, Format, Ids, Prompt, Wording, path, with_graph
from workbench.problems.arithmetic import LIMIT, story_words
from workbench.problems.english import split_sentences
from workbench.problems.problem import NUMBER, Item, Problem
from workbench.problems.prontoqa import PROPERTIES
from workbench.problems.vocabulary import CONCEPTS, ENTITIES, NAMES, word_tokenizer

SPECIALS = ("<pad>", "<eos>", "<bot>", "<eot>", "<thought>", "|", "###", ".", "?")
"""Token ids 0..8 of every words tokenizer."""
UNSAID = {"prontoqa": "a an are each every is", "arithmetic": "a an and of the"}
"""Words that the normaliser leaves out, by task."""

_WORD = r"<<|>>|###|\d+|[\w'’]+|[^\w\s]"


def vocabulary(task: str, limit: int = LIMIT) -> tuple[str, ...]:
    """Return the words of a task, in the order of their token ids: all that its generator can say.

    Args:
        task: "prontoqa" or "arithmetic".
        limit: The largest number of arithmetic.

    Raises:
        WorkbenchError: There is no such task.
    """
    if task == "prontoqa":
        return (*SPECIALS, "not", "true", "false", *(name.lower() for name in ENTITIES), *CONCEPTS, *PROPERTIES)
    if task == "arithmetic":
        unsaid = UNSAID[task].split()
        words = (word for word in story_words() if word not in unsaid)
        return (*SPECIALS, "<<", ">>", "=", "+", "-", "*", "/", *map(str, range(limit + 1)), *words)
    raise unknown("vocabulary", task, UNSAID, "Use a pre-trained model in the text format.")


def words_tokenizer(task: str, limit: int = LIMIT) -> PreTrainedTokenizerFast:
    """Build the tokenizer of a task's words: telegraphic, lower case, one token per word and number, left padding.

    Returns:
        A tokenizer that saves and loads with `AutoTokenizer`. A word that is not in the vocabulary raises.
    """
    words, unsaid = vocabulary(task, limit), "|".join(UNSAID[task].split())
    normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace("true or false:", "?"),
            normalizers.Replace(Regex(r"puses\b"), "pus"),  # plurals of the published ProntoQA files
            normalizers.Replace(Regex(rf"\b({unsaid})\b|,"), " "),
        ]
    )
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(_WORD), "isolated")]
    return word_tokenizer(words, pre_tokenizers.Sequence(split), normalizer)


class _WordFormat(Format):
    """One token per word and per answer, which stands after a mark."""

    answer_limit = 1
    value_is_answer = True
    words: ClassVar[tuple[str, ...]]
    """Words that the format cannot do without."""
    mark: ClassVar[str]
    """The word before the answer."""

    @cached_property
    def _word(self) -> dict[str, int]:
        return self._tokens(self.words)

    def value_opening(self, prompt: Prompt) -> Ids:
        """Return the answer's opening: the answer follows at once."""
        return self.answer_opening(prompt)

    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words after the last mark; empty where there is none."""
        mark, ids = self._word[self.mark], self._cut(ids)
        return self.decode(prompt, ids[len(ids) - ids[::-1].index(mark) :]) if mark in ids else ""


class WordsFormat(_WordFormat):
    """`<eos> question`, thoughts, the remaining steps, `### answer <eos>`, one token per word.

    Everything said after the thoughts begins with `<eot>`, without markers with `|`.
    """

    name = "words"
    continuation_limit = 64
    words, mark = ("|", "###"), "###"

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        try:
            return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]  # type: ignore[union-attr]
        except Exception as error:
            strange = self._strange(texts)
            if not strange:
                raise
            raise WorkbenchError(
                "The tokenizer lacks words of these problems.",
                f"Not in its vocabulary: {', '.join(listed(strange, 10))}.",
                "Use problems of the checkpoint's own task, or a pre-trained model in the text format.",
            ) from error

    def _strange(self, texts: Sequence[str]) -> list[str]:
        """Return the words of texts that have no token, in the alphabet's order."""
        known, backend = self.tokenizer.get_vocab(), cast(PreTrainedTokenizerFast, self.tokenizer).backend_tokenizer
        return sorted(
            {
                word
                for text in texts
                for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))
                if word not in known
            }
        )

    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode questions; see `Format.prompts`. Only question, steps and answer are read, graphs are not."""
        rows = self._encode([problem.question for problem in problems])
        return [
            Prompt(problem, (self.end, *ids, *self._bot), (), ()) for problem, ids in zip(problems, rows, strict=True)
        ]

    def _spelt(self, words: Sequence[str]) -> tuple[Ids, ...]:
        return tuple(self._encode(words)) if words else ()

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `<eot>`, without markers `|`."""
        return self._eot or (self._word["|"],)

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return the chain's opening and the first token of a step, which is the same for all steps of an item."""
        steps = prompt.problem.steps[:1]
        return (*self.chain_opening(prompt), *(self._encode(steps)[0][:1] if steps else ()))

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return the chain's opening and `###`."""
        return (*self.chain_opening(prompt), self._word["###"])

    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return the remaining steps, `###`, the answer, and the end token."""
        steps, answer = self._encode([" ".join(prompt.problem.steps[after:]), prompt.problem.answer])
        return (*self.chain_opening(prompt), *steps, self._word["###"], *answer, self.end)

    def decode(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words with spaces between them, without the separator that stands for a marker."""
        words = self.tokenizer.convert_ids_to_tokens(self._cut(ids))
        return " ".join(word for word in words if word != "|")

    @staticmethod
    def valid(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer is one of the options, where there are none whether it is a number."""
        return valid_answer(problem, text)

    @staticmethod
    def right(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer is the problem's; case does not count, nor do commas in numbers."""
        return right_answer(problem, text.lower(), problem.answer.lower())


def valid_answer(problem: Problem | Item, text: str) -> bool:
    """Say whether a text has the form of an answer to an item: an option, or a number where there are none."""
    if not isinstance(problem, Item):
        return False
    if problem.options:
        return text.lower() in {option.lower() for option in problem.options}
    return NUMBER.fullmatch(text.replace(",", "")) is not None if problem.numeric else bool(text.strip())


def right_answer(problem: Problem | Item, text: str, answer: str) -> bool:
    """Say whether a text is the answer; in a number "1,000" and "1000" are the same, as in the official files."""
    number = isinstance(problem, Item) and problem.numeric
    return text == answer or (number and text.replace(",", "") == answer)


class EdgesFormat(_WordFormat):
    """Source, target, separator: `<eos> s t | s t | ... | [Q] c1 c2 [R] root`, one token per word.

    Edges come in the order of the problem's sentences. A step is `| s t`, the answer `[A] target`; after k thoughts
    `| n_k n_k+1 | ... [A] target <eos>`. A name that is not in the vocabulary borrows a free one of its kind (the
    first in the alphabet, in node order), and is shown under its own name again.

    A vocabulary that has numbers for nodes, and no names, is that of Reasoning by Superposition
    (Ber666/reasoning-by-superposition, stokenizer.py): node i is the word i, and no `|` stands before `[Q]`.
    """

    name = "edges"
    continuation_limit = 48
    words, mark = ("|", "[Q]", "[R]", "[A]", *NAMES), "[A]"

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Words of nodes 0, 1, ... where nodes have numbers; empty where they have names."""
        known = self.tokenizer.get_vocab()
        return () if NAMES[0] in known else tuple(map(str, takewhile(lambda node: str(node) in known, count())))

    @cached_property
    def _word(self) -> dict[str, int]:
        return self._tokens((*self.words[:4], *self.numbers) if self.numbers else self.words)

    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode problems; see `Format.prompts`."""
        return [self._prompt(with_graph(problem)) for problem in problems]

    def _prompt(self, problem: Problem) -> Prompt:
        word, names = self._word, self._vocabulary_names(problem)
        node = [word[name] for name in names]
        bar, ids = word["|"], [self.end]
        for source, target in problem.edges:
            ids += (node[source], node[target], bar)
        ids = ids[:-1] if self.numbers else ids
        first, second = problem.options
        ids += (word["[Q]"], node[first], node[second], word["[R]"], node[problem.root], *self._bot)
        return Prompt(problem, tuple(ids), tuple((token,) for token in node), (node[problem.root],))

    def _vocabulary_names(self, problem: Problem) -> list[str]:
        known, room = set(NAMES), self.numbers or NAMES
        if len(problem.names) > len(room):
            raise WorkbenchError(
                f"Problem {problem.id} is too large for the edges format.",
                f"It has {len(problem.names)} nodes; the vocabulary has {len(room)} names.",
                "Use a checkpoint in the text format, or a smaller graph.",
            )
        if self.numbers:
            return list(self.numbers[: len(problem.names)])
        if known.issuperset(problem.names):
            return list(problem.names)
        taken, targets = set(problem.names) & known, {target for _, target in problem.edges}
        free = {
            True: [name for name in (*ENTITIES, *CONCEPTS) if name not in taken],
            False: [name for name in (*CONCEPTS, *ENTITIES) if name not in taken],
        }
        spoken: list[str] = []
        for node, name in enumerate(problem.names):
            if name not in known:
                name = next(spare for spare in free[node not in targets] if spare not in taken)
                taken.add(name)
            spoken.append(name)
        return spoken

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return `|`, after no thoughts `| root`."""
        return (*self.chain_opening(prompt), *(prompt.root if after == 0 else ()))

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `|`."""
        return (*self._eot, self._word["|"])

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return `[A]`."""
        return (*self._eot, self._word["[A]"])

    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return `| n_k n_k+1 | ... [A] target <eos>`; `| [A] target <eos>` where no step is left."""
        nodes, bar = path(prompt.graph), self._word["|"]
        ids = list(self._eot)
        left = list(pairwise(nodes))[after:]
        for source, target in left:
            ids += (bar, *prompt.nodes[source], *prompt.nodes[target])
        opening = (self._word["[A]"],) if left else (bar, self._word["[A]"])
        return (*ids, *opening, *prompt.nodes[prompt.graph.target], self.end)

    def decode(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words with spaces between them."""
        own = self.token_names(prompt)
        words = self.tokenizer.convert_ids_to_tokens(self._cut(ids))
        return " ".join(own.get(i, word) for i, word in zip(self._cut(ids), words, strict=True))

    def token_names(self, prompt: Prompt) -> dict[int, str]:
        """Return the problem's own name of every node's token."""
        return {spelling[0]: name for spelling, name in zip(prompt.nodes, prompt.graph.names, strict=True)}

    @staticmethod
    def valid(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer names one of the two options."""
        graph = with_graph(problem)
        return text in (graph.names[graph.target], graph.names[graph.negative])

    @staticmethod
    def right(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer, the likeliest of all tokens, names the target."""
        graph = with_graph(problem)
        return text == graph.names[graph.target]


class TextFormat(Format):
    """The sentences themselves, as the official repository writes them (facebookresearch/coconut, dataset.py).

    question + newline, thoughts, the remaining steps with a newline each, `### ` and the answer. A step opens with
    "Every" (after no thoughts with "Sally is a"), the answer with "###"; names follow with a space before them, so the
    openings end without one.
    """

    name = "text"
    continuation_limit = 128
    answer_limit = 24
    value_is_answer = False

    def _encode(self, texts: Sequence[str], special: bool = False) -> list[Ids]:
        return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]]  # type: ignore[union-attr]

    @cached_property
    def _fixed(self) -> dict[str, Ids]:
        words = ("Every", self._mark, " is a", "\n")
        return dict(zip(words, self._encode(words), strict=True))

    @property
    def _mark(self) -> str:
        """What an answer opens with; the space after it belongs to the answer's first token."""
        return self.wording.answer.rstrip()

    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode problems; every name is encoded once per batch. Items have no names."""
        graphs = [problem for problem in problems if isinstance(problem, Problem)]
        names = sorted({name for problem in graphs for name in problem.names})
        spelled = dict(zip(names, self._encode([" " + name for name in names]), strict=True)) if names else {}
        roots = sorted({problem.names[problem.root] for problem in graphs})
        root_of = dict(zip(roots, self._encode(roots), strict=True)) if roots else {}
        questions = self._encode([self.wording.asked(problem.question) for problem in problems], special=True)
        return [
            Prompt(problem, (*ids, *self._bot), tuple(spelled[name] for name in problem.names), root_of[root])
            if isinstance(problem, Problem) and (root := problem.names[problem.root])
            else Prompt(problem, (*ids, *self._bot), (), ())
            for problem, ids in zip(problems, questions, strict=True)
        ]

    def _spelt(self, words: Sequence[str]) -> tuple[Ids, ...]:
        return tuple(self._encode([f" {word}" for word in words])) if words else ()

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return "Every", after no thoughts "Sally is a"; for an item no more than begins any chain."""
        if not prompt.root:
            return self.chain_opening(prompt)
        return (*self._eot, *((*prompt.root, *self._fixed[" is a"]) if after == 0 else self._fixed["Every"]))

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `<eot>`; without markers a line break, which a prompt ends with anyway."""
        return self._eot or self._fixed["\n"]

    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return what stands after the last "###" (`Wording.answer`)."""
        _, mark, answer = self.decode(prompt, ids).rpartition(self._mark)
        return answer.strip() if mark else ""

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return "###" (`Wording.answer`)."""
        return (*self._eot, *self._fixed[self._mark])

    def value_opening(self, prompt: Prompt) -> Ids:
        """Return "### Sally is a"; for an item "###"."""
        if not prompt.root:
            return self.answer_opening(prompt)
        return (*self.answer_opening(prompt), *prompt.nodes[prompt.graph.root], *self._fixed[" is a"])

    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return the remaining steps and the answer."""
        lines = [step + "\n" for step in prompt.problem.steps[after:]]
        ids = [token for line in self._encode([*lines, self.wording.answer + prompt.problem.answer]) for token in line]
        return (*self._eot, *ids, self.end)

    def decode(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the text."""
        return str(self.tokenizer.decode(self._cut(ids), clean_up_tokenization_spaces=False)).strip()

    @staticmethod
    def valid(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer is "Sally is a ..." with one of the two options; for an item, its form."""
        if isinstance(problem, Item):
            return valid_answer(problem, text)
        root, options = problem.names[problem.root], problem.options
        return text in [f"{root} is a {problem.names[option]}." for option in options]

    @staticmethod
    def right(problem: Problem | Item, text: str) -> bool:
        """Say whether the answer equals the problem's."""
        return right_answer(problem, text, problem.answer)


FORMATS: dict[str, type[Format]] = {kind.name: kind for kind in (EdgesFormat, TextFormat, WordsFormat)}
"""The formats by name."""


def make_format(
    name: str, tokenizer: PreTrainedTokenizerBase, markers: bool = True, wording: Wording = OFFICIAL
) -> Format:
    """Build the format of the given name.

    Args:
        name: "edges", "text" or "words".
        tokenizer: Has the words of the format.
        markers: Whether `<bot>` ends the prompt and `<eot>` begins the continuation.
        wording: What stands around question, thoughts and answer.

    Raises:
        WorkbenchError: There is no such format, or the tokenizer lacks its words or the thought markers.
    """
    if name not in FORMATS:
        raise unknown("prompt format", name, FORMATS, "Correct `format` in config.coconut.")
    made = FORMATS[name](tokenizer, markers, wording)
    # Look for what is missing now, not in the middle of a run.
    _ = made.marker, made._bot, made._eot, getattr(made, "_word", None)
    return made


Span = tuple[int, int]
"""First column, and the one after the last, counted in `Prompt.ids`."""


@dataclass(frozen=True)
class TokenSpans:
    """Columns of a prompt."""

    edges: tuple[Span, ...]
    """Of each edge, in the order of `Problem.edges`: its sentence, in the edges format source, target and `|`."""
    options: tuple[Span, Span]
    """Of the two options in the question, in the order listed."""
    root: Span
    """Of the root in the question."""


def places(form: Format, prompt: Prompt) -> TokenSpans:
    """Return where edges, options and root stand in a prompt."""
    problem = prompt.graph
    if isinstance(form, EdgesFormat):
        end = 1 + 3 * len(problem.edges) - bool(form.numbers)
        edges = tuple((start, min(start + 3, end)) for start in range(1, end, 3))
        return TokenSpans(edges, ((end + 1, end + 2), (end + 2, end + 3)), (end + 4, end + 5))
    question = form.wording.asked(problem.question)
    *sentences, asked = split_sentences(problem.question)
    starts, cursor = [], form.wording.question.index("{question}")
    for sentence in (*sentences, asked):
        cursor = question.index(sentence, cursor)
        starts.append(cursor)
        cursor += len(sentence)
    offsets = _offsets(form, question)
    edges = tuple(_columns(offsets, first, last) for first, last in pairwise(starts))
    first, second = (
        _named(offsets, question, problem.names[option], starts[-1] + len("Is ")) for option in problem.options
    )
    return TokenSpans(edges, (first, second), _named(offsets, question, problem.names[problem.root], starts[-1]))


def _offsets(form: Format, question: str) -> list[tuple[int, int]]:
    """Return the characters of each token of a question in the text format; markers stand for none."""
    read = form.tokenizer(question, return_offsets_mapping=True, add_special_tokens=True)
    return [(int(start), int(end)) for start, end in read["offset_mapping"]]  # type: ignore[union-attr]


def _named(offsets: list[tuple[int, int]], question: str, name: str, after: int) -> Span:
    found = re.compile(rf"\b{re.escape(name)}\b").search(question, after)
    assert found is not None, f"{name} is not asked about"
    return _columns(offsets, *found.span())


def _columns(offsets: list[tuple[int, int]], start: int, end: int) -> Span:
    """Return the tokens that share a character with start..end, blanks at its ends not counted."""
    inside = [column for column, (first, last) in enumerate(offsets) if first < end and last > start and last > first]
    return inside[0], inside[-1] + 1
