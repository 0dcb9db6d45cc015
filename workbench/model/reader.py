"""The second language model of SIM-CoT, trained with the thoughts to say in words the step that they stand for.

It is given the thoughts of one step as they were fed, then the tokens of that step and the end token, all as input
embeddings of the model that thinks (InternLM/SIM-CoT: Coconut/coconut.py, CODI/src/model.py). On Coconut its positions
are counted from 1. On CODI they are counted from 0, a step has one thought, and `pj_in` and `pj_out` stand before and
after it where it has another width or vocabulary. It is a trained readout: it says what it was trained to say, and no
thought and no answer reads it. An import keeps it apart, in a folder of the checkpoint that nothing else opens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from workbench.errors import WorkbenchError, grouped
from workbench.model import limits
from workbench.model.checkpoint import Checkpoint, find, no_progress_bar, reason, require_weights
from workbench.model.coconut import embedding_rows
from workbench.model.importing.archives import Weights

FOLDER = "reader"
"""Where it lies in the folder of a checkpoint; `config.coconut` says so as `reader`."""
PROJECTIONS = "projections.safetensors"
"""What stands before and after it, where anything does: a file of that folder."""
BEFORE, AFTER = "pj_in.", "pj_out."
"""Beginnings of the keys of the two projections, in the files of SIM-CoT and in ours."""
LIMIT = 32
"""Tokens after which what it says is cut."""
_FIRST = "first_position"
"""Of its config.json: the position of the first thought. Imports that lack it are of Coconut: 1."""
_FORMS = (("weight", "bias"), ("U", "V"))
"""Tensors of a linear layer, and of a product of two matrices. The third form has none and changes nothing."""


@dataclass(frozen=True)
class Reader:
    """A second language model with what stands before and after it."""

    model: PreTrainedModel
    """In evaluation mode, fp32."""
    projections: Weights
    """By their names in the file; none where it reads and says what the model that thinks does."""

    def logits(
        self, vectors: Float[Tensor, "n columns d"], before: int = 0, cache: object = None
    ) -> tuple[Float[Tensor, "n columns vocab"], object]:
        """Return what it says after each column, over the vocabulary of the model that thinks, and the cache.

        Args:
            vectors: Thoughts as they were fed, and input embeddings of the model that thinks.
            before: Number of columns in the cache.
            cache: Of columns before these.
        """
        places = getattr(self.model.config, _FIRST, 1) + before + torch.arange(vectors.shape[1])
        ran = cast(Any, self.model)(
            inputs_embeds=project(self.projections, BEFORE, vectors), position_ids=places.expand(len(vectors), -1),
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        return project(self.projections, AFTER, ran.logits), ran.past_key_values


def project(weights: Mapping[str, Tensor], name: str, given: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch out"]:
    """Put vectors through a projection: W x + b, or x U V, or unchanged where it has no tensors.

    Args:
        weights: Of both projections, by their names in the file.
        name: `BEFORE` or `AFTER`.
        given: What goes through it.
    """
    if f"{name}U" in weights:
        return given @ weights[f"{name}U"] @ weights[f"{name}V"]
    if f"{name}weight" in weights:
        return F.linear(given, weights[f"{name}weight"], weights[f"{name}bias"])
    return given


def projection_faults(
    weights: Mapping[str, Tensor], config: PreTrainedConfig, width: int, fewest: int, most: int
) -> Iterator[tuple[str, str]]:
    """Yield what keeps a second model from reading thoughts and saying tokens: a tensor's name, and what is wrong.

    Args:
        weights: Of both projections, by their names in the file.
        config: Of the second model.
        width: Of a thought.
        fewest: Tokens that it must be able to say.
        most: Tokens that the model that thinks has embeddings for.
    """
    inside, said = config.hidden_size, config.vocab_size
    after = [weights[key].shape[-1:] for key in (f"{AFTER}V", f"{AFTER}bias") if key in weights]
    says = next((sizes[0] for sizes in after if sizes), said)
    says = says if fewest <= says <= most else fewest
    yield from _faults(
        weights, BEFORE, width, inside, f"a thought has {width} numbers, the second model reads {inside}"
    )
    about = f"the second model says one of {said} tokens, and from {fewest} to {most} belong there"
    yield from _faults(weights, AFTER, said, says, about)


def _faults(
    weights: Mapping[str, Tensor], name: str, given: int, wanted: int, unlike: str
) -> Iterator[tuple[str, str]]:
    own = {key.removeprefix(name): tuple(one.shape) for key, one in weights.items() if key.startswith(name)}
    if not own and given != wanted:
        yield f"{name}*", f"missing, {unlike}"
    form = next((form for form in _FORMS if own.keys() & set(form)), ())
    rank = own["U"][1] if len(own.get("U", ())) == 2 else 1
    shapes = {"weight": (wanted, given), "bias": (wanted,), "U": (given, rank), "V": (rank, wanted)}
    for key in sorted(own.keys() | set(form)):
        if key not in own:
            yield name + key, "missing"
        elif key not in form:
            yield name + key, f"unexpected {own[key]}, a projection has weight and bias, U and V, or nothing"
        elif own[key] != shapes[key]:
            yield name + key, f"misshapen, is {own[key]}, {shapes[key]} belongs there"


def save_reader(
    config: PreTrainedConfig, state: Weights, checkpoint: Path, projections: Weights | None = None, first: int = 1
) -> None:
    """Write it into the folder of a checkpoint, as safetensors.

    Args:
        config: Of the second model.
        state: Its weights.
        checkpoint: Directory of the checkpoint.
        projections: What stands before and after it.
        first: Position of the first thought: 1 on Coconut, 0 on CODI.
    """
    setattr(config, _FIRST, first)
    config.save_pretrained(checkpoint / FOLDER)
    save_file(state, checkpoint / FOLDER / "model.safetensors", metadata={"format": "pt"})
    if projections:
        save_file(projections, checkpoint / FOLDER / PROJECTIONS)


def has_reader(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint came with one."""
    return checkpoint.meta.get("reader") == FOLDER


