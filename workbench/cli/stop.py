"""The command `workbench stop`: how many thoughts are enough, by fixed numbers and by rules that look at a thought."""

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.arguments import (
    Address,
    BatchSize,
    EngineName,
    Gpus,
    ProblemFile,
    Run,
    Seed,
    Workers,
    engine_of,
    load_problems,
    load_run,
    writable,
)
from workbench.errors import WorkbenchError
from workbench.files import write_whole

if TYPE_CHECKING:
    from rich.table import Table

    from workbench.model.checkpoint import Checkpoint
    from workbench.problems.problem import Item, Problem
    from workbench.studies.stopping import Classifier, StopFigure, Thinking

HELD_BACK = 5
"""One problem in five of the fitting file chooses the thresholds and is not fitted on."""


def stop(
    run: Run,
    problems: ProblemFile,
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fit the classifier on four fifths of these problems and choose every threshold on the rest; "
            "they must be others than PROBLEMS.",
        ),
    ] = None,
    label: Annotated[
        Literal["reached", "right"],
        typer.Option(
            help="What the classifier is asked of a thought: whether it stands for the last step, or whether the "
            "answer after it is right."
        ),
    ] = "reached",
    classifier: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the classifier is kept; by default stop.safetensors in RUN."),
    ] = None,
    thoughts: Annotated[
        int | None, typer.Option(min=0, help="Most thoughts to try; by default twice the trained number.")
    ] = None,
    says: Annotated[
        Literal["answer", "chain"] | None,
        typer.Option(help="What follows the thoughts: the answer at once, or the rest of the chain in words first."),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table here as JSON.")] = None,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    engine: EngineName = "local",
    address: Address = None,
    workers: Workers = None,
    gpus: Gpus = 0.0,
) -> None:
    """Compare stop rules: accuracy against the number of thoughts, fixed or chosen problem by problem."""
    kept_at = classifier or (Path(run) / "stop.safetensors" if Path(run).is_dir() else None)
    for file in (json, kept_at if fit is not None else None):
        if file is not None:
            writable(file)
    if fit is not None and kept_at is None:
        raise WorkbenchError(
            "There is no place for the classifier.", f"{run} is no directory here.", "Name one: --classifier FILE"
        )
    judged, others = load_problems(problems), load_problems(fit) if fit is not None else []
    _apart(judged, others, problems, fit)
    checkpoint = load_run(run)
    from workbench.cli.terminal import progress, show
    from workbench.measure.provenance import provenance
    from workbench.studies.stopping import (
        curve_frame,
        load_classifier,
        rules_of,
        save_classifier,
        stop_curve,
        think_through,
    )

    learned, chosen_on = [], None
    with engine_of(engine, address, workers, gpus):
        if others and kept_at is not None:
            fitted, chosen_on = _fitted(checkpoint, others, label, thoughts, says, batch_size)
            learned.append(fitted)
            save_classifier(fitted, kept_at)
            typer.echo(f"Wrote {kept_at}", err=True)
        elif kept_at is not None and (kept_at.is_file() or classifier is not None):
            learned.append(load_classifier(kept_at, checkpoint))
        with progress(f"Thinking with {checkpoint.name}", len(judged)) as advance:
            thinking = think_through(checkpoint, judged, thoughts, batch_size, says, on_progress=advance)
    figures = stop_curve(thinking, rules_of(thinking, learned), chosen_on=chosen_on, seed=seed)
    show(stop_table(checkpoint.name, thinking, figures))
    if json is not None:
        made = {
            "checkpoint": checkpoint.name, "n": len(judged), "says": says or checkpoint.says,
            "trained": checkpoint.thoughts, "rules": curve_frame(figures).to_dicts(), **provenance(seed).as_dict(),
        }  # fmt: skip
        write_whole(json, jsonlib.dumps(made, indent=2) + "\n")
        typer.echo(f"Wrote {json}", err=True)


def stop_table(name: str, thinking: "Thinking", figures: "list[StopFigure]") -> "Table":
    """Lay out the figures of stop rules, a row each."""
    from workbench.cli.terminal import table

    made = table(
        f"{name} on {len(thinking.right)} problems; trained with {thinking.trained} thoughts",
        "95 % intervals over graphs. Gain: accuracy less that of the same numbers of thoughts, shuffled over the "
        "problems; where its interval holds 0, looking at the thought gained nothing.\n"
        "entropy: of the thought's LM head, in nats; reached, right: probability that the classifier gives. "
        f"They stop after {thinking.trained} thoughts at the latest. oracle: as many thoughts as steps.\n"
        "* chosen on other problems: fewest thoughts within .01 of the best accuracy of its kind.",
        ("rule", {"no_wrap": True}),
        *((column, {"no_wrap": True, "justify": "right"}) for column in ("thoughts", "accuracy", "gain")),
    )
    for figure in figures:
        gain = "–" if figure.gain.method == "exact" else str(figure.gain)
        title = f"{figure.title} *" if figure.chosen else figure.title
        made.add_row(
            title, f"{figure.thoughts.value:.2f}", str(figure.accuracy), gain, style="bold" if figure.chosen else None
        )
    return made


def _fitted(
    checkpoint: "Checkpoint",
    problems: "Sequence[Problem | Item]",
    label: Literal["reached", "right"],
    thoughts: int | None,
    says: str | None,
    batch_size: int,
) -> "tuple[Classifier, Thinking]":
    """Fit on the first problems of a file; return the classifier, and the last ones thought about, to choose on."""
    from workbench.cli.terminal import progress
    from workbench.studies.stopping import fit, think_through

    cut = len(problems) - len(problems) // HELD_BACK
    parts = []
    with progress("Fitting", len(problems)) as advance:
        for part, longest in ((problems[:cut], checkpoint.thoughts), (problems[cut:], thoughts)):
            parts.append(think_through(checkpoint, part, longest, batch_size, says, on_progress=advance))
    return fit(parts[0], checkpoint, label), parts[1]


def _apart(
    judged: "Sequence[Problem | Item]", others: "Sequence[Problem | Item]", file: Path, fit: Path | None
) -> None:
    """Check that no problem is both fitted on and judged."""
    shared = {problem.question for problem in judged} & {problem.question for problem in others}
    if shared:
        raise WorkbenchError(
            "A stop rule cannot be judged on the problems that it was fitted on.",
            f"{len(shared)} questions of {file} are in {fit} as well.",
            "Fit on others: workbench problems generate released --count 2000 --seed 7 --out FILE",
        )
    if others and len(others) < HELD_BACK:
        raise WorkbenchError(
            f"{fit} is too small to fit on.",
            f"It has {len(others)} problems, and one in {HELD_BACK} is held back to choose the threshold.",
            "Give some hundreds.",
        )
