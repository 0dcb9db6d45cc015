"""Checkpoints: plain Hugging Face directories whose `config.coconut` says how the model thinks.

What must lie in a directory is checked before anything in it is opened, and what was loaded is checked by running it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from workbench.catalog import FORMER_METHODS, current
from workbench.errors import WorkbenchError
from workbench.files import MOST_OTHER_BYTES, read_object, replacing, standing
from workbench.model import limits
from workbench.model.coconut import AnswerReads, embedding_rows, self_check
from workbench.model.formats import make_format
from workbench.model.prompts import OFFICIAL, Format, Wording
from workbench.model.recurrence import Recurrence, attach_head, recurrence_of
from workbench.model.supervision import Supervision
from workbench.settings import build

MOST_THOUGHTS = 1000
"""The largest number of thoughts a checkpoint may ask for."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_EXAMPLE = '"coconut": {"version": 1, "format": "text", "markers": true, "thoughts": 6}'


@dataclass(frozen=True)
class CoconutConfig:
    """The fields of `config.coconut` that decide how a model is run."""

    version: int = 1
    format: str = "edges"
    markers: bool = True
    thoughts: int = 6
    thoughts_per_step: int = 1
    fed: Literal["hidden", "pause"] = "hidden"
    says: Literal["answer", "chain"] = "answer"
    answer_reads: AnswerReads = "all"
    wording: Wording = OFFICIAL

    @classmethod
    def read(cls, meta: object, name: str) -> "CoconutConfig":
        """Read and check the fields; others (task, method, ...) are free. `Checkpoint` says what they mean.

        Raises:
            WorkbenchError: A field has the wrong type or value.
        """
        if not isinstance(meta, dict):
            raise _wrong_field(name, f"config.coconut is {meta!r}, not a table of fields")
        try:
            read = build(cls, {field.name: meta[field.name] for field in fields(cls) if field.name in meta}, name)
        except WorkbenchError as error:
            raise _wrong_field(name, f"In config.coconut {error.why}") from error
        if read.version != 1:
            raise WorkbenchError(
                f"{name} was saved by another version of the workbench.",
                f"config.coconut.version is {read.version}; this one reads version 1.",
                "Update coconut-workbench.",
            )
        for field, least in {"thoughts": 0, "thoughts_per_step": 1}.items():
            if not least <= (number := getattr(read, field)) <= MOST_THOUGHTS:
                wanted = f"{least} or more" if number < least else f"at most {MOST_THOUGHTS}"
                raise _wrong_field(name, f"config.coconut.{field} is {number}, expected {wanted}")
        try:
            Supervision.read(meta)
            Recurrence.read(meta)
        except WorkbenchError as error:
            raise _wrong_field(name, f"In config.coconut {error.why}") from error
        return read


def find(source: str | Path) -> tuple[Path, str]:
    """Return the directory that holds a checkpoint, fetched from the hub where need be, and its name.

    Raises:
        WorkbenchError: There is no such directory or model.
    """
    path = current(Path(source))
    if os.path.isdir(path):  # False, and no error, for a name that no file system takes
        inner = path if (path / "config.json").exists() else standing(path / "model")
        if not (inner / "config.json").exists():
            raise WorkbenchError(
                f"There is no checkpoint in {path}.",
                "Neither config.json nor model/config.json is there.",
                "Name a run directory, or a directory written by save_pretrained().",
            )
        return inner, _name(path.resolve())
    if os.path.exists(path):
        raise WorkbenchError(
            f"{path} is a file.",
            "A checkpoint is a directory.",
            "Name the directory that holds config.json; a model file of another project becomes one by "
            f"workbench import {path} --out DIR",
        )
    if not isinstance(source, str) or not _HUB_NAME.fullmatch(source):
        raise WorkbenchError(
            f"There is no checkpoint {source}.",
            "There is no such directory, and it is not the name of a model on the hub.",
            "Check the path; a run directory has a folder model/.",
        )
    return _fetch(source), source


def read_config(directory: Path, name: str) -> dict[str, Any]:
    """Return config.json.

    Raises:
        WorkbenchError: It cannot be read.
    """
    try:
        return read_object(directory / "config.json")
    except ValueError as error:
        raise WorkbenchError(
            f"config.json of {name} cannot be read.", reason(error), "Copy or save the checkpoint again."
        ) from error


