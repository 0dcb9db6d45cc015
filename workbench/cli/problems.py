"""The commands `workbench problems ...`: generate problem files, and check them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli.arguments import ProblemFile, Seed, problem_file, writable
from workbench.errors import WorkbenchError

problems_app = typer.Typer(
    help="Generate and check problems: ProsQA, ProntoQA, arithmetic.", no_args_is_help=True, rich_markup_mode="rich"
)

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
    names: Annotated[
        Literal["released", "nouns"],
        typer.Option(help="ProsQA: concepts have the nonsense names of the released files, or English nouns."),
    ] = "released",
    split: Annotated[str, typer.Option(help="Of the other tasks: train or test.")] = "train",
    limit: Annotated[int | None, typer.Option(help="Of arithmetic: the largest number; 99 by default.")] = None,
    operations: Annotated[int | None, typer.Option(help="Of arithmetic: most operations, 6 by default.")] = None,
    seed: Seed = 0,
) -> None:
    """Generate problems, each checked by its oracle."""
    from workbench.problems.arithmetic import LIMIT, MOST
    from workbench.problems.files import save_items, save_problems
    from workbench.problems.prontoqa import HOPS
    from workbench.problems.sets import check_split, check_task
    from workbench.problems.sets import generate as make
    from workbench.problems.sets import generate_items as make_items

    writable(out)
    if task != "prosqa":
        check_task(task)
    given = {"FAMILY": family, "--nodes": nodes, "--hops": hops, "--limit": limit, "--operations": operations}
    own = {
        "prosqa": ("FAMILY", "--nodes", "--hops"),
        "prontoqa": ("--hops",),
        "arithmetic": ("--limit", "--operations"),
    }[task]
    foreign = [name for name, value in given.items() if value not in (None, "") and name not in own]
    foreign += ["--split"] if task == "prosqa" and split != "train" else []
    foreign += ["--names"] if task != "prosqa" and names != "released" else []
    if foreign:
        raise WorkbenchError(
            f"The task {task} has no {', '.join(foreign)}.", "It belongs to another task.", "Leave it out."
        )
    if task == "prosqa":
        if not family:
            why = "ProsQA has several families of graphs."
            do = "Name algorithm1, released or balanced, or another --task."
            raise WorkbenchError("No FAMILY was given.", why, do)
        save_problems(make(family, count, seed, hop_weights(hops), nodes, names), out)
    else:
        if hops is not None and not hops.isdecimal():
            why = "A ProntoQA file has one number of hops."
            raise WorkbenchError(f'"{hops}" is no number of hops.', why, "Write --hops 5.")
        size = {
            "hops": int(hops or HOPS),
            "limit": LIMIT if limit is None else limit,
            "operations": MOST if operations is None else operations,
        }
        save_items(make_items(task, count, seed, check_split(split), **size), out)
    typer.echo(f"Wrote {count} problems to {out}")


@problems_app.command(epilog="Example:  workbench problems check released")
def check(problems: ProblemFile) -> None:
    """Check every problem of a file, and say what rules score that do not reason."""
    from workbench.problems.files import graphs_from_words, load_any
    from workbench.problems.problem import Item
    from workbench.problems.shortcuts import blind_accuracies, shortcut_accuracies

    path = problem_file(problems)
    loaded = load_any(path)
    items = [problem for problem in loaded if isinstance(problem, Item)]
    if items:
        tasks = sorted({item.task for item in items})
        checked = "all sound" if set(tasks) <= {"prontoqa", "arithmetic"} else "all of the right form"
        typer.echo(f"{len(items)} problems ({', '.join(tasks)}), {checked}")
        for rule, accuracy in shortcut_accuracies(items).items() if len(tasks) == 1 else ():
            typer.echo(f"  rule that does not reason, {rule}: {accuracy:.3f}")
        return
    typer.echo(f"{len(loaded)} problems (prosqa), all sound")
    if derived := graphs_from_words(path):
        typer.echo(f"  of {derived} the file has no graph: it was read from the sentences of the question")
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
