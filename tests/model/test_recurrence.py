"""Every way to make thoughts against a plain loop of its own formula, and what is fed told apart from what is read."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.conftest import tiny, tiny_model
from workbench.cli.terminal import trace_table
from workbench.errors import WorkbenchError
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened, think_about
from workbench.interventions.thoughts import Noise, Patch, Remove, Zero
from workbench.measure.recording import record, record_controls
from workbench.measure.trace import answers
from workbench.measure.trace import run as trace
from workbench.model.checkpoint import Checkpoint, load_checkpoint, make_checkpoint, save_checkpoint
from workbench.model.coconut import collate, forward, self_check
from workbench.model.lens import CoconutLens
from workbench.model.recurrence import Recurrence, attach_head, ended, prompt_keys, recurrence_of
from workbench.model.session import Branches, Session
from workbench.problems.problem import Problem
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.config import TrainConfig
from workbench.train.init import begin

PROMPT, REST, K = [9, 10, 11, 12, 13], [2, 20, 21], 4
KINDS = {
    "projection": Recurrence("projection", width=48),
    "projection without norm": Recurrence("projection", norm=False),
    "softmax": Recurrence("mixture", temperature=0.7),
    "top 5": Recurrence("mixture", top=5),
    "top 5, then noise": Recurrence("mixture", top=5, gumbel=1.0, sharpness=2.0, seed=3),
    "noise, then top 5": Recurrence("mixture", top=5, gumbel=0.5, gumbel_first=True),
    "mean": Recurrence("gaussian", width=24, scale=0.3),
    "sampled": Recurrence("gaussian", sampled=True, temperature=0.5, scale=0.3, seed=1),
    "sweeps": Recurrence(sweeps=2, token=8),
    "sweeps of projections": Recurrence("projection", sweeps=3, token=8),
}


def thinking(kind: str, family: str = "qwen2") -> Checkpoint:
    model, recurrence = tiny_model(family), KINDS[kind]
    torch.manual_seed(5)
    attach_head(model, recurrence)
    meta: dict[str, object] = {"format": "edges", "markers": False, "thoughts": 3, "recurrence": asdict(recurrence)}
    return make_checkpoint(model, edges_tokenizer(), meta, f"tiny-{family}")


def formula(checkpoint: Checkpoint, kind: str, state: Tensor, k: int) -> Tensor:
    """What is fed, written as its paper writes it."""
    model: Any = checkpoint.model
    name = KINDS[kind].kind
    table = model.get_input_embeddings().weight
    (key,) = prompt_keys(torch.tensor([PROMPT]), torch.ones(1, len(PROMPT), dtype=torch.bool))
    if name == "identity":
        return state
    if name in ("projection", "gaussian"):
        head = model.thought_head
        inside = head.second(F.gelu(head.first(state)))
        if kind != "projection without norm":
            spread = (inside - inside.mean()) / torch.sqrt(inside.var(correction=0) + 1e-5)
            inside = spread * head.norm.weight + head.norm.bias
        if name == "projection":
            return inside
        drawn = np.random.default_rng([1, key, k]).standard_normal(table.shape[1])
        std = torch.exp(head.log_std(inside)) * 0.5 if kind == "sampled" else 0
        return 0.3 * (head.mean(inside) + std * torch.tensor(drawn, dtype=torch.float32))
    p = torch.softmax(state @ model.get_output_embeddings().weight.T / (0.7 if kind == "softmax" else 1), 0)
    if kind == "softmax":
        return (p[:, None] * table).sum(0)
    gumbel = torch.zeros(len(p))
    if "noise" in kind:
        seed = 3 if kind.startswith("top") else 0
        gumbel = torch.tensor(np.random.default_rng([seed, key, k]).gumbel(size=len(p)), dtype=torch.float32)
    score = p.log() + (0.5 if kind.startswith("noise") else 1) * gumbel
    chosen = (score if kind.startswith("noise") else p).argsort(descending=True)[:5]
    weights = torch.softmax(score[chosen] * (2 if kind.startswith("top 5, then") else 1), 0)
    return (weights[:, None] * table[chosen]).sum(0)


def plain(checkpoint: Checkpoint, kind: str) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits of the rest, and what was fed and read, run on whole rows every time."""
    model: Any = checkpoint.model
    sweeps = KINDS[kind].sweeps
    embed = model.get_input_embeddings()
    begin, tail = list(embed(torch.tensor(PROMPT))), list(embed(torch.tensor(REST)))

    def hidden(row: list[Tensor]) -> Tensor:
        return model.base_model(inputs_embeds=torch.stack(row)[None], use_cache=False).last_hidden_state[0]

    fed: list[Tensor] = []
    read: list[Tensor] = []
    if sweeps:
        fed = [embed.weight[8]] * K
        for _ in range(sweeps):
            read = list(hidden(begin + fed)[len(begin) - 1 : -1])
            fed = [formula(checkpoint, kind, state, k) for k, state in enumerate(read, 1)]
    for k in range(1, 1 if sweeps else K + 1):
        read.append(hidden(begin + fed)[-1])
        fed.append(formula(checkpoint, kind, read[-1], k))
    return model.get_output_embeddings()(hidden(begin + fed + tail))[-len(tail) :], fed, read


