"""Battery 3 of an audit: sets of nodes by hand, sums over them, and a search that is taken apart."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from tests.conftest import chain, tiny
from tests.studies.test_audit_batteries import OPTIONS, ROOT, figure
from workbench.interventions.thoughts import Offset, Patch, Zero
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.readings.node_vectors import NodeVectors
from workbench.studies.audit.base import Subject
from workbench.studies.audit.run import measure


def test_nodes_taken_out_are_what_the_sum_without_them_lacks() -> None:
    rng = np.random.default_rng(0)
    sums = NodeVectors(rng.standard_normal((2, 4)), rng.standard_normal((2, 9, 4)), rng.standard_normal((2, 9, 4)))
    tokens = [np.array([3, 4, 5])]
    both, first = (lambda row, k: np.array([True, True, False])), (lambda row, k: np.array([True, False, False]))
    added = sums.contribution(tokens, first, both, 1, 1.0)

    assert added[0, 0].tolist() == pytest.approx((sums.now[0, 3] / np.sqrt(2)).tolist())
    assert added[0, 1].tolist() == pytest.approx(((sums.now[1, 3] + sums.before[1, 3]) / np.sqrt(2)).tolist())
    np.testing.assert_allclose(sums.contribution(tokens, first, both, 1, -1.0), -added)
    whole = sums.sums(tokens, both)[0, 0]
    np.testing.assert_allclose(whole, sums.constant[0] + (sums.now[0, 3] + sums.now[0, 4]) / np.sqrt(2), rtol=1e-5)


def test_vectors_of_ones_own_are_added_by_strength_and_fed_by_length() -> None:
    asked = [chain(0, 3), chain(1, 4)]
    subject = Subject(tiny(), asked, OPTIONS)
    own = subject.answered(asked)
    assert own.thoughts is not None
    gone, half = torch.full_like(own.thoughts, float("nan")), own.thoughts.clone()
    half[1] = float("nan")
    donors = {"own": own.thoughts, "gone": gone, "half": 7 * half, "minus": -own.thoughts}
    donors["thoughts"] = donors.pop("own")
    plans = [
        [Offset("thoughts", 0.0)], [Patch("gone", rescale=True)], [Patch("half", rescale=True, at=(1,))],
        [Offset("minus", at=(1,))], [Zero(at=(1,))],
    ]  # fmt: skip
    nothing, kept, scaled, minus, zero = (one.preference for one in subject.run(plans, sources=donors))

    (first,) = subject.run([[]])
    assert nothing.tolist() == first.preference.tolist()
    assert kept.tolist() == first.preference.tolist()
    np.testing.assert_allclose(scaled, first.preference, atol=1e-3)  # seven times as long, brought back to length
    np.testing.assert_allclose(minus, zero, atol=1e-4)


@pytest.mark.slow
def test_search_on_the_reference_takes_out_what_the_answer_rests_on() -> None:
    reference = load_checkpoint(ROOT / "fixtures" / "runs" / "reference_asked")
    asked = load_problems(ROOT / "fixtures" / "problems" / "released.json")[:12]
    found = measure("search", reference, asked, replace(OPTIONS, fit=150))
    out = figure(found, "taken out", "on any path to the target", "lost")

    assert out["value"] > out["control_value"]
    assert found.filter(pl.col("note").str.contains("names the answer"))["question"].to_list() == [
        "replaced, the target named"
    ]
    assert figure(found, "replaced", "frontier, codes", "kept", 1)["value"] > 0.8


def test_pauses_hold_no_nodes() -> None:
    found = measure("search", replace(tiny(), fed="pause"), [chain(0, 2), chain(1, 3)], OPTIONS)

    assert found["note"].to_list() == ["not applicable: a pause holds no nodes"]
