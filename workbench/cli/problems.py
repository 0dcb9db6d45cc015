"""The commands `workbench problems ...`: generate problem files, and check them."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.errors import WorkbenchError

problems_app = typer.Typer(
    help="Generate and check problems: ProsQA, ProntoQA, arithmetic.", no_args_is_help=True, rich_markup_mode="rich"
)

ProblemFile = Annotated[Path, typer.Argument(metavar="PROBLEMS", help="A file of problems, ours or official.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


Task = Annotated[str, typer.Option(help="prosqa (default), prontoqa or arithmetic; of a file it shows by itself.")]


@problems_app.command(
    epilog="Example:  workbench problems generate balanced --count 500 --hops 3-6 --out mine.json\n\n"
    "Example:  workbench problems generate --task arithmetic --split test --out sums.json"
)
def generate(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write them.")],
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="ProsQA: algorithm1, released or balanced.")] = "",
    task: Task = "prosqa",
    count: Annotated[int, typer.Option(min=1, help="Number of problems.")] = 500,
    hops: Annotated[
        str | None,
        typer.Option(help='Hops from root to target, such as "4" or "3-6", as released by default; ProntoQA: 1 to 10.'),
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Node slots of a graph, about a fifth of which stay empty.")] = None,
    split: Annotated[str, typer.Option(help="Of the other tasks: train or test.")] = "train",
    limit: Annotated[int | None, typer.Option(help="Of arithmetic: the largest number; 99 by default.")] = None,
    seed: Seed = 0,
) -> None:
    """Generate problems, each checked by its oracle."""
    writable(out)
    if task != "prosqa":
        _generate_items(task, out, count, seed, split, hops, limit, family, nodes)
        typer.echo(f"Wrote {count} problems to {out}")
        return
    if not family:
        why = "ProsQA has several families of graphs."
        raise WorkbenchError("No FAMILY was given.", why, "Name algorithm1, released or balanced, or another --task.")
    if limit is not None or split != "train":
        why = "They are options of --task prontoqa and --task arithmetic."
        raise WorkbenchError("ProsQA has no --split and no --limit.", why, "Leave them out.")
    from workbench.problems.files import save_problems
    from workbench.problems.sets import generate as make

    made = make(family, count, seed, hop_weights(hops), nodes)
    save_problems(made, out)
    typer.echo(f"Wrote {len(made)} problems to {out}")


def _generate_items(
    task: str,
    out: Path,
    count: int,
    seed: int,
    split: str,
    hops: str | None,
    limit: int | None,
    family: str,
    nodes: int | None,
) -> None:
    """Generate problems of the tasks without graphs; options of other tasks are refused."""
    from workbench.problems.arithmetic import LIMIT
    from workbench.problems.files import save_items
    from workbench.problems.prontoqa import HOPS
    from workbench.problems.sets import check_split, check_task
    from workbench.problems.sets import generate_items as make

    check_task(task)
    foreign = {
        "FAMILY": bool(family),
        "--nodes": nodes is not None,
        "--hops": hops is not None and task != "prontoqa",
        "--limit": limit is not None and task != "arithmetic",
    }
    if any(foreign.values()):
        names = ", ".join(name for name, given in foreign.items() if given)
        raise WorkbenchError(f"The task {task} has no {names}.", "It belongs to another task.", "Leave it out.")
    if hops is not None and not hops.isdecimal():
        why = "A ProntoQA file has one number of hops."
        raise WorkbenchError(f'"{hops}" is no number of hops.', why, "Write --hops 5.")
    length, largest = int(hops or HOPS), LIMIT if limit is None else limit
    made = make(task, count, seed, check_split(split), hops=length, limit=largest)
    save_items(made, out)


@problems_app.command(epilog="Example:  workbench problems check fixtures/problems/released.json")
def check(problems: ProblemFile) -> None:
    """Check every problem of a file, and say what rules score that do not reason."""
    from workbench.problems.files import load_any
    from workbench.problems.problem import Item
    from workbench.problems.shortcuts import blind_accuracies, shortcut_accuracies

    loaded = load_any(problems)
    items = [problem for problem in loaded if isinstance(problem, Item)]
    if items:
        tasks = sorted({item.task for item in items})
        checked = "all sound" if set(tasks) <= {"prontoqa", "arithmetic"} else "all of the right form"
        typer.echo(f"{len(items)} problems ({', '.join(tasks)}), {checked}")
        for rule, accuracy in shortcut_accuracies(items).items() if len(tasks) == 1 else ():
            typer.echo(f"  rule that does not reason, {rule}: {accuracy:.3f}")
        return
    typer.echo(f"{len(loaded)} problems, all sound")
    graphs = [problem for problem in loaded if not isinstance(problem, Item)]
    for rule, accuracy in blind_accuracies(graphs).items():
        typer.echo(f"  query-blind rule, {rule}: {accuracy:.3f}")


@problems_app.command(epilog="Example:  workbench problems tasks --out fixtures/tasks")
def tasks(out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the files.")]) -> None:
    """Make the ProntoQA and arithmetic problems that ship again; the same bytes every time."""
    from workbench.problems.sets import make_task_sets

    for name, count in make_task_sets(out).items():
        typer.echo(f"{out / name}: {count} problems")


@problems_app.command(epilog="Example:  workbench problems sets --out fixtures/problems")
def sets(out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the files.")], seed: Seed = 0) -> None:
    """Make the problem sets that ship again; the same seed gives the same bytes."""
    from workbench.problems.sets import make_problem_sets

    for name, count in make_problem_sets(out, seed).items():
        typer.echo(f"{out / name}: {count} problems")


def hop_weights(text: str | None) -> dict[int, float] | None:
    """Read "4", "3-6" or "3,5" as equal weights of these distances; None for none given."""
    if text is None:
        return None
    weights: dict[int, float] = {}
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.strip().isdecimal() for end in ends) or int(ends[0]) > int(ends[-1]):
            raise WorkbenchError(
                f'"{text}" is no range of hops.', f'"{part.strip()}" cannot be read.', 'Write "4", "3-6" or "3,5".'
            )
        weights |= dict.fromkeys(range(int(ends[0]), int(ends[-1]) + 1), 1.0)
    return weights


def writable(file: Path) -> None:
    """Say before the work, not after it, that its result has no place."""
    if file.is_dir():
        raise WorkbenchError(f"Cannot write {file}.", "It is a directory.", "Name a file.")
    if not file.resolve().parent.is_dir():
        raise WorkbenchError(f"Cannot write {file}.", "Its directory does not exist.", "Make it, or name another.")
