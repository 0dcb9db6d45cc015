"""The command line: what a user sees when all is well, and what for every mistake."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import tiny
from workbench.cli import app
from workbench.cli.problems import hop_weights
from workbench.errors import WorkbenchError
from workbench.model.checkpoint import save_checkpoint
from workbench.problems.files import load_items, load_problems, save_problems
from workbench.problems.sets import generate
from workbench.problems.vocabulary import ENTITIES, NOUNS
from workbench.readings import READINGS

COMMANDS = ("train", "import", "compare", "evaluate", "report", "stop", "trace", "explore", "problems")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "small"
    save_checkpoint(tiny(max_position_embeddings=256), directory / "model")
    return directory


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("problems") / "few.json"
    save_problems(generate("released", 4, seed=1), file)
    return file


def refused(result: Result, *parts: str) -> None:
    """A mistake exits with 2, says what, why and what to do on standard error, and shows no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    for part in parts:
        assert part in result.stderr


def test_help_names_every_command_and_it_and_the_package_come_without_torch() -> None:
    heavy = "any(name in sys.modules for name in ('torch', 'polars', 'transformers'))"
    code = f"import sys, workbench, workbench.cli; dir(workbench); sys.exit({heavy})"
    result = call("--help")

    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "command", [*COMMANDS, "problems generate", "problems check", "problems sets", "problems tasks"]
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = call(*command.split(), "--help")

    assert result.exit_code == 0
    assert command == "problems" or "Example:" in result.stdout


def test_version() -> None:
    assert call("--version").stdout.startswith("coconut-workbench ")


def test_evaluate_prints_a_table_and_writes_json(run: Path, problems: Path, tmp_path: Path) -> None:
    result = call("evaluate", run, problems, "--json", tmp_path / "figures.json")

    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout
    assert "chance" in result.stdout
    read = json.loads((tmp_path / "figures.json").read_text())
    assert read["n"] == 4
    assert len(read["candidate_mass"]) == 3


def test_report_writes_a_page(run: Path, problems: Path, tmp_path: Path) -> None:
    result = call("report", run, problems, "--out", tmp_path / "out", "--readings", "none")

    assert result.exit_code == 0, result.output
    assert "index.html" in result.stdout.replace("\n", "")
    assert (tmp_path / "out" / "scores.parquet").exists()
    assert not (tmp_path / "out" / "readings.html").exists()
    assert "readings.html" not in (tmp_path / "out" / "index.html").read_text()


def test_report_reads_what_is_asked_beside_what_is_asked(run: Path, problems: Path, tmp_path: Path) -> None:
    asked = ("--readings", "behaviour, breadth", "--controls", "pause", "--most", "3")
    result = call("report", run, problems, "--out", tmp_path / "out", *asked)

    assert result.exit_code == 0, result.output
    told = re.findall(r"^Reading: (.*?) \(about \d+ (?:s|min) left\)$", result.stderr, re.MULTILINE)
    assert told == [READINGS["behaviour"].title, READINGS["breadth"].title]  # the cheap one first
    assert {path.stem for path in (tmp_path / "out" / "readings").iterdir()} == {"behaviour", "breadth"}
    page = (tmp_path / "out" / "readings.html").read_text()
    assert "3 of 4 problems" in page
    assert "pause as thought" in page
    assert "untrained model" not in page
    assert 'href="readings.html"' in (tmp_path / "out" / "index.html").read_text()


def test_a_report_of_a_run_without_thoughts_has_no_readings(run: Path, problems: Path, tmp_path: Path) -> None:
    result = call("report", run, problems, "--out", tmp_path / "out", "--thoughts", "0")

    assert result.exit_code == 0, result.output
    assert "there are none to read" in result.stderr
    assert not (tmp_path / "out" / "readings.html").exists()


