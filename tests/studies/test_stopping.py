"""Stop rules: when a model stops thinking and answers, on arrays made by hand and on tiny models."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.conftest import tiny, tiny_model
from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint, make_checkpoint, save_checkpoint
from workbench.problems.files import save_problems
from workbench.problems.problem import Problem
from workbench.problems.sets import generate
from workbench.problems.vocabulary import edges_tokenizer
from workbench.studies.stopping import (
    Thinking,
    as_many_as_steps,
    curve_frame,
    entropy_below,
    first_true,
    fit,
    fixed,
    learned,
    load_classifier,
    rules_of,
    save_classifier,
    stop_curve,
    think_through,
)


def made(needed: list[int], trained: int = 4, longest: int = 6, seed: int = 0) -> Thinking:
    """A model whose thought k says in its first component how far it has come, and is right from then on."""
    rng = np.random.default_rng(seed)
    steps = np.array(needed)
    ahead = np.arange(1, longest + 1) - steps[:, None]
    thoughts = rng.normal(size=(len(steps), longest, 5)).astype(np.float32)
    thoughts[:, :, 0] = np.where(ahead >= 0, 3.0, -3.0) + rng.normal(scale=0.3, size=ahead.shape)
    entropy = np.where(ahead >= 0, 0.1, 2.0).astype(np.float32)
    right = np.concatenate([np.zeros((len(steps), 1), dtype=bool), ahead >= 0], axis=1)
    return Thinking("hand", trained, thoughts, entropy, right, steps)


NEEDED = [1, 2, 3, 4, 2, 3]


# Rules


def test_first_true_counts_from_one_and_takes_the_most_where_there_is_none() -> None:
    enough = np.array([[False, True, True], [False, False, False], [True, False, False], [False, False, True]])

    assert first_true(enough, 3).tolist() == [2, 3, 1, 3]
    assert first_true(enough, 2).tolist() == [2, 2, 1, 2]
    assert first_true(enough[:, :0], 0).tolist() == [0, 0, 0, 0]


def test_every_rule_chooses_what_it_says() -> None:
    thinking = made(NEEDED)

    assert fixed(5).stops(thinking, 4).tolist() == [5] * 6
    assert entropy_below(1.0).stops(thinking, 4).tolist() == NEEDED
    assert entropy_below(0.01).stops(thinking, 4).tolist() == [4] * 6
    assert as_many_as_steps().stops(thinking, 3).tolist() == [1, 2, 3, 3, 2, 3]


def test_a_fixed_number_that_was_not_tried_is_said() -> None:
    with pytest.raises(WorkbenchError, match="Nothing was answered after 7 thoughts"):
        fixed(7).stops(made(NEEDED), 4)


# The classifier


@pytest.mark.parametrize("label", ["reached", "right"])
def test_a_classifier_learns_what_can_be_separated_and_stops_there(label: str) -> None:
    classifier = fit(made(NEEDED * 20, seed=1), tiny(), label)  # type: ignore[arg-type]

    assert learned(classifier).stops(made(NEEDED, seed=2), 4).tolist() == NEEDED
    assert abs(classifier.weights[0]) > 5 * np.abs(classifier.weights[1:]).max()


def test_a_component_that_never_changes_does_no_harm() -> None:
    thinking = made(NEEDED * 10)
    thinking.thoughts[:, :, 3] = 7

    assert np.isfinite(fit(thinking, tiny()).probability(thinking.thoughts)).all()


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(WorkbenchError, match="same label"):
        fit(made([1, 1, 1]), tiny())
    with pytest.raises(WorkbenchError, match="no thoughts to stop"):
        fit(made(NEEDED, trained=0), tiny())


def test_a_classifier_comes_back_from_its_file(tmp_path: Path) -> None:
    checkpoint, thinking = tiny(), made(NEEDED * 5)
    classifier = fit(thinking, checkpoint)
    save_classifier(classifier, tmp_path / "stop.safetensors")
    back = load_classifier(tmp_path / "stop.safetensors", checkpoint)

    assert (back.label, back.checkpoint) == (classifier.label, classifier.checkpoint)
    assert np.array_equal(back.probability(thinking.thoughts), classifier.probability(thinking.thoughts))
    assert [file.name for file in tmp_path.iterdir()] == ["stop.safetensors"]


def test_a_classifier_is_checked_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "stop.safetensors"
    save_classifier(fit(made(NEEDED * 5), tiny(seed=0)), file)
    with pytest.raises(WorkbenchError, match="belongs to another checkpoint"):
        load_classifier(file, tiny(seed=1))

    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(WorkbenchError, match="cannot be read"):
        load_classifier(file, tiny())

    save_file({"weights": np.ones(3)}, file)
    with pytest.raises(WorkbenchError, match="is no stop classifier"):
        load_classifier(file, tiny())


# The curve


def test_the_curve_sets_a_rule_beside_its_own_lengths_shuffled() -> None:
    thinking = made([1, 3])
    (oracle,) = stop_curve(thinking, [as_many_as_steps()])

    assert oracle.thoughts.value == 2
    assert oracle.accuracy.value == 1
    # Dealt out at random the first is right after 1 and after 3, the second after 3 only.
    assert oracle.shuffled.value == pytest.approx((1 + 0.5) / 2)
    assert oracle.gain.value == pytest.approx(0.25)
    assert oracle.counts == (0, 1, 0, 1, 0, 0, 0)


def test_a_fixed_number_gains_nothing_by_construction() -> None:
    (figure,) = stop_curve(made(NEEDED), [fixed(2)])

    assert (figure.gain.value, figure.gain.low, figure.gain.high) == (0, 0, 0)
    assert (figure.thoughts.low, figure.thoughts.high) == (2, 2)
    assert figure.accuracy.value == figure.shuffled.value == 0.5


def test_one_rule_of_each_kind_is_chosen_on_other_problems() -> None:
    others = made(NEEDED * 5, seed=3)
    rules = rules_of(others, [fit(others, tiny())])
    figures = stop_curve(made(NEEDED), rules, chosen_on=others)
    chosen = [figure.title for figure in figures if figure.chosen]

    assert [title.split()[0] for title in chosen] == ["fixed:", "entropy", "reached"]
    assert "fixed: 4" in chosen  # as good as any larger number, with fewer thoughts
    frame = curve_frame(figures)
    assert frame.height == len(rules)
    assert {"rule", "thoughts", "accuracy_low", "gain_high", "counts"} <= set(frame.columns)


def kinds() -> list[Checkpoint]:
    """A checkpoint of every kind."""
    about: list[dict[str, object]] = [
        {"thoughts": 2},
        {"thoughts": 2, "fed": "pause"},
        {"thoughts": 2, "markers": True},
        {"thoughts": 0, "says": "chain"},
        {"thoughts": 4, "thoughts_per_step": 2},
    ]
    common: dict[str, object] = {"version": 1, "format": "edges", "markers": False}
    return [
        make_checkpoint(tiny_model("qwen2", max_position_embeddings=256), edges_tokenizer(), common | meta, "tiny")
        for meta in about
    ]


@pytest.mark.parametrize("kind", range(5))
def test_the_fixed_rows_are_what_the_model_answers(kind: int, tiny_problems: list[Problem]) -> None:
    checkpoint = kinds()[kind]
    thinking = think_through(checkpoint, tiny_problems, batch_size=2)
    longest = 2 * checkpoint.thoughts
    figures = stop_curve(thinking, [fixed(k) for k in range(longest + 1)])

    assert thinking.thoughts.shape[:2] == thinking.entropy.shape == (5, longest)
    assert thinking.needed.tolist() == [n * checkpoint.thoughts_per_step for n in (1, 2, 3, 4, 5)]
    for k, figure in enumerate(figures):
        right = [answer.right for answer in answers(checkpoint, tiny_problems, k)]
        assert thinking.right[:, k].tolist() == right
        assert figure.accuracy.value == np.mean(right)


def test_a_model_without_thoughts_has_one_row_and_may_be_made_to_think(tiny_problems: list[Problem]) -> None:
    speaker = kinds()[3]
    assert [rule.title for rule in rules_of(think_through(speaker, tiny_problems))] == ["fixed: 0"]

    longer = think_through(speaker, tiny_problems, 2, says="answer")
    assert [rule.title for rule in rules_of(longer)] == ["fixed: 0", "fixed: 1", "fixed: 2"]
    assert len(stop_curve(longer, rules_of(longer))) == 3


# The command


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("stop")
    save_checkpoint(tiny(thoughts=4, max_position_embeddings=256), home / "small" / "model")
    save_problems(generate("released", 5, seed=1), home / "judged.json")
    save_problems(generate("released", 20, seed=2), home / "others.json")
    return home


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["stop", *map(str, arguments)], env={"COLUMNS": "100"})
    return result.exit_code, result.output


def test_the_command_fits_keeps_and_finds_its_classifier_again(files: Path) -> None:
    run, judged, table = files / "small", files / "judged.json", files / "table.json"
    unfitted = call(run, judged)
    fitted = call(run, judged, "--fit", files / "others.json", "--json", table)
    again = call(run, judged)

    assert [unfitted[0], fitted[0], again[0]] == [0, 0, 0], fitted[1]
    assert "reached >" not in unfitted[1]
    assert "reached > 0.5" in fitted[1]
    assert "reached > 0.5" in again[1]
    assert (run / "stop.safetensors").is_file()
    assert json.loads(table.read_text())["rules"][0]["rule"] == "fixed: 0"


def test_the_command_refuses_to_judge_on_what_it_fits(files: Path) -> None:
    status, said = call(files / "small", files / "judged.json", "--fit", files / "judged.json")

    assert status == 2
    assert "judged on the problems that it was fitted on" in said
