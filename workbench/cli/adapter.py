"""The commands `workbench adapter save` and `open`: what a run has trained of a pre-trained model, by itself."""

from pathlib import Path
from typing import Annotated

import typer

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
