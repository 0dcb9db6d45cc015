"""The second model of SIM-CoT: kept apart by an import, read as its own code trained it, shown beside its chance."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from typer.testing import CliRunner

import workbench as wb
from tests.conftest import tiny_model
from tests.model.test_formats import bpe_tokenizer
from tests.model.test_importing import (
    CODI,
    LAYERS,
    LONG,
    PLAIN,
    K,
    Keys,
    adapted,
    base,
    grown,
    hold_to,
    mlp,
    projected,
    unmerged,
    wrapped,
)
from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.interventions.run import think_about
from workbench.measure.chains import judged
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.model.importing.convert import Imported, NotToldError
from workbench.model.importing.families import FAMILIES
from workbench.model.reader import LIMIT, load_reader, say_steps
from workbench.problems.files import load_items
from workbench.problems.problem import Item
from workbench.readings.second_model import steps_read

WORDS = len(bpe_tokenizer(False))
NARROW: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_head": 2, "n_layer": 1},
    "llama": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
}
"""A second model of another size than the model that thinks."""
FEWER = 200
"""Its vocabulary."""


def said_by_hand(
    checkpoint: Checkpoint,
    second: PreTrainedModel,
    fed: Tensor,
    first: int,
    before: Callable[[Tensor], Tensor] = lambda x: x,
    after: Callable[[Tensor], Tensor] = lambda x: x,
) -> str:
    """What the original's formula says of one step's thoughts, whole rows each time and no cache."""
    embed: Any = checkpoint.model.get_input_embeddings()
    ids: list[int] = []
    with torch.no_grad():
        while len(ids) < LIMIT and (not ids or ids[-1] != checkpoint.format.end):
            row = torch.cat([fed, embed(torch.tensor(ids, dtype=torch.long))])
            places = torch.arange(first, first + len(row))
            ids.append(
                int(after(second(inputs_embeds=before(row)[None], position_ids=places[None]).logits[0, -1]).argmax())
            )
    return str(checkpoint.tokenizer.decode([one for one in ids if one != checkpoint.format.end])).strip()


def sim_cot(folder: Path, **told: Any) -> tuple[Imported, PreTrainedModel]:
    """A checkpoint in the layout of SIM-CoT on Coconut, imported: two thoughts per step, a second model of its own."""
    model, second = grown("gpt2"), tiny_model("gpt2", 5, vocab_size=WORDS, n_positions=256)
    held = {f"expainable_llm.{key}": tensor for key, tensor in second.state_dict().items()}
    torch.save(wrapped(model, **held), folder / "checkpoint_28")
    imported = wb.import_model(
        folder / "checkpoint_28", folder / "mine", base("gpt2", folder / "base"),
        thoughts=4, per_step=2, says="answer", **told,
    )  # fmt: skip
    assert imported.family is FAMILIES["sim-cot-coconut"]
    hold_to(imported, model)
    return imported, second


@pytest.fixture(scope="module")
def with_reader(tmp_path_factory: pytest.TempPathFactory) -> tuple[Imported, PreTrainedModel]:
    """A checkpoint whose second model is kept."""
    return sim_cot(tmp_path_factory.mktemp("sim-cot"))


def test_sim_cot_keeps_its_second_model_apart(with_reader: tuple[Imported, PreTrainedModel]) -> None:
    imported, second = with_reader
    checkpoint = wb.load(imported.directory).checkpoint
    reader = load_reader(imported.directory, checkpoint)

    assert imported.left_out == {}
    assert checkpoint.meta["reader"] == "reader"
    assert {file.suffix for file in (imported.directory / "reader").iterdir()} == {".json", ".safetensors"}
    for key, tensor in second.state_dict().items():
        assert torch.equal(reader.model.state_dict()[key], tensor), key
    thoughts = torch.randn(3, 4, 32)
    said = say_steps(reader, checkpoint, thoughts)
    for row in range(3):  # the tokens have the embeddings of the model that thinks, and positions begin at 1
        for step in range(2):
            fed = thoughts[row, 2 * step : 2 * step + 2]
            assert said[row][step] == said_by_hand(checkpoint, second, fed, first=1)


def linear(inside: int, outside: int, name: str) -> tuple[Keys, Callable[[Tensor], Tensor]]:
    torch.manual_seed(inside)
    layer = nn.Linear(inside, outside)
    return {f"{name}.{key}": tensor.data for key, tensor in layer.named_parameters()}, layer


def low_rank(inside: int, outside: int, name: str) -> tuple[Keys, Callable[[Tensor], Tensor]]:
    torch.manual_seed(outside)
    first, second = torch.randn(inside, inside // 4), torch.randn(inside // 4, outside)
    return {f"{name}.U": first, f"{name}.V": second}, lambda given: given @ first @ second


def unchanged(inside: int, outside: int, name: str) -> tuple[Keys, Callable[[Tensor], Tensor]]:
    return {}, lambda given: given


Form = Callable[[int, int, str], tuple[Keys, Callable[[Tensor], Tensor]]]


class OnCodi:
    """A file in the layout of SIM-CoT on CODI."""

    def __init__(self, family: str, folder: Path, forms: tuple[Form, Form] = (unchanged, unchanged)) -> None:
        self.folder = folder
        narrow = forms != (unchanged, unchanged)
        sizes = {**LONG[family], **(NARROW[family] if narrow else {}), "vocab_size": FEWER if narrow else WORDS}
        self.model, self.second = grown(family), tiny_model(family, 5, **sizes)
        before, self.before = forms[0](32, 16, "pj_in")
        after, self.after = forms[1](FEWER, WORDS, "pj_out")
        self.held = adapted(self.model, LAYERS[family]) | mlp(("prj.1", "prj.3", "prj.ln")) | before | after
        self.held |= {f"decoder.{key}": tensor for key, tensor in self.second.state_dict().items()}
        self.told: dict[str, Any] = {**CODI, "base": base(family, folder / "base")}
        if narrow:
            (folder / "second.json").write_text(json.dumps(tiny_model(family, **PLAIN, **sizes).config.to_dict()))
            self.told["reader_base"] = folder / "second.json"

    def read(self, **told: Any) -> Imported:
        torch.save(self.held, self.folder / "pytorch_model.bin")
        return wb.import_model(self.folder / "pytorch_model.bin", self.folder / "mine", **(self.told | told))


@pytest.mark.parametrize("forms", [(unchanged, unchanged), (linear, low_rank), (low_rank, linear)])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_on_codi_it_reads_what_is_fed_through_its_projections(
    family: str, forms: tuple[Form, Form], tmp_path: Path
) -> None:
    made = OnCodi(family, tmp_path, forms)
    imported = made.read()
    unmerged(made.model, made.held, CODI["lora_alpha"])
    hold_to(imported, made.model, projected(made.held))  # the thoughts do not depend on it
    loaded = wb.load(imported.directory)
    checkpoint, reader = loaded.checkpoint, load_reader(imported.directory, loaded.checkpoint)

    assert imported.family is FAMILIES["sim-cot-codi"]
    assert imported.left_out == {}
    assert {file.suffix for file in (imported.directory / "reader").iterdir()} == {".json", ".safetensors"}
    assert reader.projections.keys() == {key for key in made.held if key.startswith("pj_")}
    item = Item("1", "Tom has 3 shells and buys 4. How many?", "7", ("<<3+4=7>>",), "gsm8k")
    fed = think_about(checkpoint, [item])[:, :K]  # the projected vectors, as the original gives them
    (own,) = say_steps(reader, checkpoint, fed)
    by_hand = [said_by_hand(checkpoint, made.second, one[None], 0, made.before, made.after) for one in fed[0]]
    assert list(own) == by_hand
    assert any(by_hand)


def test_on_codi_the_command_and_the_table_show_what_it_says_of_each_thought(tmp_path: Path) -> None:
    made = OnCodi("gpt2", tmp_path, (linear, low_rank))
    torch.save(made.held, tmp_path / "pytorch_model.bin")
    told = made.told.items()
    options = [text for name, value in told for text in (f"--{name.replace('_', '-')}", str(value))]
    where = str(tmp_path / "mine")
    shown = CliRunner().invoke(app, ["import", str(tmp_path / "pytorch_model.bin"), "--out", where, *options])
    assert shown.exit_code == 0, shown.output
    assert "Kept apart: the second language model, which was trained to read the thoughts." in shown.stdout
    assert "Left out" not in shown.stdout

    (tmp_path / "sums.txt").write_text("Tom has 3 shells and buys 4. How many?||<<3+4=7>> #### 7")
    traced = CliRunner().invoke(app, ["trace", where, str(tmp_path / "sums.txt")])
    assert traced.exit_code == 0, traced.output
    assert traced.stdout.count("Second model, trained to read the thoughts: of thought") == K
    loaded = wb.load(where)
    (item,) = load_items(tmp_path / "sums.txt")
    (trace,) = run(loaded.checkpoint, [item])
    assert trace.fed is not None
    reader = load_reader(where, loaded.checkpoint)
    read = steps_read(loaded.checkpoint, reader, trace)
    fed = torch.from_numpy(trace.fed)
    assert read["says"].to_list() == [
        said_by_hand(loaded.checkpoint, made.second, one[None], 0, made.before, made.after) for one in fed
    ]
    assert read["thoughts"].to_list() == [str(k) for k in range(1, K + 1)]


WRONG: dict[str, tuple[Keys, tuple[str, ...], str]] = {
    "several": ({}, ("pj_in.bias", "decoder.transformer.ln_f.bias"), "pj_in.bias: missing"),
    "one of two": ({}, ("pj_out.V",), "pj_out.V: missing"),
    "none before": ({}, ("pj_in.weight", "pj_in.bias"), r"pj_in\.\*: missing, a thought has 32 numbers"),
    "none after": ({}, ("pj_out.U", "pj_out.V"), r"pj_out\.\*: missing, the second model says one of 200 tokens"),
    "both forms": ({"pj_in.U": torch.ones(32, 4)}, (), r"pj_in.U: unexpected \(32, 4\)"),
    "unknown form": ({"pj_in.0.weight": torch.ones(16, 32)}, ("pj_in.weight", "pj_in.bias"), "pj_in.0.weight: unexp"),
    "turned": ({"pj_in.weight": torch.ones(32, 16)}, (), r"pj_in.weight: misshapen, is \(32, 16\), \(16, 32\) belongs"),
    "too many words": ({"pj_out.V": torch.ones(50, WORDS + 9)}, (), "pj_out.V: misshapen"),
    "too few words": ({"pj_out.V": torch.ones(50, WORDS - 9)}, (), "pj_out.V: misshapen"),
    "ranks": ({"pj_out.U": torch.ones(FEWER, 7)}, (), rf"pj_out.V: misshapen, is \(50, {WORDS}\), \(7, {WORDS}\)"),
    "no matrix": ({"pj_out.V": torch.tensor(1.0)}, (), r"pj_out.V: misshapen, is \(\)"),
    "left over": ({"decoder.value": torch.ones(2)}, (), r"decoder.value: unexpected \(2,\)"),
    "shape": ({"decoder.transformer.ln_f.bias": torch.ones(2)}, (), r"ln_f.bias: misshapen, is \(2,\), \(16,\)"),
    "not finite": ({"pj_in.bias": torch.full((16,), torch.nan)}, (), "pj_in.bias: not finite"),
    "embedding": ({"decoder.transformer.wte.weight": torch.tensor(1.0)}, (), "wte.weight: misshapen"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_listed_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    more, without, said = WRONG[kind]
    made = OnCodi("gpt2", tmp_path, (linear, low_rank))
    made.held = {key: tensor for key, tensor in (made.held | more).items() if key not in without}
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(WorkbenchError, match="does not fit its base") as caught:
        made.read()
    found = caught.value.why
    assert re.search(said, found), found
    assert kind != "several" or "decoder.transformer.ln_f.bias: missing" in found
    assert "--reader-base" in caught.value.do
    assert {path.name for path in tmp_path.iterdir()} == before | {"pytorch_model.bin"}


def test_what_the_second_model_was_trained_from_is_asked_for(tmp_path: Path) -> None:
    made = OnCodi("llama", tmp_path, (linear, low_rank))
    with pytest.raises(NotToldError) as caught:
        made.read(reader_base=None)
    assert list(caught.value.questions) == ["reader_base"]
    with pytest.raises(WorkbenchError, match="reads one thought at a time"):
        made.read(per_step=2, thoughts=4)
    left = made.read(reader_base="none")
    assert list(left.left_out) == ["decoder.", "pj_in.", "pj_out."]
    assert left.checkpoint.meta["imported"]["reader_base"] == "none"  # type: ignore[index]
    assert not (left.directory / "reader").exists()
    with pytest.raises(WorkbenchError, match="no second model that reads its thoughts"):
        load_reader(left.directory, left.checkpoint)
    torch.save({key: tensor for key, tensor in made.held.items() if not key.startswith(("decoder", "pj_"))},
               tmp_path / "plain.bin")  # fmt: skip
    with pytest.raises(WorkbenchError, match="has no second model"):
        wb.import_model(tmp_path / "plain.bin", tmp_path / "other", **made.told)


def test_on_coconut_another_size_is_an_error_and_can_be_left_out(tmp_path: Path) -> None:
    second = tiny_model("gpt2", 5, vocab_size=WORDS, n_positions=256, n_embd=16)
    held = {f"expainable_llm.{key}": tensor for key, tensor in second.state_dict().items()}
    torch.save(wrapped(grown("gpt2"), **held), tmp_path / "checkpoint_28")
    told: dict[str, Any] = {"base": base("gpt2", tmp_path / "base"), "thoughts": 4, "per_step": 2, "says": "answer"}
    with pytest.raises(WorkbenchError, match="does not fit its base") as caught:
        wb.import_model(tmp_path / "checkpoint_28", tmp_path / "mine", **told)
    assert "expainable_llm.transformer.ln_f.bias: misshapen, is (16,), (32,) belongs there" in caught.value.why
    second.save_pretrained(tmp_path / "second")
    with pytest.raises(WorkbenchError, match="does not fit its base") as caught:
        wb.import_model(tmp_path / "checkpoint_28", tmp_path / "mine", **told, reader_base=tmp_path / "second")
    assert "pj_in.*: missing, a thought has 32 numbers, the second model reads 16" in caught.value.why
    left = wb.import_model(tmp_path / "checkpoint_28", tmp_path / "mine", **told, reader_base="none")
    assert list(left.left_out) == ["expainable_llm."]


@pytest.mark.parametrize("kind", ["cut off", "missing", "misshapen", "unexpected", "place", "short"])
def test_a_damaged_second_model_is_an_error(kind: str, tmp_path: Path) -> None:
    made = OnCodi("gpt2", tmp_path, (linear, low_rank))
    imported = made.read()
    folder = imported.directory / "reader"
    file = folder / "projections.safetensors"
    held, config = load_file(file), json.loads((folder / "config.json").read_text())
    if kind == "cut off":
        file.write_bytes(file.read_bytes()[:-9])
    elif kind == "missing":
        save_file({key: tensor for key, tensor in held.items() if key != "pj_out.V"}, file)
    elif kind == "misshapen":
        save_file(held | {"pj_in.bias": torch.ones(3)}, file)
    elif kind == "unexpected":
        save_file(held | {"more": torch.ones(3)}, file)
    elif kind == "place":
        (folder / "config.json").write_text(json.dumps(config | {"first_position": "one"}))
    else:
        (folder / "config.json").write_text(json.dumps(config | {"n_positions": LIMIT}))
    with pytest.raises(WorkbenchError, match="second model of mine cannot be loaded"):
        load_reader(imported.directory, imported.checkpoint)


def test_the_command_keeps_a_second_model_and_shows_what_it_says(
    with_reader: tuple[Imported, PreTrainedModel], tmp_path: Path
) -> None:
    imported, _ = with_reader
    lines = [f"Tom has {n} shells and buys 4. How many?||<<{n}+4={n + 4}>> #### {n + 4}" for n in (3, 5)]
    (tmp_path / "sums.txt").write_text("\n".join(lines))
    shown = CliRunner().invoke(app, ["trace", str(imported.directory), str(tmp_path / "sums.txt")])
    reader = load_reader(imported.directory, imported.checkpoint)
    first, *others = load_items(tmp_path / "sums.txt")
    (trace,) = run(imported.checkpoint, [first])
    read = steps_read(imported.checkpoint, reader, trace, others)

    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("Second model, trained to read the thoughts: of thought") == 2
    assert "chance 0.00, 1 other problems" in " ".join(shown.stdout.split())
    assert read["right"].to_list() == [False, None]  # the solution has one step


def test_what_the_second_model_says_stands_beside_the_lm_head_and_other_thoughts(
    with_reader: tuple[Imported, PreTrainedModel],
) -> None:
    imported, _ = with_reader
    model, reader = imported.checkpoint, load_reader(imported.directory, imported.checkpoint)
    sums = [(f"Tom has {n} shells and buys 4. How many?", f"{n + 4}", (f"<<{n}+4={n + 4}>>",)) for n in (3, 5, 6, 7)]
    item, *others = [Item(str(number), *one, "gsm8k") for number, one in enumerate(sums)]
    (trace,) = run(model, [item])
    (own,) = say_steps(reader, model, torch.from_numpy(trace.thoughts)[None])
    # Where its own words are the solution, it is right, and right by chance as often as others are read the same.
    told = replace(item, steps=tuple(text or "nothing" for text in own), values=())
    found = steps_read(model, reader, replace(trace, problem=told), others)
    read = [say_steps(reader, model, torch.from_numpy(one.thoughts)[None])[0] for one in run(model, others)]

    assert found["thoughts"].to_list() == ["1 to 2", "3 to 4"]
    assert found["says"].to_list() == list(own)
    assert found["lm_head"][0] == ", ".join(tokens[0][0].strip() for tokens in trace.top_tokens[:2])
    for step, (text, chance) in enumerate(zip(own, found["chance"], strict=True)):
        alike = [judged(model.format, other[step], text)[0] for other in read]
        assert chance == pytest.approx(sum(alike) / 3)
        assert found["right"][step] == judged(model.format, text, told.steps[step])[0]
    assert steps_read(model, reader, trace)["chance"].null_count() == 2
