"""What a run of words alone learns from: one word at one place, never a node at a thought's own LM head.

The labels of a few hundred steps are read back from the tensors and held against the graph that the prompt spells,
with a breadth-first search of this file. The same reading finds what is wrong with a run that asks for the next node.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from workbench.problems.vocabulary import VOCABULARY
from workbench.train.batch import TrainBatch, Words
from workbench.train.config import TrainConfig, load_config
from workbench.train.graphs import GraphData

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STEPS = 100
SMALL: dict[str, Any] = {"graphs": 2, "questions": 4}
ROOT, ASKED, SEPARATOR, ANSWER, END = (VOCABULARY.index(word) for word in ("[R]", "[Q]", "|", "[A]", "<eos>"))

AT_A_THOUGHT, SEVERAL = "a node is the label at a thought's own LM head", "a place has several labels, or a part of one"
NO_PATH, NO_ANSWER = "the words are no shortest path", "the answer is not the candidate that is reached"


def hops(prefix: list[int], root: int) -> dict[int, int]:
    """Distance from the root of every node that it reaches, from `<eos> s t | s t | ...`."""
    edges = [(prefix[i], prefix[i + 1]) for i in range(1, len(prefix), 3)]
    found, waiting = {root: 0}, deque([root])
    while waiting:
        node = waiting.popleft()
        for source, target in edges:
            if source == node and target not in found:
                found[target] = found[node] + 1
                waiting.append(target)
    return found


def spoken(words: Words) -> Iterator[tuple[int, int, int, list[int]]]:
    """Graph, question, column and tokens of each text that is learned: what is fed first, then every label."""
    graphs, questions, length = words.ids.shape
    learned = dict(zip(words.labels.at.tolist(), words.labels.token.tolist(), strict=True))
    for g in range(graphs):
        for m in range(questions):
            begin = (g * questions + m) * length
            if words.alone:
                for t in range(length):
                    if begin + t in learned:
                        yield g, m, int(words.after[g, m, t]), [int(words.ids[g, m, t]), learned[begin + t]]
                continue
            said = [learned[begin + t] for t in range(length) if begin + t in learned]
            places = [t for t in range(length) if begin + t in learned]
            assert places == list(range(len(places)))  # no gap: one text
            assert words.ids[g, m, 1 : len(said)].tolist() == said[:-1]  # what is fed is what was said
            if said:
                yield g, m, int(words.after[g, m]), [int(words.ids[g, m, 0]), *said]


def wrong(batch: TrainBatch) -> set[str]:
    """What is not as the paper's loss has it."""
    found = set()
    if batch.heads is not None and len(batch.heads.at):
        found.add(AT_A_THOUGHT)
    for labels in [part.labels for part in batch.words] + ([] if batch.heads is None else [batch.heads]):
        if len(labels.at.unique()) < len(labels.at) or (labels.weight != 1).any() or labels.total != len(labels.at):
            found.add(SEVERAL)
    last = batch.question.shape[2] - 1
    for words in batch.words:
        for g, m, after, tokens in spoken(words):
            question = batch.question[g, m].tolist()
            root, options = question[-1], question[1:3] if question[0] == ASKED else []
            assert question[-2] == ROOT
            distance, removed = hops(batch.prefix[g].tolist(), root), (after - last) // batch.per_step
            body, _, answer = _split(tokens)
            if answer and (answer[0] not in options or answer[0] not in distance):
                found.add(NO_ANSWER)
            nodes = [body[0][0], *(target for _, target in body)] if body else []
            joined = all(first[1] == second[0] for first, second in pairwise(body))
            there = [distance.get(node) for node in nodes]
            ends = not (answer and nodes) or nodes[-1] == answer[0]
            if body and not (joined and ends and there == list(range(removed, removed + len(nodes)))):
                found.add(NO_PATH)
            if not body and not answer:
                found.add(NO_PATH)
    return found


def _split(tokens: list[int]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Steps, separators and answer of `| s t | s t [A] answer <eos>`, `[A] answer` or a part of either."""
    text = tokens[: tokens.index(ANSWER)] if ANSWER in tokens else tokens
    answer = [token for token in tokens[len(text) + 1 :] if token != END]
    assert all(token == SEPARATOR for token in text[::3])
    return list(zip(text[1::3], text[2::3], strict=True)), text[::3], answer


def read(config: TrainConfig, steps: int = STEPS) -> tuple[set[str], set[int], int]:
    """What is wrong with the first steps of a run, the stages that they went through, and the labels read."""
    data, found, stages, labels = GraphData(config), set(), set(), 0
    stage = data.schedule.first()
    for step in range(steps):
        stage = data.schedule.after(stage, step, 0.0)
        batch = data.draw(stage, step, 0)
        found |= wrong(batch)
        stages.add(stage.thoughts)
        labels += sum(len(words.labels.at) for words in batch.words)
    return found, stages, labels


def part(name: str) -> TrainConfig:
    """One of the five runs that make the reference, on small graphs and with a fast clock."""
    config = load_config(CONFIGS / f"{name}.yaml")
    plan = replace(config.curriculum, widen_from=20, widen_every=10, largest_edges=24, typical_edges=16, small_edges=8)
    if plan.remove_from == 0:
        plan = replace(plan, remove_every=20)
    return replace(config, **SMALL, start="", curriculum=plan)


@pytest.mark.parametrize(
    ("name", "method", "through"),
    [
        ("words-lookup", "cot", {4}),  # without stages
        ("words-chains", "cot", {6}),
        ("words-four", "coconut_words", {1, 2, 3, 4}),
        ("words-six", "coconut_words", {6}),
        ("reference", "coconut_words", {6}),
    ],
)
def test_words_alone_are_learned_of_one_path_and_nothing_at_a_thought(
    name: str, method: str, through: set[int]
) -> None:
    config = part(name)
    found, stages, labels = read(config)

    assert (config.method, found, stages) == (method, set(), through)
    assert labels > STEPS


def test_the_same_reading_finds_what_a_run_that_asks_for_the_next_node_learns() -> None:
    run = part("words-four")
    asked = replace(run, method="coconut_next_node")
    mixed = replace(asked, curriculum=replace(asked.curriculum, walk_share=0.5, walk_share_late=0.5, walks=24))

    assert read(asked, 20)[0] == {AT_A_THOUGHT}
    assert read(mixed, 20)[0] == {AT_A_THOUGHT, SEVERAL}
    assert read(replace(run, method="coconut_frontier"), 20)[0] == {AT_A_THOUGHT, SEVERAL}


def test_the_reading_finds_another_answer_a_part_of_a_label_and_words_that_are_no_path() -> None:
    run = part("words-four")
    data = GraphData(run)
    batch = data.draw(data.schedule.after(data.schedule.first(), 10, 0.0), 10, 0)
    answers, chains = sorted(batch.words, key=lambda part: not part.alone)
    turned = replace(answers, labels=replace(answers.labels, token=answers.labels.token.roll(1)))
    halved = replace(answers, labels=replace(answers.labels, weight=answers.labels.weight / 2))

    assert not wrong(batch)
    assert NO_ANSWER in wrong(replace(batch, words=(turned, chains)))
    assert SEVERAL in wrong(replace(batch, words=(halved, chains)))
    assert NO_PATH in wrong(replace(batch, prefix=batch.prefix.roll(1, 0)))  # the edges of another graph
