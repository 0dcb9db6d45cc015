"""Saving and loading, and every way in which a directory can be wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.conftest import FAMILIES, tiny, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.model import checkpoint as checkpoint_files
from workbench.model.checkpoint import load_checkpoint, make_checkpoint, prepare_pretrained, save_checkpoint
from workbench.model.coconut import embedding_rows, self_check
from workbench.problems.vocabulary import edges_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tiny("qwen2"), tmp_path_factory.mktemp("saved") / "tiny")


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_loaded(family: str, tmp_path: Path) -> None:
    before = tiny(family, thoughts=4, markers=True)
    after = load_checkpoint(save_checkpoint(before, tmp_path / "run" / "model"))
    assert (after.thoughts, after.name, after.meta) == (4, "run", before.meta)
    assert (after.format.name, after.format.markers) == ("edges", True)
    assert not after.model.training
    for name, weight in before.model.state_dict().items():
        assert torch.equal(weight, after.model.state_dict()[name])


def test_transformers_reads_it_alone(saved: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(saved)
    assert model.config.coconut["format"] == "edges"
    assert len(PreTrainedTokenizerFast.from_pretrained(saved)) == 64
    assert {file.suffix for file in saved.iterdir()} == {".json", ".safetensors"}


def test_weights_stored_in_bf16_are_read_as_fp32(tmp_path: Path) -> None:
    before = tiny("qwen2")
    directory = save_checkpoint(before, tmp_path / "half", torch.bfloat16)
    assert before.model.dtype == torch.float32
    after = load_checkpoint(directory).model
    assert after.dtype == torch.float32
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(after.state_dict()[name], before.model.state_dict()[name].bfloat16().float())


def test_runs_and_stages_have_names(saved: Path, tmp_path: Path) -> None:
    for place, name in {"night/model": "night", "night/checkpoints/stage-3": "night/stage-3"}.items():
        shutil.copytree(saved, tmp_path / place)
        assert load_checkpoint(tmp_path / place).name == name
    assert load_checkpoint(tmp_path / "night").name == "night"


def test_saving_again_replaces_what_was_there(broken: Path) -> None:
    (broken / "left-over.json").write_text("{}")
    save_checkpoint(tiny("qwen2", thoughts=5), broken)
    assert load_checkpoint(broken).thoughts == 5
    assert not (broken / "left-over.json").exists()
    assert not broken.with_name("tiny.part").exists()


def change(**fields: object) -> Callable[[Path], None]:
    def apply(directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**config, **fields}))

    return apply


one_layer_more = change(num_hidden_layers=3, layer_types=["full_attention"] * 3)


def cut_off(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def without(file: str) -> Callable[[Path], None]:
    return lambda directory: (directory / file).unlink()


def no_coconut(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    del config["coconut"]
    (directory / "config.json").write_text(json.dumps(config))


def larger_tokenizer(directory: Path) -> None:
    tokenizer = edges_tokenizer()
    tokenizer.add_tokens(["more"])
    tokenizer.save_pretrained(directory)


def spoil(file: str) -> Callable[[Path], None]:
    def apply(directory: Path) -> None:
        (directory / file).write_text('{"model": ')

    return apply


@pytest.mark.parametrize(
    ("damage", "what", "why"),
    [
        (cut_off, "model.safetensors of tiny is cut off or damaged", "incomplete"),
        (pickled, "The weights of tiny are refused", "reading a pickle can run any code"),
        (without("model.safetensors"), "tiny has no weights", "no model.safetensors"),
        (without("tokenizer.json"), "tiny has no tokenizer", "tokenizer.json"),
        (spoil("tokenizer.json"), "The tokenizer of tiny cannot be read", ""),
        (spoil("config.json"), "config.json of tiny cannot be read", ""),
        (without("config.json"), "There is no checkpoint in", "config.json"),
        (no_coconut, "tiny does not say how it thinks", "no field `coconut`"),
        (larger_tokenizer, "Vocabulary and model of tiny do not belong together", "65 tokens, the model embeds 64"),
        (change(vocab_size=80), "The model of tiny cannot be built", "mismatch"),
        (one_layer_more, "The weights of tiny are incomplete", "tensors are missing"),
        (change(model_type="unheard-of", auto_map={"AutoModelForCausalLM": "x.Y"}), "cannot be built", ""),
        (change(coconut={"version": 2}), "another version", "version is 2"),
        (change(coconut={"thoughts": "six"}), "does not say clearly", "thoughts is 'six'"),
        (change(coconut={"thoughts": -1}), "does not say clearly", "thoughts is -1"),
        (change(coconut=[]), "does not say clearly", "not a table"),
        (change(coconut={"format": "prose"}), 'There is no prompt format "prose"', "edges, text"),
    ],
)
def test_what_is_wrong_with_a_directory_is_said(
    broken: Path, damage: Callable[[Path], None], what: str, why: str
) -> None:
    damage(broken)
    with pytest.raises(WorkbenchError, match=what) as caught:
        load_checkpoint(broken)
    assert why in caught.value.why
    assert caught.value.do


@pytest.mark.parametrize("source", ["runs/of/last/night", "../nowhere", Path("missing")])
def test_a_path_that_is_not_there_is_no_hub_name(source: str | Path) -> None:
    with pytest.raises(WorkbenchError, match="There is no checkpoint"):
        load_checkpoint(source)


def test_a_file_is_no_checkpoint(saved: Path) -> None:
    with pytest.raises(WorkbenchError, match="is a file"):
        load_checkpoint(saved / "config.json")


def test_a_name_on_the_hub_is_fetched_without_pickles(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def fetch(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(saved)

    monkeypatch.setattr(checkpoint_files, "snapshot_download", fetch)
    assert load_checkpoint("someone/thinker").name == "someone/thinker"
    assert asked["name"] == "someone/thinker"
    assert not any("bin" in pattern or "pt" in pattern for pattern in asked["allow_patterns"])  # type: ignore[attr-defined]


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, **options: object) -> str:
        raise FileNotFoundError("offline")

    monkeypatch.setattr(checkpoint_files, "snapshot_download", fetch)
    with pytest.raises(WorkbenchError, match="There is no checkpoint someone/thinker") as caught:
        load_checkpoint("someone/thinker")
    assert "offline" in caught.value.why


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pretrained_model_gets_markers_that_start_as_the_official_ones(family: str, tmp_path: Path) -> None:
    tokenizer = bpe_tokenizer(markers=False)
    model = tiny_model(family, vocab_size=len(tokenizer), pad_token_id=None)
    checkpoint = prepare_pretrained(model, tokenizer, thoughts=2)
    like = tokenizer("<<")["input_ids"][0]
    marker = checkpoint.format.marker
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        for number in (marker.bot, marker.eot, marker.thought):
            assert torch.equal(layer.weight[number], layer.weight[like])  # type: ignore[index, union-attr]
    again = load_checkpoint(save_checkpoint(checkpoint, tmp_path / "text"))
    assert (again.format.name, again.format.marker, again.thoughts) == ("text", marker, 2)


def test_rows_to_spare_are_kept() -> None:
    tokenizer = bpe_tokenizer(markers=False)
    model = tiny_model("qwen2", vocab_size=len(tokenizer) + 50)
    prepare_pretrained(model, tokenizer)
    assert embedding_rows(model) == len(tokenizer) + 47


def test_a_model_that_does_not_think_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tiny("qwen2")
    with torch.no_grad():
        checkpoint.model.get_parameter("model.norm.weight").fill_(float("nan"))
    with pytest.raises(WorkbenchError, match="does not run as a Coconut model should") as caught:
        self_check(checkpoint.model, 8, checkpoint.name)
    assert "not finite" in caught.value.why

    deaf = make_checkpoint(tiny_model("qwen2"), edges_tokenizer(), dict(tiny().meta), "deaf")
    with torch.no_grad():
        for name, weight in deaf.model.named_parameters():
            if "o_proj" in name:
                weight.zero_()
    with pytest.raises(WorkbenchError) as caught:
        self_check(deaf.model, 8, deaf.name)
    assert "thought set to zero changes nothing" in caught.value.why
