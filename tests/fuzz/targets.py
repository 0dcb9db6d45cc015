"""What reads the files and texts of others: for each of them sound examples, the damage done to them, and the trial."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutate import Damage, damage, damage_json, damage_value, damage_yaml
from workbench.errors import LONGEST_MESSAGE, WorkbenchError
from workbench.files import is_unfinished

ROOT = Path(__file__).parents[2]
RUN_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


@dataclass(frozen=True)
class Target:
    """One thing to try.

    Attributes:
        examples: Makes sound inputs.
        damage: Makes an input of a sound one.
        attempt: Reads an input, in a directory that is empty at first; raises `WorkbenchError` for what it refuses.
        share: How many of a thousand inputs are its.
    """

    examples: Callable[[Path], list[str]]
    damage: Damage
    attempt: Callable[[str, Path], None]
    share: int


def refused(target: Target, given: str, directory: Path) -> bool:
    """Try one input, and say whether it was refused.

    Raises:
        AssertionError: The message is too long, cannot be printed, or a file is left half written.
        Exception: Whatever foreign error the library lets through.
    """
    said = None
    try:
        target.attempt(given, directory)
    except WorkbenchError as error:
        said = str(error)
        assert len(said) <= LONGEST_MESSAGE, f"a message of {len(said)} characters"
        assert said.encode().decode() == said
    left = [path.name for path in directory.rglob("*") if is_unfinished(path)]
    assert not left, f"unfinished files are left: {left}"
    return said is not None


def _problem_files(_: Path) -> list[str]:
    from workbench.problems.files import load_problems
    from workbench.problems.networks import write_graph

    few = load_problems(ROOT / "fixtures" / "problems" / "released.json")[:3]
    texts = ["[" + ",".join(json.dumps(one) for one in json.loads(_first("problems/released.json", 2))) + "]"]
    for ending in ("graphml", "json"):
        file = _ / f"one.{ending}"
        write_graph(few[0], file)
        texts.append(file.read_text())
    items = [_first(f"tasks/{task}.json", 3) for task in ("arithmetic", "prontoqa")]
    lines = "\n".join(json.dumps(one) for one in json.loads(items[0]))
    gsm = json.dumps([{"question": "How many?", "answer": "It is 1+2=<<1+2=3>>3.\n#### 3"}])
    aug = json.dumps([{"question": "How many?", "cot": "<<1+2=3>>", "answer": "3"}])
    asked = {"question": "Max is a cat. Each cat is shy.", "query": "True or false: Max is shy.", "answer": "True"}
    example = asked | {"chain_of_thought": ["Max is a cat.", "Each cat is shy.", "Max is shy."]}
    return [*texts, *items, lines, gsm, aug, json.dumps({"example1": {"test_example": example}}), _ICOT]


_ICOT = "How many?||<<1+2=3>> <<3*2=6>> #### 6\nAnd now?||<<4-1=3>> #### 3\n"


def _expect(refusals: list[WorkbenchError], readers: int) -> None:
    """Raise the last refusal if all readers refused."""
    for one in refusals:
        assert len(str(one)) <= LONGEST_MESSAGE
    if len(refusals) == readers:
        raise refusals[-1]


def _first(name: str, count: int) -> str:
    return json.dumps(json.loads((ROOT / "fixtures" / name).read_text())[:count])


def _read_problems(given: str, directory: Path) -> None:
    from workbench.problems.files import load_any, load_items, load_problems, save_items, save_problems
    from workbench.problems.problem import Item
    from workbench.problems.shortcuts import shortcut_accuracies

    file = directory / "given.json"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    refusals = []
    for read in (load_problems, load_items, load_any):
        try:
            loaded = list(read(file))
        except WorkbenchError as error:
            refusals.append(error)
            continue
        items = [one for one in loaded if isinstance(one, Item)]
        again = directory / "again.json"
        if items:
            if len({item.task for item in items}) == 1:
                shortcut_accuracies(items)
            save_items(items, again)
            assert load_items(again) == items
        else:
            save_problems(loaded, again)  # type: ignore[arg-type]
            assert load_problems(again) == loaded
    _expect(refusals, 3)


def _questions(_: Path) -> list[str]:
    return [one["question"] for one in json.loads(_first("problems/released.json", 12))]


def _read_question(given: str, _: Path) -> None:
    from workbench.problems.prosqa import parse_question
    from workbench.problems.validator import check

    assert not check(parse_question(given))


def _configurations(_: Path) -> list[str]:
    return [file.read_text() for file in sorted((ROOT / "configs").glob("*.yaml"))]


def _read_configuration(given: str, directory: Path) -> None:
    from workbench.train.config import load_config, notes, save_config

    file = directory / "given.yaml"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    config = load_config(file)
    notes(config)
    save_config(config, directory / "again.yaml")
    assert load_config(directory / "again.yaml") == config


def _suites(_: Path) -> list[str]:
    suites, configs = ROOT / "configs" / "suites", ROOT / "configs"
    texts = [file.read_text() for file in sorted(suites.glob("*.yaml")) if "tasks:" in file.read_text()]
    texts = [text.replace("../../", f"{ROOT}/").replace("../", f"{configs}/") for text in texts]
    return [text.replace(": smoke-", f": {suites}/smoke-") for text in texts]


def _read_suite(given: str, directory: Path) -> None:
    from workbench.studies.compare.suite import load_suite, plan_runs

    file = directory / "given.yaml"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    plan_runs(load_suite(file), directory / "out")


def _names(_: Path) -> list[str]:
    return ["fixtures/runs/none", "configs/words-four.yaml", f"{ROOT}/fixtures/problems", "../none.json"]


def _read_name(given: str, directory: Path) -> None:
    from workbench.model.checkpoint import find
    from workbench.problems.files import load_any
    from workbench.settings import read_settings

    path = f"{directory}/{given}"  # never the name of a model on the hub
    for read in (lambda: find(path), lambda: load_any(Path(path))):
        with suppress(WorkbenchError):
            read()
    read_settings(Path(path), "configuration")


_PLAN = """freeze: true
interventions:
- {kind: remove, at: [2, 3]}
- {kind: noise, at: [1], strength: 0.5, seed: 3}
"""


def _plans(_: Path) -> list[str]:
    from workbench.interventions.plan import Plan
    from workbench.interventions.text import KINDS, to_address, to_yaml

    made = []
    for kind in KINDS.values():
        with suppress(TypeError, WorkbenchError):
            made.append(kind())
    plans = [Plan((one,)) for one in made] + [Plan(tuple(made[:8]), freeze=True)]
    return [_PLAN, *map(to_yaml, plans), *map(to_address, plans)]


def _read_plan(given: str, _: Path) -> None:
    from workbench.interventions.text import from_address, from_yaml, to_address, to_code, to_yaml

    refusals = []
    for read in (from_yaml, from_address):
        try:
            plan = read(given)
        except WorkbenchError as error:
            refusals.append(error)
            continue
        to_code(plan)
        assert from_yaml(to_yaml(plan)) == plan
        if len(to_address(plan)) <= 4000:
            assert from_address(to_address(plan)) == plan
    _expect(refusals, 2)


def _runs(directory: Path) -> list[str]:
    """Return run directories as JSON: file to content, safetensors a byte a character."""
    from tests.conftest import tiny
    from workbench.model.checkpoint import save_checkpoint

    made = []
    for family in ("qwen2", "llama", "gpt2"):
        place = save_checkpoint(tiny(family), directory / family)
        files = {name: (place / name).read_text() for name in RUN_FILES if (place / name).exists()}
        weights = (place / "model.safetensors").read_bytes().decode("latin-1")
        settings = (ROOT / "fixtures" / "runs" / "reference_asked" / "config.yaml").read_text()
        metrics = '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n'
        made.append(json.dumps({"model/" + name: text for name, text in files.items()} | {
            "model/model.safetensors": weights, "config.yaml": settings, "metrics.jsonl": metrics,
        }))  # fmt: skip
    return made


_INDEX = {"metadata": {"total_size": 1}, "weight_map": {"model.norm.weight": "model.safetensors"}}


def _damage_run(rng, given: str, others: Sequence[str]) -> str:
    files = json.loads(given)
    name = rng.choice((*["model/config.json"] * 8, *files, "model/model.safetensors.index.json"))
    text = files.get(name, json.dumps(_INDEX))
    if name.endswith("index.json"):
        files["model/part.safetensors"] = files["model/model.safetensors"]
        if rng.random() < 0.7:
            files.pop("model/model.safetensors")
    if name.endswith(".json"):
        files[name] = damage_json(rng, text, [files["model/config.json"]])
    elif name.endswith(".safetensors"):
        head = rng.choice((len(text), 8, 2000))  # its header says where each tensor lies
        files[name] = damage(rng, text[:head], [text[:2000]]).encode("latin-1", "replace").decode("latin-1")
        files[name] += text[head:]
    else:
        files[name] = damage(rng, text, others)
    if rng.random() < 0.05:
        del files[name]
    if rng.random() < 0.1:  # two faults at a time
        config = files.get("model/config.json", "{}")
        with suppress(ValueError, RecursionError):
            files["model/config.json"] = json.dumps(damage_value(rng, json.loads(config)))
    return json.dumps(files)


def _read_run(given: str, directory: Path) -> None:
    from workbench.model.checkpoint import load_checkpoint
    from workbench.model.supervision import Supervision
    from workbench.train.loop import read_metrics
    from workbench.train.state import newest_model, stage_checkpoints

    for name, text in json.loads(given).items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        encoding = ("latin-1", "replace") if name.endswith(".safetensors") else ("utf-8", "surrogatepass")
        file.write_bytes(text.encode(*encoding))
    newest_model(directory)
    for read in (read_metrics, stage_checkpoints):
        with suppress(WorkbenchError):
            read(directory)
    with suppress(WorkbenchError):
        Supervision.read({"method": "coconut_words"}, directory / "model")
    checkpoint = load_checkpoint(directory)
    assert str(checkpoint.supervision)
    assert str(checkpoint.recurrence)


TARGETS = {
    "problems": Target(_problem_files, damage_json, _read_problems, 400),
    "question": Target(_questions, damage, _read_question, 200),
    "configuration": Target(_configurations, damage_yaml, _read_configuration, 130),
    "suite": Target(_suites, damage_yaml, _read_suite, 50),
    "intervention": Target(_plans, damage_yaml, _read_plan, 180),
    "name": Target(_names, damage, _read_name, 20),
    "run": Target(_runs, _damage_run, _read_run, 40),
}


@dataclass
class Found:
    """What is wrong with the answer to one input."""

    target: str
    kind: str
    why: str
    given: str = field(repr=False)
