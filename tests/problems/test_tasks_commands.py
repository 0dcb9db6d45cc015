"""`workbench problems` for the tasks without graphs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.problems.files import load_items


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["problems", *map(str, arguments)])


@pytest.mark.parametrize(
    ("task", "more"), [("prontoqa", ["--hops", 3]), ("arithmetic", ["--split", "test", "--limit", 40])]
)
def test_generate_and_check(tmp_path: Path, task: str, more: list[object]) -> None:
    made = call("generate", "--task", task, "--count", 5, *more, "--out", tmp_path / "few.json")
    checked = call("check", tmp_path / "few.json")

    assert made.exit_code == 0, made.output
    assert "Wrote 5 problems" in made.stdout
    assert {item.task for item in load_items(tmp_path / "few.json")} == {task}
    assert f"5 problems ({task}), all sound" in checked.stdout
    assert "rule that does not reason, the commonest answer: " in checked.stdout


def test_a_file_of_others_is_read_but_not_called_sound(tmp_path: Path) -> None:
    (tmp_path / "gsm.txt").write_text("How many?||<<1+2=4>> #### 4\n")

    assert "1 problems (gsm8k), all of the right form" in call("check", tmp_path / "gsm.txt").stdout


def test_help_has_examples() -> None:
    for command in ("generate", "check", "tasks"):
        assert "Example:" in call(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "No FAMILY was given."),
        (["balanced", "--limit", 50, "--split", "test"], "The task prosqa has no --limit, --split."),
        (["balanced", "--task", "prontoqa"], "The task prontoqa has no FAMILY."),
        (["--task", "arithmetic", "--hops", 3, "--nodes", 9], "The task arithmetic has no --nodes, --hops."),
        (["--task", "prontoqa", "--hops", "3-6"], '"3-6" is no number of hops.'),
        (["--task", "prontoqa", "--split", "dev"], 'There is no split "dev".'),
        (["--task", "poetry"], 'There is no task "poetry".'),
    ],
)
def test_what_cannot_be_generated_is_refused(tmp_path: Path, arguments: list[object], reason: str) -> None:
    result = call("generate", *arguments, "--out", tmp_path / "few.json")

    assert result.exit_code == 2
    assert reason in result.stderr
