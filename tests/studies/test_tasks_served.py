"""Which command serves which task: the table of docs/tasks.md, run; and what is said of problems without graphs."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from tests.conftest import tiny, tiny_model
from workbench.cli import app
from workbench.measure.evaluate import evaluate
from workbench.measure.trace import answers, run
from workbench.model.checkpoint import Checkpoint, make_checkpoint, save_checkpoint
from workbench.model.formats import words_tokenizer
from workbench.problems.files import load_any, save_items, save_problems
from workbench.problems.problem import Item
from workbench.problems.prontoqa import check
from workbench.problems.sets import generate, generate_items
from workbench.problems.shortcuts import shortcut_accuracies
from workbench.problems.variants import reordered, twin
from workbench.studies.audit.base import AuditOptions
from workbench.studies.audit.run import measure

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"
SUMS = [f"Tom has {n} shells. Tom buys 3 more shells. How many shells does Tom have in the end?" for n in (5, 6, 7)]


def words(task: str, says: str = "answer") -> Checkpoint:
    """A tiny model with random weights that speaks a task's words."""
    tokenizer = words_tokenizer(task)
    model = tiny_model("qwen2", vocab_size=len(tokenizer), max_position_embeddings=256)
    thoughts = 2 if says == "answer" else 0
    meta = {"version": 1, "task": task, "format": "words", "markers": True, "thoughts": thoughts, "says": says}
    return make_checkpoint(model, tokenizer, meta, f"tiny-{task}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """A model and a file of each task."""
    folder = tmp_path_factory.mktemp("served")
    save_problems(generate("released", 3, seed=1), folder / "prosqa.json")
    for task in ("prontoqa", "arithmetic"):
        save_items(generate_items(task, 4, 1), folder / f"{task}.json")
    gsm = [f"{sum}||<<{n}+3={n + 3}>> #### {n + 3}" for n, sum in enumerate(SUMS, 5)]
    (folder / "gsm8k.json").write_text("\n".join(gsm))
    own = [
        {"question": sum, "steps": ["Tom buys 3."], "answer": str(n + 3), "values": [str(n + 3)]}
        for n, sum in enumerate(SUMS, 5)
    ]
    (folder / "own.json").write_text("\n".join(map(json.dumps, own)))
    maths = [
        {"problem": sum, "solution": "Add.\nIt is $8$.", "answer": f"\\frac{{{n}}}{{2}}"} for n, sum in enumerate(SUMS)
    ]
    (folder / "math.json").write_text("\n".join(map(json.dumps, maths)))
    models = {"prosqa": tiny(max_position_embeddings=256, thoughts=2)}
    models |= {task: words(task) for task in ("prontoqa", "arithmetic")}
    for task, model in models.items():
        save_checkpoint(model, folder / task / "model")
    speaks = {"gsm8k": "arithmetic", "own": "arithmetic", "math": "arithmetic"}
    return {task: (folder / speaks.get(task, task), folder / f"{task}.json") for task in (*models, *speaks)}


def table() -> dict[tuple[str, str], str]:
    """What the page says: by command and task."""
    lines = PAGE.read_text().split("| command |")[1].split("\n\n")[0].splitlines()
    _, *tasks = [cell.strip() for cell in f"command |{lines[0]}".split("|") if cell.strip()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {
        (command.strip("`"), task): cell for command, *cells in rows for task, cell in zip(tasks, cells, strict=True)
    }


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


MORE = {
    "trace --graph": ["OUT.graphml"],
    "report": ["--controls", "shuffled"],
    "audit": ["--fit", "8", "--further", "4", "--jobs", "1"],
}


@pytest.mark.parametrize(("command", "task"), table())
def test_the_table_of_the_page_holds(
    command: str, task: str, files: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    name, *options = command.split()
    model, file = files[task]
    options += [one.replace("OUT", str(tmp_path / "out")) for one in MORE.get(command, MORE.get(name, []))]
    options += ["--out", str(tmp_path / "made")] if name in ("report", "audit") else []
    if (name, task) == ("audit", "prosqa"):
        pytest.skip("the audits of graphs have tests of their own")
    result = call(name, model, file, *options)

    served = table()[command, task] == "yes"
    assert (result.exit_code == 0) is served, result.output
    assert served or re.search(r"needs problems with graphs|no reading of|no values to look for", result.stderr), (
        result.output
    )


def test_the_page_names_each_command_of_problems() -> None:
    listed = {command.split()[0] for command, _ in table()}
    assert listed == {"evaluate", "trace", "report", "audit", "stop"}
    assert {task for _, task in table()} == {"prosqa", "prontoqa", "arithmetic", "gsm8k", "own", "math"}


# Figures


def test_an_evaluation_of_items_says_what_their_answers_say() -> None:
    model, items = words("arithmetic"), generate_items("arithmetic", 12, 1)
    found = evaluate(model, items)
    own, bare = list(answers(model, items)), list(answers(model, items, 0))
    figures = {figure.name: figure for figure in found.figures}

    assert figures["accuracy"].estimate.value == pytest.approx(sum(one.right for one in own) / 12)
    assert figures["valid_format"].estimate.value == pytest.approx(sum(one.valid for one in own) / 12)
    assert figures["tokens"].estimate.value == pytest.approx(sum(one.tokens for one in own) / 12)
    assert figures["accuracy_without_thoughts"].estimate.value == pytest.approx(sum(one.right for one in bare) / 12)
    assert figures["accuracy"].chance == pytest.approx(max(shortcut_accuracies(items).values()))
    counts = {
        int(name.split(":")[1]): f.estimate.n for name, f in figures.items() if name.startswith("accuracy_by_hop")
    }
    assert counts == {n: sum(len(item.steps) == n for item in items) for n in {len(item.steps) for item in items}}
    assert not {"choice_accuracy", "swap_pair_consistency", "edge_rewrite_following"} & figures.keys()
    assert {"choice_accuracy", "swap_pair_consistency"} <= {
        figure.name for figure in evaluate(words("prontoqa"), generate_items("prontoqa", 4, 1)).figures
    }


def test_a_trace_holds_the_values_of_the_steps_and_the_options() -> None:
    model, items = words("prontoqa"), generate_items("prontoqa", 3, 1)
    for trace, item in zip(run(model, items), items, strict=True):
        ids = model.tokenizer.convert_tokens_to_ids([value.lower() for value in item.values])
        assert isinstance(ids, list)
        head = model.model.get_output_embeddings()
        assert head is not None
        said = np.exp(trace.thoughts[0] @ head.weight.detach().numpy().T)
        shares = said / said.sum()
        assert trace.values is not None
        assert trace.values.shape == (2, len(item.values))
        assert trace.values[0].tolist() == pytest.approx([shares[i] for i in ids], rel=1e-3)
        assert trace.choices is not None
        assert trace.choices.shape == (3, 2)
        assert trace.choice.tolist() == (trace.choices[:, 0] > trace.choices[:, 1]).astype(float).tolist()


def test_the_twin_of_a_prontoqa_item_has_the_other_answer() -> None:
    items = generate_items("prontoqa", 16, 2)
    for item in items:
        other = twin(item)
        assert isinstance(other, Item)
        assert {item.answer, other.answer} == {"True", "False"}
        assert [fault.field for fault in check(other)] == [
            "steps"
        ]  # the validator finds no fault but the proof left out
        mixed = reordered(item, 0)
        assert check(mixed) == []
        assert sorted(mixed.question.split()) == sorted(item.question.split())
    assert twin(generate_items("arithmetic", 1, 1)[0]) is None


@pytest.mark.parametrize("battery", ["needed", "content", "shortcuts", "search", "where", "further"])
def test_an_audit_of_items_asks_what_needs_no_graph(battery: str) -> None:
    items = generate_items("prontoqa", 6, 1)
    rows = measure(battery, words("prontoqa"), items, AuditOptions(fit=8, further=4))
    asked = set(rows.filter(pl.col("value").is_not_null())["question"])

    assert asked == {
        "needed": {"all thoughts", "each thought"},
        "content": {"twin"} | ({"interchange"} & asked),
        "shortcuts": {"accuracy", "order"},
    }.get(battery, set())
    if battery in ("search", "where", "further"):
        assert "no graph" in rows["note"][0]


def test_chance_of_items_without_options_is_that_of_rules() -> None:
    items = generate_items("arithmetic", 8, 1)
    rows = measure("needed", words("arithmetic"), items, AuditOptions())
    own = rows.filter(pl.col("condition") == "own", pl.col("measure") == "right")

    assert own["chance"][0] == pytest.approx(max(shortcut_accuracies(items).values()))
    assert rows.filter(pl.col("measure") == "chosen")["n"].sum() == 0


def test_the_official_solution_of_a_step_is_found_by_its_file(files: dict[str, tuple[Path, Path]]) -> None:
    (first, *_) = load_any(files["gsm8k"][1])
    assert isinstance(first, Item)
    assert (first.task, first.values, first.answer) == ("gsm8k", ("8",), "8")
