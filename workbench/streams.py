"""The residual stream at the end of the prompt and at every thought, and nothing else: cheaper than a recording."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.checkpoint import Checkpoint
from workbench.lens import CoconutLens
from workbench.problem import Problem


@torch.inference_mode()
def streams(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    thoughts: int,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "n columns streams d"]:
    """Return what `Recording.residual` holds at columns 0 to K, in the problems' order, for a third of its time.

    Args:
        checkpoint: What to run.
        problems: What to ask.
        thoughts: Number of thoughts, K.
        batch_size: Problems run at a time.
        on_progress: Called with the number of problems done since the last call.
    """
    lens, last = CoconutLens(checkpoint), checkpoint.model.config.num_hidden_layers - 1
    names = [*(f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)), f"blocks.{last}.hook_resid_post"]
    prompts = checkpoint.format.prompts(problems)
    order = sorted(range(len(problems)), key=lambda i: len(prompts[i].ids))  # little padding in a batch
    parts = []
    for start in range(0, len(order), batch_size):
        kept: list[list[Tensor]] = [[] for _ in names]
        hooks = [(name, partial(_keep, into)) for name, into in zip(names, kept, strict=True)]
        lens.run_with_hooks(lens.rows([problems[i] for i in order[start : start + batch_size]], thoughts), hooks)
        part = torch.stack([torch.stack(columns, 1) for columns in kept], 2)
        parts.append(part.float().cpu().numpy())
        if on_progress:
            on_progress(len(part))
    return np.concatenate(parts)[np.argsort(order)]


def _keep(into: list[Tensor], activation: Tensor, hook: object) -> None:
    """Keep the last column of a pass: the end of the prompt or a thought, since prompts are padded on the left."""
    into.append(activation[:, -1])
