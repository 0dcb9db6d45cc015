"""The batteries of an audit: outcomes that are known, and what applies to which model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import chain, tiny
from workbench.interventions.thoughts import Patch
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems import graph
from workbench.problems.files import load_problems
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.validator import check
from workbench.problems.variants import drawn_rewrite, harmless_rewrite, other_root, reordered
from workbench.studies.audit.base import AuditOptions, Subject
from workbench.studies.audit.content import renamed
from workbench.studies.audit.run import measure
from workbench.studies.audit.text_steps import after_steps, said_steps

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = AuditOptions(fit=40, further=8)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return generate("released", 12, seed=3)


@pytest.fixture(scope="module")
def reference() -> Checkpoint:
    return load_checkpoint(ROOT / "fixtures" / "runs" / "reference_asked")


def figure(table: pl.DataFrame, question: str, condition: str, measure: str, thought: int | None = None) -> dict:
    """The only row of that name."""
    rows = table.filter(
        pl.col("question") == question,
        pl.col("condition") == condition,
        pl.col("measure") == measure,
        pl.col("thought").eq_missing(thought),
        pl.col("strength").is_null() | (pl.col("strength") == 1),
    )
    assert len(rows) == 1
    return rows.row(0, named=True)


# Donors


def test_donors_of_the_same_answer_are_sound_and_have_it(problems: list[Problem]) -> None:
    for problem, other in zip(problems, renamed(problems, 0), strict=True):
        made = [reordered(problem, 0), harmless_rewrite(problem, 0), other_root(problem), other]
        for donor in (one for one in made if one is not None):
            assert check(donor) == []
            assert donor.names[donor.target] == problem.names[problem.target]
            assert donor.names[donor.negative] == problem.names[problem.negative]
            assert donor.question != problem.question


def test_a_rewrite_and_its_control_differ_in_one_edge_and_only_the_first_turns_the_answer(
    problems: list[Problem],
) -> None:
    for problem in problems:
        turned, calm = drawn_rewrite(problem, 0), harmless_rewrite(problem, 0)
        for one in (other for other in (turned, calm) if other is not None):
            assert sum(a != b for a, b in zip(problem.edges, one.edges, strict=True)) == 1
        if turned is not None:
            assert turned.answer != problem.answer
        if calm is not None:
            assert calm.answer == problem.answer
            assert graph.reachable(calm.adjacency, calm.root)[calm.target]


# Needed


def test_thoughts_fed_back_change_nothing_and_the_first_noise_changes_them(problems: list[Problem]) -> None:
    found = measure("needed", tiny(max_position_embeddings=256), problems, OPTIONS)

    assert figure(found, "all thoughts", "own, fed back", "changed")["value"] == 0
    assert figure(found, "all thoughts", "noise", "changed")["value"] > 0
    assert figure(found, "all thoughts", "noise", "changed")["control_value"] == 0
    assert found.filter(pl.col("question") == "each thought")["thought"].unique().to_list() == [1, 2, 3]


def test_a_model_without_thoughts_has_its_accuracy_and_nothing_else(problems: list[Problem]) -> None:
    found = measure("needed", tiny(thoughts=0, max_position_embeddings=256), problems, OPTIONS)

    assert found["condition"].to_list() == ["none", "none"]
    assert found["note"][1].startswith("not applicable")


def test_own_steps_in_words_leave_the_answer_that_was_said(problems: list[Problem]) -> None:
    speaking = replace(load_checkpoint(ROOT / "fixtures" / "runs" / "cot"))
    subject = Subject(speaking, problems, OPTIONS)
    steps = said_steps(subject, problems)
    forced, spoken = after_steps(subject, problems, steps), subject.answered(problems)
    ended = np.array([len(one) < 10 for one in steps])  # the others never come to an answer

    assert ended.any()
    assert (forced.right == spoken.right)[ended].all()


# Content


def test_a_donor_who_thinks_of_the_twin_gives_the_twins_answer(reference: Checkpoint) -> None:
    asked = load_problems(ROOT / "fixtures" / "problems" / "released.json")[:10]
    found = measure("content", reference, asked, OPTIONS)

    assert figure(found, "interchange", "twin", "follows")["value"] == 1
    assert figure(found, "interchange", "same answer: reordered", "follows")["value"] == 0
    assert figure(found, "interchange", "twin", "follows", 6)["value"] < 0.5


def test_interchange_by_hand(reference: Checkpoint) -> None:
    """The same question twice: its own thoughts as the donor's change no answer, whichever they replace."""
    asked = load_problems(ROOT / "fixtures" / "problems" / "released.json")[:4]
    subject = Subject(reference, asked, OPTIONS)
    own = subject.answered(asked)
    again = subject.run([[Patch(source="twin", at=(2,))]], sources={"twin": asked})

    assert again[0].right.tolist() == own.right.tolist()


def test_pauses_are_not_interchanged(problems: list[Problem]) -> None:
    paused = replace(tiny(max_position_embeddings=256), fed="pause")
    found = measure("content", paused, problems, OPTIONS)
    words = found.filter(pl.col("question") == "interchange")

    assert words["note"].to_list() == ["not applicable: a pause is the same for every problem"]


def test_problems_without_twins_are_no_error() -> None:
    found = measure("content", tiny(max_position_embeddings=256), [chain(0, 2), chain(1, 3)], OPTIONS)

    assert set(found["battery"]) == {"content"}