@pytest.mark.parametrize(
    ("kind", "family"),
    [*((one, "qwen2") for one in KINDS), ("projection", "gpt2"), ("sweeps", "gpt2"), ("top 5", "llama")],
)
@torch.no_grad()
def test_each_kind_equals_a_plain_loop(kind: str, family: str) -> None:
    checkpoint = thinking(kind, family)
    logits, fed, read = plain(checkpoint, kind)
    rows = collate([PROMPT, PROMPT[1:]], [K, 2], [REST, REST[:2]], pad=0, thought=8)
    ran = forward(checkpoint.model, rows.ids, rows.is_thought, rows.mask)
    torch.testing.assert_close(ran.logits[0, -len(REST) :], logits, atol=2e-5, rtol=0)
    torch.testing.assert_close(ran.inputs[0, 5 : 5 + K], torch.stack(fed), atol=2e-5, rtol=0)
    session = Session(checkpoint.model, [PROMPT, PROMPT[1:]], pad=0, more=K + len(REST))
    returned = session.think(K)
    torch.testing.assert_close(session.vectors[0], torch.stack(fed), atol=2e-5, rtol=0)
    torch.testing.assert_close(returned[0], torch.stack(read if KINDS[kind].apart else fed), atol=2e-5, rtol=0)
    said = Branches(session, [K, 2]).say([[REST, REST[:2]]] * 2)
    torch.testing.assert_close(said[0, 0], logits[-1], atol=2e-5, rtol=0)
    last = 5 + 2 + 2 - 1  # the shorter row thinks twice, says two words, and is padded on the right
    torch.testing.assert_close(said[1, 1], ran.logits[1, last], atol=2e-5, rtol=0)
    self_check(checkpoint.model, 8, kind)


@pytest.mark.parametrize("sequential", [Recurrence(), KINDS["projection"]], ids=["identity", "projection"])
@torch.no_grad()
def test_as_many_sweeps_as_thoughts_are_one_after_the_other(sequential: Recurrence) -> None:
    checkpoint = thinking("projection")
    found = []
    for changes in ({}, {"sweeps": K, "token": 8}, {"sweeps": K - 1, "token": 8}):
        checkpoint.model.config.coconut = {"recurrence": {**asdict(sequential), **changes}}
        session = Session(checkpoint.model, [PROMPT, PROMPT[2:]], pad=0, more=K)
        session.think(K)
        found.append(session.vectors)
    torch.testing.assert_close(found[1], found[0], atol=2e-5, rtol=0)
    torch.testing.assert_close(found[2][:, :-1], found[0][:, :-1], atol=2e-5, rtol=0)
    assert (found[2] - found[0])[:, -1].abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["projection", "softmax", "sampled", "sweeps of projections"])
def test_gradients_flow_through_what_is_fed(kind: str) -> None:
    model: Any = thinking(kind).model
    rows = collate([PROMPT], [2], [REST], pad=0, thought=8)
    logits = forward(model, rows.ids, rows.is_thought, rows.mask).logits[0, -1]
    logits[3].backward()
    weight = model.thought_head.first.weight if KINDS[kind].has_head else model.get_input_embeddings().weight
    before, at, step = weight.grad[1].clone(), weight.detach()[1], 1e-3 * torch.randn(32)

    def moved(sign: float) -> float:
        with torch.no_grad():
            at.add_(sign * step)
            found = float(forward(model, rows.ids, rows.is_thought, rows.mask).logits[0, -1, 3])
            at.sub_(sign * step)
        return found

    assert (moved(1) - moved(-1)) / 2 == pytest.approx(float(before @ step), rel=0.02, abs=2e-6)


