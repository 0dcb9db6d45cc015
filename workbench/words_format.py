"""The words format: items (ProntoQA, arithmetic) in words of their own, one token each, for models from scratch.

A small model learns short rows much faster, so the tokenizer writes telegraphically: "Every jompus is not shy." is
`jompus not shy .`, and every whole number is one token. Its normaliser does that, so it is saved with the checkpoint.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import cast

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from workbench.errors import WorkbenchError
from workbench.problem import Problem
from workbench.prompts import Format, Ids, Prompt
from workbench.sentences import listed
from workbench.tasks.arithmetic import LIMIT
from workbench.tasks.item import Item
from workbench.tasks.prontoqa import PROPERTIES
from workbench.tasks.stories import story_words
from workbench.tokenizer import CONCEPTS, ENTITIES

SPECIALS = ("<pad>", "<eos>", "<bot>", "<eot>", "<thought>", "|", "###", ".", "?")
"""Token ids 0..8 of every words tokenizer."""
UNSAID = {"prontoqa": "a an are each every is", "arithmetic": "a an and of the"}
"""Words that the normaliser leaves out, by task."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
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
    raise WorkbenchError(
        f'There is no vocabulary of words for the task "{task}".',
        f"The tasks that have one are {', '.join(UNSAID)}.",
        "Use one of these, or a pre-trained model in the text format.",
    )


def words_tokenizer(task: str, limit: int = LIMIT) -> PreTrainedTokenizerFast:
    """Build the tokenizer of a task's words: telegraphic, lower case, one token per word and number, left padding.

    Returns:
        A tokenizer that saves and loads with `AutoTokenizer`. A word that is not in the vocabulary raises.
    """
    words = vocabulary(task, limit)
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    unsaid = "|".join(UNSAID[task].split())
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace("true or false:", "?"),
            normalizers.Replace(Regex(r"puses\b"), "pus"),  # plurals of the published ProntoQA files
            normalizers.Replace(Regex(rf"\b({unsaid})\b|,"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(_WORD), "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=["<bot>", "<eot>", "<thought>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


class WordsFormat(Format):
    """`<eos> question`, thoughts, the remaining steps, `### answer <eos>`, one token per word.

    Everything said after the thoughts begins with `<eot>`, without markers with `|`.
    """

    name = "words"
    continuation_limit = 64
    answer_limit = 1
    value_is_answer = True

    @cached_property
    def _fixed(self) -> dict[str, int]:
        known = self.tokenizer.get_vocab()
        missing = [word for word in ("|", "###") if word not in known]
        if missing:
            raise WorkbenchError(
                "The tokenizer does not speak the words format.",
                f"It has no token {', '.join(missing)}.",
                'Use the tokenizer saved with the checkpoint, or set format: "text" in config.coconut.',
            )
        return {word: known[word] for word in ("|", "###")}

    def check_tokenizer(self) -> None:
        """Look for the words that every item needs.

        Raises:
            WorkbenchError: The tokenizer lacks some.
        """
        _ = self._fixed

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        try:
            return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]  # type: ignore[union-attr]
        except Exception as error:
            unknown = self._unknown(texts)
            if not unknown:
                raise
            raise WorkbenchError(
                "The tokenizer lacks words of these problems.",
                f"Not in its vocabulary: {', '.join(listed(unknown, 10))}.",
                "Use problems of the checkpoint's own task, or a pre-trained model in the text format.",
            ) from error

    def _unknown(self, texts: Sequence[str]) -> list[str]:
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

    def chain_opening(self, prompt: Prompt) -> Ids:
        """Return `<eot>`, without markers `|`."""
        return self._eot or (self._fixed["|"],)

    def step_opening(self, prompt: Prompt, after: int) -> Ids:
        """Return the chain's opening and the first token of a step, which is the same for all steps of an item."""
        steps = prompt.problem.steps[:1]
        return (*self.chain_opening(prompt), *(self._encode(steps)[0][:1] if steps else ()))

    def answer_opening(self, prompt: Prompt) -> Ids:
        """Return the chain's opening and `###`."""
        return (*self.chain_opening(prompt), self._fixed["###"])

    def value_opening(self, prompt: Prompt) -> Ids:
        """Return the answer's opening: the answer follows at once."""
        return self.answer_opening(prompt)

    def continuation(self, prompt: Prompt, after: int) -> Ids:
        """Return the remaining steps, `###`, the answer, and the end token."""
        steps, answer = self._encode([" ".join(prompt.problem.steps[after:]), prompt.problem.answer])
        return (*self.chain_opening(prompt), *steps, self._fixed["###"], *answer, self.end)

    def value_ids(self, prompt: Prompt) -> tuple[Ids, ...]:
        """Return the tokens of what each step newly says (`Item.values`): what to look for in a thought."""
        values = prompt.problem.values if isinstance(prompt.problem, Item) else ()
        return tuple(self._encode(values)) if values else ()

    def decode(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words with spaces between them, without the separator that stands for a marker."""
        words = self.tokenizer.convert_ids_to_tokens(self._cut(ids))
        return " ".join(word for word in words if word != "|")

    def said_answer(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """Return the words after the last `###`."""
        ids, mark = self._cut(ids), self._fixed["###"]
        return self.decode(prompt, ids[len(ids) - ids[::-1].index(mark) :]) if mark in ids else ""

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
    return bool(text.strip()) if problem.task == "math" else _NUMBER.fullmatch(text.replace(",", "")) is not None


def right_answer(problem: Problem | Item, text: str, answer: str) -> bool:
    """Say whether a text is the answer; in a number "1,000" and "1000" are the same, as in the official files."""
    number = isinstance(problem, Item) and not problem.options and problem.task != "math"
    return text == answer or (number and text.replace(",", "") == answer)