def load_reader(source: str | Path, checkpoint: Checkpoint) -> Reader:
    """Load the second model of a checkpoint.

    Args:
        source: What the checkpoint was loaded from.
        checkpoint: Its thoughts are read.

    Raises:
        WorkbenchError: It has none, or its files are damaged.
    """
    directory, name = find(source)
    if not has_reader(checkpoint):
        why = "Only models of SIM-CoT have one, imported with this version or later."
        raise WorkbenchError(f"{name} has no second model that reads its thoughts.", why, "Import it again.")
    folder = directory / FOLDER
    try:
        limits.require_room(folder, require_weights(folder, f"{name}/{FOLDER}"))
        with no_progress_bar():
            loaded = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
        model, info = cast(tuple[PreTrainedModel, dict], loaded)
        held = load_file(folder / PROJECTIONS) if (folder / PROJECTIONS).exists() else {}
        faults = [(key, kind) for kind in ("missing", "unexpected") for key in info[f"{kind}_keys"]]
        faults += [(key, "unexpected") for key in held if not key.startswith((BEFORE, AFTER))]
        rows = embedding_rows(checkpoint.model)
        faults += projection_faults(held, model.config, checkpoint.model.config.hidden_size, 1, rows)
        if faults:
            raise ValueError("; ".join(grouped(faults)))
        need = checkpoint.thoughts_per_step + LIMIT
        if (first := getattr(model.config, _FIRST, 1)) not in (0, 1):
            raise ValueError(f"its {_FIRST} is {first!r}, expected 0 or 1")
        if (room := getattr(model.config, "max_position_embeddings", None) or need + first) < need + first:
            raise ValueError(f"it has {room} positions, the thoughts of a step and what it says of them take {need}")
    except WorkbenchError:
        raise
    except Exception as error:  # a damaged file makes transformers and torch raise errors of every kind
        what = f"The second model of {name} cannot be loaded."
        raise WorkbenchError(what, reason(error), "Import the checkpoint again.") from error
    return Reader(model.eval(), {key: tensor.float() for key, tensor in held.items()})


@torch.inference_mode()
def say_steps(reader: Reader, checkpoint: Checkpoint, thoughts: Float[Tensor, "n K d"]) -> list[tuple[str, ...]]:
    """Let it say the step of each group of thoughts, greedily.

    Args:
        reader: The second model.
        checkpoint: Whose thoughts they are: `thoughts_per_step` of them make a group.
        thoughts: As they were fed, about n problems.

    Returns:
        For each problem its steps: as many as there are whole groups of thoughts.
    """
    count, per_step = len(thoughts), checkpoint.thoughts_per_step
    groups, end = thoughts.shape[1] // per_step, checkpoint.format.end
    if not count or not groups:
        return [() for _ in range(count)]
    table = cast(nn.Embedding, checkpoint.model.get_input_embeddings())
    given, cache, before = thoughts[:, : groups * per_step].reshape(count * groups, per_step, -1), None, 0
    said = torch.empty(count * groups, 0, dtype=torch.long)
    while said.shape[1] < LIMIT and not (said == end).any(1).all():
        logits, cache = reader.logits(given, before, cache)
        before += given.shape[1]
        said = torch.cat([said, logits[:, -1:].argmax(-1)], 1)
        given = table(said[:, -1:].to(table.weight.device)).to(thoughts)
    texts = [str(checkpoint.tokenizer.decode(ids[: (*ids, end).index(end)])).strip() for ids in said.tolist()]
    return [tuple(texts[row * groups : (row + 1) * groups]) for row in range(count)]
