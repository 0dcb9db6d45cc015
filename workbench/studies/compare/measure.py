"""What a run answers on a set of problems: a row per problem and question asked, kept beside the run.

Figures are derived from these rows alone (`outcome.py`), so nothing need be asked again to draw them otherwise.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl
import torch

from workbench.errors import WorkbenchError
from workbench.interventions.thoughts import Noise
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.provenance import provenance
from workbench.measure.trace import Answer, Asked, answers, sweep
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import blind_score, nearest_source
from workbench.problems.variants import drawn_rewrite, entity_swap
from workbench.studies.compare.passes import compare_passes
from workbench.studies.tables import TableWriter, to_arrow
from workbench.train.methods import METHODS
from workbench.train.state import newest_model

ANSWERS_SCHEMA = 1
"""Version of the columns of `answers_frame`."""
FOLDER = "compare"
"""Of a run directory: what was measured for comparisons."""
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "variant": pl.Enum(["itself", "swap", "rewrite"]),
    "pair": pl.String,
    "thoughts": pl.Int16,
    "says": pl.Enum(["answer", "chain"]),
    "edit": pl.Enum(["none", "noise"]),
    "own": pl.Boolean,
    "right": pl.Boolean,
    "valid": pl.Boolean,
    "tokens": pl.Int32,
    "answer": pl.String,
    "said": pl.String,
    "behaviour": pl.Enum([behaviour.value for behaviour in Behaviour]),
    "nearest_source": pl.Float64,
}


def measure(directory: Path, sets: dict[str, Path], seed: int = 0) -> None:
    """Ask a run's newest model the problems of some sets, those it has not been asked.

    Args:
        directory: A run directory.
        sets: Problem files by name.
        seed: Draws rewrites and noise.
    """
    step, model = newest_model(directory)
    if model is None:
        raise WorkbenchError(
            f"There is nothing to measure in {directory.name}/.", "No model was saved yet.", "Train it first."
        )
    due = {name: file for name, file in sets.items() if not is_measured(directory, name, file)}
    if not due:
        return
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(model)
    for name, file in due.items():
        key, problems = measure_key(model, file), load_any(file)
        frame = answers_frame(checkpoint, problems, seed)
        (directory / FOLDER).mkdir(exist_ok=True)
        path = directory / FOLDER / f"{name}.parquet"
        passes = None
        if checkpoint.pause is not None and checkpoint.says == "answer":
            passes = asdict(compare_passes(checkpoint, problems))
        origin = {
            "key": key,
            "passes": passes,
            "step": step,
            "thoughts": checkpoint.thoughts,
            **asdict(provenance(seed)),
        }
        with TableWriter(path, ANSWERS_SCHEMA, origin) as writer:
            writer.write(to_arrow(frame))
        # The key comes last: without it the table counts as not there.
        path.with_suffix(".json").write_text(json.dumps(origin, indent=1, sort_keys=True) + "\n")


def measure_key(model: Path, file: Path) -> str:
    """Return a digest of a saved model, a problem file and the version of the table made from them."""
    digest = hashlib.sha256(f"answers {ANSWERS_SCHEMA}".encode())
    for path in (*sorted(model.glob("*.safetensors")), model / "config.json", model / "tokenizer.json", file):
        if path.exists():
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def is_measured(directory: Path, name: str, file: Path) -> bool:
    """Say whether a run's newest model was asked this file, and the answers are there."""
    _, model = newest_model(directory)
    about = directory / FOLDER / f"{name}.json"
    if model is None or not about.exists() or not about.with_suffix(".parquet").exists():
        return False
    return json.loads(about.read_text())["key"] == measure_key(model, file)


