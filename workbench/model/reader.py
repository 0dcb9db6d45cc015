"""The second language model of SIM-CoT, trained with the thoughts to say in words the step that they stand for.

It is given the thoughts of one step as input embeddings and says the tokens of that step, then the end token
(InternLM/SIM-CoT, Coconut/coconut.py). It is a trained readout: it says what it was trained to say, and no thought and
no answer reads it. An import keeps it apart, in a folder of the checkpoint that nothing else opens.
"""

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedConfig, PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.model import limits
from workbench.model.archives import Weights
from workbench.model.checkpoint import Checkpoint, find, no_progress_bar, reason, require_weights

FOLDER = "reader"
"""Where it lies in the folder of a checkpoint; `config.coconut` says so as `reader`."""
LIMIT = 32
"""Tokens after which what it says is cut."""


def save_reader(config: PreTrainedConfig, state: Weights, checkpoint: Path) -> None:
    """Write it into the folder of a checkpoint, as safetensors."""
    config.save_pretrained(checkpoint / FOLDER)
    save_file(state, checkpoint / FOLDER / "model.safetensors", metadata={"format": "pt"})


def has_reader(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint came with one."""
    return checkpoint.meta.get("reader") == FOLDER


def load_reader(source: str | Path, checkpoint: Checkpoint) -> PreTrainedModel:
    """Load the second model of a checkpoint.

    Args:
        source: What the checkpoint was loaded from.
        checkpoint: Its thoughts are read.

    Raises:
        WorkbenchError: It has none, or its files are damaged.
    """
    directory, name = find(source)
    if not has_reader(checkpoint):
        why = "Only models of SIM-CoT on Coconut have one, imported with this version or later."
        raise WorkbenchError(f"{name} has no second model that reads its thoughts.", why, "Import it again.")
    try:
        limits.require_room(directory / FOLDER, require_weights(directory / FOLDER, f"{name}/{FOLDER}"))
        with no_progress_bar():
            loaded = AutoModelForCausalLM.from_pretrained(
                directory / FOLDER, dtype=torch.float32, use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
        model, info = cast(tuple[PreTrainedModel, dict], loaded)
        if info["missing_keys"] or model.config.hidden_size != checkpoint.model.config.hidden_size:
            raise ValueError("its tensors are not those of a model that reads these thoughts")
    except WorkbenchError:
        raise
    except Exception as error:  # a damaged file makes transformers and torch raise errors of every kind
        what = f"The second model of {name} cannot be loaded."
        raise WorkbenchError(what, reason(error), "Import the checkpoint again.") from error
    return model.eval()


@torch.inference_mode()
def say_steps(
    reader: PreTrainedModel, checkpoint: Checkpoint, thoughts: Float[Tensor, "n K d"]
) -> list[tuple[str, ...]]:
    """Let it say the step of each group of thoughts, greedily.

    Args:
        reader: The second model.
        checkpoint: Whose thoughts they are: `thoughts_per_step` of them make a group.
        thoughts: As they were fed, about n problems.

    Returns:
        For each problem its steps: as many as there are whole groups of thoughts.
    """
    count, per_step = len(thoughts), checkpoint.thoughts_per_step
    groups = thoughts.shape[1] // per_step
    if not count or not groups:
        return [() for _ in range(count)]
    end, given = checkpoint.format.end, thoughts[:, : groups * per_step].reshape(count * groups, per_step, -1)
    how = GenerationConfig(max_new_tokens=LIMIT, do_sample=False, eos_token_id=end, pad_token_id=end)
    said = cast(Any, reader).generate(
        inputs_embeds=given, attention_mask=given.new_ones(given.shape[:2], dtype=torch.long), generation_config=how
    )
    texts = [str(checkpoint.tokenizer.decode(ids[: (*ids, end).index(end)])).strip() for ids in said.tolist()]
    return [tuple(texts[row * groups : (row + 1) * groups]) for row in range(count)]
