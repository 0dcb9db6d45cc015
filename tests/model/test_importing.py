"""Files of other projects, made here in their exact layout, and what each becomes; damaged and malicious ones."""

import hashlib
import io
import json
import os
import pickle
import re
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from typer.testing import CliRunner

import workbench as wb
from tests.conftest import chain, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.cli import app
from workbench.errors import WorkbenchError
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened
from workbench.measure.trace import run
from workbench.model.coconut import collate, forward
from workbench.model.importing.convert import Imported, NotToldError
from workbench.model.importing.families import FAMILIES, OFFICIAL_MARKERS, SUPERPOSITION_WORDS
from workbench.model.session import Branches, Session

K = 3
OFFICIAL: dict[str, Any] = {"thoughts": K, "per_step": 1, "says": "answer"}
CODI: dict[str, Any] = {"thoughts": K, "prompt": "codi-remove-eos", "lora_alpha": 6.0}
LONG: dict[str, Any] = {"gpt2": {"n_positions": 256}, "llama": {"max_position_embeddings": 256}}
PLAIN: dict[str, Any] = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
Keys = dict[str, Tensor]


def base(family: str, folder: Path) -> Path:
    """A directory as `save_pretrained` leaves it, of the model that a run began with."""
    tokenizer = bpe_tokenizer(markers=False)
    model = tiny_model(family, vocab_size=len(tokenizer), **PLAIN, **LONG[family])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def grown(family: str, more: int = 3, seed: int = 1, **changes: Any) -> PreTrainedModel:
    return tiny_model(family, seed, vocab_size=len(bpe_tokenizer(False)) + more, **LONG[family], **changes)


def wrapped(model: PreTrainedModel, **more: Tensor) -> Keys:
    """What `torch.save(Coconut(model).state_dict())` writes: the input embedding stands under a second name."""
    held = {f"base_causallm.{key}": tensor for key, tensor in model.state_dict().items()}
    return {**held, "embedding.weight": model.get_input_embeddings().weight.data, **more}  # type: ignore[dict-item, union-attr]


def adapted(model: PreTrainedModel, modules: tuple[str, ...]) -> Keys:
    """The keys that peft gives a model with LoRA of rank 2, inside CODI."""
    torch.manual_seed(7)
    held = {}
    for key, tensor in model.state_dict().items():
        name, _, kind = key.rpartition(".")
        inside = name.rpartition(".")[2] in modules
        held[f"codi.base_model.model.{name}{'.base_layer' * inside}.{kind}"] = tensor
        if inside and kind == "weight":
            wide, narrow = tensor.shape if type(model.get_submodule(name)) is nn.Linear else tensor.shape[::-1]
            held[f"codi.base_model.model.{name}.lora_A.default.weight"] = torch.randn(2, narrow)
            held[f"codi.base_model.model.{name}.lora_B.default.weight"] = torch.randn(wide, 2) * 0.1
    return held


def mlp(names: tuple[str, str, str], d: int = 32, inside: int = 24) -> Keys:
    """A projection: two linear layers with GELU between them, and a LayerNorm, under the given keys."""
    torch.manual_seed(9)
    first, second, norm = nn.Linear(d, inside), nn.Linear(inside, d), nn.LayerNorm(d)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    parts = zip(names, (first, second, norm), strict=True)
    return {f"{name}.{key}": tensor.data for name, part in parts for key, tensor in part.state_dict().items()}


def without_cache(
    model: PreTrainedModel, ids: list[int], rest: tuple[int, ...], project: Callable[[Tensor], Tensor], count: int = K
) -> tuple[Tensor, Tensor]:
    """Thoughts as fed, and the logits after the last token: the plain loop that an import is held to."""
    embed: Any = model.get_input_embeddings()
    row, fed = embed(torch.tensor(ids)), []
    for _ in range(count):
        fed.append(project(model.base_model(inputs_embeds=row[None], use_cache=False).last_hidden_state[0, -1]))
        row = torch.cat([row, fed[-1][None]])
    row = torch.cat([row, embed(torch.tensor(rest, dtype=torch.long))])
    logits = model(inputs_embeds=row[None], use_cache=False).logits[0, -1]
    return torch.stack(fed) if fed else row[:0], logits


