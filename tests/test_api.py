"""The public API: every name is documented with an example that runs, and friendly habits work."""

import doctest
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import workbench as wb
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.problems.files import save_problems
from workbench.problems.networks import to_networkx
from workbench.problems.sets import generate

ANYTHING: Any = 3
LIBRARY = Path(wb.__file__).parent
QUESTION = "Tom is a lempus. Every lempus is a rempus. Bo is a yumpus. Is Tom a rempus or yumpus?"


@pytest.fixture(scope="module")
def model() -> "wb.Model":
    return wb.load("reference_asked")


@pytest.mark.parametrize("name", sorted(wb.PUBLIC))
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    public = getattr(wb, name)
    finder = doctest.DocTestFinder(recurse=True)
    tests = [test for test in finder.find(public, name, module=import_module(wb.PUBLIC[name])) if test.examples]
    assert tests, f"{name} has no example"
    run_examples(tests)


def run_examples(tests: Sequence[doctest.DocTest]) -> None:
    for test in tests:
        test.globs["wb"] = wb
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        said: list[str] = []
        runner.run(test, out=said.append)
        assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize(
    "path", [path for path in sorted(LIBRARY.rglob("*.py")) if ">>>" in path.read_text()], ids=lambda path: path.stem
)
def test_examples_of_what_is_not_public_run_too(path: Path) -> None:
    module = import_module(".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__"))
    public = {f"{module.__name__}.{name}" for name, home in wb.PUBLIC.items() if home == module.__name__}
    tests = [test for test in doctest.DocTestFinder().find(module, module.__name__) if test.examples]
    run_examples([test for test in tests if not public & {test.name, test.name.rpartition(".")[0]}])


def test_what_type_checkers_see_is_what_is_public() -> None:
    text = Path(wb.__file__).read_text()
    assert set(wb.PUBLIC) == {name for name in wb.PUBLIC if f"import {name} as {name}\n" in text}
    assert text.count(" as ") == len(wb.PUBLIC) + 1  # and `import workbench as wb`


def test_one_problem_may_stand_for_a_list(model: "wb.Model") -> None:
    problem = wb.load_problems("released")[0]
    assert model.trace(problem).answer == model.trace([problem])[0].answer
    assert len(model.answer(problem)) == len(model.answer([problem])) == 1
    assert model.trace(QUESTION).problem.answer == "Tom is a rempus."


def test_a_named_set_is_read_once_and_again_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalog.PROBLEMS_VARIABLE, str(tmp_path))
    save_problems(generate("released", 2, seed=1), tmp_path / "mine.json")
    first = wb.load_problems("mine")
    assert all(one is other for one, other in zip(first, wb.load_problems("mine"), strict=True))
    first.clear()
    assert len(wb.load_problems("mine")) == 2
    save_problems(generate("released", 3, seed=2), tmp_path / "mine.json")
    assert wb.load_problems("mine") == generate("released", 3, seed=2)


def test_an_intervention_may_be_one_a_list_a_plan_or_text(model: "wb.Model") -> None:
    problems = wb.load_problems("released", 6)
    ways = (wb.Zero(at=(1,)), [wb.Zero(at=(1,))], wb.Plan((wb.Zero(at=(1,)),)), "zero:at=1")
    assert len({str(model.answer(problems, way).frame()) for way in ways}) == 1


def test_a_twin_lends_its_thoughts(model: "wb.Model") -> None:
    problems = wb.load_problems("balanced", 20)
    assert model.answer(problems, "transplant").accuracy.value < 0.2 < model.answer(problems).accuracy.value


def test_a_graph_of_networkx_is_a_problem() -> None:
    (problem,) = wb.load_problems("small", 1)
    (again,) = wb.load_problems(to_networkx(problem))

    assert again == problem
    with pytest.raises(WorkbenchError, match="This graph is no ProsQA problem"):
        wb.load_problems(nx.DiGraph([("Tom", "lempus")]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: wb.load(ANYTHING), "Cannot load 3"),
        (lambda: wb.load(""), "Cannot load ''"),
        (lambda: wb.load_problems("relesed"), 'Did you mean "released"'),
        (lambda: wb.load_problems([]), "It is no problem"),
        (lambda: wb.load_problems([ANYTHING]), "It is no problem"),
        (lambda: wb.load_problems(ANYTHING), "It is no problem"),
        (lambda: wb.load_problems("released", 0), "below 1"),
        (lambda: wb.read("bredth"), 'There is no reading "bredth"'),
        (lambda: wb.load().answer("released", ANYTHING), "It is no intervention"),
        (lambda: wb.load().answer("released", [wb.Zero(), ANYTHING]), "It is no intervention"),
        (lambda: wb.load().trace(wb.load_problems("released")[0]).decoded(9), 'There is no thought "9"'),
        (lambda: wb.load().trace(wb.load_problems("released")[0]).curve("nobody"), 'There is no node "nobody"'),
    ],
)
def test_what_cannot_be_meant_is_one_clear_error(call, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        call()