@pytest.mark.parametrize("kind", ["top 5, then noise", "sampled", "sweeps", "sweeps of projections"])
def test_what_is_read_and_what_is_fed_in_a_trace(kind: str, tiny_problems: list[Problem]) -> None:
    checkpoint, apart = thinking(kind), KINDS[kind].apart
    model: Any = checkpoint.model
    heads = model.get_output_embeddings().weight.detach().numpy()
    fed_alone = think_about(checkpoint, tiny_problems)
    for row, one in enumerate(trace(checkpoint, tiny_problems, batch_size=2)):
        assert (one.fed is not None) == apart
        np.testing.assert_allclose(one.as_fed, fed_alone[row], atol=2e-5)
        shares = torch.from_numpy(one.thoughts @ heads.T).softmax(-1).numpy()
        (prompt,) = checkpoint.format.prompts([one.problem])
        np.testing.assert_allclose(one.lm_head, shares[:, [word[0] for word in prompt.nodes]], atol=2e-5)
        if apart:
            assert np.abs(one.thoughts - one.as_fed).max() > 1e-3


def test_a_table_says_what_its_values_are_of(tiny_checkpoint: Checkpoint, tiny_problems: list[Problem]) -> None:
    for checkpoint, says in ((tiny_checkpoint, False), (thinking("projection"), True)):
        one = next(iter(trace(checkpoint, tiny_problems)))
        assert ("values are of what is read" in str(trace_table(one, "").caption)) == says


@pytest.mark.parametrize("kind", ["top 5", "sweeps of projections"])
def test_interventions_act_on_what_is_fed(kind: str, tiny_problems: list[Problem]) -> None:
    checkpoint = thinking(kind)
    plans = [[], [Zero(at=(2,))], [Patch("own", thought=1, at=(2,))], Plan((Noise(at=(1,)),), freeze=True)]
    ran: list[Any] = run_intervened(checkpoint, tiny_problems, plans, keep_thoughts=True)
    own, zero, patched, frozen = ran
    assert np.abs(zero.fed[:, 1]).max() == 0
    assert np.array_equal(zero.thoughts[:, :2], own.thoughts[:, :2])  # what is read before it does not move
    assert np.abs(zero.thoughts[:, 2] - own.thoughts[:, 2]).max() > 1e-3  # and what is read after it does
    np.testing.assert_allclose(patched.fed[:, 1], own.fed[:, 0], atol=1e-6)
    np.testing.assert_allclose(frozen.fed[:, 1:], own.fed[:, 1:], atol=1e-6)
    lengths = np.linalg.norm(frozen.fed[:, 0], axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(own.fed[:, 0], axis=-1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["projection", "sweeps of projections"])
def test_a_thought_that_is_left_out_takes_no_column(kind: str, tiny_problems: list[Problem]) -> None:
    checkpoint = thinking(kind)
    (removed,) = run_intervened(checkpoint, tiny_problems, [[Remove(at=(1, 2, 3))]])
    assert list(removed.texts) == [one.text for one in answers(checkpoint, tiny_problems, 0)]
    (last,) = run_intervened(checkpoint, tiny_problems, [[Remove(at=(3,))]])
    fewer = list(answers(checkpoint, tiny_problems, 2))
    assert list(last.texts) == [one.text for one in fewer]


@pytest.mark.parametrize("kind", ["top 5, then noise", "sweeps of projections"])
def test_recordings_hold_both(kind: str, tiny_problems: list[Problem]) -> None:
    checkpoint = thinking(kind)
    own = record(checkpoint, tiny_problems)
    np.testing.assert_allclose(own.residual[:, 1:4, 0], own.fed, atol=2e-5)  # the first stream is what was fed
    norm: Any = checkpoint.model.base_model.norm
    final = norm(torch.from_numpy(own.residual[:, :3, -1])).detach().numpy()
    if not KINDS[kind].sweeps:  # what is read comes out of the columns before
        np.testing.assert_allclose(final, own.thoughts, atol=2e-5)
    shuffled, noise, untrained = record_controls(own, ["shuffled", "noise", "untrained"])
    assert sorted(map(tuple, shuffled.fed[:, 0].round(4))) == sorted(map(tuple, own.fed[:, 0].round(4)))
    np.testing.assert_allclose(
        np.linalg.norm(noise.fed[:, 0], axis=-1), np.linalg.norm(own.fed[:, 0], axis=-1), rtol=1e-5
    )
    assert np.abs(untrained.fed - own.fed).max() > 1e-2


def test_hooks_follow_thoughts_that_are_made_one_after_the_other(tiny_problems: list[Problem]) -> None:
    lens = CoconutLens(thinking("projection"))
    rows = lens.rows(tiny_problems, 3)
    seen: list[Tensor] = []
    ran = lens.run_with_hooks(rows, [("hook_thought", lambda vectors, hook: seen.append(vectors[:, 0].clone()))])
    begin = int(rows.is_thought[0].nonzero()[0])
    torch.testing.assert_close(torch.stack(seen, 1), ran.inputs[:, begin : begin + 3])
    _, cache = lens.run_with_cache(rows)
    torch.testing.assert_close(cache["blocks.0.hook_resid_pre"][:, begin : begin + 3], ran.inputs[:, begin : begin + 3])
    spread = lens.node_distribution(tiny_problems[0], ran, 1)
    assert spread.tolist() == pytest.approx(
        next(iter(trace(lens.checkpoint, tiny_problems))).lm_head[0].tolist(), abs=1e-5
    )
    at_once = CoconutLens(thinking("sweeps"))
    _, cache = at_once.run_with_cache(at_once.rows(tiny_problems, 3))
    with pytest.raises(WorkbenchError, match="all at once"):
        at_once.run_with_hooks(at_once.rows(tiny_problems, 3), [("hook_thought", lambda vectors, hook: None)])


def test_what_is_saved_is_loaded(tmp_path: Path, tiny_problems: list[Problem]) -> None:
    before = thinking("sampled")
    after = load_checkpoint(save_checkpoint(before, tmp_path / "run" / "model"))
    assert after.recurrence == KINDS["sampled"]
    for one, other in zip(trace(before, tiny_problems), trace(after, tiny_problems, batch_size=1), strict=True):
        np.testing.assert_allclose(one.as_fed, other.as_fed, atol=2e-5)
    (tmp_path / "run" / "model" / "thought_head.safetensors").unlink()
    with pytest.raises(WorkbenchError, match="thought_head"):
        load_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"kind": "projecton"}, "expected 'identity'"),
        ({"kin": "mixture"}, "unknown key kin"),
        ({"sweeps": 2}, "sweeps need"),
        ({"kind": "mixture", "temperature": 0.0}, "above 0"),
        ({"kind": "mixture", "sweeps": 2, "token": 8}, "not drawn"),
        ({"stop": "token"}, "stop_token"),
        ("identity", "not a table"),
        ({"kind": "projection"}, "weights"),
    ],
)
def test_what_no_run_could_mean_is_refused(stored: object, why: str) -> None:
    with pytest.raises(WorkbenchError, match=why):
        make_checkpoint(tiny_model("qwen2"), edges_tokenizer(), {"thoughts": 3, "recurrence": stored}, "tiny")


