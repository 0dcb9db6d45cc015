"""Problems and items as token ids, and back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, WhitespaceSplit
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.conftest import chain
from workbench.errors import WorkbenchError
from workbench.model.formats import SPECIALS, WordsFormat, make_format, places, vocabulary, words_tokenizer
from workbench.model.prompts import Format, Wording, path
from workbench.problems.problem import Item, Problem
from workbench.problems.sets import generate_items as generate
from workbench.problems.vocabulary import NAMES, VOCABULARY, edges_tokenizer


def bpe_tokenizer(markers: bool = True) -> PreTrainedTokenizerFast:
    """Train a small byte-level BPE tokenizer on words that end in -pus."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer, backend.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=280, initial_alphabet=ByteLevel.alphabet(), special_tokens=["<|end|>"])
    text = [chain(0, 3).question, "Every thing is a thing. << ### Sally is a dumpus."] * 4
    backend.train_from_iterator(text, trainer)
    more = ["<bot>", "<eot>", "<thought>"] if markers else []
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", additional_special_tokens=more, padding_side="left"
    )


def speak(form: Format) -> Callable[[Sequence[int]], str]:
    """Return the tokenizer's own decoding, markers included."""
    return lambda ids: str(form.tokenizer.decode(list(ids)))


def test_token_ids_are_fixed(tmp_path: object) -> None:
    tokenizer = edges_tokenizer()
    assert len(VOCABULARY) == len(tokenizer) == 64
    assert VOCABULARY[:9] == ("<pad>", "<eos>", "|", "[Q]", "[R]", "[A]", "<bot>", "<eot>", "<thought>")
    assert NAMES[0] == "Alex"
    assert NAMES[17] == "bompus"
    assert tokenizer.convert_tokens_to_ids(list(VOCABULARY)) == list(range(64))
    tokenizer.save_pretrained(f"{tmp_path}")
    again: Any = AutoTokenizer.from_pretrained(f"{tmp_path}")
    assert again(" ".join(VOCABULARY)).input_ids == list(range(64))
    assert (again.pad_token_id, again.eos_token_id, again.padding_side) == (0, 1, "left")


@pytest.mark.parametrize(
    ("markers", "asked", "after_one", "after_nine", "opened"),
    [
        (False, "[Q] {} [R] Sally", "| lempus brimpus [A] brimpus <eos>", "| [A] brimpus <eos>", "| Sally"),
        (
            True,
            "[Q] {} [R] Sally <bot>",
            "<eot> | lempus brimpus [A] brimpus <eos>",
            "<eot> | [A] brimpus <eos>",
            "<eot> | Sally",
        ),
    ],
)
def test_edges(markers: bool, asked: str, after_one: str, after_nine: str, opened: str) -> None:
    form, problem = make_format("edges", edges_tokenizer(), markers), chain(0, 2)
    (prompt,) = form.prompts([problem])
    say = speak(form)
    options = " ".join(problem.names[option] for option in problem.options)
    edges = "<eos> Sally lempus | lempus brimpus | Tom scrompus | Tom lempus | "
    assert say(prompt.ids) == edges + asked.format(options)
    assert say(form.continuation(prompt, 1)) == after_one
    assert say(form.continuation(prompt, 9)) == after_nine
    assert say(form.step_opening(prompt, 0)) == opened
    assert say(form.step_opening(prompt, 1)) == opened.removesuffix(" Sally")
    assert form.answer_opening(prompt)[-1] == VOCABULARY.index("[A]")
    assert form.decode(prompt, form.continuation(prompt, 1)) == "| lempus brimpus [A] brimpus"
    assert path(problem) == (0, 2, 3)


def test_names_that_are_not_in_the_vocabulary_borrow_free_ones() -> None:
    form, problem = make_format("edges", edges_tokenizer(), False), chain(0, 2)
    odd = {"Sally": "Zoë", "lempus": "sklumpus", "brimpus": "impus"}
    renamed = replace(
        problem,
        names=tuple(odd.get(name, name) for name in problem.names),
        steps=("Zoë is a sklumpus.", "Every sklumpus is a impus."),
    )
    (prompt,) = form.prompts([renamed])
    spoken = form.tokenizer.convert_ids_to_tokens([spelling[0] for spelling in prompt.nodes])
    assert spoken == ["Alex", "Tom", "bompus", "impus", "scrompus"]
    assert form.decode(prompt, form.continuation(prompt, 0)) == "| Zoë sklumpus | sklumpus impus [A] impus"
    assert form.prompts([renamed]) == [prompt]


