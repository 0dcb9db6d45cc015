"""Controls: runs that should not show what the model shows, to be drawn in the same axes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from transformers import AutoModelForCausalLM

from workbench.checkpoint import Checkpoint
from workbench.errors import WorkbenchError
from workbench.interventions.replacing import Noise, Shuffle
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
        if name not in CONTROLS:
            raise WorkbenchError(
                f'There is no control "{name}".', f"The controls are {', '.join(CONTROLS)}.", "Choose among them."
            )
        ran, interventions = own.checkpoint, ()
        if name == "untrained":
            ran = untrained(own.checkpoint, seed)
        elif name == "pause":
            ran = pause or replace(own.checkpoint, fed="pause")
        elif name == "shuffled":
            interventions = (Shuffle(seed=seed),)
        else:
            interventions = (Noise(seed=seed),)
        found.append(
            record(
                ran, own.problems, own.count, label=name, interventions=interventions, bank=bank,
                batch_size=batch_size, continuations=bool(own.traces[0].continuations), on_progress=on_progress,
            )
        )  # fmt: skip
    return found


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
