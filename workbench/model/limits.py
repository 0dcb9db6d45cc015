"""What is checked of a checkpoint's files before a library of others opens them: sizes, numbers, names of files.

A directory may come from anywhere. Without these checks a number in config.json can ask for more memory than there is,
and an index can name a file outside the directory.
"""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from workbench.files import MOST_DEPTH, read_object

MOST_VALUES, MOST_CHARACTERS, MOST_NUMBER = 20_000, 10_000, 2**31 - 1
"""Of a config.json: values in all, characters of a text, and the largest whole number."""
LARGEST = (
    {name: 1024 for name in ("num_hidden_layers", "n_layer", "num_attention_heads", "num_key_value_heads", "n_head")}
    | {name: 2**16 for name in ("hidden_size", "n_embd", "head_dim")}
    | {name: 2**20 for name in ("intermediate_size", "n_inner")}
    | {name: 2**24 for name in ("vocab_size", "max_position_embeddings", "n_positions", "n_ctx")}
)
"""Sizes of a model: each is at least 1 and at most this."""
FEWEST_POSITIONS = 8
"""A question, two thoughts and an answer."""
MOST_LABELS = 1000
"""Classes of a classifier, which a language model has none of; transformers writes a table of them when it reads it."""
NOT_READ = {
    "auto_map": "it names code to be run",
    "quantization_config": "quantized weights are not read",
    "transformers_weights": "it names another file of weights",
}
ATTENTION = (None, "eager", "sdpa")
"""Values of `attn_implementation` and the like; others fetch code or need packages."""

_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON can spell and no file can hold."""
_PART = re.compile(r"[\w-][\w.-]*\.safetensors")


def faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps a config.json from being used, each naming its field.

    Args:
        config: Its content.
    """
    yield from _too_much(config)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        yield f"model_type is {kind!r}, which transformers does not know as a causal language model"
    for name, why in NOT_READ.items():
        if config.get(name) is not None:
            yield f"{name} is set: {why}"
    for name, value in config.items():
        if name.endswith("_implementation") and value not in ATTENTION:
            yield f"{name} is {value!r}, expected eager or sdpa"
    for name, most in LARGEST.items():
        least = FEWEST_POSITIONS if name in ("max_position_embeddings", "n_positions") else 1
        value = config.get(name)
        if value is not None and not (_is_whole(value) and least <= value <= most):
            yield f"{name} is {value!r}, expected a whole number from {least} to {most}"
    labels = config.get("num_labels")
    if labels is not None and not (_is_whole(labels) and 0 <= labels <= MOST_LABELS):
        yield f"num_labels is {labels!r}, expected at most {MOST_LABELS}"
    vocabulary = config.get("vocab_size")
    # The embedding is built with a row for padding. The ids of first and last token are the tokenizer's: a GPT-2 with a
    # small vocabulary keeps 50256 in its configuration. -1 stands for "none" in some files.
    for name, most in (("pad_token_id", vocabulary), ("bos_token_id", None), ("eos_token_id", None)):
        ids = config.get(name)
        for value in ids if isinstance(ids, list) else [ids]:
            if value is not None and not (_is_whole(value) and -1 <= value < (most or LARGEST["vocab_size"])):
                yield f"{name} is {value!r}, which is no token of a vocabulary of {vocabulary}"
                break


def weight_files(directory: Path) -> list[Path]:
    """Return the files of weights that transformers would read: one, or those that an index names.

    Raises:
        ValueError: The index is damaged, or names a file that is no safetensors file of the directory.
    """
    index = directory / "model.safetensors.index.json"
    if not index.exists() or (directory / "model.safetensors").exists():
        return [directory / "model.safetensors"]
    parts = read_object(index).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise ValueError("it has no weight_map")
    names = list(dict.fromkeys(map(str, parts.values())))
    for name in names:
        if not _PART.fullmatch(name):
            raise ValueError(f"weight_map names {name!r}, which is no safetensors file of this directory")
        if not (directory / name).is_file():
            raise ValueError(f"weight_map names {name}, which is not there")
    return [directory / name for name in names]


def require_room(directory: Path, weights: int) -> None:
    """Check that a model's configuration asks for about as many weights as its files hold.

    Args:
        directory: Of the checkpoint, its config.json without `faults`.
        weights: Numbers in its files.

    Raises:
        ValueError: It asks for many more.
    """
    config: PreTrainedConfig = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):  # shapes alone, no memory
        wanted = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    if wanted > 2 * weights + 2**20:
        raise ValueError(f"config.json describes {wanted:,} weights, the files hold {weights:,}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _too_much(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first value that is too large in any way."""
    values: list[tuple[str, Any]] = [("", config)]
    depth = seen = 0
    while values:
        depth += 1
        inner: list[tuple[str, Any]] = []
        for name, value in values:
            seen += 1
            if depth > MOST_DEPTH or seen > MOST_VALUES:
                yield f"it has more than {MOST_DEPTH} levels or {MOST_VALUES} values"
                return
            if isinstance(value, Mapping):
                inner += [(name or str(key), one) for key, one in value.items()]
            elif isinstance(value, list):
                inner += [(name, one) for one in value]
            elif isinstance(value, str) and (len(value) > MOST_CHARACTERS or _HALF.search(value)):
                yield f"a text in {name} has more than {MOST_CHARACTERS} characters, or half of one"
                return
            elif (isinstance(value, float) and not isfinite(value)) or (
                isinstance(value, int) and abs(value) > MOST_NUMBER
            ):
                yield f"a number in {name} is not finite, or whole and above {MOST_NUMBER}"
                return
        values = inner
