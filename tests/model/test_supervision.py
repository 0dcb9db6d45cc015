"""How a model's thoughts were supervised: stored, derived for checkpoints of before, carried from start to run."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import tiny, tiny_model
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.measure.provenance import checkpoint_digest
from workbench.model.checkpoint import load_checkpoint, make_checkpoint, save_checkpoint
from workbench.model.supervision import _BY_METHOD, MEANINGS, Supervision
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.config import Curriculum, TrainConfig
from workbench.train.init import begin
from workbench.train.methods import METHODS, find_method

RUNS = catalog.ROOT / "fixtures" / "runs"
MIXED = "its start was asked for mixtures of 24 walks"
SAID = {
    "base": "next node asked, also mixtures of 24 walks",
    "reference": "words only",
    "reference_asked": "next node asked, also mixtures of 24 walks",
    "coconut_next_node": "next node asked, also mixtures of 24 walks",
    "coconut_words": f"words only; {MIXED}",
    "coconut_words_reward": f"rewarded; {MIXED}",
    "coconut_frontier": f"frontier asked; {MIXED}",
    "coconut_two": "next node asked, also mixtures of 24 walks",
    "pause_as_thought": "next node asked, also mixtures of 24 walks",
    "pause_token": f"answers alone; {MIXED}",
    "coconut_without_curriculum": f"answers alone; {MIXED}",
    "cot": f"no thoughts; {MIXED}",
}


def of_directory(directory: Path) -> Supervision:
    """What a saved model says, without reading its weights."""
    return Supervision.read(json.loads((directory / "config.json").read_text())["coconut"], directory)


@pytest.mark.parametrize("name", SAID)
def test_bundled_runs_say_how_their_thoughts_were_supervised(name: str) -> None:
    assert str(of_directory(RUNS / name / "model")) == SAID[name]


def test_a_kept_checkpoint_says_what_its_run_says() -> None:
    kept = sorted((RUNS / "emergence" / "checkpoints").iterdir())[0]
    assert of_directory(kept) == of_directory(RUNS / "emergence" / "model")


def test_methods_of_today_agree_with_those_of_checkpoints_that_do_not_store_it() -> None:
    assert {name: METHODS[name].asked for name in _BY_METHOD} == _BY_METHOD
    assert {method.asked for method in METHODS.values()} | {"not known", "rewarded"} == set(MEANINGS)


def saved(folder: Path, settings: dict[str, Any] | None, **meta: object) -> Path:
    """A run of before supervision was stored."""
    fields = {"version": 1, "format": "edges", "markers": False, "thoughts": 2, **meta}
    made = make_checkpoint(tiny_model("qwen2"), edges_tokenizer(), fields, folder.name)
    if settings is not None:
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return save_checkpoint(made, folder / "model").parent


def test_old_names_keys_and_missing_files(tmp_path: Path) -> None:
    plan = {"walks": 8, "walk_share": 0.5, "walk_share_late": 0.1}
    first = saved(tmp_path / "first", {"curriculum": plan}, method="coconut")
    second = saved(tmp_path / "second", {"start": str(first), "curriculum": plan}, method="coconut_language")
    third = saved(tmp_path / "third", {"start": str(second)}, method="no_cot")
    unmixed = saved(tmp_path / "unmixed", {"curriculum": dict.fromkeys(plan, 0)}, method="coconut")
    known = load_checkpoint(second)

    assert str(load_checkpoint(first).supervision) == "next node asked, also mixtures of 8 walks"
    assert str(known.supervision) == "words only; its start was asked for mixtures of 8 walks"
    assert known.meta["method"] == "coconut_words"
    assert str(load_checkpoint(third).supervision) == "no thoughts; its start was asked for mixtures of 8 walks"
    assert str(load_checkpoint(unmixed).supervision) == "next node asked"
    # Told once, it stays: also where the run's files are not beside the model any more.
    moved = save_checkpoint(known, tmp_path / "moved")
    assert load_checkpoint(moved).supervision == known.supervision
    assert checkpoint_digest(load_checkpoint(moved)) == checkpoint_digest(load_checkpoint(second))
    alone = load_checkpoint(saved(tmp_path / "alone", None, method="coconut_words"))
    assert str(alone.supervision) == "words only; its start is not known"


def test_what_names_no_method_is_not_known() -> None:
    assert str(tiny().supervision) == str(Supervision.read({"method": "of somebody else"})) == "not known"


@pytest.mark.parametrize("stored", ["words", {"asked": "nobody"}, {"asked": "words only", "start": 3}])
def test_a_wrong_entry_is_refused(stored: object) -> None:
    with pytest.raises(WorkbenchError, match="does not say clearly"):
        make_checkpoint(tiny_model("qwen2"), edges_tokenizer(), {"version": 1, "supervision": stored}, "strange")


def test_training_writes_it_and_carries_that_of_its_start(tmp_path: Path) -> None:
    plan = Curriculum(thoughts=1, walks=1)
    config = TrainConfig(name="start", method="cot", curriculum=plan)
    save_checkpoint(begin(config), tmp_path / "words" / "model")
    asked = TrainConfig(name="asked", method="coconut")
    save_checkpoint(begin(asked), tmp_path / "asked" / "model")

    for start, said in (("words", "words only"), ("asked", f"words only; {MIXED}")):
        run = begin(TrainConfig(method="coconut_words", start=str(tmp_path / start)))
        assert str(run.supervision) == said
        assert run.supervision.is_asked == (start == "asked")
    assert find_method("coconut").name == "coconut_next_node"


def test_where_there_is_no_graph_nothing_is_asked() -> None:
    assert Supervision.of("next node asked", {"task": "arithmetic"}, None) == Supervision("words only")


def test_former_names_of_runs_open_what_they_opened(tmp_path: Path) -> None:
    for former, name in catalog.FORMER_RUNS.items():
        assert catalog.run_name(former) == name
        assert catalog.current(RUNS / former / "model") == RUNS / name / "model"
        with pytest.warns(FutureWarning, match=f'is called "{name}" now'):
            assert catalog.typed_run(former, catalog.runs()) == name
        assert catalog.typed_run(name, catalog.runs()) == name
    assert catalog.run_name("coconut", {"coconut": tmp_path}) == "coconut"  # a run of one's own has its name
    assert catalog.run_name("emergence/step") == "emergence/step"
    assert catalog.current(tmp_path / "coconut") == tmp_path / "coconut"
