"""Files of weights that others wrote: safetensors, and pickles of torch, the only place where one is read.

A pickle can run code. This one is read by a reader that makes tensors and nothing else (`weights_only`), out of an
archive whose sizes were looked at before. What a file is follows from its first bytes, not from its name.
"""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.errors import WorkbenchError, clip

Weights = dict[str, Tensor]

MOST_PICKLE = 2**26
"""Bytes of an archive's pickle, which holds names and shapes."""
MOST_COPIES = 4
"""How many times its own size a file's tensors may have in all: a tied matrix stands under up to three names."""
_INSIDE = ("state_dict", "model_state_dict", "model")
"""Keys under which the tensors lie in files that hold more than them."""
_AROUND = ("module.", "_orig_mod.")
"""What wrappers of training put before every key."""
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_MAKES_TENSORS = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|parameter)|torch (\w+Storage|Size)|collections OrderedDict"
    r"|torch\.storage (Untyped|Typed)Storage"
)
"""What a pickle of tensors asks for; other things that torch lets through can ask for any amount of memory."""
_CALLS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
"""Steps of a pickle that torch.save does not write."""


def read_weights(file: Path) -> Weights:
    """Return the tensors in a file by their keys, mapped from the disk.

    Raises:
        WorkbenchError: The file is cut off, is of another kind, or holds something else than tensors.
    """
    if not file.is_file():
        raise WorkbenchError(f"There is no file {file}.", "Nothing is there, or no file.", "Check the path.")
    with file.open("rb") as opened:
        first = opened.read(64)
    if zipfile.is_zipfile(file):
        held = _read_pickle(file)
    elif first[8:9] == b"{":
        held = _read_safetensors(file)
    else:
        raise _foreign(file, first)
    weights = _tensors(file, held)
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if total > MOST_COPIES * file.stat().st_size:
        raise _refused(file, f"Its {len(weights)} tensors ask for {total:,} bytes, more than the file can hold.")
    around = next((name for name in _AROUND if all(key.startswith(name) for key in weights)), "")
    return {key.removeprefix(around): tensor for key, tensor in weights.items()}


def _read_safetensors(file: Path) -> Any:
    try:
        return load_file(file)
    except Exception as error:  # its reader raises errors of several kinds
        raise _cut_off(file, _line(error)) from error


def _read_pickle(file: Path) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _cut_off(file, _line(error)) from error
    for entry in entries:
        if entry.filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", entry.filename):
            raise _refused(file, f"Its archive names {clip(entry.filename)!r}, a place outside it.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > file.stat().st_size:
            raise _refused(file, f"{clip(entry.filename)} in it is compressed to {entry.compress_size:,} bytes of "
                           f"{entry.file_size:,}; torch.save compresses nothing.")  # fmt: skip
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _refused(file, "It is a zip archive, and not one that torch.save writes: it has no data.pkl.")
    if pickles[0].file_size > MOST_PICKLE:
        raise _refused(file, f"Its table of tensors has {pickles[0].file_size:,} bytes.")
    try:
        with zipfile.ZipFile(file) as archive:
            steps = [(step.name, asked) for step, asked, _ in pickletools.genops(archive.read(pickles[0]))]
        strange = next((asked or step for step, asked in steps if _is_strange(step, asked)), None)
        if strange is None:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # anything can be in a pickle, and any error come of it
        raise _cut_off(file, f"The pickle in it cannot be read: {_line(error)}") from error
    asks = ".".join(clip(str(strange)).split())
    raise _refused(file, f"Its pickle asks for {asks}, which is no part of a tensor. Nothing of it was run.")


def _is_strange(step: str, asked: object) -> bool:
    return step in _CALLS or (step == "GLOBAL" and not _MAKES_TENSORS.fullmatch(str(asked)))


def _tensors(file: Path, held: Any) -> Weights:
    inside = next((name for name in _INSIDE if isinstance(held, dict) and isinstance(held.get(name), dict)), None)
    held = held if inside is None else held[inside]
    if not isinstance(held, dict) or not held:
        raise _refused(file, f"It holds {type(held).__name__} where a table of tensors belongs, or an empty one.")
    for key, tensor in held.items():
        if not isinstance(key, str) or len(key) > 300 or not isinstance(tensor, Tensor):
            raise _refused(file, f"{clip(repr(key))} in it is {type(tensor).__name__}, not a tensor with a name.")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise _refused(file, f"{clip(key)} in it is a sparse, quantized or empty tensor.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise _refused(file, f"{clip(key)} in it has shape {tuple(tensor.shape)}, and fewer numbers than that.")
    return {key: tensor.detach() for key, tensor in held.items()}


def require_floats(file: Path, weights: Weights) -> None:
    """Check that tensors are numbers of the usual precisions."""
    for key, tensor in weights.items():
        if tensor.dtype not in _FLOATS:
            raise _refused(file, f"{clip(key)} in it is of type {tensor.dtype}; quantized weights are not read.")


def _foreign(file: Path, first: bytes) -> WorkbenchError:
    kinds = {
        b"": ("It is empty.", "Copy or download it again."),
        b"version https://git-lfs": ("It is a pointer of git LFS, not the weights.", "Fetch the weights: git lfs pull"),
        b"PK": ("It is a zip archive without its end.", "Copy or download it again."),
        b"GGUF": ("It is a GGUF file, whose weights are quantized.", "Use the original weights."),
        b"\x80": (
            "It is a pickle without an archive, as torch wrote them before 1.6.",
            "Load it where you trust it, and save it again with torch.save.",
        ),
    }
    begins = [kind for kind in kinds if kind and first.startswith(kind)]
    why, do = kinds[begins[0] if begins else b""] if begins or not first else (
        "It is neither safetensors nor an archive of torch.save.", "Name the file of weights."
    )  # fmt: skip
    return WorkbenchError(f"{file} is no file of weights that can be read.", why, do)


def _refused(file: Path, why: str) -> WorkbenchError:
    do = "Get the file from where it was made; a file of weights holds tensors and their names, nothing else."
    return WorkbenchError(f"{file} is refused.", why, do)


def _cut_off(file: Path, why: str) -> WorkbenchError:
    return WorkbenchError(f"{file} is cut off or damaged.", why, "Copy or download it again.")


def _line(error: Exception) -> str:
    return clip((str(error).strip().splitlines() or [type(error).__name__])[0], 200)