def test_too_many_nodes_are_refused() -> None:
    form, problem = make_format("edges", edges_tokenizer(), False), chain(0, 2)
    large = replace(problem, names=tuple(f"n{number}" for number in range(56)))
    with pytest.raises(WorkbenchError, match="56 nodes; the vocabulary has 55 names"):
        form.prompts([large])


def test_text_is_written_as_in_the_official_repository() -> None:
    form, problem = make_format("text", bpe_tokenizer()), chain(0, 2)
    (prompt,) = form.prompts([problem])
    say = speak(form)
    assert say(prompt.ids) == problem.question + "\n<bot>"
    assert say(form.continuation(prompt, 1)) == f"<eot>{problem.steps[1]}\n### {problem.answer}<|end|>"
    assert say(form.step_opening(prompt, 0)) == "<eot>Sally is a"
    assert say(form.step_opening(prompt, 2)) == "<eot>Every"
    assert say(form.value_opening(prompt)) == "<eot>### Sally is a"
    assert say(prompt.nodes[2]) == " lempus"
    assert form.decode(prompt, form.continuation(prompt, 1)) == f"{problem.steps[1]}\n### {problem.answer}"
    # An opening and a name are the tokens that the sentence has.
    for node, step in [(2, problem.steps[0]), (3, problem.answer)]:
        whole = tuple(form.tokenizer(step)["input_ids"])
        assert whole[: -len(prompt.nodes[node]) - 1] + prompt.nodes[node] == whole[:-1]


def answer_cases() -> list[tuple[str, str, bool, bool]]:
    return [
        ("edges", "brimpus", True, True),
        ("edges", "scrompus", True, False),
        ("edges", "lempus", False, False),
        ("edges", "|", False, False),
        ("text", "Sally is a brimpus.", True, True),
        ("text", "Sally is a scrompus.", True, False),
        ("text", "Tom is a brimpus.", False, False),
        ("text", "brimpus", False, False),
    ]


@pytest.mark.parametrize(("name", "text", "valid", "right"), answer_cases())
def test_what_counts_as_an_answer(name: str, text: str, valid: bool, right: bool) -> None:
    problem: Problem = chain(0, 2)
    form = make_format(name, edges_tokenizer() if name == "edges" else bpe_tokenizer())
    assert (form.valid(problem, text), form.right(problem, text)) == (valid, right)


def test_what_a_tokenizer_lacks_is_named() -> None:
    with pytest.raises(WorkbenchError, match="no special token <bot>, <eot>, <thought>"):
        make_format("text", bpe_tokenizer(markers=False))
    with pytest.raises(WorkbenchError, match="does not speak the edges format"):
        make_format("edges", bpe_tokenizer())
    with pytest.raises(WorkbenchError, match='no prompt format "prose"'):
        make_format("prose", edges_tokenizer())


# Items: in words of their own, and in those of a pre-trained tokenizer

STEPS = ("Alex is a wumpus. Every wumpus is an impus.", "Alex is an impus. Every impus is not shy.", "Alex is not shy.")
QUESTION = "Every wumpus is an impus. Alex is a wumpus. Impuses are not shy. True or false: Alex is shy."
PRONTO = Item("p", QUESTION, "False", STEPS, "prontoqa", ("impus", "shy", "False"), ("True", "False"))
SUMS = Item("a", "Tom has 8 shells, and buys 12 more. How many now?", "20", ("<<8+12=20>>",), "arithmetic", ("20",))


def words(form: Format, ids: tuple[int, ...]) -> str:
    return " ".join(form.tokenizer.convert_ids_to_tokens(list(ids)))


@pytest.mark.parametrize(("markers", "begin", "end"), [(True, "<eot>", " <bot>"), (False, "|", "")])
def test_prontoqa_in_words(markers: bool, begin: str, end: str) -> None:
    form = make_format("words", words_tokenizer("prontoqa"), markers)
    (prompt,) = form.prompts([PRONTO])

    asked = "<eos> wumpus impus . alex wumpus . impus not shy . ? alex shy ."
    assert words(form, prompt.ids) == asked + end
    assert (prompt.nodes, prompt.root) == ((), ())
    rest = "alex impus . impus not shy . alex not shy . ### false <eos>"
    assert words(form, form.continuation(prompt, 1)) == f"{begin} {rest}"
    assert words(form, form.continuation(prompt, 9)) == f"{begin} ### false <eos>"
    assert words(form, form.chain_opening(prompt)) == begin
    assert words(form, form.step_opening(prompt, 1)) == f"{begin} alex"
    assert words(form, form.answer_opening(prompt)) == f"{begin} ###" == words(form, form.value_opening(prompt))
    assert form.decode(prompt, form.continuation(prompt, 1)) == rest.removesuffix(" <eos>")


