"""Training from a pre-trained model: LoRA from start to export, questions on one text, batches added up, stages."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tests.conftest import chain, tiny_model
from tests.model.test_formats import bpe_tokenizer
from workbench.errors import WorkbenchError
from workbench.measure.trace import answers
from workbench.model.adapters import add_lora, merged_state, update_of
from workbench.model.checkpoint import Checkpoint, load_checkpoint, prepare_pretrained
from workbench.model.coconut import lm_head, thoughts_of
from workbench.model.recurrence import Recurrence
from workbench.problems.files import save_items
from workbench.problems.graph import hops
from workbench.problems.sets import generate_asked, generate_items
from workbench.train.batch import TrainBatch
from workbench.train.config import (
    Curriculum,
    LoraConfig,
    RowsConfig,
    Schedule,
    Stage,
    TrainConfig,
    load_config,
    save_config,
)
from workbench.train.fast import FastPass, supports
from workbench.train.forward import ModelPass
from workbench.train.init import begin
from workbench.train.launch import train_command
from workbench.train.loop import read_metrics
from workbench.train.objective import TrainStep, batch_loss
from workbench.train.state import ADAPTER_WEIGHTS, load_state, open_adapter, save_adapter, trained
from workbench.train.text import TextData, together

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PROBLEMS = generate_asked(24, 4, 0, {1: 1.0, 2: 1.0}, edges=8)
CONFIG = TrainConfig(
    task="prosqa",
    method="coconut_words",
    mixing="none",
    rows=RowsConfig(batch=8, steps_per_stage=10, questions=4, edges=8, count=48),
    curriculum=Curriculum(thoughts=2, hop_weights={1: 1.0, 2: 1.0}),
    precision="fp32",
    processes=1,
    watched=2,
)
LORA = LoraConfig(rank=3, alpha=6.0, full_layers=1)
LATE = Stage(thoughts=2, since=30)


def saved(directory: Path, family: str = "llama") -> str:
    tokenizer = bpe_tokenizer(markers=False)
    tiny_model(
        family, vocab_size=len(tokenizer), tie_word_embeddings=True, max_position_embeddings=512
    ).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def prepared(family: str = "llama") -> Checkpoint:
    tokenizer = bpe_tokenizer(markers=False)
    sizes: dict[str, Any] = {"max_position_embeddings": 512} if family != "gpt2" else {"n_positions": 512}
    model = tiny_model(family, vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes)
    return prepare_pretrained(model, tokenizer)


def with_lora(family: str = "llama", full_layers: int = 1) -> Checkpoint:
    """A model whose updates are no longer 0."""
    made = prepared(family)
    marker = made.format.marker
    add_lora(made.model, 3, 6.0, [marker.bot, marker.eot, marker.thought], full_layers)
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if "lora_B" in name or "token_rows" in name:
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    return made


def draw(data: TextData, step: int = 3, rank: int = 0) -> TrainBatch:
    return data.draw(LATE, step, rank)


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, [weight for _, weight in named], allow_unused=True)
    return {name: g for (name, _), g in zip(named, found, strict=True) if g is not None}


@pytest.mark.parametrize("lora", [False, True])
def test_the_fast_pass_has_shared_keys_and_updates(lora: bool) -> None:
    made = with_lora() if lora else prepared()
    assert made.model.config.num_key_value_heads < made.model.config.num_attention_heads
    assert supports(made.model)
    batch = draw(TextData(CONFIG, made, PROBLEMS))
    results = []
    for kind in (ModelPass, FastPass):
        loss = batch_loss(kind(made.model, batch.prefix, 4, batch.pads), batch).loss
        results.append((loss.detach(), gradients(made.model, loss)))
    (plain, one), (fast, other) = results
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    assert one.keys() == other.keys()
    assert bool([name for name in one if "lora_A" in name]) == lora
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, atol=1e-4, rtol=2e-3, msg=name)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_only_what_is_small_trains_and_the_merged_model_computes_the_same(family: str) -> None:
    made = with_lora(family)
    held = [name for name, _ in trained(made.model)]
    first, last = ([name for name in held if f".{layer}." in name] for layer in (0, 1))
    in_full = [name for name, _ in prepared(family).model.named_parameters() if ".1." in name]
    assert all("lora_" in name or "norm" in name or "bias" in name or "ln_" in name for name in first)
    assert [name for name in first if "lora_" in name]
    assert [name for name in first if "lora_" not in name]
    assert last == in_full
    assert not any("embed" in name or "wte" in name for name in held)
    plain = prepared(family).model
    plain.load_state_dict(merged_state(made.model))
    given = made.format.prompts(PROBLEMS[:1])[0].ids
    ids = torch.tensor([[*given, made.format.marker.eot]])
    ours = made.model.base_model(input_ids=ids).last_hidden_state
    theirs = plain.base_model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(lm_head(made.model, ours), plain(input_ids=ids).logits, atol=1e-3, rtol=1e-4)
    changed = [u for m in made.model.modules() if (u := update_of(m)) is not None]
    assert changed
    assert all(outer.abs().max() > 0 for _, outer in changed)


@pytest.mark.parametrize("method", ["coconut_words", "coconut_next_node", "cot"])
def test_questions_on_one_text_are_learned_as_if_each_stood_alone(method: str) -> None:
    made = prepared()
    config = replace(CONFIG, method=method)
    together_, alone = (
        TextData(replace(config, rows=replace(config.rows, questions=n)), made, PROBLEMS) for n in (4, 1)
    )
    rng = [np.random.default_rng(0) for _ in range(2)]
    shared, separate = together_.batch(PROBLEMS[:8], LATE, rng[0], 4), alone.batch(PROBLEMS[:8], LATE, rng[1])
    assert shared.prefix.shape[0] == 2
    assert shared.prefix.shape[1] > shared.question.shape[2]
    results = []
    for batch in (shared, separate):
        result = TrainStep(made.model, "fp32")(batch, 0)
        results.append((result, gradients(made.model, result.loss)))
    (one, g), (other, h) = results
    torch.testing.assert_close(one.loss, other.loss, atol=1e-5, rtol=1e-5)
    assert one.measured == pytest.approx(other.measured)
    for name, gradient in g.items():
        torch.testing.assert_close(h[name], gradient, atol=1e-4, rtol=2e-3, msg=name)


def test_batches_that_are_added_up_give_the_gradient_of_one_large_batch() -> None:
    made = prepared()
    data = TextData(CONFIG, made, PROBLEMS)
    step = TrainStep(made.model, "fp32")
    mixed = Stage(thoughts=0)
    parts = [data.batch(PROBLEMS[i : i + n], mixed, np.random.default_rng(0), 4) for i, n in ((0, 4), (4, 8))]
    whole = data.batch(PROBLEMS[:12], mixed, np.random.default_rng(0), 4)
    totals = np.mean([part.totals for part in parts], 0).tolist()
    sums: dict[str, torch.Tensor] = {}
    for part in parts:
        for name, gradient in gradients(made.model, step(part, 0, totals).loss / 2).items():
            sums[name] = sums.get(name, torch.zeros(())) + gradient
    for name, gradient in gradients(made.model, step(whole, 0).loss).items():
        torch.testing.assert_close(sums[name], gradient, atol=1e-4, rtol=2e-3, msg=name)


def test_an_epoch_has_every_problem_once() -> None:
    rows = RowsConfig(batch=4, epochs_per_stage=2.0, questions=1)
    config = replace(CONFIG, rows=rows, accumulate=3)
    data = TextData(config, prepared(), PROBLEMS)
    assert data.schedule.plan.remove_every == 4  # 2 epochs of 24 in steps of 3 x 4
    for epoch in (0, 1):
        seen = Counter()
        for step in (2 * epoch, 2 * epoch + 1):
            for rank in range(3):
                batch = data.draw(LATE, step, rank)
                seen.update((*row[row != data.format.pad].tolist(),) for row in batch.question[:, 0])
        assert seen == Counter(prompt.ids for prompt in data.format.prompts(PROBLEMS))
    assert data._order(0) != data._order(1)


def test_a_stage_opens_when_the_rows_of_the_one_before_are_right() -> None:
    plan = Curriculum(thoughts=2, by="accuracy", open_at_accuracy=0.8, stage_steps=5, stage_max_steps=200)
    schedule = Schedule.of(replace(CONFIG, curriculum=plan))
    stage, opened = schedule.first(), []
    assert stage.thoughts == 0
    for step in range(1, 400):
        after = schedule.after(stage, step, 1.0 if step > 50 else 0.5)
        opened += [step] if after.thoughts > stage.thoughts else []
        stage = after
    assert len(opened) == 2
    assert 50 < opened[0] < 80
    assert 5 <= opened[1] - opened[0] < 50
    assert stage.thoughts == 2


def test_thoughts_stand_for_steps_while_the_chain_goes_token_by_token() -> None:
    plan = replace(CONFIG.curriculum, thoughts_per_step=2, remove="tokens")
    config = replace(CONFIG, curriculum=plan, rows=RowsConfig(batch=6, steps_per_stage=10))
    data = TextData(config, prepared(), [chain(number, 2) for number in range(6)])
    batch = data.batch(data.problems, Stage(thoughts=1, since=10), np.random.default_rng(0))
    assert (batch.slots, batch.per_step) == (2, 2)
    spelt = [data.batch(data.problems, Stage(1, since=at), np.random.default_rng(0)) for at in (10, 15, 19, 30)]
    learned = [one.words[0].labels.total for one in spelt]
    assert learned == sorted(learned, reverse=True)
    assert learned[0] > learned[-1]


def test_problems_of_one_text_stay_together_and_pairs_differ_in_the_root() -> None:
    assert [len(group) for group in together(PROBLEMS, 3)] == [3] * 6
    assert all(len(problem.edges) <= 8 and len(problem.steps) in (1, 2) for problem in PROBLEMS)
    with pytest.raises(WorkbenchError, match="asked together"):
        together([chain(number, 3) for number in range(3)], 2)
    for one, other in zip(*[iter(generate_asked(8, 2, 1, {2: 1.0}, 8, balanced=True))] * 2, strict=True):
        assert (one.edges, one.target, one.id + "-swap") == (other.edges, other.negative, other.id)
        assert hops(one.adjacency, one.root)[one.target] == 2


@pytest.mark.parametrize(
    "made", [Recurrence("projection", skip=True, marked=True), Recurrence("projection"), Recurrence("mixture", top=4)]
)
def test_a_first_thought_is_as_long_as_an_embedding(made: Recurrence, tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    checkpoint = begin(replace(CONFIG, start=base, recurrence=made))
    embedding = cast(nn.Embedding, checkpoint.model.get_input_embeddings()).weight
    read = torch.randn(6, 32, generator=torch.Generator().manual_seed(0)) * 5
    with torch.no_grad():
        fed = thoughts_of(checkpoint.model, checkpoint.recurrence, read, 1, [0] * 6)
        length = float(fed.norm(dim=1).mean() / embedding.norm(dim=1).mean())
    assert checkpoint.recurrence.kind == made.kind
    assert 0.3 < length < 3


def opens_as_earlier_versions_wrote_it(adapter: Path, config: TrainConfig, folder: Path) -> None:
    """They trained the updates and the markers alone, so that everything else is as the run began."""
    file = adapter / ADAPTER_WEIGHTS
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    held = load_file(file)
    first = {name: weight for name, weight in held.items() if ".lora_" in name or name.startswith("token_rows.")}
    assert len(first) < len(held)
    save_file(first, file, metadata=about)
    start = begin(config).model.state_dict()
    earlier = load_checkpoint(open_adapter(adapter, config.start, folder / "earlier")).model.state_dict()
    for name in (name for name in earlier if "embed" not in name and "lm_head" not in name):  # these have the markers
        updated = f"{name.removesuffix('.weight')}.lora_B.default.weight" in first
        assert torch.equal(earlier[name], start[name]) != updated, name
    save_file(dict(list(first.items())[1:]), file, metadata=about)
    with pytest.raises(WorkbenchError, match="is damaged"):
        open_adapter(adapter, config.start, folder / "damaged")


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"lora": LORA, "recurrence": Recurrence("projection", skip=True, marked=True), "layers": 1}),
        ("qwen2", {"lora": LORA, "accumulate": 2, "average_from": 2}),
    ],
)
def test_from_start_to_export(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    """Trained, stopped and resumed gives what was trained at once; the export is a plain model that says the same."""
    plan = replace(CONFIG.curriculum, by="accuracy", open_at_accuracy=0.0, stage_steps=1)
    config = replace(
        CONFIG, start=saved(tmp_path / "base", family), curriculum=plan, warmup_steps=1, learning_rate=1e-2,
        evaluate_every=4, **changes,
    )  # fmt: skip
    losses, made = [], tmp_path
    for name, parts in {"whole": [4], "parts": [2, 4]}.items():
        for steps in parts:
            save_config(replace(config, steps=steps, decay_from=steps, name=name), tmp_path / f"{name}.yaml")
            made = train_command(tmp_path / f"{name}.yaml", tmp_path / name)
        losses.append(read_metrics(made)[-1])
    assert losses[0] == losses[1]
    assert {"rows_right", "tokens_right", "pairs"} <= losses[0].keys()
    state = load_state(load_config(made / "config.yaml"), made)
    if "lora" in changes:
        trained_part, whole = (made / part / "model.safetensors" for part in ("latest", "model"))
        assert trained_part.stat().st_size < 0.8 * whole.stat().st_size
    exported = load_checkpoint(made)
    assert exported.model.config.num_hidden_layers == changes.get("layers", 2)
    assert not [name for name in exported.model.state_dict() if "lora" in name or "base_layer" in name]
    save_adapter(made, tmp_path / "adapter")
    opened = load_checkpoint(open_adapter(tmp_path / "adapter", config.start, tmp_path / "opened"))
    assert opened.meta == exported.meta
    for name, weight in opened.model.state_dict().items():  # the update is rounded to bf16 before it is merged
        torch.testing.assert_close(weight, exported.model.state_dict()[name], atol=2e-3, rtol=8e-3, msg=name)
    other = saved(tmp_path / "other", "gpt2")
    with pytest.raises(WorkbenchError, match="another base"):
        open_adapter(tmp_path / "adapter", other, tmp_path / "wrong")
    opens_as_earlier_versions_wrote_it(tmp_path / "adapter", load_config(made / "config.yaml"), tmp_path)
    said = [answer.said for answer in answers(exported, PROBLEMS[:4])]
    assert len(said) == 4
    if "average_from" not in changes:
        merged = merged_state(state.model)
        for name, weight in exported.model.state_dict().items():
            torch.testing.assert_close(weight, merged[name], atol=0, rtol=0, msg=name)


def test_the_configurations_for_qwen_go_from_start_to_export_on_a_tiny_one(tmp_path: Path) -> None:
    """Supervised training, then both kinds of reward from what it exported: only sizes and files are changed."""
    save_items(generate_items("arithmetic", 12, 0, operations=2), tmp_path / "problems.json")
    start = saved(tmp_path / "base", "qwen2")
    for name in ("qwen-gsm8k", "qwen-grpo", "qwen-latent-value"):
        config = load_config(CONFIGS / f"{name}.yaml")
        file = str(tmp_path / "problems.json")
        rows = replace(config.rows, problems=file, validation=file, batch=2)
        reward = config.reward
        if config.objective == "latent_value":
            reward = replace(reward, head=replace(reward.head, width=4, steps=1))
        small = replace(
            config, start=start, rows=rows, reward=reward, accumulate=min(config.accumulate, 2), steps=2, decay_from=2,
            evaluate_every=2, watched=2, keep_every=10,
        )  # fmt: skip
        save_config(small, tmp_path / f"{name}.yaml")
        made = train_command(tmp_path / f"{name}.yaml", tmp_path / name)
        exported = load_checkpoint(made)
        assert (exported.thoughts, exported.thoughts_per_step) == (6, 2)
        assert ("pass@8" in read_metrics(made)[-1]) == (config.objective != "supervised")
        start = start if config.objective != "supervised" else str(made)
