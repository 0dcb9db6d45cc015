"""Suite files and the runs that they mean."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.problems.files import save_problems
from workbench.problems.sets import generate
from workbench.settings import build, read_settings
from workbench.studies.compare.measure import measure
from workbench.studies.compare.suite import (
    Page,
    PlannedRun,
    load_suite,
    newest_model,
    plan_runs,
    standing,
    with_problems,
    write_config,
)
from workbench.train.config import TrainConfig, save_config
from workbench.train.launch import claim
from workbench.train.loop import train

SUITE = """
name: tiny
tasks:
  - name: prosqa
    base: base.yaml
    methods: [no_cot, coconut_words]
    problems: {few: few.json}
    optional: {official: absent.json}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_config(replace(TINY, steps=6, decay_from=3), tmp_path / "base.yaml")
    save_problems(generate("released", 3, seed=5), tmp_path / "few.json")
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def make_all(runs: Sequence[PlannedRun], out: Path, page: Page = "comparison") -> None:
    """Train runs and measure those that are no start, in this process: starting a command takes seconds."""
    threads = torch.get_num_threads()
    for run in runs:
        write_config(run, out)
        claim(run.config, run.directory)
        train(run.config, run.directory)
        if run.task.problems and "starts" not in run.directory.parts:
            measure(run.directory, {name: Path(file) for name, file in run.task.problems.items()}, page=page)
    torch.set_num_threads(threads)


def changed(folder: Path, old: str, new: str) -> Path:
    path = folder / "changed.yaml"
    assert old in SUITE
    path.write_text(SUITE.replace(old, new))
    return path


