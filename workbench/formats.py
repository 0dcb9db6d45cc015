"""The prompt formats by name: `edges` of ProsQA for models from scratch, `text` of anything for pre-trained ones."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from workbench.errors import WorkbenchError
from workbench.problem import Problem
from workbench.prompts import Format, Ids, Prompt, path, with_graph
from workbench.tasks.item import Item
from workbench.tokenizer import CONCEPTS, ENTITIES, NAMES
from workbench.words_format import WordsFormat, right_answer, valid_answer


class EdgesFormat(Format):
    """Source, target, separator: `<eos> s t | s t | ... | [Q] c1 c2 [R] root`, one token per word.

    Edges come in the order of the problem's sentences. A step is `| s t`, the answer `[A] target`; after k thoughts
    `| n_k n_k+1 | ... [A] target <eos>`. A name that is not in the vocabulary borrows a free one of its kind (the
    first in the alphabet, in node order), and is shown under its own name again.
    """

    name = "edges"
    continuation_limit = 48
    answer_limit = 1
    value_is_answer = True

    @cached_property
    def _word(self) -> dict[str, int]:
        vocabulary = self.tokenizer.get_vocab()
        needed = ("|", "[Q]", "[R]", "[A]", *NAMES)
        missing = [word for word in needed if word not in vocabulary]
        if missing:
            raise WorkbenchError(
                "The tokenizer does not speak the edges format.",
                f"{len(missing)} of its {len(needed)} words are missing, among them {', '.join(missing[:3])}.",
                'Use the tokenizer saved with the checkpoint, or set format: "text" in config.coconut.',
            )
        return {word: vocabulary[word] for word in needed}

    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode problems; see `Format.prompts`."""
        return [self._prompt(with_graph(problem)) for problem in problems]

    def _prompt(self, problem: Problem) -> Prompt:
        word, names = self._word, self._vocabulary_names(problem)
        node = [word[name] for name in names]
        bar, ids = word["|"], [self.end]
        for source, target in problem.edges:
            ids += (node[source], node[target], bar)
        first, second = problem.options
        ids += (word["[Q]"], node[first], node[second], word["[R]"], node[problem.root], *self._bot)
        return Prompt(problem, tuple(ids), tuple((token,) for token in node), (node[problem.root],))

    def _vocabulary_names(self, problem: Problem) -> list[str]:
        known = set(NAMES)
        if known.issuperset(problem.names):
            return list(problem.names)
        if len(problem.names) > len(NAMES):
            raise WorkbenchError(
                f"Problem {problem.id} is too large for the edges format.",
                f"It has {len(problem.names)} nodes; the vocabulary has {len(NAMES)} names.",
                "Use a checkpoint in the text format, or a smaller graph.",
            )
        taken, targets = set(problem.names) & known, {target for _, target in problem.edges}
        free = {
            True: [name for name in (*ENTITIES, *CONCEPTS) if name not in taken],
            False: [name for name in (*CONCEPTS, *ENTITIES) if name not in taken],
        }
        spoken = []
        for node, name in enumerate(problem.names):
            if name not in known:
                name = next(spare for spare in free[node not in targets] if spare not in taken)
                taken.add(name)
            spoken.append(name)
        return spoken

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return `|`, after no thoughts `| root`."""
        return (*self._eot, self._word["|"], *(prompt.root if after == 0 else ()))

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `|`."""
        return (*self._eot, self._word["|"])

    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words after the last `[A]`."""
        ids, mark = self._cut(ids), self._word["[A]"]
        if mark not in ids:
            return ""
        return self.decode(prompt, ids[len(ids) - ids[::-1].index(mark) :])

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return `[A]`."""
        return (*self._eot, self._word["[A]"])

    def value_opening(self, prompt: Prompt) -> Ids:
        """Return `[A]`: the candidate's name follows at once."""
        return self.answer_opening(prompt)

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
        words = ("Every", "###", " is a", "\n")
        return dict(zip(words, self._encode(words), strict=True))

    def prompts(self, problems: Sequence[Problem | Item]) -> list[Prompt]:
        """Encode problems; every name is encoded once per batch. Items have no names."""
        graphs = [problem for problem in problems if isinstance(problem, Problem)]
        names = sorted({name for problem in graphs for name in problem.names})
        spelled = dict(zip(names, self._encode([" " + name for name in names]), strict=True)) if names else {}
        roots = sorted({problem.names[problem.root] for problem in graphs})
        root_of = dict(zip(roots, self._encode(roots), strict=True)) if roots else {}
        questions = self._encode([problem.question + "\n" for problem in problems], special=True)
        return [
            Prompt(problem, (*ids, *self._bot), tuple(spelled[name] for name in problem.names), root_of[root])
            if isinstance(problem, Problem) and (root := problem.names[problem.root])
            else Prompt(problem, (*ids, *self._bot), (), ())
            for problem, ids in zip(problems, questions, strict=True)
        ]

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return "Every", after no thoughts "Sally is a"; for an item no more than begins any chain."""
        if not prompt.root:
            return self.chain_opening(prompt)
        return (*self._eot, *((*prompt.root, *self._fixed[" is a"]) if after == 0 else self._fixed["Every"]))

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `<eot>`; without markers a line break, which a prompt ends with anyway."""
        return self._eot or self._fixed["\n"]

    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return what stands after the last "###"."""
        _, mark, answer = self.decode(prompt, ids).rpartition("###")
        return answer.strip() if mark else ""

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return "###"."""
        return (*self._eot, *self._fixed["###"])

    def value_opening(self, prompt: Prompt) -> Ids:
        """Return "### Sally is a"; for an item "###"."""
        if not prompt.root:
            return self.answer_opening(prompt)
        return (*self.answer_opening(prompt), *prompt.nodes[prompt.graph.root], *self._fixed[" is a"])

    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return the remaining steps and the answer."""
        lines = [step + "\n" for step in prompt.problem.steps[after:]]
        ids = [token for line in self._encode([*lines, "### " + prompt.problem.answer]) for token in line]
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


def make_format(name: str, tokenizer: PreTrainedTokenizerBase, markers: bool = True) -> Format:
    """Build the format of the given name.

    Args:
        name: "edges", "text" or "words".
        tokenizer: Has the words of the format.
        markers: Whether `<bot>` ends the prompt and `<eot>` begins the continuation.

    Raises:
        WorkbenchError: There is no such format, or the tokenizer lacks its words or the thought markers.
    """
    if name not in FORMATS:
        raise WorkbenchError(
            f'There is no prompt format "{name}".',
            f"The formats are {', '.join(FORMATS)}.",
            "Correct `format` in config.coconut.",
        )
    made = FORMATS[name](tokenizer, markers)
    _ = made.marker  # look for what is missing now, not in the middle of a run
    if isinstance(made, EdgesFormat):
        _ = made._word
    if isinstance(made, WordsFormat):
        made.check_tokenizer()
    return made
