"""What a run is asked on a set of problems, kept beside the run: its answers, or what its thoughts hold; and its time.

Figures are derived from these rows alone (`outcome.py`, `factorial.py`), so that nothing need be asked again to draw
them otherwise.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.files import file_sha256, replacing
from workbench.interventions.run import run_intervened
from workbench.interventions.thoughts import Noise
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.provenance import provenance
from workbench.measure.trace import Answer, Asked, answers, sweep
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.model.coconut import lm_head
from workbench.model.session import Batch, Branches, Session, arrays_in_batches
from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import blind_score, nearest_source
from workbench.problems.variants import drawn_rewrite, entity_swap
from workbench.studies.artefacts import write_manifest, write_table
from workbench.studies.compare.samples import SAMPLES_SCHEMA, samples_frame
from workbench.studies.compare.suite import Page
from workbench.studies.compare.thoughts import THOUGHTS_SCHEMA, thoughts_frame
from workbench.train.config import load_config, save_config
from workbench.train.methods import METHODS
from workbench.train.state import DIGESTS, newest_model

ANSWERS_SCHEMA = 2
"""Version of the columns of `answers_frame`."""
ENDINGS: dict[Page, str] = {"comparison": "", "superposition": "-thoughts", "variants": "-samples"}
"""Of the names of tables."""
FOLDER = "compare"
"""Of a run directory: what was measured for comparisons."""
SETTINGS = ("config.json", "tokenizer.json")
"""Files of a model, beside its weights, on which an answer depends."""
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "problem": pl.String,
    "graph": pl.String,
    "variant": pl.Enum(["itself", "swap", "rewrite"]),
    "pair": pl.String,
    "thoughts": pl.Int16,
    "says": pl.Enum(["answer", "chain"]),
    "edit": pl.Enum(["none", "noise"]),
    "own": pl.Boolean,
    "right": pl.Boolean,
    "valid": pl.Boolean,
    "choice": pl.Float64,
    "tokens": pl.Int32,
    "answer": pl.String,
    "said": pl.String,
    "behaviour": pl.Enum([behaviour.value for behaviour in Behaviour]),
    "nearest_source": pl.Float64,
}


def measure(directory: Path, sets: dict[str, Path], seed: int = 0, page: Page = "comparison") -> None:
    """Ask a run's newest model the problems of some sets, those it has not been asked.

    Args:
        directory: A run directory.
        sets: Problem files by name.
        seed: Draws rewrites and noise.
        page: What it is measured for.
    """
    step, model = newest_model(directory)
    if model is None:
        raise WorkbenchError(
            f"There is nothing to measure in {directory.name}/.", "No model is here.", "Train it first."
        )
    due = {name: file for name, file in sets.items() if not is_measured(directory, name, file, page)}
    if not due:
        return
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(model)
    frame_of, schema = MEASURED[page]
    for name, file in due.items():
        key, problems = measure_key(model, file, page), load_any(file)
        frame = frame_of(checkpoint, problems, seed)
        path = _table(directory, name, page)
        passes = None
        if page == "comparison" and checkpoint.pause is not None and checkpoint.says == "answer":
            passes = compare_passes(checkpoint, problems)
        about = {"key": key, "passes": passes, "step": step, "thoughts": checkpoint.thoughts}
        origin = {**about, **asdict(provenance(seed))}
        write_table(path, frame, schema, origin)
        write_manifest(path.with_suffix(".json"), origin)  # last: without it the table counts as not there


def measure_key(model: Path, file: Path, page: Page = "comparison") -> str:
    """Return a digest of a saved model, a problem file and the version of the table made from them."""
    return made_of(model, file, f"{'answers' if page == 'comparison' else page} {MEASURED[page][1]}")


def made_of(model: Path, file: Path, what: str) -> str:
    """Return a digest of a saved model, a problem file and what is made of them, its version included."""
    digest = hashlib.sha256(what.encode())
    for one in (*_digests(model).values(), *([file_sha256(file)] if file.exists() else [])):
        digest.update(bytes.fromhex(one))
    return digest.hexdigest()


def _digests(model: Path) -> dict[str, str]:
    """Return the digest of each file of a model, by name: weights, then settings; of what is not there, as kept."""
    kept = (model / DIGESTS).read_text().splitlines() if (model / DIGESTS).exists() else []
    known = {name: digest for digest, _, name in (line.partition("  ") for line in kept)}
    weights = [path.name for path in sorted(model.glob("*.safetensors"))]
    weights = weights or [name for name in known if name.endswith(".safetensors")]
    present = {name: file_sha256(model / name) for name in (*weights, *SETTINGS) if (model / name).exists()}
    return {name: (known | present)[name] for name in (*weights, *SETTINGS) if name in known | present}


def keep_results(directory: Path, to: Path, start: str) -> None:
    """Copy what a page needs of a finished run: its configuration, curves, costs and tables, and no weights.

    The digests of weights and tokenizer stand in their place, so that the tables are still known to be of that model.
    Where a copy is there already, it is replaced.

    Args:
        directory: A run directory with a model.
        to: Of the copy.
        start: What the copied configuration names as its start, in place of a path of this machine.

    Raises:
        WorkbenchError: There is no model.
    """
    _, model = newest_model(directory, weights=False)
    if model is None:
        raise WorkbenchError(f"{directory.name} has no model.", "It was not trained yet.", "Train it first.")
    with replacing(to, folder=True) as part:
        save_config(replace(load_config(directory / "config.yaml"), start=start), part / "config.yaml")
        for name in ("metrics.jsonl", "costs.jsonl"):
            if (directory / name).exists():
                shutil.copyfile(directory / name, part / name)
        # Of an audit the card and its table: the page has 5 MB with its plotly.min.js.
        left = shutil.ignore_patterns("index.html", "plotly.min.js", "parts", "*-emergence")
        shutil.copytree(directory / FOLDER, part / FOLDER, dirs_exist_ok=True, ignore=left)
        (part / "model").mkdir()
        if (model / "config.json").exists():
            shutil.copyfile(model / "config.json", part / "model" / "config.json")
        lines = [f"{digest}  {name}\n" for name, digest in _digests(model).items()]
        (part / "model" / DIGESTS).write_text("".join(lines))


def is_measured(directory: Path, name: str, file: Path, page: Page = "comparison") -> bool:
    """Say whether a run's newest model was asked this file, and the table is there."""
    _, model = newest_model(directory, weights=False)
    path = _table(directory, name, page)
    about = path.with_suffix(".json")
    if model is None or not about.exists() or not path.exists():
        return False
    return json.loads(about.read_text())["key"] == measure_key(model, file, page)