def test_paths_are_those_of_the_suites_folder(folder: Path) -> None:
    (task,) = load_suite(folder / "suite.yaml").tasks

    assert task.base == str(folder / "base.yaml")
    assert task.problems == {"few": str(folder / "few.json")}
    assert task.optional == {"official": str(folder / "absent.json")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tiny", "nam: tiny", "unknown key nam.*did you mean name"),
        ("name: tiny\n", "", "name is missing"),
        ("methods: [no_cot", "methods: [no_cott", 'There is no method "no_cott".*coconut'),
        ("methods:", "method:", r"unknown key tasks\[0\].method.*did you mean tasks\[0\].methods"),
        ("[no_cot, coconut_words]", "[cot, cot]", "none twice"),
        ("[no_cot, coconut_words]", "cot", "expected a list"),
        ("base: base.yaml", "base: bass.yaml", "base: there is no file"),
        ("few.json", "fewer.json", r"problems.few: there is no file"),
        ("name: tiny", "name: tiny\njobs: 0", "jobs is 0"),
        ("base: base.yaml", "base: base.yaml\n    seeds: {cot: 0}", "cot has 0"),
        ("base: base.yaml", "base: base.yaml\n    seeds: {cott: 1}", 'no method "cott"'),
        ("name: prosqa", "name: a/b", "no name of a folder"),
        ("name: tiny", "name: tiny\naudit: {frist: 3}", "unknown key audit.frist.*did you mean audit.first"),
        ("name: tiny", "name: tiny\naudit: {first: 1}", "audit.first is 1, expected 2 or more"),
        ("name: tiny", "name: tiny\naudit: {batteries: [neded]}", 'no battery "neded".*needed'),
        ("name: tiny", "name: tiny\naudit: 60", "audit is 60, expected a mapping"),
        ("name: tiny", "name: tiny\nemergence: {first: 0}", "emergence.first is 0, expected 1 or more"),
        ("name: tiny", "name: tiny\npage: superposition\naudit: {}", "parts of the page comparison"),
        (SUITE.strip(), "- a list", "not a mapping"),
    ],
)
def test_a_wrong_suite_is_one_clear_error(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(WorkbenchError, match=f"(?s){message}"):
        load_suite(changed(folder, old, new))


def test_two_tasks_of_one_name_are_refused(folder: Path) -> None:
    path = changed(folder, "    optional", "  - {name: prosqa, base: base.yaml}\n    optional")
    path.write_text(SUITE + "  - {name: prosqa, base: base.yaml}\n")

    with pytest.raises(WorkbenchError, match="two tasks are called prosqa"):
        load_suite(path)


def test_a_wrong_override_names_the_nearest_key(folder: Path) -> None:
    path = changed(folder, "base: base.yaml", "base: base.yaml\n    overrides: {no_cot: {model: {widht: 8}}}")

    with pytest.raises(WorkbenchError, match=r"(?s)overrides of no_cot.*did you mean model.width"):
        plan_runs(load_suite(path), folder / "out")


def test_the_first_seed_of_every_method_comes_first(folder: Path) -> None:
    path = changed(folder, "base: base.yaml", "base: base.yaml\n    seeds: {default: 1, no_cot: 3}")

    runs = plan_runs(load_suite(path), folder / "out")

    assert [run.key for run in runs] == [
        "prosqa/coconut_words-0", "prosqa/no_cot-0", "prosqa/no_cot-1", "prosqa/no_cot-2",
    ]  # fmt: skip
    assert [run.config.seed for run in runs] == [0, 0, 1, 2]
    assert {run.config.method for run in runs} == {"coconut_words", "no_cot"}


def test_a_suite_and_its_runs_may_have_the_former_names_of_methods(folder: Path) -> None:
    (folder / "out" / "prosqa" / "coconut_language-0").mkdir(parents=True)
    path = changed(folder, "[no_cot, coconut_words]", "[no_cot, coconut_language]\n    tried: {coconut_language: 3}")
    suite = load_suite(path)
    runs = {run.method.name: run for run in plan_runs(suite, folder / "out")}

    assert suite.tasks[0].tried == {"coconut_words": 3}
    assert runs["coconut_words"].key == "prosqa/coconut_language-0"  # what was trained there goes on there
    assert runs["coconut_words"].config.name == "prosqa-coconut_language-0"
    assert runs["no_cot"].key == "prosqa/no_cot-0"


def test_an_override_changes_one_method_and_inside_its_parts_one_key(folder: Path) -> None:
    more = "base: base.yaml\n    overrides: {no_cot: {learning_rate: 1e-3, model: {mlp_width: 8}}}"
    coconut, no_cot = plan_runs(load_suite(changed(folder, "base: base.yaml", more)), folder / "out")

    assert coconut.config.learning_rate == TINY.learning_rate
    assert no_cot.config.learning_rate == 1e-3
    assert no_cot.config.model == replace(TINY.model, mlp_width=8)


def test_a_problem_set_is_added_to_the_first_task(folder: Path) -> None:
    suite = with_problems(load_suite(folder / "suite.yaml"), {"mine": folder / "few.json"})

    assert list(suite.tasks[0].problems) == ["few", "mine"]


def test_a_run_made_with_other_settings_is_not_taken_for_the_planned_one(folder: Path) -> None:
    run = plan_runs(load_suite(folder / "suite.yaml"), folder / "out")[0]
    run.directory.mkdir(parents=True)
    save_config(replace(run.config, learning_rate=1.0, steps=99), run.directory / "config.yaml")

    assert standing(run).differs == ("learning_rate",)  # more steps only extend it


def test_a_run_whose_configuration_is_not_known_here_is_named_and_left_out(folder: Path) -> None:
    run = plan_runs(load_suite(folder / "suite.yaml"), folder / "out")[0]
    run.directory.mkdir(parents=True)
    save_config(run.config, run.directory / "config.yaml")
    with (run.directory / "config.yaml").open("a") as file:
        file.write("of_tomorrow: 1\n")

    (differs,) = standing(run).differs
    assert "unknown key of_tomorrow" in differs


def test_the_newest_model_of_a_killed_run_is_its_newest_stage(tmp_path: Path) -> None:
    for name, step in (("model", 3), ("checkpoints/step000004-thoughts1", 4), ("checkpoints/step000002-thoughts1", 2)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(json.dumps({"coconut": {"step": step}}))
        (tmp_path / name / "model.safetensors").touch()
    (tmp_path / "checkpoints" / "step000005-cut").mkdir()

    assert newest_model(tmp_path) == (4, tmp_path / "checkpoints" / "step000004-thoughts1")
    assert newest_model(tmp_path / "nothing") == (0, None)


def test_settings_are_converted_as_their_fields_say() -> None:
    made = build(TrainConfig, {"learning_rate": "1e-3", "mixing": 0.1, "curriculum": {"hop_weights": {3: 1}}}, "x")

    assert (made.learning_rate, made.mixing, made.curriculum.hop_weights) == (1e-3, "0.1", {3: 1.0})


@pytest.mark.parametrize("name", ["smoke", "methods", "superposition", "two-hops"])
def test_the_suites_that_ship_are_valid(name: str, tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "configs" / "suites" / f"{name}.yaml"
    if missing := [file for file in _files(path) if not (path.parent / file).exists()]:
        pytest.skip(f"not there yet: {', '.join(missing)}")
    suite = load_suite(path)

    assert plan_runs(suite, tmp_path)


def _files(path: Path) -> list[str]:
    return [task["base"] for task in read_settings(path, "suite")["tasks"]]
