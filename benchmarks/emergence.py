"""When does the frontier appear in each thought? A run's checkpoints read on the same problems, beside controls.

    python -m benchmarks.emergence

Prints, for the model and each control, the mass on the frontier without the target by training step and thought, each
with its 95 % interval over graphs, its chance level and the number of problems; when it appears
(`readings.emergence.appearance`); and the share of answers exactly right after all thoughts. Markdown first, and the
same as one JSON object in the last line.
"""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from benchmarks.timing import finish, say
from workbench.measure.provenance import problems_digest, provenance
from workbench.measure.run_labels import RUN, title
from workbench.measure.statistics import summarise
from workbench.problems.files import load_problems
from workbench.readings.emergence import appearance, emergence
from workbench.train.state import stage_checkpoints

MASS = "mass_without_target"


def main(
    run: Annotated[Path, typer.Option(help="A run with its checkpoints.")] = Path("fixtures/runs/emergence"),
    problem_file: Annotated[Path, typer.Option("--problems")] = Path("fixtures/problems/small.json"),
    count: Annotated[int, typer.Option(help="Problems; the first of the file.")] = 500,
    controls: Annotated[str, typer.Option(help="With commas between.")] = "untrained,pause,shuffled",
    cache: Annotated[Path | None, typer.Option(help="Where tables are kept, to go on after an interruption.")] = None,
    seed: Annotated[int, typer.Option(help="Of controls and intervals.")] = 0,
) -> None:
    """Read every checkpoint of a run and say when the frontier appears."""
    problems, beside = load_problems(problem_file)[:count], [name for name in controls.split(",") if name]
    say(f"{len(stage_checkpoints(run))} checkpoints, {len(problems)} problems, {1 + len(beside)} runs at each")
    frame = emergence(run, problems, controls=beside, seed=seed, cache=cache)
    found = []
    for (label,), rows in frame.group_by(RUN, maintain_order=True):
        said = appearance(frame, MASS, seed, str(label)).to_dicts()
        print(f"\n**{title(str(label))}**, mass on the frontier without the target [95 % interval]\n")
        _table(rows, said, seed)
        last = rows.filter(pl.col("thought") == rows["thought"].max())
        right = summarise(last, "right", "step", seed=seed).sort("step").drop("chance")
        found.append(
            {
                "run": label, "appearance": said, "by_step": _by_step(rows, seed),
                "right": right.to_dicts(),
            }
        )  # fmt: skip
    origin = provenance(seed)
    finish(
        {
            "name": "emergence", "of": str(run), "problems": str(problem_file), "n": len(problems), "statistic": MASS,
            "runs": found, "seed": seed, "digest": problems_digest(problems), "commit": origin.commit,
            "versions": dict(origin.versions),
        }
    )  # fmt: skip


def _by_step(rows: pl.DataFrame, seed: int) -> list[dict]:
    """Return one object per thought and step: mean, interval, chance, n."""
    return summarise(rows, MASS, ["thought", "step"], seed=seed).sort("thought", "step").to_dicts()


def _table(rows: pl.DataFrame, said: list[dict], seed: int) -> None:
    steps = sorted(rows["step"].unique())
    by = {(one["thought"], one["step"]): one for one in _by_step(rows, seed)}
    thoughts = [one["thought"] for one in said]
    print("| step | " + " | ".join(f"thought {k}" for k in thoughts) + " | right after all |")
    print("|---|" + "---|" * (1 + len(thoughts)))
    last = rows.filter(pl.col("thought") == max(thoughts))
    right = {one["step"]: one for one in summarise(last, "right", "step", seed=seed).to_dicts()}
    for step in steps:
        cells = (f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for k in thoughts for one in [by[k, step]])
        answers = right[step]
        print(
            f"| {step} | "
            + " | ".join(cells)
            + f" | {answers['value']:.2f} [{answers['low']:.2f}, {answers['high']:.2f}] |"
        )
    about = {
        "chance": "chance",
        "n": "n",
        "above_chance_from": "above chance from step",
        "halfway": "half of the rise by",
    }
    for key, what in about.items():
        shown = ["–" if one[key] is None else f"{one[key]:.2f}" if key == "chance" else str(one[key]) for one in said]
        print(f"| {what} | {' | '.join(shown)} | |")


if __name__ == "__main__":
    typer.run(main)