def hold_to(imported: Imported, model: PreTrainedModel, project: Callable[[Tensor], Tensor] = lambda h: h) -> None:
    """Compare what was imported and loaded anew with the original model in a plain loop."""
    held = wb.load(imported.directory).checkpoint
    (prompt,) = held.format.prompts([chain(0, 2)])
    opening, count = held.format.answer_opening(prompt), held.thoughts
    rows = collate([prompt.ids], [count], [opening], pad=held.format.pad, thought=held.format.marker.thought)
    with torch.no_grad():
        fed, logits = without_cache(model, list(prompt.ids), opening, project, count)
        ran = forward(held.model, rows.ids, rows.is_thought, rows.mask)
    torch.testing.assert_close(ran.inputs[rows.is_thought], fed, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(ran.logits[0, -1], logits, atol=1e-4, rtol=1e-4)
    assert imported.difference < 1e-4 * max(1.0, imported.largest_logit)


@pytest.mark.parametrize(("family", "copies"), [("gpt2", 1), ("gpt2", 2), ("gpt2", 3), ("llama", 2)])
def test_an_official_file_thinks_as_the_plain_loop(family: str, copies: int, tmp_path: Path) -> None:
    model = grown(family, tie_word_embeddings=family == "gpt2")
    held = wrapped(model)
    if family == "gpt2":  # one copy: shared storage; three: after a gather they are apart
        held = {key: tensor.clone() if copies == 3 else tensor for key, tensor in held.items()}
        held.pop("base_causallm.lm_head.weight") if copies == 2 else None
    torch.save(held, tmp_path / "checkpoint_50")
    imported = wb.import_model(
        tmp_path / "checkpoint_50", tmp_path / "mine", base(family, tmp_path / "base"), **OFFICIAL
    )
    assert imported.family is FAMILIES["coconut"]
    hold_to(imported, model)


LAYERS = {"gpt2": ("c_attn", "c_proj", "c_fc"), "llama": ("q_proj", "o_proj", "down_proj")}


def unmerged(model: PreTrainedModel, held: Keys, alpha: float) -> None:
    """Let LoRA stand beside the weights, as peft runs it."""
    for name, module in model.named_modules():
        if (first := held.get(f"codi.base_model.model.{name}.lora_A.default.weight")) is not None:
            second = held[f"codi.base_model.model.{name}.lora_B.default.weight"]
            module.register_forward_hook(
                lambda m, given, out, a=first, b=second: out + alpha / len(a) * given[0] @ a.T @ b.T
            )


def projected(held: Keys) -> Callable[[Tensor], Tensor]:
    """CODI's projection, of a file's own tensors."""

    def project(h: Tensor) -> Tensor:
        inside = F.gelu(h @ held["prj.1.weight"].T + held["prj.1.bias"]) @ held["prj.3.weight"].T + held["prj.3.bias"]
        return F.layer_norm(inside, (32,), held["prj.ln.weight"], held["prj.ln.bias"])

    return project


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_codi_is_merged_and_projected(family: str, tmp_path: Path) -> None:
    model = grown(family)
    held = adapted(model, LAYERS[family]) | mlp(("prj.1", "prj.3", "prj.ln"))
    torch.save(held, tmp_path / "pytorch_model.bin")
    imported = wb.import_model(
        tmp_path / "pytorch_model.bin", tmp_path / "mine", base(family, tmp_path / "base"), **CODI
    )
    assert imported.family is FAMILIES["codi"]
    unmerged(model, held, CODI["lora_alpha"])
    hold_to(imported, model, projected(held))
    form = imported.checkpoint.format
    size = len(bpe_tokenizer(False))
    assert (form.marker.bot, form.marker.eot) == (size + 1, size + 2)


def test_superposition_comes_with_its_configuration(tmp_path: Path) -> None:
    model = tiny_model("gpt2", vocab_size=len(SUPERPOSITION_WORDS))
    settings = {"model_type": "gpt2", "vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    (tmp_path / "symbol.json").write_text(json.dumps({**settings, "eos_token_id": 0, "bos_token_id": 35}))
    torch.save(wrapped(model), tmp_path / "checkpoint_300")
    imported = wb.import_model(
        tmp_path / "checkpoint_300", tmp_path / "mine", tmp_path / "symbol.json", thoughts=K, says="answer"
    )
    assert imported.family is FAMILIES["superposition"]
    assert imported.checkpoint.format.name == "edges"
    hold_to(imported, model)


@pytest.mark.parametrize("feedback", ["pause", "hidden"])
def test_a_learned_pause_is_fed_and_changes_no_logit(feedback: Any, tmp_path: Path) -> None:
    model, pause = grown("gpt2"), torch.linspace(-1, 1, 32)
    torch.save(wrapped(model, pause_embedding=pause), tmp_path / "checkpoint_best")
    imported = wb.import_model(
        tmp_path / "checkpoint_best", tmp_path / "mine", base("gpt2", tmp_path / "base"), **OFFICIAL, feedback=feedback
    )
    if feedback == "hidden":
        hold_to(imported, model)
        return
    held = wb.load(tmp_path / "mine").checkpoint
    assert held.fed == "pause"
    (prompt,) = held.format.prompts([chain(0, 2)])
    _, expected = without_cache(model, list(prompt.ids), (), lambda h: pause)
    ids = torch.tensor([[*prompt.ids, *[held.pause] * K]])
    torch.testing.assert_close(held.model(ids).logits[0, -1], expected, atol=1e-4, rtol=1e-4)
    assert imported.difference < 1e-4


def test_cot_has_no_thoughts(tmp_path: Path) -> None:
    model = grown("gpt2", more=0)
    torch.save(model.state_dict(), tmp_path / "checkpoint_9")
    imported = wb.import_model(
        tmp_path / "checkpoint_9", tmp_path / "mine", base("gpt2", tmp_path / "base"), says="chain"
    )
    assert (imported.checkpoint.thoughts, imported.checkpoint.says) == (0, "chain")
    assert str(imported.checkpoint.supervision) == "no thoughts"
    hold_to(imported, model)


@pytest.mark.parametrize("kind", ["coconut", "codi", "colar", "pccot"])
def test_a_directory_with_markers_in_its_configuration(kind: str, tmp_path: Path) -> None:
    names = ("<pcot.bot>", "<pcot.eot>", "<pcot.latent>") if kind == "pccot" else OFFICIAL_MARKERS
    tokenizer = bpe_tokenizer(False)
    size = len(tokenizer)
    tokenizer.add_tokens(["###"] if kind == "colar" else list(names), special_tokens=True)
    model = tiny_model("gpt2", vocab_size=len(tokenizer), **PLAIN, **LONG["gpt2"])
    folder = tmp_path / "theirs"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    fields: dict[str, Any] = {"latent_start_id": size, "latent_end_id": size + 1, "latent_id": size + 2}
    heads: dict[str, tuple[str, str, str]] = {
        "codi": ("projector.1", "projector.3", "projector.4"),
        "pccot": ("prj.0", "prj.2", "prj.3"),
        "colar": ("lt_head.fc.0", "lt_head.fc.2", "lt_head.fc.3"),
    }
    head: Keys = {}
    if kind == "colar":
        torch.manual_seed(3)
        mean = nn.Linear(24, 32)
        first = mlp(heads[kind])
        first |= {"lt_head.fc.2.weight": torch.randn(24, 24) / 5, "lt_head.fc.2.bias": torch.zeros(24)}
        head = first | {"lt_head.fc.3.weight": torch.ones(24), "lt_head.fc.3.bias": torch.zeros(24)}
        head |= {"lt_head.mean.weight": mean.weight.data, "lt_head.mean.bias": mean.bias.data}
        fields = {"latent_embedding_std": 0.5, "latent_start_id": -1, "latent_end_id": size}
    elif kind != "coconut":
        head = mlp(heads[kind])
    if kind == "pccot":
        fields = {"model_type": "pccot-gpt2", "num_iterations": K + 1, "use_projection": True}
    file = folder / "model.safetensors"
    save_file(load_file(file) | head, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))

    told: dict[str, Any] = OFFICIAL if kind == "coconut" else {"thoughts": K}
    imported = wb.import_model(folder, tmp_path / "mine", **told)

    def project(h: Tensor) -> Tensor:
        if not head:
            return h
        one, two, three = heads[kind]
        inside = F.gelu(h @ head[f"{one}.weight"].T + head[f"{one}.bias"])
        inside = inside @ head[f"{two}.weight"].T + head[f"{two}.bias"]
        inside = F.layer_norm(inside, inside.shape[-1:], head[f"{three}.weight"], head[f"{three}.bias"])
        return 0.5 * (inside @ head["lt_head.mean.weight"].T + head["lt_head.mean.bias"]) if kind == "colar" else inside

    hold_to(imported, model, project)  # as many sweeps as thoughts give what one after the other gives
    assert set(imported.assumed) == {"prompt"} | ({"per_step", "says"} if kind != "coconut" else set())
    assert imported.checkpoint.recurrence.stop == ("token" if kind == "colar" else "count")
    if kind == "colar":
        hold_to_its_stop(folder, tmp_path, model, project)


@pytest.mark.parametrize(("family", "projects"), [("gpt2", True), ("llama", False)])
@pytest.mark.parametrize("sweeps", [0, 2])
def test_few_sweeps_of_pccot(sweeps: int, family: str, projects: bool, tmp_path: Path) -> None:
    """Its own code feeds the placeholders themselves where it makes no sweep; fewer sweeps than thoughts end early."""
    tokenizer = bpe_tokenizer(False)
    tokenizer.add_tokens(["<pcot.bot>", "<pcot.eot>", "<pcot.latent>"], special_tokens=True)
    model, folder = grown(family, tie_word_embeddings=True), tmp_path / "theirs"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    head = mlp(("prj.0", "prj.2", "prj.3")) if projects else {}
    file = folder / "model.safetensors"
    save_file(load_file(file) | head, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    fields = {"model_type": f"pccot-{family}", "num_iterations": sweeps, "use_projection": projects}
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    ran = CliRunner().invoke(app, ["import", str(folder), "--thoughts", str(K), "--out", str(tmp_path / "mine")])
    assert ran.exit_code == 0
    assert (f"{K} thoughts, each a token's embedding" in ran.stdout) == (not sweeps)
    assert ("Left out: prj.*" in ran.stdout) == (projects and not sweeps)

    def project(h: Tensor) -> Tensor:
        if not projects:
            return h
        inside = F.gelu(h @ head["prj.0.weight"].T + head["prj.0.bias"]) @ head["prj.2.weight"].T + head["prj.2.bias"]
        return F.layer_norm(inside, inside.shape[-1:], head["prj.3.weight"], head["prj.3.bias"])

    held = wb.load(tmp_path / "mine").checkpoint
    (prompt,) = held.format.prompts([chain(0, 2)])
    opening, embed = held.format.answer_opening(prompt), model.get_input_embeddings()
    trunk: Any = model.base_model
    with torch.no_grad():
        asked, then = embed(torch.tensor(prompt.ids)), embed(torch.tensor(opening))
        fed = embed(torch.tensor([tokenizer.convert_tokens_to_ids("<pcot.latent>")] * K))
        for _ in range(sweeps):
            states = trunk(inputs_embeds=torch.cat([asked, fed])[None], use_cache=False).last_hidden_state[0]
            fed = project(states[len(asked) - 1 : -1])
        logits = model(inputs_embeds=torch.cat([asked, fed, then])[None], use_cache=False).logits[0, -1]
        session = Session(held.model, [prompt.ids], pad=held.format.pad, more=K + len(opening))
        session.think(K, pause=held.pause)
        said = Branches(session, [K]).say([[opening]])[0, 0]
    torch.testing.assert_close(session.vectors[0], fed, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(said, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_update_without_its_model_is_named(name: str, tmp_path: Path) -> None:
    update = {"base_model.model.prj.0.weight": torch.zeros(4, 4)}
    save_file(update, tmp_path / name) if name.endswith("safetensors") else torch.save(update, tmp_path / name)
    with pytest.raises(WorkbenchError, match=f"{name} is a low-rank update, without the weights"):
        wb.import_model(tmp_path, tmp_path / "mine", thoughts=K)


def hold_to_its_stop(folder: Path, out: Path, model: PreTrainedModel, project: Callable[[Tensor], Tensor]) -> None:
    """Take a token that ends some thoughts early, and compare with a plain loop that stops where it is likeliest."""
    free = wb.load(out / "mine").checkpoint
    assert free.recurrence.stop_token == free.format.tokenizer.convert_tokens_to_ids("###")
    problems = [chain(0, hops) for hops in (1, 2, 3)]
    said = []  # for each problem what the LM head says before thought 1, 2, ...
    for prompt in free.format.prompts(problems):
        with torch.no_grad():
            logits = [without_cache(model, list(prompt.ids), (), project, k)[1] for k in range(K)]
        said.append([int(one.argmax()) for one in logits])
    late = [token for tokens in said for k, token in enumerate(tokens) if k and token not in tokens[:k]]
    token = (late or [said[0][0]])[0]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "latent_end_id": token}))
    stopping = wb.import_model(folder, out / "stopping", thoughts=K).checkpoint
    for tokens, before, after in zip(said, run(free, problems), run(stopping, problems), strict=True):
        stop = tokens.index(token) if token in tokens else K
        assert (before.stop, after.stop) == (K, stop)
        for k in range(K + 1):
            np.testing.assert_allclose(after.answers[k], before.answers[min(k, stop)], atol=1e-5)
    assert any(token in tokens for tokens in said)


def test_the_command_says_what_was_assumed(gpt2: Path, tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    torch.save(adapted(grown("gpt2"), LAYERS["gpt2"]) | mlp(("prj.1", "prj.3", "prj.ln")), file)
    command = ["import", str(file), "--base", str(gpt2), "--thoughts", "3", "--prompt", "codi", "--lora-alpha", "6"]
    assumes = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "assumed")])
    told = CliRunner().invoke(app, [*command, "--per-step", "1", "--says", "answer", "--out", str(tmp_path / "told")])
    assert [line for line in assumes.stdout.splitlines() if line.startswith("Assumed")] == [
        "Assumed: one thought per step; change it with --per-step.",
        "Assumed: the answer follows the thoughts at once; change it with --says.",
    ]
    assert told.exit_code == 0
    assert "Assumed" not in told.stdout
    held = [json.loads((tmp_path / name / "config.json").read_text())["coconut"] for name in ("assumed", "told")]
    assert [one["imported"]["assumed"] for one in held] == [["per_step", "says"], []]