def answers_frame(checkpoint: Checkpoint, problems: Sequence[Problem | Item], seed: int = 0) -> pl.DataFrame:
    """Ask a checkpoint everything that the report needs and return a row per problem and question.

    Columns:
        problem: id. variant: the problem itself, its entity-swapped twin, or one of its edge rewrites, drawn by the
        seed. pair: names the problem and its swapped twin together, null where there is no twin.
        thoughts: how many, k. says: whether the answer was forced after them or a chain begun. edit: "noise" where
        vectors of the same length in random directions were fed in the slots. own: as the method
        was trained to answer.
        right, valid: of the answer. tokens: thoughts and generated tokens. answer, said: the words.
        behaviour: category of a chain, or of the own answer; null elsewhere and where a task has no graph.
        nearest_source: score of that query-blind rule, null where there is no graph.

    Asked are: the own form after k = 0..2K thoughts; chains after k = 0..K (of methods that ever saw a chain, in whole
    steps); twins and rewrites in the own form; the own form with noise in its slots.
    """
    own = (checkpoint.thoughts, checkpoint.says)
    asked = questions(checkpoint)
    rows: list[dict[str, object]] = []
    blind = {p.id: blind_score(p, nearest_source) for p in problems if isinstance(p, Problem)}
    per_step = int(str(checkpoint.meta.get("thoughts_per_step", 1)))

    def add(variant: str, original: str, pair: str | None, one: Asked, answer: Answer, edit: str = "none") -> None:
        k, says = one
        plain = variant == "itself" and edit == "none"
        told = plain and (says == "chain" or one == own)
        rows.append(
            {
                "problem": original, "variant": variant, "pair": pair, "thoughts": k, "says": says, "edit": edit,
                "own": one == own and edit == "none", "right": answer.right, "valid": answer.valid,
                "tokens": answer.tokens, "answer": answer.text, "said": answer.said,
                "behaviour": _category(answer, k // per_step) if told else None,
                "nearest_source": blind.get(original),
            }
        )  # fmt: skip

    ordered = sorted(problems, key=lambda problem: len(problem.question))
    twins = {p.id: twin for p in ordered if isinstance(p, Problem) and (twin := entity_swap(p)) is not None}
    pairs = {p.id: _pair(p.question, twins[p.id].question) for p in ordered if p.id in twins}
    for found in sweep(checkpoint, ordered, asked):
        for one, answer in zip(asked, found, strict=True):
            add("itself", answer.problem.id, pairs.get(answer.problem.id), one, answer)
    for id, answer in zip(twins, answers(checkpoint, twins.values()), strict=True):
        add("swap", id, pairs[id], own, answer)
    rewrites = {p.id: drawn for p in ordered if isinstance(p, Problem) and (drawn := drawn_rewrite(p, seed))}
    for id, answer in zip(rewrites, answers(checkpoint, rewrites.values()), strict=True):
        add("rewrite", id, None, own, answer)
    if checkpoint.thoughts:
        for problem, answer in zip(
            ordered, answers(checkpoint, ordered, interventions=[Noise(seed=seed)]), strict=True
        ):
            add("itself", problem.id, pairs.get(problem.id), own, answer, "noise")
    place = {problem.id: number for number, problem in enumerate(problems)}
    rows.sort(key=lambda row: place[str(row["problem"])])  # stable: a problem's questions stay in their order
    return pl.DataFrame(rows, schema=COLUMNS)


def questions(checkpoint: Checkpoint) -> list[Asked]:
    """Return what is asked of every problem: numbers of thoughts and what follows them."""
    thoughts, says = checkpoint.thoughts, checkpoint.says
    asked = [(k, says) for k in range(2 * thoughts + 1)]
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    if method is None or method.said != "none":  # else it never saw a chain, and none is forced on it
        per_step = int(str(checkpoint.meta.get("thoughts_per_step", 1)))
        asked += [(k, "chain") for k in range(0, thoughts + 1, per_step) if (k, "chain") not in asked]
    return asked


def read_answers(directory: Path, name: str) -> tuple[pl.DataFrame, dict[str, object]]:
    """Return the rows of a measured set and what they were made from."""
    path = directory / FOLDER / f"{name}.parquet"
    return pl.read_parquet(path), json.loads(path.with_suffix(".json").read_text())


def _category(answer: Answer, steps: int) -> str | None:
    """Return the behaviour category of what was said after so many steps' thoughts; None where there is no graph."""
    if not isinstance(answer.problem, Problem):
        return None
    return classify(answer.problem, answer.said, steps).value


def _pair(question: str, twin: str) -> str:
    """Return a name for two questions that does not depend on which of them is in the file."""
    return hashlib.sha256("\n".join(sorted((question, twin))).encode()).hexdigest()[:16]