def test_trace_shows_every_thought(run: Path, problems: Path, tmp_path: Path) -> None:
    result = call("trace", run, problems, "--problem", "released-2", "--json", tmp_path / "trace.json")

    assert result.exit_code == 0, result.output
    assert "released-2" in result.stdout
    assert "after 3:" in result.stdout
    read = json.loads((tmp_path / "trace.json").read_text())
    assert [row["thought"] for row in read["traces"]] == [0, 1, 2, 3]
    assert len(read["scores"]) == 7 * len(read["problem"]["names"])  # three thoughts, and words after 0 to 3
    told = "".join(result.stdout.split())  # lines are wrapped
    assert all(f"after{row['thought']}:{''.join(row['continuation'].split())}" in told for row in read["traces"])


@pytest.mark.parametrize("ending", ["graphml", "json"])
def test_trace_writes_the_graph_with_all_scores_and_reads_it_again(
    run: Path, problems: Path, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"scored.{ending}"
    written = call("trace", run, problems, "--problem", "released-2", "--graph", file)
    again = call("trace", run, file)

    assert written.exit_code == again.exit_code == 0, written.output + again.output
    assert "lm_head_value_3" in file.read_text()
    assert again.stdout == written.stdout


def test_trace_reads_a_question_in_words(run: Path) -> None:
    question = "Tom is a lempus. Every lempus is a zumpus. Sally is a gorpus. Is Tom a zumpus or gorpus?"

    assert call("trace", run, "--question", question).exit_code == 0


def test_problems_are_generated_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    made = call("problems", "generate", "balanced", "--count", "6", "--hops", "4-5", "--seed", "3", "--out", file)

    assert made.exit_code == 0, made.output
    assert {len(problem.steps) for problem in load_problems(file)} <= {4, 5}
    checked = call("problems", "check", file)
    assert "6 problems (prosqa), all sound" in checked.stdout
    assert "no graph" not in checked.stdout


def test_problems_are_generated_with_nouns_for_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    made = call("problems", "generate", "balanced", "--count", "2", "--names", "nouns", "--out", file)

    assert made.exit_code == 0, made.output
    assert {name for problem in load_problems(file) for name in problem.names} <= {*NOUNS, *ENTITIES}


def test_a_check_says_where_graphs_were_read_from_the_question(tmp_path: Path) -> None:
    whole, *others = generate("balanced", 3, seed=3)
    save_problems([whole], tmp_path / "whole.json")
    words = [{"question": one.question, "steps": list(one.steps), "answer": one.answer} for one in others]
    (tmp_path / "mixed.json").write_text(json.dumps([*json.loads((tmp_path / "whole.json").read_text()), *words]))
    checked = call("problems", "check", tmp_path / "mixed.json")

    assert checked.exit_code == 0, checked.output
    assert "3 problems (prosqa), all sound" in checked.stdout
    assert "of 2 the file has no graph: it was read from the sentences of the question" in checked.stdout


@pytest.mark.parametrize(
    ("task", "more"), [("prontoqa", ["--hops", 3]), ("arithmetic", ["--split", "test", "--operations", 3])]
)
def test_items_are_generated_and_checked(tmp_path: Path, task: str, more: list[object]) -> None:
    file = tmp_path / "few.json"
    made = call("problems", "generate", "--task", task, "--count", 5, *more, "--out", file)
    checked = call("problems", "check", file)

    assert made.exit_code == 0, made.output
    assert "Wrote 5 problems" in made.stdout
    assert {item.task for item in load_items(file)} == {task}
    assert f"5 problems ({task}), all sound" in checked.stdout
    assert "rule that does not reason, the commonest answer: " in checked.stdout


def test_a_file_of_others_is_read_but_not_called_sound(tmp_path: Path) -> None:
    (tmp_path / "gsm.txt").write_text("How many?||<<1+2=4>> #### 4\n")

    assert "1 problems (gsm8k), all of the right form" in call("problems", "check", tmp_path / "gsm.txt").stdout


# Mistakes


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("evaluate RUN OUT/none.json", ("Cannot read problems", "none.json", "No such file", "do:")),
        ("evaluate OUT/no/run/here PROBLEMS", ("There is no checkpoint", "why:", "do:")),
        ("evaluate RUN PROBLEMS --json OUT/missing/figures.json", ("Its directory does not exist",)),
        ("evaluate RUN PROBLEMS --json OUT", ("It is a directory",)),
        (
            "report RUN PROBLEMS --out OUT/out --readings breadth,mood",
            ('no reading "mood"', "The readings are", "none"),
        ),
        ("report RUN PROBLEMS --out OUT/out --controls mood", ('no control "mood"', "The controls are", "none")),
        ("trace RUN", ("There is nothing to trace",)),
        ("trace RUN PROBLEMS --problem released-99", ("no problem released-99", "released-0")),
        ("trace RUN PROBLEMS --graph OUT/none/x.json", ("Its directory does not exist",)),
        ("problems generate nonsense --out OUT/x.json", ('no family "nonsense"',)),
        ("problems generate --out OUT/x.json", ("No FAMILY was given.",)),
        (
            "problems generate balanced --limit 50 --split test --out OUT/x.json",
            ("The task prosqa has no --limit, --split.",),
        ),
        ("problems generate balanced --task prontoqa --out OUT/x.json", ("The task prontoqa has no FAMILY.",)),
        (
            "problems generate --task arithmetic --hops 3 --nodes 9 --out OUT/x.json",
            ("The task arithmetic has no --nodes, --hops.",),
        ),
        ("problems generate --task prontoqa --hops 3-6 --out OUT/x.json", ('"3-6" is no number of hops.',)),
        ("problems generate --task prontoqa --split dev --out OUT/x.json", ('There is no split "dev".',)),
        (
            "problems generate balanced --names pets --out OUT/x.json",
            ("'--names': 'pets' is not one of 'released', 'nouns'",),
        ),
        ("problems generate --task prontoqa --names nouns --out OUT/x.json", ("The task prontoqa has no --names.",)),
        ("problems generate --task poetry --out OUT/x.json", ('There is no task "poetry".',)),
        ("train OUT/none.yaml", ("none.yaml", "why:", "do:")),
        ("evaluat", ("evaluat",)),
        ("evaluate", ("RUN",)),
        ("evaluate run file --thoughts -1", ("--thoughts",)),
        ("evaluate run file --nonsense", ("--nonsense",)),
        ("evaluate run file --engine rai", ("'--engine': 'rai' is not one of 'local', 'ray'",)),
        ("explore --port 99999", ("--port",)),
        ("explore --address 0.0.0.0", ("is not served at 0.0.0.0", "Add --demo")),
    ],
)
def test_a_mistake_is_said_before_the_work(
    run: Path, problems: Path, tmp_path: Path, command: str, parts: tuple[str, ...]
) -> None:
    places = {"RUN": str(run), "PROBLEMS": str(problems)}
    words = [places.get(word, word).replace("OUT", str(tmp_path)) for word in command.split()]

    refused(call(*words), *parts)
    assert not (tmp_path / "out").exists()