def test_arithmetic_in_words_and_its_values() -> None:
    form = make_format("words", words_tokenizer("arithmetic"), markers=False)
    (prompt,) = form.prompts([SUMS])

    assert isinstance(form, WordsFormat)
    assert words(form, prompt.ids) == "<eos> tom has 8 shells buys 12 more . how many now ?"
    assert words(form, form.continuation(prompt, 0)) == "| << 8 + 12 = 20 >> ### 20 <eos>"
    assert words(form, form.step_opening(prompt, 0)) == "| <<"


@pytest.mark.parametrize("task", ["prontoqa", "arithmetic"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_everything_generated_has_words_and_comes_back(task: str, split: str) -> None:
    form = make_format("words", words_tokenizer(task))
    items = generate(task, 60, 5, split)  # type: ignore[arg-type]
    for item, prompt in zip(items, form.prompts(items), strict=True):
        said = form.said_answer(prompt, form.continuation(prompt, 0))
        assert form.right(item, said)
        assert form.valid(item, said)
        assert len(form.continuation(prompt, 0)) <= form.continuation_limit
        assert len(form.continuation(prompt, 99)) - len(form.answer_opening(prompt)) == form.answer_limit + 1


def test_vocabularies_are_small_and_fixed(tmp_path: Path) -> None:
    assert {task: len(vocabulary(task)) for task in ("prontoqa", "arithmetic")} == {"prontoqa": 112, "arithmetic": 240}
    for task in ("prontoqa", "arithmetic"):
        tokenizer, known = words_tokenizer(task), vocabulary(task)
        assert known[:9] == SPECIALS
        assert len(set(known)) == len(known) == len(tokenizer)
        assert tokenizer.convert_tokens_to_ids(list(known)) == list(range(len(known)))
        tokenizer.save_pretrained(f"{tmp_path}/{task}")
        again: Any = AutoTokenizer.from_pretrained(f"{tmp_path}/{task}")
        assert (
            again(QUESTION if task == "prontoqa" else SUMS.question).input_ids
            == tokenizer(QUESTION if task == "prontoqa" else SUMS.question).input_ids
        )
        assert (again.pad_token_id, again.eos_token_id, again.padding_side) == (0, 1, "left")


@pytest.mark.parametrize(
    ("item", "text", "valid", "right"),
    [
        (PRONTO, "false", True, True),
        (PRONTO, "True", True, False),
        (PRONTO, "maybe", False, False),
        (PRONTO, "", False, False),
        (SUMS, "20", True, True),
        (SUMS, "21", True, False),
        (SUMS, "shells", False, False),
        (SUMS, "", False, False),
        (Item("g", "?", "1000", (), "gsm8k"), "1,000", True, True),
        (Item("g", "?", "2.5", (), "gsm8k"), "-2.5", True, False),
        (Item("m", "?", "\\pi", (), "math"), "\\pi", True, True),
    ],
)
def test_what_counts_as_an_answer_to_an_item(item: Item, text: str, valid: bool, right: bool) -> None:
    form = make_format("words", words_tokenizer("prontoqa"))

    assert (form.valid(item, text), form.right(item, text)) == (valid, right)
    if item is not PRONTO or text != "false":
        assert (make_format("text", bpe_tokenizer()).valid(item, text)) == valid


def test_words_without_a_token_are_named() -> None:
    form = make_format("words", words_tokenizer("arithmetic"))
    strange = Item("s", "Tom has 812 zebras and 8 shells. How many?", "8", (), "arithmetic")

    with pytest.raises(WorkbenchError, match="Not in its vocabulary: 812, zebras"):
        form.prompts([SUMS, strange])
    with pytest.raises(WorkbenchError, match="does not speak the words format"):
        make_format("words", bpe_tokenizer())
    with pytest.raises(WorkbenchError, match='no vocabulary "edges"'):
        words_tokenizer("edges")


@pytest.mark.parametrize("markers", [True, False])
def test_items_in_the_text_of_a_pretrained_tokenizer(markers: bool) -> None:
    form, item = (
        make_format("text", bpe_tokenizer(), markers),
        Item("g", "A sum?", "3", ("<<1+2=3>>", "<<3-0=3>>"), "gsm8k"),
    )
    graph, prompt = form.prompts([chain(0, 2), item])
    begin, end = ("<eot>", "<bot>") if markers else ("", "")

    def say(ids: tuple[int, ...]) -> str:
        return str(form.tokenizer.decode(list(ids)))

    assert graph.nodes
    assert (prompt.nodes, prompt.root) == ((), ())
    assert say(prompt.ids) == "A sum?\n" + end
    assert say(form.continuation(prompt, 0)) == begin + "<<1+2=3>>\n<<3-0=3>>\n### 3<|end|>"
    assert say(form.continuation(prompt, 1)) == begin + "<<3-0=3>>\n### 3<|end|>"
    assert say(form.answer_opening(prompt)) == begin + "###" == say(form.value_opening(prompt))
    assert form.step_opening(prompt, 1) == form.chain_opening(prompt) != ()
    assert form.said_answer(prompt, form.continuation(prompt, 0)) == "3"


def test_items_have_no_graph_to_write_as_edges() -> None:
    with pytest.raises(WorkbenchError, match="Problem p has no graph"):
        make_format("edges", edges_tokenizer()).prompts([PRONTO])


def test_what_stands_around_question_thoughts_and_answer_is_a_value() -> None:
    wording = Wording(
        question="Q: {question}", opening=("eos", "bot"), closing=("eot", "eos"), answer="The answer is: "
    )
    form, problem = make_format("text", bpe_tokenizer(), True, wording), chain(0, 2)
    (prompt,) = form.prompts([problem])
    say = speak(form)
    assert say(prompt.ids) == f"Q: {problem.question}<|end|><bot>"
    assert say(form.answer_opening(prompt)) == "<eot><|end|>The answer is:"
    assert say(form.continuation(prompt, 9)) == f"<eot><|end|>The answer is: {problem.answer}<|end|>"
    assert form.said_answer(prompt, form.continuation(prompt, 9)[2:]) == problem.answer
    stands = places(form, prompt)
    first, *_, last = (prompt.ids[slice(*span)] for span in (*stands.edges, stands.root))
    assert say(first).strip() == "Sally is a lempus."
    assert say(last).strip() == "Sally"


def test_markers_may_be_tokens_of_other_names() -> None:
    form = make_format("text", bpe_tokenizer(False), True, Wording(bot="<", eot=">", thought="<|end|>"))
    (prompt,) = form.prompts([chain(0, 2)])
    assert speak(form)(prompt.ids[-1:]) == "<"
    assert speak(form)(form.answer_opening(prompt)) == ">###"
    with pytest.raises(WorkbenchError, match="cannot mark thoughts"):
        make_format("text", bpe_tokenizer(False), True, Wording(bot="<", eot=">"))


@pytest.mark.parametrize(("question", "answer"), [("no place", "### "), ("{question}", " ")])
def test_a_wording_without_question_or_answer_is_refused(question: str, answer: str) -> None:
    with pytest.raises(WorkbenchError, match="wording cannot be used"):
        Wording(question=question, answer=answer)


def test_nodes_may_be_numbers() -> None:
    words = [
        *map(str, range(31)),
        "<|start-latent|>",
        "<|end-latent|>",
        "<|latent|>",
        "|",
        "[Q]",
        "[R]",
        "[A]",
        "<eos>",
    ]
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>")
    form, problem = make_format("edges", tokenizer, False), chain(0, 2)
    (prompt,) = form.prompts([problem])
    # As the repository of Reasoning by Superposition writes it: no bar before [Q].
    edges = " | ".join(f"{source} {target}" for source, target in problem.edges)
    options = " ".join(map(str, problem.options))
    written = f"<eos> {edges} [Q] {options} [R] {problem.root}"
    assert prompt.ids == tuple(words.index(word) for word in written.split())
    assert (
        form.decode(prompt, [words.index(str(problem.target)), words.index("<eos>")]) == problem.names[problem.target]
    )
    stands = places(form, prompt)
    held = [prompt.ids[start:end] for start, end in stands.edges]
    assert [one[:2] for one in held] == list(problem.edges)
    assert [len(one) for one in held] == [*[3] * (len(held) - 1), 2]
    assert [prompt.ids[slice(*span)] for span in stands.options] == [(option,) for option in problem.options]
    assert prompt.ids[slice(*stands.root)] == (problem.root,)