def test_old_checkpoints_feed_the_hidden_state(tiny_checkpoint: Checkpoint) -> None:
    assert tiny_checkpoint.recurrence == recurrence_of(tiny_checkpoint.model) == Recurrence()


def test_the_stop_rule_against_a_loop() -> None:
    torch.manual_seed(0)
    logits = torch.randn(40, 6, 5) * 3
    rule = Recurrence(stop="token", stop_token=2, stop_times=2, least=1)
    entropy = Recurrence(stop="entropy", stop_entropy=0.6)
    for row, (token, low) in enumerate(zip(ended(rule, logits), ended(entropy, logits), strict=True)):
        likeliest = logits[row].argmax(-1).tolist()
        expected = next((k for k in range(1, 6) if likeliest[k - 1 : k + 1] == [2, 2]), 6)
        assert int(token) == expected
        shares = logits[row].double().softmax(-1)
        nats = (-shares * shares.log()).sum(-1).tolist()
        assert int(low) == next((k for k in range(6) if nats[k] < 0.6), 6)
    assert len(set(ended(rule, logits).tolist())) > 2


def test_words_read_no_more_thoughts_than_the_rule_allows(tiny_problems: list[Problem]) -> None:
    checkpoint = tiny(thoughts=3)
    head: Any = checkpoint.model.get_output_embeddings()
    first = next(iter(trace(checkpoint, tiny_problems)))
    token = int((first.thoughts @ head.weight.detach().numpy().T)[1].argmax())  # said at state 2, after one thought
    meta = {**checkpoint.meta, "recurrence": {"stop": "token", "stop_token": token}}
    stopping = make_checkpoint(checkpoint.model, checkpoint.tokenizer, meta, "stopping")
    stopped = next(iter(trace(stopping, tiny_problems)))
    assert stopped.stop is not None
    assert stopped.stop <= 1
    np.testing.assert_allclose(stopped.answers[3], first.answers[stopped.stop], atol=1e-5)
    np.testing.assert_allclose(stopped.answers[2], first.answers[stopped.stop], atol=1e-5)
    assert next(iter(answers(stopping, tiny_problems))).tokens <= next(iter(answers(checkpoint, tiny_problems))).tokens


def test_training_does_not_begin_from_what_it_does_not_feed(tmp_path: Path) -> None:
    start = save_checkpoint(thinking("projection"), tmp_path / "start")
    with pytest.raises(WorkbenchError, match="training would feed the hidden state"):
        begin(TrainConfig(name="mine", start=str(start)))