def test_what_a_configuration_leaves_out_is_said(tmp_path: Path) -> None:
    tokenizer = bpe_tokenizer(False)
    for name, more, wanted in (
        ("plain", {}, {"prompt", "markers"}),
        ("pccot", {"model_type": "pccot-gpt2"}, {"prompt", "per_step", "says", "num_iterations"}),
    ):
        folder = tmp_path / name
        size = len(tokenizer) + 3
        tiny_model("gpt2", vocab_size=size, **PLAIN, **LONG["gpt2"]).save_pretrained(folder)
        if name == "pccot":
            tokenizer.add_tokens(list(OFFICIAL_MARKERS), special_tokens=True)
        tokenizer.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **more}))
        imported = wb.import_model(
            folder, tmp_path / f"{name}-mine", **(OFFICIAL if name == "plain" else {"thoughts": K})
        )
        assert set(imported.assumed) == wanted
    assert "num_iterations 6" in imported.assumed["num_iterations"]


def plain_directory(folder: Path) -> PreTrainedModel:
    """A language model without markers, in a directory with its tokenizer."""
    model = grown("llama", more=0)
    base("llama", folder)
    model.save_pretrained(folder)
    return model


def test_the_page_tells_how_to_import_a_mixture(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/importing.md").read_text()
    (line,) = re.findall(r"^workbench (import .*--mixture.*)$", page, re.MULTILINE)
    plain_directory(tmp_path / "theirs")
    command = shlex.split(line)
    command[1], command[-1] = str(tmp_path / "theirs"), str(tmp_path / "mine")
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output
    assert "at most 32 thoughts, each the mean embedding of the 10 likeliest tokens" in made.stdout
    opened = wb.load(tmp_path / "mine")
    tokenizer = opened.checkpoint.tokenizer
    assert opened.checkpoint.thoughts == 32
    assert opened.checkpoint.recurrence.stop_token == tokenizer.encode("</think>", add_special_tokens=False)[0]
    assert str(opened.supervision.asked) == "not known"
    assert opened.checkpoint.meta["imported"]["mixture"]["top"] == 10  # type: ignore[index]


@pytest.mark.parametrize(
    ("mixture", "warmth"), [({"top": 10}, 1.0), ({}, 1.0), ({"top": 5, "temperature": 0.6, "sharpness": 2.0}, 0.3)]
)
def test_a_mixture_is_fed_as_the_plain_loop_mixes_it(mixture: dict[str, Any], warmth: float, tmp_path: Path) -> None:
    model = plain_directory(tmp_path / "theirs")
    imported = wb.import_model(tmp_path / "theirs", tmp_path / "mine", thoughts=4, says="answer", mixture=mixture)

    def mix(h: Tensor) -> Tensor:  # with random weights rounding errors grow, to 0.2 after 32
        logits = h @ model.get_output_embeddings().weight.T  # type: ignore[union-attr]
        shares, tokens = (logits / warmth).softmax(-1).topk(mixture.get("top", len(logits)))
        return (shares / shares.sum()) @ model.get_input_embeddings().weight[tokens]  # type: ignore[index, union-attr]

    hold_to(imported, model, mix)


def test_what_is_said_of_a_mixture_is_checked(tmp_path: Path) -> None:
    plain_directory(tmp_path / "theirs")
    told: dict[str, Any] = {"thoughts": 2, "says": "answer"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"mixture": {"tops": 3}}, "no mixture field"),
        ({"mixture": {"kind": "identity"}}, "no mixture field"),
        ({"mixture": {"top": "ten"}}, "mixture cannot be used"),
        ({"mixture": {"top": 100_000}}, "mixture cannot be used(?s:.*)top is 100000, and the model has"),
        ({"mixture": {"temperature": 0}}, "mixture cannot be used"),
        ({"mixture": {"gumbel": -1}}, "mixture cannot be used(?s:.*)negative"),
        ({"mixture": {"stop": "token"}}, "mixture cannot be used"),
        ({"mixture": {"stop": "token", "stop_token": 100_000}}, "mixture cannot be used(?s:.*)stop_token is 100000"),
        ({"mixture": {"stop_token": 3}}, "stop_token needs stop: token, and here is stop: count"),
        ({"mixture": {"least": 3}}, "least needs stop: token or stop: entropy"),
        ({"mixture": {"stop": "token", "stop_token": 3, "stop_entropy": 1}}, "stop_entropy needs stop: entropy"),
        ({"mixture": {"stop": "entropy"}}, "mixture cannot be used(?s:.*)`stop_entropy` above 0"),
        ({"mixture": {"stop": "token", "stop_token": ""}}, "Nothing ends these thoughts"),
        ({"mixture": {}, "wording": {"question": "no place"}}, "wording cannot be used"),
        ({"mixture": {}, "wording": {"close": []}}, "Cannot use the wording"),
        ({}, "has no thoughts"),
    ]
    for given, what in wrong:
        with pytest.raises(WorkbenchError, match=what):
            wb.import_model(tmp_path / "theirs", tmp_path / "mine", **(told | given))
    with pytest.raises(NotToldError) as caught:
        wb.import_model(tmp_path / "theirs", tmp_path / "mine", says="answer", mixture={})
    assert list(caught.value.questions) == ["thoughts"]
    refused = CliRunner().invoke(app, ["import", str(tmp_path / "theirs"), "--out", "mine", "--mixture", "top: ["])
    assert refused.exit_code == 2
    assert "Cannot read --mixture" in refused.stderr
    torch.save(wrapped(grown("llama")), tmp_path / "checkpoint_50")
    with pytest.raises(WorkbenchError, match="feeds no mixtures"):
        wb.import_model(
            tmp_path / "checkpoint_50", tmp_path / "mine", base("llama", tmp_path / "base"), **OFFICIAL, mixture={}
        )
    assert not (tmp_path / "mine").exists()