def test_a_cut_off_problem_file_is_refused(run: Path, problems: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_bytes(problems.read_bytes()[:-200])

    refused(call("report", run, cut, "--out", tmp_path / "out"), "cut.json", "The file seems to be cut off")
    assert not (tmp_path / "out").exists()


def test_a_cut_off_checkpoint_is_refused(problems: Path, tmp_path: Path) -> None:
    directory = save_checkpoint(tiny(), tmp_path / "cut" / "model")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    refused(call("evaluate", tmp_path / "cut", problems), "model.safetensors", "cut off or damaged", "do:")


def test_a_bad_item_is_named_with_its_field(run: Path, problems: Path, tmp_path: Path) -> None:
    items = json.loads(problems.read_text())
    items[2]["target"] = 99
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(items))

    refused(call("evaluate", run, bad), "item 2", "target")


@pytest.mark.parametrize(
    ("text", "weights"),
    [(None, None), ("4", {4: 1.0}), ("3-5", {3: 1.0, 4: 1.0, 5: 1.0}), ("3,6", {3: 1.0, 6: 1.0})],
)
def test_hops_are_read_as_numbers_and_ranges(text: str | None, weights: dict[int, float] | None) -> None:
    assert hop_weights(text) == weights


@pytest.mark.parametrize("text", ["", "three", "5-3", "1-2-3", "-4"])
def test_hops_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(WorkbenchError, match="no range of hops"):
        hop_weights(text)
