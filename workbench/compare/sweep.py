"""Answers after many numbers of thoughts, each prompt read once: `trace.answers` for a whole sweep."""

from collections.abc import Iterator, Sequence

from workbench.checkpoint import Checkpoint
from workbench.problem import Problem
from workbench.prompts import Prompt
from workbench.session import Branches, Session
from workbench.tasks.item import Item
from workbench.trace import Answer

Asked = tuple[int, str]
"""A number of thoughts, and what follows them: "answer" or "chain"."""


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