def test_noise_and_wording_of_a_mixture_are_kept(tmp_path: Path) -> None:
    plain_directory(tmp_path / "theirs")
    imported = wb.import_model(
        tmp_path / "theirs", tmp_path / "mine", thoughts=2, says="answer",
        mixture={"top": 10, "gumbel": 1.0, "gumbel_first": True, "stop": "entropy", "stop_entropy": 0.01},
        wording={"question": "Q: {question} ", "opening": ["a"], "closing": ["b"], "answer": "So: "},
    )  # fmt: skip
    held = wb.load(tmp_path / "mine").checkpoint
    assert (held.recurrence.gumbel, held.recurrence.stop, held.recurrence.stop_entropy) == (1.0, "entropy", 0.01)
    assert imported.difference < 1e-4 * max(1.0, imported.largest_logit)  # compared without the noise
    (prompt,) = held.format.prompts([chain(0, 2)])
    said = str(held.tokenizer.decode(list(prompt.ids)))
    assert said.startswith("Q: ")
    assert said.endswith(" a")
    assert str(held.tokenizer.decode(list(held.format.answer_opening(prompt)))).startswith("bSo:")


def test_an_import_is_traced_and_intervened_on(tmp_path: Path) -> None:
    model = grown("llama")
    torch.save(wrapped(model), tmp_path / "checkpoint_50")
    wb.import_model(tmp_path / "checkpoint_50", tmp_path / "mine", base("llama", tmp_path / "base"), **OFFICIAL)
    problem, opened = chain(0, 2), wb.load(tmp_path / "mine")
    assert opened.trace(problem).scores("lm_head").value.shape[0] == K
    (outcome,) = run_intervened(opened.checkpoint, [problem], [Plan((wb.Zero(at=(2,)),))], K)
    (prompt,) = opened.checkpoint.format.prompts([problem])
    opening = opened.checkpoint.format.value_opening(prompt)
    word = prompt.nodes[problem.target]
    numbers = iter(range(1, K + 1))
    with torch.no_grad():
        fed, _ = without_cache(model, list(prompt.ids), (), lambda h: h * 0 if next(numbers) == 2 else h)
        embed: Any = model.get_input_embeddings()
        row = torch.cat([embed(torch.tensor(prompt.ids)), fed, embed(torch.tensor([*opening, *word]))])
        said = model(inputs_embeds=row[None]).logits[0, -len(word) - 1 : -1].log_softmax(-1)
    assert float(said[range(len(word)), word].sum()) == pytest.approx(float(outcome.target[0]), abs=1e-4)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base("gpt2", tmp_path_factory.mktemp("bases") / "gpt2")


