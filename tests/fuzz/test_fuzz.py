"""Damaged inputs of every kind are read or refused with words: those once found, and some hundred drawn anew.

Many more: `python -m tests.fuzz --minutes 60`.
"""

import json
import random
import resource
import time
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, refused

CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text())
COUNTS = {"problems": 40, "question": 50, "configuration": 60, "suite": 12, "intervention": 50, "name": 15, "run": 8}
"""Inputs of each kind that are drawn here."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of networkx and transformers, about what is damaged


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return {name: target.examples(tmp_path_factory.mktemp(name)) for name, target in TARGETS.items()}


def spelt(entry: dict, run: str) -> str:
    """Return the input of an entry: text, parts of it repeated, or changes of a sound run directory."""
    if "input" in entry:
        return "".join(part if isinstance(part, str) else part[0] * part[1] for part in entry["input"])
    files = json.loads(run)
    for name, change in entry["run"].items():
        if isinstance(change, dict):
            change = json.dumps(json.loads(files.get(name, "{}")) | change)
        files[name] = change
    return json.dumps({name: text for name, text in files.items() if text is not None})


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: f"{entry['target']}-{entry['found'][:40]}")
def test_what_was_once_found_is_answered(entry: dict, examples: dict[str, list[str]], tmp_path: Path) -> None:
    given = spelt(entry, examples["run"][0])
    began = time.process_time()
    assert refused(TARGETS[entry["target"]], given, tmp_path) is not entry.get("accepted", False)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", TARGETS)
def test_damage_is_answered_with_words(name: str, examples: dict[str, list[str]], tmp_path: Path) -> None:
    target, known = TARGETS[name], examples[name]
    for number, given in enumerate([] if name == "name" else known[:1] if name == "run" else known):
        (tmp_path / f"sound-{number}").mkdir()
        assert not refused(target, given, tmp_path / f"sound-{number}")
    before, answers = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, set()
    for number in range(COUNTS[name]):
        rng = random.Random(f"{name}{number}")
        directory = tmp_path / str(number)
        directory.mkdir()
        began = time.process_time()
        answers.add(refused(target, target.damage(rng, rng.choice(known), known), directory))
        assert time.process_time() - began < 10
    assert True in answers  # that what is sound is read was asked above; whether a blow leaves it sound is chance
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 2**20  # kilobytes