def require_config(directory: Path, name: str) -> None:
    """Check that config.json can be read, has `coconut`, and asks for nothing that is not supported."""
    config = read_config(directory, name)
    if "coconut" not in config:
        raise WorkbenchError(
            f"{name} does not say how it thinks.",
            "Its config.json has no field `coconut`, so it is not a Coconut checkpoint.",
            f"If it was trained on thoughts elsewhere: workbench import {name} --out DIR, or add {_EXAMPLE} to its "
            "config.json.",
        )
    require_supported(config, name)
    CoconutConfig.read(config["coconut"], name)


def require_supported(config: Mapping[str, Any], name: str) -> None:
    """Check that a config.json asks for nothing that is not supported, before anything is built."""
    for fault in limits.faults(config):
        raise _not_built(name, f"In config.json {fault}.")


def require_weights(directory: Path, name: str) -> int:
    """Check that the weights are whole safetensors files in the directory, and return how many numbers they hold."""
    try:
        files = limits.weight_files(directory)
    except ValueError as error:
        raise _damaged("model.safetensors.index.json", name, reason(error)) from error
    if not files[0].exists():
        pickles = sorted(file.name for file in directory.iterdir() if file.suffix in _PICKLES)
        if pickles:
            raise _only_pickles(name, pickles)
        raise WorkbenchError(
            f"{name} has no weights.",
            "There is no model.safetensors in it.",
            "Copy or save the checkpoint again; fetch large files if it came by git (git lfs pull).",
        )
    weights = 0
    for file in sorted(files):
        try:
            with safe_open(file, framework="pt") as opened:
                weights += sum(prod(opened.get_slice(tensor).get_shape()) for tensor in opened.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise _damaged(file.name, name, reason(error)) from error
    return weights


def require_tokenizer(directory: Path, name: str) -> None:
    """Check that there is a tokenizer."""
    if not any((directory / file).exists() for file in TOKENIZERS):
        raise WorkbenchError(
            f"{name} has no tokenizer.",
            f"None of {', '.join(TOKENIZERS)} is in it.",
            "Save it beside the model with tokenizer.save_pretrained().",
        )
    for file in directory.iterdir():
        if file.suffix in (".json", ".txt", ".jinja", ".model") and file.stat().st_size > MOST_OTHER_BYTES:
            raise _damaged(file.name, name, f"It has more than {MOST_OTHER_BYTES >> 20} MB.")


def read_tokenizer(directory: Path, name: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer in a directory, which pads on the left."""
    try:
        # AutoTokenizer overrides the generic class by that of the architecture (Qwen2's adds a 65th token).
        settings = directory / "tokenizer_config.json"
        generic = settings.is_file() and "TokenizersBackend" in settings.read_text(encoding="utf-8")
        reader: Any = PreTrainedTokenizerFast if generic else AutoTokenizer
        tokenizer = reader.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise WorkbenchError(
            f"The tokenizer of {name} cannot be read.",
            reason(error),
            "Save it again with tokenizer.save_pretrained().",
        ) from error
    tokenizer.padding_side = "left"
    return tokenizer


def reason(error: Exception) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _name(path: Path) -> str:
    """Name a checkpoint by its run: "reference", "reference/stage-3"."""
    if path.parent.name == "checkpoints":
        return f"{path.parent.parent.name}/{path.name}"
    return path.parent.name if path.name == "model" else path.name


def _fetch(name: str) -> Path:
    patterns = ["*.safetensors", "*.json", "*.txt", "*.model"]
    try:
        directory = Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
        if not list(directory.glob("*.safetensors*")):
            pickles = sorted(f for f in HfApi().list_repo_files(name) if f.endswith(_PICKLES) and "/" not in f)
            if pickles:
                raise _only_pickles(name, pickles)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WorkbenchError(
            f"There is no checkpoint {name}.",
            f"There is no such directory, and the hub did not give a model of that name: {reason(error)}",
            "Check the path or the name; for a model on the hub, check the network and your access.",
        ) from error
    if not (directory / "config.json").exists():
        raise WorkbenchError(f"{name} on the hub is no model.", "It has no config.json.", "Check the name.")
    return directory


def _only_pickles(name: str, files: list[str]) -> WorkbenchError:
    return WorkbenchError(
        f"The weights of {name} are refused.",
        f"They come as a pickle only ({', '.join(files[:3])}), and reading a pickle can run any code that is in it.",
        f"This reads it once, runs nothing in it and writes safetensors: workbench import {name} --out DIR",
    )


def _damaged(file: str, name: str, why: str) -> WorkbenchError:
    return WorkbenchError(
        f"{file} of {name} is cut off or damaged.", why, "Copy, download or save the checkpoint again."
    )


def _not_built(name: str, why: str) -> WorkbenchError:
    return WorkbenchError(
        f"The model of {name} cannot be built from its files.",
        why,
        "Use GPT-2, Llama or Qwen2, with weights and config.json saved together by save_pretrained().",
    )


def _wrong_field(name: str, why: str) -> WorkbenchError:
    return WorkbenchError(f"{name} does not say clearly how it thinks.", f"{why}.", "Correct config.json.")


_NEW_TOKENS = ["<bot>", "<eot>", "<thought>"]


@dataclass(frozen=True)
class Checkpoint:
    """A model that reasons in continuous thoughts, with all that is needed to ask it something."""

    model: PreTrainedModel
    """In evaluation mode, fp32."""
    tokenizer: PreTrainedTokenizerBase
    """Has the thought markers."""
    format: Format
    """How a problem becomes token ids."""
    thoughts: int
    """Number of thoughts it was trained with."""
    name: str
    """Shown on the screen and in tables."""
    meta: dict[str, object]
    """`config.coconut` as it was read, its method by the name of today."""
    fed: str = "hidden"
    """What is fed as a thought: "hidden", the hidden state itself, or "pause", always the pause token's embedding."""
    says: str = "answer"
    """What it was trained to say after the thoughts: the "answer" at once, or the "chain" that ends with it."""
    thoughts_per_step: int = 1
    """Thoughts that stand for one step: thought j is about hop ceil(j / thoughts_per_step)."""
    answer_reads: AnswerReads = "all"
    """What the words after the thoughts read, see `coconut.answer_reads`."""

    @property
    def recurrence(self) -> Recurrence:
        """How a thought is made: what is fed of what was read."""
        return recurrence_of(self.model)

    @property
    def supervision(self) -> Supervision:
        """How its thoughts were supervised."""
        return Supervision.read(self.meta)

    @property
    def pause(self) -> int | None:
        """Token id fed in place of every thought, None where thoughts are fed."""
        return self.format.marker.thought if self.fed == "pause" else None


def make_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, meta: Mapping[str, object], name: str
) -> Checkpoint:
    """Put a model in memory and its tokenizer together.

    Args:
        model: A causal language model; `config.coconut` is set on it.
        tokenizer: Its tokenizer.
        meta: The fields of `config.coconut`; those left out take their default.
        name: What the screen and the tables call it.

    Raises:
        WorkbenchError: A field is wrong, or the tokenizer does not fit the model or the format.
    """
    meta = dict(meta)
    config = CoconutConfig.read(meta, name)
    rows = embedding_rows(model)
    if len(tokenizer) > rows:
        raise WorkbenchError(
            f"Vocabulary and model of {name} do not belong together.",
            f"The tokenizer has {len(tokenizer)} tokens, the model embeds {rows}.",
            "Save tokenizer and model together, after the last token was added.",
        )
    if (method := str(meta.get("method", ""))) in FORMER_METHODS:
        meta = {**meta, "method": FORMER_METHODS[method]}
    model.config.coconut = meta
    if recurrence_of(model).has_head and not hasattr(model, _HEAD):
        raise WorkbenchError(
            f"{name} has no thought head.",
            f"Its thoughts are {recurrence_of(model)}, and the weights of that are not there.",
            "Load it from its directory, or call workbench.model.recurrence.attach_head first.",
        )
    return Checkpoint(
        model,
        tokenizer,
        make_format(config.format, tokenizer, config.markers, config.wording),
        config.thoughts,
        name,
        dict(meta),
        config.fed,
        config.says,
        config.thoughts_per_step,
        config.answer_reads,
    )


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Load a checkpoint and check that it computes what it should.

    Weights stored in another precision are read as fp32. No code that comes with a checkpoint is ever run: weights are
    read from safetensors only, and the architecture must be one that transformers knows.

    Args:
        source: A run directory (its model is in `model/`), a `save_pretrained` directory, or, where no such path
            exists, the name of a model on the Hugging Face hub.

    Raises:
        WorkbenchError: There is nothing there, a file is missing, cut off, of the wrong kind or does not fit the
            others, or the loaded model fails a self-check.
    """
    directory, name = find(source)
    require_config(directory, name)
    weights = require_weights(directory, name)
    require_tokenizer(directory, name)
    tokenizer = read_tokenizer(directory, name)
    try:
        limits.require_room(directory, weights)
        with no_progress_bar():
            loaded = AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, info = cast(tuple[PreTrainedModel, dict], loaded)
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise WorkbenchError(
                f"The weights of {name} are incomplete.",
                f"{len(missing)} tensors are missing, among them {missing[0]}.",
                "Copy or save the checkpoint again.",
            )
        meta = dict(model.config.coconut)
        made = recurrence_of(model)
        attach_head(model, made, _head_of(directory, name) if made.has_head else None)
        if (known := Supervision.read(meta, directory)) != Supervision():
            meta["supervision"] = asdict(known)
        checkpoint = make_checkpoint(model.eval(), tokenizer, meta, name)
        self_check(model, checkpoint.format.marker.thought, name)
    except WorkbenchError:
        raise
    except Exception as error:  # a damaged file makes transformers and torch raise errors of every kind
        raise _not_built(name, reason(error)) from error
    return checkpoint


_HEAD = "thought_head"
"""Part of the model that makes what is fed of what is read; it lies in a file of its own, so that `transformers` reads
the rest as it is."""


def _head_of(directory: Path, name: str) -> dict[str, Tensor]:
    file = directory / f"{_HEAD}.safetensors"
    try:
        return {key: weight.float() for key, weight in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        raise _damaged(file.name, name, reason(error)) from error


def save_checkpoint(
    checkpoint: Checkpoint,
    directory: str | Path,
    dtype: torch.dtype | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint as a plain `save_pretrained` directory; what was there before is replaced at the end.

    Args:
        checkpoint: What to save.
        directory: Where to; parents are made.
        dtype: Precision on disk, by default that of the model. bf16 halves the size.
        weights: The model's whole `state_dict`, for a model that holds only a part of it; by default its own.
    """
    target = Path(directory)
    model = checkpoint.model
    model.config.coconut = dict(checkpoint.meta)
    # The config names the precision on disk, so it is changed for the time of writing.
    before = model.config.dtype
    model.config.dtype = dtype or model.dtype
    held = model.state_dict() if weights is None else weights
    try:
        state = {name: weight.to(dtype or weight.dtype) for name, weight in held.items()}
        if model.config.tie_word_embeddings:
            state.pop("lm_head.weight", None)
        head = {name.removeprefix(f"{_HEAD}."): state.pop(name) for name in list(state) if name.startswith(_HEAD)}
        with replacing(target, folder=True) as part, no_progress_bar():
            model.save_pretrained(part, state_dict=state)
            if head:
                save_file({name: weight.contiguous() for name, weight in head.items()}, part / f"{_HEAD}.safetensors")
            checkpoint.tokenizer.save_pretrained(part)
    finally:
        model.config.dtype = before
    return target


def prepare_pretrained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    thoughts: int = 6,
    markers: bool = True,
    name: str = "pretrained",
) -> Checkpoint:
    """Give a pre-trained model the markers it needs, ready to be trained in the text format.

    The new embeddings start as that of "<<", which stabilises training (facebookresearch/coconut, run.py). An embedding
    matrix that has rows to spare is left as it is. Model and tokenizer are changed.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        thoughts: How many thoughts it will be trained with.
        markers: Whether `<bot>` and `<eot>` surround the thoughts.
        name: What the screen and the tables call it.
    """
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    known = tokenizer.get_vocab()
    tokenizer.add_tokens([token for token in _NEW_TOKENS if token not in known], special_tokens=True)
    if len(tokenizer) > embedding_rows(model):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    like = tokenizer("<<", add_special_tokens=False)["input_ids"][0]  # type: ignore[index]
    new = [tokenizer.convert_tokens_to_ids(token) for token in _NEW_TOKENS if token not in known]
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):  # twice the same where tied
            weight = cast(nn.Embedding, layer).weight
            weight[new] = weight[like].clone()
    meta: dict[str, object] = {
        "version": 1,
        "task": "prosqa",
        "format": "text",
        "markers": markers,
        "thoughts": thoughts,
        "thoughts_per_step": 1,
        "supervision": asdict(Supervision("no thoughts")),
    }
    return make_checkpoint(model, tokenizer, meta, name)


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing progress bars over what the workbench shows."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()