class Runs:
    """What a pickle holds that runs code when it is read."""

    def __init__(self, call: Callable[..., Any], *given: Any) -> None:
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.given


def saved(held: object) -> bytes:
    torch.save(held, file := io.BytesIO())
    return file.getvalue()


def rewritten(whole: bytes, change: Callable[[zipfile.ZipFile, str, bytes], None]) -> bytes:
    """Write an archive of torch.save again, entry by entry."""
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file := io.BytesIO(), "w") as after:
        for name in before.namelist():
            change(after, name, before.read(name))
    return file.getvalue()


def compressed(after: zipfile.ZipFile, name: str, held: bytes) -> None:
    after.writestr(name, held + bytes(100_000), zipfile.ZIP_DEFLATED)


def outside(after: zipfile.ZipFile, name: str, held: bytes) -> None:
    after.writestr(name, held)
    after.writestr(f"../../{name}", held)


def more_numbers(after: zipfile.ZipFile, name: str, held: bytes) -> None:
    after.writestr(name, held.replace(b"K\x07", b"K\xff"))


NORM = "base_causallm.transformer.ln_f.bias"
DAMAGES: dict[str, tuple[Callable[[Keys], bytes], str, str]] = {
    "code": (lambda held: saved({"a": Runs(os.mkdir, "ran")}), "is refused", "asks for posix.mkdir"),
    "memory": (lambda held: saved({"a": Runs(bytearray, 10**12)}), "is refused", "bytearray"),
    "cut off": (lambda held: saved(held)[:-99], "no file of weights", "without its end"),
    "empty": (lambda held: b"", "no file of weights", "It is empty"),
    "compressed": (lambda held: rewritten(saved(held), compressed), "is refused", "compressed to"),
    "outside": (lambda held: rewritten(saved(held), outside), "is refused", "a place outside"),
    "more numbers": (lambda held: rewritten(saved({"a": torch.ones(7)}), more_numbers), "cut off or damaged", ""),
    "expanded": (lambda held: saved({"a": torch.ones(1).expand(10**6, 10**6)}), "is refused", "fewer numbers"),
    "header": (lambda held: (2**60).to_bytes(8, "little") + b"{}", "cut off or damaged", "header"),
    "pointer": (lambda held: b"version https://git-lfs.github.com/spec/v1", "no file of weights", "git LFS"),
    "page": (lambda held: b"<html>404</html>" * 9, "no file of weights", "neither safetensors"),
    "bare pickle": (lambda held: pickle.dumps(Runs(os.mkdir, "ran")), "no file of weights", "before 1.6"),
    "no tensors": (lambda held: saved({"epoch": 3}), "is refused", "int, not a tensor"),
    "quantized": (lambda held: saved({key: one.to(torch.int8) for key, one in held.items()}), "is refused", "int8"),
    "strange": (lambda held: saved({"encoder.weight": torch.ones(3)}), "no known family", "encoder"),
    "missing": (lambda held: saved({k: v for k, v in held.items() if k != NORM}), "its base", "ln_f.bias: missing"),
    "unexpected": (lambda held: saved({**held, "value_head": torch.ones(2)}), "its base", "value_head: unexpected"),
    "misshapen": (lambda held: saved({**held, NORM: torch.ones(5)}), "its base", r"is \(5,\), \(32,\) belongs there"),
    "copies apart": (lambda held: saved({**held, "embedding.weight": -held["embedding.weight"]}), "contradicts", ""),
    "not finite": (lambda held: saved({**held, NORM: torch.full((32,), torch.nan)}), "mine does not run", "not finite"),
    "rows": (lambda held: saved(wrapped(grown("gpt2", more=4))), "does not fit the tokenizer", "50257"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_damaged_or_malicious_gets_one_error_and_writes_nothing(
    kind: str, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, what, why = DAMAGES[kind]
    file = tmp_path / "in" / "checkpoint_50"
    file.parent.mkdir()
    monkeypatch.chdir(file.parent)
    file.write_bytes(damage(wrapped(grown("gpt2"))))
    with pytest.raises(wb.WorkbenchError, match=what) as caught:
        wb.import_model(file, tmp_path / "mine", gpt2, **OFFICIAL)
    assert re.search(why, caught.value.why)
    assert len(str(caught.value)) < 3000
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoint_50", "in"]


def test_every_missing_tensor_is_named(tmp_path: Path, gpt2: Path) -> None:
    folder = tmp_path / "deep"
    tokenizer = bpe_tokenizer(markers=False)
    model = grown("gpt2", n_layer=12)
    tiny_model("gpt2", vocab_size=len(tokenizer), n_layer=12, **PLAIN, **LONG["gpt2"]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    missing = {key for key in model.state_dict() if ".h." in key}
    assert len(missing) == 144
    more = {f"decoder.{layer}.experts.{one}.bias": torch.ones(2) for layer in (0, 1, 7) for one in range(40)}
    held = {key: tensor for key, tensor in wrapped(model, **more).items() if ".h." not in key}
    torch.save(held, tmp_path / "checkpoint_50")
    with pytest.raises(wb.WorkbenchError, match="does not fit its base") as caught:
        wb.import_model(tmp_path / "checkpoint_50", tmp_path / "mine", folder, **OFFICIAL)

    named = set()
    for line in caught.value.why.splitlines()[1:]:
        name, _, about = line.strip().partition(": ")
        if about == "missing":
            assert "{0-11}" in name
            named |= {name.replace("{0-11}", str(layer)) for layer in range(12)}
    assert named == missing
    assert "decoder.{0-1,7}.experts.{0-39}.bias: unexpected (2,)" in caught.value.why
    assert "Faults: 264." in caught.value.why

    alone = {f"name{letters}": torch.ones(2) for letters in map(str, range(500))}  # no two differ in a layer's number
    torch.save({**wrapped(grown("gpt2")), **alone}, tmp_path / "checkpoint_51")
    with pytest.raises(wb.WorkbenchError, match="does not fit its base") as caught:
        wb.import_model(tmp_path / "checkpoint_51", tmp_path / "mine", gpt2, **OFFICIAL)
    assert all(f"\n    {name}: unexpected" in caught.value.why for name in alone)


def test_safetensors_are_known_by_their_bytes(gpt2: Path, tmp_path: Path) -> None:
    model = grown("gpt2")
    save_file({key: tensor.clone() for key, tensor in wrapped(model).items()}, tmp_path / "pytorch_model.bin")
    hold_to(wb.import_model(tmp_path / "pytorch_model.bin", tmp_path / "mine", gpt2, **OFFICIAL), model)


def test_weights_in_several_files_are_read_together_or_not_at_all(gpt2: Path, tmp_path: Path) -> None:
    model, folder = grown("gpt2"), tmp_path / "theirs"
    folder.mkdir()
    held = list(wrapped(model).items())
    parts = [folder / f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    for part, some in zip(parts, (held[:5], held[5:]), strict=True):
        torch.save(dict(some), part)
    (folder / "training_args.bin").write_bytes(b"")
    hold_to(wb.import_model(folder, tmp_path / "mine", gpt2, **OFFICIAL), model)
    parts[0].unlink()
    with pytest.raises(wb.WorkbenchError, match="not complete") as caught:
        wb.import_model(folder, tmp_path / "other", gpt2, **OFFICIAL)
    assert "1 of 2 files pytorch_model" in caught.value.why


def test_what_is_not_told_is_asked_for_with_what_is_known(gpt2: Path, tmp_path: Path) -> None:
    torch.save(adapted(grown("gpt2"), LAYERS["gpt2"]), tmp_path / "model.bin")
    with pytest.raises(NotToldError, match="does not say how it thinks") as caught:
        wb.import_model(tmp_path / "model.bin", tmp_path / "mine", gpt2, thoughts=6)
    assert list(caught.value.questions) == ["prompt", "lora_alpha"]
    assert "--lora-alpha (32" in caught.value.why
    assert "codi-remove-eos" in caught.value.why
    with pytest.raises(wb.WorkbenchError, match='no prompt "cody"'):
        wb.import_model(tmp_path / "model.bin", tmp_path / "mine", gpt2, **(CODI | {"prompt": "cody"}))
    with pytest.raises(wb.WorkbenchError, match="needs its base"):
        wb.import_model(tmp_path / "model.bin", tmp_path / "mine", **CODI)
    with pytest.raises(wb.WorkbenchError, match="An empty text was given"):
        wb.import_model(tmp_path / "model.bin", tmp_path / "mine", "", **CODI)
    with pytest.raises(wb.WorkbenchError, match="exists"):
        wb.import_model(tmp_path / "model.bin", tmp_path, gpt2, **CODI)


@pytest.mark.parametrize("in_terminal", [False, True])
def test_the_command_says_what_it_made_and_where_it_came_from(
    in_terminal: bool, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checkpoint_50"
    torch.save(wrapped(grown("gpt2")), file)
    command = ["import", str(file), "--out", str(tmp_path / "mine"), "--base", str(gpt2)]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--thoughts (" in refused.stderr
    if in_terminal:
        monkeypatch.setattr("workbench.cli.importing._in_terminal", lambda: True)
        made = CliRunner().invoke(app, [*command, "--thoughts", "3"], input="1\nanswer\n")
        assert "c_thought" in made.stderr
    else:
        made = CliRunner().invoke(app, [*command, "--thoughts", "3", "--per-step", "1", "--says", "answer"])
    assert made.exit_code == 0, made.output
    assert "Coconut (facebookresearch/coconut): 3 thoughts" in made.stdout
    assert "plain recomputation" in made.stdout
    config = json.loads((tmp_path / "mine" / "config.json").read_text())["coconut"]
    assert config["imported"]["source"] == "checkpoint_50"
    assert config["imported"]["sha256"] == {"checkpoint_50": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert config["recurrence"]["kind"] == "identity"


def test_source_and_base_may_be_names_on_the_hub(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    torch.save(wrapped(grown("gpt2")), theirs / "checkpoint_28")
    torch.save({"epoch": 1}, theirs / "training_args.bin")
    known = {"someone/thinker": theirs, "someone/gpt2": gpt2}

    def fetch(name: str, **options: Any) -> str:
        if name not in known:
            raise FileNotFoundError("offline")
        return str(known[name])

    monkeypatch.setattr("workbench.model.importing.convert.snapshot_download", fetch)
    imported = wb.import_model("someone/thinker", tmp_path / "mine", "someone/gpt2", **OFFICIAL)
    about: Any = imported.checkpoint.meta["imported"]
    assert (about["source"], about["base"]) == ("someone/thinker", "someone/gpt2")
    with pytest.raises(wb.WorkbenchError, match="There is no some/where") as caught:
        wb.import_model("some/where", tmp_path / "again", gpt2, **OFFICIAL)
    assert "offline" in caught.value.why