def _table(directory: Path, name: str, page: Page) -> Path:
    return directory / FOLDER / f"{name}{ENDINGS[page]}.parquet"


def answers_frame(checkpoint: Checkpoint, problems: Sequence[Problem | Item], seed: int = 0) -> pl.DataFrame:
    """Ask a checkpoint everything that the report needs and return a row per problem and question.

    Columns are described in the data dictionary (`measure.columns`, table "answers").

    Asked are: the own form after k = 0..2K thoughts; chains after k = 0..K (of methods that ever saw a chain, in whole
    steps); twins and rewrites in the own form; the own form with noise in its slots. The forced choice stands beside
    the own answer, the one after no thoughts and the one after noise, where the answer follows at once.
    """
    own, says = (checkpoint.thoughts, checkpoint.says), checkpoint.says
    asked = questions(checkpoint)
    rows: list[dict[str, object]] = []
    graphs = {problem.id: problem.graph for problem in problems}
    blind = {p.id: blind_score(p, nearest_source) for p in problems if isinstance(p, Problem)}
    per_step = int(str(checkpoint.meta.get("thoughts_per_step", 1)))

    ordered = sorted(problems, key=lambda problem: len(problem.question))
    choices: dict[tuple[str, Asked, str], float] = {}
    if says == "answer":
        noise = [[Noise(seed=seed)]] if checkpoint.thoughts else []
        chosen = run_intervened(checkpoint, ordered, [[], *noise])
        kept = {(own, edit): one for edit, one in zip(("none", "noise"), chosen, strict=False)}
        kept |= {((0, says), "none"): run_intervened(checkpoint, ordered, [[]], 0)[0]} if checkpoint.thoughts else {}
        choices = {
            (problem.id, *key): value
            for key, one in kept.items()
            for problem, value in zip(ordered, one.choice.tolist(), strict=True)
        }

    def add(variant: str, original: str, pair: str | None, one: Asked, answer: Answer, edit: str = "none") -> None:
        k, says = one
        plain = variant == "itself" and edit == "none"
        told = plain and (says == "chain" or one == own)
        rows.append(
            {
                "problem": original, "graph": graphs[original], "variant": variant, "pair": pair, "thoughts": k,
                "says": says, "edit": edit,
                "own": one == own and edit == "none", "right": answer.right, "valid": answer.valid,
                "choice": choices.get((original, one, edit)) if variant == "itself" else None,
                "tokens": answer.tokens, "answer": answer.text, "said": answer.said,
                "behaviour": _category(answer, k // per_step) if told else None,
                "nearest_source": blind.get(original),
            }
        )  # fmt: skip

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
    return pl.DataFrame(rows, schema=COLUMNS).with_columns(pl.col("choice").fill_nan(None))


def questions(checkpoint: Checkpoint) -> list[Asked]:
    """Return what is asked of every problem: numbers of thoughts and what follows them."""
    thoughts, says = checkpoint.thoughts, checkpoint.says
    asked = [(k, says) for k in range(2 * thoughts + 1)]
    method = METHODS.get(str(checkpoint.meta.get("method", "")))
    if method is None or method.said != "none":  # else it never saw a chain, and none is forced on it
        per_step = int(str(checkpoint.meta.get("thoughts_per_step", 1)))
        asked += [(k, "chain") for k in range(0, thoughts + 1, per_step) if (k, "chain") not in asked]
    return asked


MEASURED: dict[Page, tuple[Callable[..., pl.DataFrame], int]] = {
    "comparison": (answers_frame, ANSWERS_SCHEMA),
    "superposition": (thoughts_frame, THOUGHTS_SCHEMA),
    "variants": (samples_frame, SAMPLES_SCHEMA),
}
"""By page: from a checkpoint, problems and a seed to the table that it is made from, and the version of its columns."""


def read_measured(directory: Path, name: str, page: Page = "comparison") -> tuple[pl.DataFrame, dict[str, object]]:
    """Return the rows of a measured set and what they were made from."""
    path = _table(directory, name, page)
    return pl.read_parquet(path), json.loads(path.with_suffix(".json").read_text())


def _category(answer: Answer, steps: int) -> str | None:
    """Return the behaviour category of what was said after the thoughts of some steps; None where there is no graph."""
    if not isinstance(answer.problem, Problem):
        return None
    return classify(answer.problem, answer.said, steps).value


def _pair(question: str, twin: str) -> str:
    """Return a name for two questions that does not depend on which of them is in the file."""
    return hashlib.sha256("\n".join(sorted((question, twin))).encode()).hexdigest()[:16]


# Pause tokens, read at once and one by one: the same computation, so that the same answers must come out. A pause token
# does not depend on what came before it; Coconut's thoughts do. One by one takes as many passes as Coconut needs: the
# compute-matched control of 2606.12689 and of bmarti44/research-pipeline.


def compare_passes(
    checkpoint: Checkpoint, problems: Sequence[Problem | Item], batch_size: int = 64
) -> dict[str, int | float]:
    """Answer problems of a pause-token model in one pass each and in K + 1, and compare the answer's first token.

    Args:
        checkpoint: Feeds pause tokens, and answers right after them.
        problems: Of its task.
        batch_size: Problems run at a time.

    Returns:
        problems; same: how many begin the same answer; max_difference: the largest difference of any logit there.
    """
    form, model, count = checkpoint.format, checkpoint.model, checkpoint.thoughts

    def both(batch: Batch) -> dict[str, Tensor]:
        openings = [form.answer_opening(prompt) for prompt in batch.prompts]
        session = batch.session(count + max(map(len, openings)) + 1)
        session.think(count, pause=checkpoint.pause)
        several = Branches(session, [count]).say([[opening] for opening in openings])[:, 0]
        whole = [(*p.ids, *[form.marker.thought] * count, *o) for p, o in zip(batch.prompts, openings, strict=True)]
        one = lm_head(model, Session(model, whole, pad=form.pad, more=1).last)
        return {"same": one.argmax(-1) == several.argmax(-1), "difference": (one - several).abs().amax(-1)}

    found = arrays_in_batches(checkpoint, problems, both, batch_size)
    same, largest = int(found["same"].sum()), float(found["difference"].max())
    return {"problems": len(problems), "same": same, "max_difference": largest}


# Time: every method in turn on the same problems in one process, beside CoT in the same round. Wall time on a shared
# machine: the ratio to CoT is the number to read, since what slows one slows the other.


BATCH = 64
ROUNDS = 3
TIMED_AGAINST = "cot"


@dataclass(frozen=True)
class Timing:
    """What one problem takes one method, from question to answer, prompt included."""

    method: str
    alone: float
    """Median seconds at batch 1, over problems and rounds."""
    batched: float
    """Median over rounds of seconds per problem at batch 64."""
    alone_ratio: float | None
    """To CoT: median over rounds of the ratio of medians; None where CoT is not there."""
    batched_ratio: float | None
    problems: int
    """How many were timed at batch 1; at batch 64 they are repeated to fill it."""


def time_methods(
    checkpoints: dict[str, Checkpoint], problems: Sequence[Problem | Item], rounds: int = ROUNDS
) -> list[Timing]:
    """Time methods, each once a round, after a round that does not count.

    Args:
        checkpoints: By method.
        problems: A few; the same for all.
        rounds: That count.
    """
    many = [problems[i % len(problems)] for i in range(BATCH)]
    alone: dict[str, list[np.ndarray]] = {method: [] for method in checkpoints}
    batched: dict[str, list[float]] = {method: [] for method in checkpoints}
    for number in range(rounds + 1):
        for method, checkpoint in checkpoints.items():
            one = np.array([_seconds(checkpoint, [problem]) for problem in problems])
            all_ = _seconds(checkpoint, many) / BATCH
            if number:
                alone[method].append(one)
                batched[method].append(all_)
    return [
        Timing(
            method,
            float(np.median(np.concatenate(alone[method]))),
            float(np.median(batched[method])),
            _ratio([float(np.median(one)) for one in alone[method]], alone.get(TIMED_AGAINST)),
            _ratio(batched[method], batched.get(TIMED_AGAINST)),
            len(problems),
        )
        for method in checkpoints
    ]


def timed(
    models: dict[str, Path], problems: Sequence[Problem | Item], cache: Path, key: str, rounds: int = ROUNDS
) -> list[Timing]:
    """Return timings from a file, or time the methods and write them there.

    Args:
        models: Saved models by method; those without their weights are left out.
        problems: A few.
        cache: A JSON file.
        key: Digest of models and problems.
        rounds: As `time_methods`.
    """
    if cache.exists():
        stored = json.loads(cache.read_text())
        if stored["key"] == key:
            return [Timing(**one) for one in stored["timings"]]
    models = {method: path for method, path in models.items() if any(path.glob("*.safetensors"))}
    if not models:  # results that were kept without weights
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = time_methods({method: load_checkpoint(path) for method, path in models.items()}, problems, rounds)
    finally:
        torch.set_num_threads(threads)
    write_manifest(cache, {"key": key, "timings": [asdict(one) for one in found]})
    return found


def _seconds(checkpoint: Checkpoint, problems: Sequence[Problem | Item]) -> float:
    began = time.perf_counter()
    list(answers(checkpoint, problems, batch_size=BATCH))
    return time.perf_counter() - began


def _ratio(own: list[float], reference: Sequence[float] | Sequence[np.ndarray] | None) -> float | None:
    if not reference:
        return None
    return float(np.median([a / float(np.median(b)) for a, b in zip(own, reference, strict=True)]))
