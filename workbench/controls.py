"""Controls: runs that should not show what the model shows, to be drawn in the same axes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM

from workbench.checkpoint import Checkpoint
from workbench.errors import WorkbenchError
from workbench.interventions.replacing import Noise, Shuffle
from workbench.interventions.scene import Intervention
from workbench.recording import Recording, record
from workbench.series import CONTROLS, MODEL


def record_controls(
    own: Recording,
    names: Sequence[str],
    seed: int = 0,
    *,
    pause: Checkpoint | None = None,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> list[Recording]:
    """Run the controls of a recording on the same problems with as many thoughts.

    Args:
        own: The model's own recording.
        names: Of `CONTROLS`.
        seed: Of the random weights, the noise, and the exchange of thoughts.
        pause: A checkpoint trained with pauses in place of thoughts, for "pause"; by default the model itself is fed
            pauses, which it was never trained for, and the label says so.
        batch_size: Problems run at a time.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no such control, or the recording is one.
    """
    if own.label != MODEL:
        raise WorkbenchError(
            "A control has no controls.", f'This recording is "{own.label}".', "Give the model's own recording."
        )
    bank, found = torch.from_numpy(own.thoughts), []
    for name in names:
        ran, interventions = control(own.checkpoint, name, seed, pause=pause)
        found.append(
            record(
                ran, own.problems, own.count, label=name, interventions=interventions, bank=bank,
                batch_size=batch_size, continuations=bool(own.traces[0].continuations), on_progress=on_progress,
            )
        )  # fmt: skip
    return found


def control(
    checkpoint: Checkpoint, name: str, seed: int = 0, *, pause: Checkpoint | None = None
) -> tuple[Checkpoint, tuple[Intervention, ...]]:
    """Return what is run for a control, and what is changed in its thoughts; those need the model's own as a bank.

    Args:
        checkpoint: The model.
        name: Of `CONTROLS`.
        seed: As in `record_controls`.
        pause: As in `record_controls`.

    Raises:
        WorkbenchError: There is no such control.
    """
    if name not in CONTROLS:
        raise WorkbenchError(
            f'There is no control "{name}".', f"The controls are {', '.join(CONTROLS)}.", "Choose among them."
        )
    if name == "untrained":
        return untrained(checkpoint, seed), ()
    if name == "pause":
        return pause or replace(checkpoint, fed="pause"), ()
    return checkpoint, (Shuffle(seed=seed) if name == "shuffled" else Noise(seed=seed),)


def untrained(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """Return a checkpoint of the same architecture whose weights are drawn anew.

    Every matrix is Gaussian with the mean and spread of the trained one, entry by entry; gains and biases of norms and
    layers keep their values in another order. So norms of embeddings and thoughts stay comparable, and nothing learned
    is left.
    """
    model = AutoModelForCausalLM.from_config(checkpoint.model.config).eval()
    generator = torch.Generator().manual_seed(seed)
    trained = dict(checkpoint.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            source = trained[name].detach()
            if source.dim() > 1:
                drawn = torch.randn(source.shape, generator=generator) * source.std() + source.mean()
            else:
                drawn = source.flatten()[torch.randperm(source.numel(), generator=generator)].view_as(source)
            parameter.copy_(drawn)
    return replace(checkpoint, model=model.to(checkpoint.model.device), name=f"{checkpoint.name}-untrained")
