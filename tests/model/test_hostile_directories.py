"""Run directories that someone made to do harm: refused with words, before anything of them is built or opened."""

import json
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import tiny
from workbench.errors import LONGEST_MESSAGE, WorkbenchError
from workbench.files import MOST_OTHER_BYTES, read_object
from workbench.model import checkpoint as checkpoint_files
from workbench.model.checkpoint import load_checkpoint, save_checkpoint
from workbench.model.limits import faults, require_room, weight_files
from workbench.model.supervision import Supervision


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tiny("qwen2"), tmp_path_factory.mktemp("saved") / "tiny")


@pytest.fixture
def copy(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage; building its model is an error, so that a refusal comes before it."""

    def built(*_: object, **__: object) -> None:
        raise AssertionError("it was built")

    monkeypatch.setattr(checkpoint_files.AutoModelForCausalLM, "from_pretrained", built)
    return Path(shutil.copytree(saved, tmp_path / "run" / "tiny"))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = {
    "num_labels": 1_000_000_000,
    "attn_implementation": "someone/kernel",
    "_attn_implementation": "flash_attention_2",
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "auto_map": {"AutoModelForCausalLM": "harm.Harm"},
    "transformers_weights": "../other.safetensors",
    "hidden_size": 2**40,
    "num_hidden_layers": [2],
    "num_attention_heads": 0,
    "vocab_size": {"a": 1},
    "pad_token_id": 64,
    "eos_token_id": [1, 10**9],
    "bos_token_id": -2,
    "max_position_embeddings": 1,
    "intermediate_size": True,
    "model_type": "unheard-of",
    "rope_theta": float("nan"),
    "rms_norm_eps": 10**400,
    "architectures": ["x" * 20_000],
    "name_or_path": "half of a pair: \ud800",
    "id2label": {str(number): "x" for number in range(30_000)},
    "layer_types": nested(40),
}


@pytest.mark.parametrize("field", HOSTILE)
def test_a_configuration_is_refused_before_a_model_is_built(copy: Path, field: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {field: HOSTILE[field]}))

    with pytest.raises(WorkbenchError, match="cannot be built from its files") as caught:
        load_checkpoint(copy)

    assert field in caught.value.why or "levels or" in caught.value.why
    assert len(str(caught.value)) <= LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 1),
        ("head_dim", 3),
        ("layer_types", {"a": "b"}),
        ("num_key_value_heads", 3),
        ("rope_parameters", []),
        ("hidden_act", "no such function"),
        ("coconut", {"supervision": {"asked": ["words"]}}),
        ("coconut", {"recurrence": nested(20)}),
    ],
)
def test_what_does_not_fit_is_no_foreign_error(saved: Path, tmp_path: Path, field: str, value: object) -> None:
    shutil.copytree(saved, tmp_path / "tiny")
    config = json.loads((saved / "config.json").read_text())
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config | {field: value}))

    with pytest.raises(WorkbenchError):
        load_checkpoint(tmp_path / "tiny")


def test_the_configuration_of_a_model_that_is_saved_has_no_faults(saved: Path) -> None:
    for family in ("qwen2", "llama", "gpt2"):
        assert not list(faults(tiny(family).model.config.to_dict()))
    require_room(saved, 20_000)


def test_a_configuration_asks_for_about_as_many_weights_as_there_are(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "tiny")
    config = json.loads((saved / "config.json").read_text())
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config | {"intermediate_size": 2**20}))

    with pytest.raises(WorkbenchError, match="cannot be built") as caught:
        load_checkpoint(tmp_path / "tiny")
    assert "weights, the files hold" in caught.value.why


class Harm:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def index(directory: Path, *names: object) -> None:
    (directory / "model.safetensors").unlink(missing_ok=True)
    parts = {f"tensor{number}": name for number, name in enumerate(names)}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))


@pytest.mark.parametrize(
    "name",
    [
        "inner/pytorch_model.bin",
        "pytorch_model.bin",
        "../outside.safetensors",
        "/etc/passwd",
        "inner/part.safetensors",
        "..safetensors",
        "missing.safetensors",
        "part.safetensors\n",
        ["part.safetensors"],
        None,
    ],
)
def test_an_index_names_only_safetensors_of_its_directory(copy: Path, tmp_path: Path, name: object) -> None:
    (copy / "inner").mkdir()
    for file in (copy / "inner" / "pytorch_model.bin", copy / "pytorch_model.bin"):
        file.write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    for file in (copy.parent / "outside.safetensors", copy / "inner" / "part.safetensors", copy / "part.safetensors"):
        save_file({"tensor0": torch.zeros(2)}, file)
    index(copy, name)

    with pytest.raises(WorkbenchError, match=r"model\.safetensors\.index\.json of tiny") as caught:
        load_checkpoint(copy)

    assert "weight_map names" in caught.value.why
    assert not (tmp_path / "harm").exists()


def test_a_sound_index_is_read(saved: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(saved, tmp_path / "tiny"))
    tensors = {"model-1.safetensors": "model.", "model-2.safetensors": "lm_head."}
    weights = tiny("qwen2").model.state_dict()
    for file, start in tensors.items():
        save_file({name: one for name, one in weights.items() if name.startswith(start)}, directory / file)
    where = {name: file for file, start in tensors.items() for name in weights if name.startswith(start)}
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))

    assert {file.name for file in weight_files(directory)} == {where[name] for name in weights}
    assert torch.equal(load_checkpoint(directory).model.state_dict()["model.norm.weight"], weights["model.norm.weight"])


@pytest.mark.parametrize("text", ["[]", '"text"', "null", "[" * 200_000, '{"a": ' * 100_000, "{", "\ufeff{}", ""])
def test_what_is_no_object_is_no_configuration(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"config\.json of tiny cannot be read"):
        load_checkpoint(copy)


def test_large_files_and_pipes_are_not_read(copy: Path) -> None:
    with (copy / "config.json").open("wb") as file:
        file.truncate(2**40)  # takes no space
    began = time.monotonic()
    with pytest.raises(WorkbenchError, match="cannot be read") as caught:
        load_checkpoint(copy)
    assert "1,099,511,627,776 bytes" in caught.value.why
    with pytest.raises(ValueError, match="no file"):
        read_object(Path("/dev/zero"))
    assert time.monotonic() - began < 10


def test_a_large_tokenizer_is_not_read(copy: Path) -> None:
    with (copy / "tokenizer.json").open("r+b") as file:
        file.truncate(MOST_OTHER_BYTES + 1)
    with pytest.raises(WorkbenchError, match=r"tokenizer\.json of tiny"):
        load_checkpoint(copy)


def test_starts_of_starts_end() -> None:
    stored: dict[str, object] = {"asked": "words only"}
    for _ in range(100):
        stored = {"asked": "words only", "start": stored}
    with pytest.raises(WorkbenchError, match=r"config\.coconut"):
        Supervision.read({"supervision": stored})
