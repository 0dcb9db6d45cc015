"""Surgeries as a whole: together, on pauses, with markers, of wrong types; and the page that explains them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

from tests.conftest import chain, tiny
from tests.plain_loop import OTHERS, PROBLEMS, Case, bank, check, close, forest, plain, rows_of
from workbench.errors import WorkbenchError
from workbench.interventions.layers import PARTS, Ablate, LayerIntervention
from workbench.interventions.nodes import SETS
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.interventions.text import KINDS, from_address, from_yaml
from workbench.interventions.thoughts import Add, Noise, Patch, Project, Remove, Superpose, Zero
from workbench.measure.recording import record
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Item

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "interventions.md").read_text()


@contextmanager
def unchecked() -> Iterator[None]:
    """Leave types to the library, as outside the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_all_together_with_markers_are_what_they_are_one_by_one() -> None:
    held = tiny("gpt2", markers=True)
    own, other = bank(held, PROBLEMS), bank(held, OTHERS)

    def by_hand(row: int) -> Callable:
        return lambda k, v: {1: -other[row, 0], 2: v, 3: 0.5 * own[:, 2].mean(0) + 0.5 * v}[k]

    text = "transplant:at=1;source=friend~zero:at=1;strength=2.0~remove:at=2~mean:at=3;strength=0.5"
    cases = [Case(from_address(frozen + text), by_hand, without=(2,)) for frozen in ("", "frozen~")]
    check(held, cases, sources={"friend": OTHERS})


def test_without_interventions_nothing_is_changed_frozen_or_not(tiny_checkpoint: Checkpoint) -> None:
    asked = [Plan(), Plan((), freeze=True), Plan((Zero(0.0),), freeze=True), [], [Noise()]]
    first, *same, noisy = run_intervened(tiny_checkpoint, PROBLEMS, asked, batch_size=2, keep_thoughts=True)
    for outcome in same:
        np.testing.assert_array_equal(outcome.target, first.target)
        np.testing.assert_array_equal(outcome.thoughts, first.thoughts)
    for row, problem in enumerate(PROBLEMS):
        close(first.target[row], plain(tiny_checkpoint, problem).target)
    assert (noisy.target != first.target).all()
    assert (first.preference == first.target - first.negative).all()


def test_where_pauses_are_fed_it_is_them_that_are_changed_and_values_are_of_the_thoughts() -> None:
    held = replace(tiny(), fed="pause")
    pause = rows_of(held)[0][held.format.marker.thought]
    ran, zeroed, top = run_intervened(held, [forest()], [[], [Zero(at=(2,))], [Superpose(("top",), at=(2,))]],
                                      keep_thoughts=True)  # fmt: skip
    close(ran.target[0], plain(held, forest(), lambda k, v: pause).target)
    close(zeroed.target[0], plain(held, forest(), lambda k, v: pause * (k != 2)).target)
    # The concept of the highest value in the hidden state that Coconut would have fed, not in the pause.
    assert ran.lm_head is not None
    best = 2 + int(ran.lm_head[0, 1, 2:].argmax())
    row = rows_of(held)[0][held.format.prompts([forest()])[0].nodes[best][0]]
    fed = pause.norm() * row / row.norm()
    close(top.target[0], plain(held, forest(), lambda k, v: fed if k == 2 else pause).target)


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        (Noise, {"at": 2}, "at is 2, expected a list"),
        (Noise, {"strength": "a lot"}, "strength is 'a lot', expected float"),
        (Noise, {"seed": 0.5}, "seed is 0.5, expected int"),
        (Project, {"nodes": "on_path"}, "nodes is 'on_path', expected a list"),
        (Ablate, {"to": "meen"}, "to is 'meen', expected 'zero' or 'mean'"),
        (Ablate, {"where": "here"}, "expected 'thoughts' or 'answer' or 'both'"),
        (Patch, {"source": None}, "source is None, expected str"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_where_no_test_checks_types(kind: Any, given: dict, named: str) -> None:
    with unchecked(), pytest.raises(WorkbenchError, match=named):
        kind(**given)


def test_lists_and_numbers_are_taken_for_what_a_field_asks_for() -> None:
    made: Any = Add
    with unchecked():
        one = made([2, "lempus"], strength=1, at=[1])
    assert one == Add(("2", "lempus"), at=(1,))
    assert isinstance(one.strength, float)
    assert {one: 1}


def test_what_has_no_graph_or_no_such_thought_is_named(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(WorkbenchError, match="no thought 4"):
        record(tiny_checkpoint, [chain(0, 2)], interventions=[Zero(at=(4,))])
    with pytest.raises(WorkbenchError, match="does not change what is fed"):
        record(tiny_checkpoint, [chain(0, 2)], interventions=[Remove()])
    items: Any = [Item("one", "What is 1 + 1?", "2", ("1 + 1 = 2",), "arithmetic")]
    with unchecked(), pytest.raises(WorkbenchError, match="has no graph"):
        run_intervened(tiny_checkpoint, items, [[]])


# The page


def table() -> dict[str, list[str]]:
    """Return the rows of the page's tables by kind."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines()]
    return {row[0].strip("`"): row for row in rows if len(row) == 6 and row[0].startswith("`")}


def test_the_page_names_every_intervention_with_its_fields_and_both_spellings() -> None:
    assert set(table()) == set(KINDS)
    for kind, (_, what, said, control, text, address) in table().items():
        (one,) = from_address(address.strip("`")).interventions
        assert from_yaml(f"[{text.strip('`')}]").interventions == (one,), kind
        assert one.kind == kind
        assert what
        assert control
        usual = {"at", "layers", "where"} if isinstance(one, LayerIntervention) else {"at"}
        named = dict(pair.split("=", 1) for pair in re.findall(r"`(\w+=[^`]*)`", said))
        defaults = {field.name: field.default for field in fields(one) if field.name not in usual}
        assert set(named) == set(defaults), kind
        for name, default in defaults.items():
            written = ",".join(default) if isinstance(default, tuple) else str(default)
            assert default is not MISSING
            assert named[name].replace("()", "").replace("false", "False") == written, (kind, name)


def test_the_page_names_every_set_of_nodes_and_what_stands_before_a_thought() -> None:
    assert all(f"`{name}`" in PAGE for name in (*SETS, *PARTS))
    yaml, address = re.findall(r"```yaml\n(.*?)```\n\nis the address `(.*?)`", PAGE, re.DOTALL)[0]
    assert from_yaml(yaml) == from_address(address)


@pytest.mark.slow
def test_the_example_on_the_page_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = re.findall(r"```python\n(.*?)```.*?\n```\n(.*?)```", PAGE, re.DOTALL)[0]
    monkeypatch.chdir(ROOT)
    exec(code, {})
    for printed, line in zip(capsys.readouterr().out.splitlines(), said.splitlines(), strict=True):
        assert re.sub(r"\d\.\d+", "", printed) == re.sub(r"\d\.\d+", "", line)
        # One answer of a hundred may hang on the last bits of another machine.
        found, expected = ([float(one) for one in re.findall(r"\d\.\d+", text)] for text in (printed, line))
        np.testing.assert_allclose(found, expected, atol=0.021)
