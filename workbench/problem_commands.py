"""The commands `workbench problems ...`: generate problem files, and check them."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.errors import WorkbenchError

problems_app = typer.Typer(help="Generate and check ProsQA problems.", no_args_is_help=True, rich_markup_mode="rich")

ProblemFile = Annotated[
    Path, typer.Argument(metavar="PROBLEMS", help="A file of problems in the official JSON format.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


@problems_app.command(epilog="Example:  workbench problems generate balanced --count 500 --hops 3-6 --out mine.json")
def generate(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="algorithm1, released or balanced.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write them.")],
    count: Annotated[int, typer.Option(min=1, help="Number of problems.")] = 500,
    hops: Annotated[
        str | None, typer.Option(help='Hops from root to target, such as "4" or "3-6"; as released by default.')
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Node slots of a graph, about a fifth of which stay empty.")] = None,
    seed: Seed = 0,
) -> None:
    """Generate problems, each checked by the oracle."""
    writable(out)
    from workbench.problem_files import save_problems
    from workbench.problem_sets import generate as make

    made = make(family, count, seed, hop_weights(hops), nodes)
    save_problems(made, out)
    typer.echo(f"Wrote {len(made)} problems to {out}")


@problems_app.command(epilog="Example:  workbench problems check fixtures/problems/released.json")
def check(problems: ProblemFile) -> None:
    """Check every problem of a file, and say what rules score that never read the queried entity."""
    from workbench.blind import blind_accuracies
    from workbench.problem_files import load_problems

    loaded = load_problems(problems)
    typer.echo(f"{len(loaded)} problems, all sound")
    for rule, accuracy in blind_accuracies(loaded).items():
        typer.echo(f"  query-blind rule, {rule}: {accuracy:.3f}")


@problems_app.command(epilog="Example:  workbench problems sets --out fixtures/problems")
def sets(out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the files.")], seed: Seed = 0) -> None:
    """Make the problem sets that ship again; the same seed gives the same bytes."""
    from workbench.problem_sets import make_problem_sets

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
