"""Training with a reward: what is sampled is what is scored, GRPO against plain loops, and a bandit that is solved."""

import json
import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from tests.conftest import chain, tiny, tiny_model
from workbench.errors import WorkbenchError
from workbench.figures.training import training_curves
from workbench.model.checkpoint import Checkpoint, load_checkpoint, make_checkpoint
from workbench.model.coconut import collate, forward
from workbench.problems.files import save_problems
from workbench.problems.sets import generate_items
from workbench.problems.vocabulary import edges_tokenizer
from workbench.train.batch import draw_seed
from workbench.train.config import Curriculum, ModelConfig, RowsConfig, TrainConfig, load_config
from workbench.train.loop import read_metrics, train
from workbench.train.objective import _think, open_pass
from workbench.train.policy import RewardData, RewardStep, advantages, divergence, surrogate
from workbench.train.reward import REWARDS, Density, Reply, Reward, RewardConfig, Variety
from workbench.train.rollout import Asked, Noise, Thinker, sample, score
from workbench.train.state import load_state

GROUP, SPREAD, WIDTH = 3, 0.5, 32
SOURCES = [
    RewardConfig(variety=variety, density=density, noise=0.4, group=GROUP, temperature=1.5)
    for variety, density in cast(list[tuple[Variety, Density]], [
        ("none", "none"), ("words", "none"), ("dropout", "none"), ("gaussian", "none"), ("gaussian", "sum"),
        ("gumbel", "none"), ("gumbel", "mean"),
    ])
]  # fmt: skip
EVERY_SOURCE = pytest.mark.parametrize("config", SOURCES, ids=lambda config: f"{config.variety}-{config.density}")
TINY = TrainConfig(
    name="tiny",
    objective="grpo",
    method="coconut_words",
    model=ModelConfig(width=16, heads=2, mlp_width=16),
    curriculum=Curriculum(thoughts=2, typical_edges=12),
    rows=RowsConfig(batch=3),
    reward=RewardConfig(group=4, score="format", updates=2, kl=0.1, variety="gaussian"),
    processes=1,
    steps=7,
    decay_from=5,
    warmup_steps=2,
    evaluate_every=3,
    watched=4,
    keep_every=1000,
    precision="fp32",
)


def speaking(family: str) -> Checkpoint:
    """A tiny checkpoint that says a chain after three thoughts."""
    meta = {"format": "edges", "markers": False, "thoughts": 3, "says": "chain", "version": 1, "task": "prosqa"}
    return make_checkpoint(tiny_model(family), edges_tokenizer(), meta, f"tiny-{family}")


def answered(checkpoint: Checkpoint, config: RewardConfig, problems, dtype=torch.float32):
    """Answers to problems of different lengths, four words at most, with the thinker."""
    asked = Asked.of(checkpoint, checkpoint.format.prompts(problems), 4)
    noise = Noise.draw(config, asked, GROUP, WIDTH, 64, seed=7)
    if dtype == torch.float64:
        noise = Noise(noise.words, None if noise.thoughts is None else noise.thoughts.double())
    thinker = Thinker(config, SPREAD)
    return thinker, *sample(checkpoint.model, thinker, asked, noise, dtype)


@pytest.mark.parametrize(  # by the fast pass, and two by the model as it is
    ("family", "config"), [*(("qwen2", one) for one in SOURCES), ("gpt2", SOURCES[4]), ("gpt2", SOURCES[6])]
)
def test_what_is_scored_is_what_was_sampled_and_what_the_plain_model_gives(family, config, tiny_problems):
    checkpoint, tiny_problems = speaking(family), tiny_problems[:3]
    thinker, said, sampled = answered(checkpoint, config, tiny_problems)
    scored = score(checkpoint.model, thinker, said)
    ratio = (scored.words - sampled.words).exp()
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)
    assert (sampled.thoughts is None) == (config.density == "none")
    if sampled.thoughts is not None and scored.thoughts is not None:
        torch.testing.assert_close(
            (scored.thoughts - sampled.thoughts).exp(), torch.ones(3, GROUP, 3), atol=1e-3, rtol=0
        )
    model, embed = checkpoint.model, checkpoint.model.get_input_embeddings()
    for g, prompt in enumerate(checkpoint.format.prompts(tiny_problems)):
        for m in range(GROUP):
            inputs = embed(torch.tensor([prompt.ids]))
            for k in range(3):
                read = model.base_model(inputs_embeds=inputs).last_hidden_state[0, -1]
                torch.testing.assert_close(scored.read[g, m, k], read, atol=1e-4, rtol=1e-4)
                fed, density = by_hand(model, config, read, said, g, m, k)
                inputs = torch.cat([inputs, fed[None, None]], 1)
                if scored.thoughts is not None:
                    torch.testing.assert_close(scored.thoughts[g, m, k], density, atol=1e-3, rtol=1e-4)
            words = said.words[g, m].tolist()
            inputs = torch.cat([inputs, embed(torch.tensor([[*said.asked.opening.tolist(), *words[:-1]]]))], 1)
            logits = model(inputs_embeds=inputs).logits[0, -len(words) :] / config.temperature
            plain = logits.log_softmax(-1)[range(len(words)), words]
            torch.testing.assert_close(scored.words[g, m], plain, atol=1e-4, rtol=1e-4)
            if config.variety == "none":
                assert logits[0].argmax() == words[0]


def by_hand(model, config, read, said, g, m, k):
    """What is fed of a hidden state, and its density, from the noise and the formulas of the papers."""
    noise = said.noise.thoughts
    if config.variety in ("words", "none"):
        return read, None
    if config.variety == "dropout":
        return torch.where(noise[g, m, 0] < 0.4, 0.0, read / 0.6), None
    reduce = torch.mean if config.density == "mean" else torch.sum
    if config.variety == "gaussian":
        drawn = read + 0.4 * SPREAD * noise[g, m, k]
        return drawn, reduce(Normal(read, 0.4 * SPREAD).log_prob(drawn))
    log_p = model.get_output_embeddings()(read).log_softmax(-1)
    drawn = log_p + 0.4 * noise[g, m, k]
    gap = (drawn - log_p) / 0.4
    density = reduce(-gap - torch.exp(-gap) - math.log(0.4))
    return torch.softmax(drawn, -1) @ model.get_input_embeddings().weight, density


@EVERY_SOURCE
def test_the_gradient_is_that_of_finite_differences_through_the_thoughts(config, tiny_problems):
    checkpoint = speaking("gpt2")  # the one family that computes nothing in fp32 where it is given double
    model = checkpoint.model.double()
    thinker, said, before = answered(checkpoint, config, tiny_problems[:3], torch.float64)
    better = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0], [0.0, 1.0, -1.0]], dtype=torch.float64)

    def gain(how: Thinker, scale: float = 1.0) -> torch.Tensor:
        now = score(model, how, said, torch.float64)
        log_p, old, counts = now.words, before.words, said.counts
        if now.thoughts is not None and before.thoughts is not None:
            log_p, old = torch.cat([log_p, now.thoughts], 2), torch.cat([old, before.thoughts], 2)
            counts = torch.cat([counts, torch.ones_like(now.thoughts, dtype=torch.bool)], 2)
        return surrogate(log_p, old, scale * better, counts, 0.2).sum()

    def gradient(how: Thinker, scale: float = 1.0) -> list[torch.Tensor]:
        return list(torch.autograd.grad(gain(how, scale), list(model.parameters())))

    torch.manual_seed(0)
    full = gradient(thinker)
    cut = gradient(Thinker(replace(config, detach=True), SPREAD))
    assert not any(part.any() for part in gradient(thinker, 0.0))
    direction, step = [torch.randn_like(weight) for weight in model.parameters()], 1e-6
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for weight, way in zip(model.parameters(), direction, strict=True):
                weight.add_(way, alpha=sign * step)
            values.append(float(gain(thinker)))
    slope = (values[0] - values[1]) / (2 * step)
    along, without = (float(sum((a * b).sum() for a, b in zip(g, direction, strict=True))) for g in (full, cut))
    assert along == pytest.approx(slope, rel=1e-4, abs=1e-5)
    if config.variety == "gaussian" and config.density != "none":  # held thoughts depend on no weight
        assert without == pytest.approx(along)
    else:
        assert abs(without - slope) > 1e-2 * abs(slope)


def test_advantages_clip_and_divergence_are_those_of_plain_loops():
    rng = np.random.default_rng(0)
    reward = rng.integers(0, 2, (6, 4)).astype(float)
    reward[0] = 1.0
    better = advantages(torch.tensor(reward))
    now, old, start = rng.normal(-1, 0.5, (3, 6, 4, 5))
    counts = np.arange(5) < rng.integers(1, 6, (6, 4, 1))
    tensors = (torch.tensor(now), torch.tensor(old), better, torch.tensor(counts))
    gains, gaps = surrogate(*tensors, 0.2), divergence(tensors[0], torch.tensor(start), tensors[3])
    for g in range(6):
        mean = sum(reward[g]) / 4
        deviation = math.sqrt(sum((one - mean) ** 2 for one in reward[g]) / 4)
        for m in range(4):
            expected = (reward[g, m] - mean) / deviation if deviation else 0.0
            assert float(better[g, m]) == pytest.approx(expected)
            gain, gap, length = 0.0, 0.0, int(counts[g, m].sum())
            for t in range(length):
                ratio = math.exp(now[g, m, t] - old[g, m, t])
                clipped = min(max(ratio, 0.8), 1.2)
                gain += min(ratio * expected, clipped * expected) / length
                away = start[g, m, t] - now[g, m, t]
                gap += (math.exp(away) - away - 1) / length
            assert float(gains[g, m]) == pytest.approx(gain)
            assert float(gaps[g, m]) == pytest.approx(gap)
    assert not better[0].any()


def test_words_follow_their_probabilities_and_a_group_differs(tiny_problems):
    """2,000 answers to one problem: the shares of the first words are their probabilities."""
    checkpoint, config = tiny(), RewardConfig(temperature=2.0)
    asked = Asked.of(checkpoint, checkpoint.format.prompts(tiny_problems[:1]))
    noise = Noise.draw(config, asked, 2000, WIDTH, 64, seed=0)
    said, scores = sample(checkpoint.model, Thinker(config, SPREAD), asked, noise)
    for word, count in zip(*said.words.flatten().unique(return_counts=True), strict=True):
        p = float(scores.words[said.words == word][0].exp())
        assert abs(float(count) / 2000 - p) < 5 * math.sqrt(p * (1 - p) / 2000)
    assert len(said.words.unique()) > 5


def test_a_drawn_word_ends_its_answer_and_forced_ones_are_not_counted(tiny_problems):
    checkpoint = speaking("qwen2")
    _, said, _ = answered(checkpoint, RewardConfig(group=GROUP, temperature=4.0), tiny_problems)
    end = checkpoint.format.end
    for words, counts in zip(said.words.flatten(0, 1).tolist(), said.counts.flatten(0, 1).tolist(), strict=True):
        length = words.index(end) + 1 if end in words else len(words)
        assert counts == [place < length for place in range(len(words))]
        assert set(words[length:]) <= {end}


def test_a_run_with_a_reward_cut_off_and_resumed_is_the_same_to_the_last_digit(file, tmp_path):
    config = from_file(file, reward=replace(TINY.reward, updates=2))
    whole = train(config, tmp_path / "whole")

    class Cut(Exception):
        pass

    def cut(record):
        if record["step"] == 6:
            raise Cut

    with pytest.raises(Cut):
        train(replace(config, checkpoint_seconds=0.0), tmp_path / "cut", cut)
    assert 0 < load_state(config, tmp_path / "cut").step < 6
    resumed = train(config, tmp_path / "cut")
    metrics = (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == metrics
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    record = json.loads(metrics.splitlines()[-1])
    assert {"reward", "pass@1", "pass@4", "kl", "cosine", "alike", "batch_reward"} <= record.keys()
    assert record["ratio_off"] < 1e-5
    assert record["kl"] > 0
    assert all(0 < one < 1 for one in record["cosine"])
    assert str(load_checkpoint(tmp_path / "whole").supervision) == "rewarded"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """Six problems, one word to say to each."""
    path = tmp_path_factory.mktemp("problems") / "problems.json"
    save_problems([chain(number, 2) for number in range(6)], path)
    return str(path)


def from_file(file: str, **changes) -> TrainConfig:
    return replace(TINY, rows=RowsConfig(problems=file, validation=file, batch=3), **changes)


def test_a_bandit_is_solved_and_not_by_shuffled_rewards(file, tmp_path):
    """One word of 64: from chance to nearly always in 25 steps."""
    rewards = []
    for shuffle in (False, True):
        reward = RewardConfig(group=24, shuffle=shuffle)
        config = from_file(file, reward=reward, steps=25, learning_rate=0.03, evaluate_every=25, decay_from=25)
        if not shuffle:
            state = load_state(config, tmp_path / "none")
            assert isinstance(state.data, RewardData)
            assert state.data.draw(state.stage, 0, 0).measured["batch_reward"] < 0.1
        train(config, tmp_path / str(shuffle))
        (record,) = read_metrics(tmp_path / str(shuffle))
        rewards.append((record["reward"], record["accuracy"]))
    assert rewards[0][0] > 0.9
    assert rewards[0][1] == 1.0
    assert rewards[1][0] < 0.5


def test_nothing_is_learned_where_answers_do_not_differ(file, tmp_path):
    config = from_file(file, reward=replace(TINY.reward, variety="none", kl=0.0), weight_decay=0.0, evaluate_every=7)
    before = [weight.clone() for weight in load_state(config, tmp_path / "none").model.parameters()]
    state = train(config, tmp_path / "none")
    for ours, theirs in zip(before, state.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_collapsed_reward_stops_the_run_and_keeps_the_better_model(file, tmp_path, monkeypatch):
    """A reward that is 1 while the run is young and 0 later."""
    calls: list[int] = []
    late = Reward("late", "", lambda reply: float(calls.append(1) is None and len(calls) <= 100))
    monkeypatch.setitem(REWARDS, "late", late)
    said: list[str] = []
    config = from_file(file, reward=RewardConfig(score="late", group=4), evaluate_every=1, steps=50)
    state = train(config, tmp_path, lambda record: said.append(record.get("collapsed", "")))
    assert state.step < 10
    assert any("best/ holds the better model" in one for one in said)
    assert int(str(load_checkpoint(tmp_path / "best").meta["step"])) < state.step


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step_and_what_was_saved_stays(tmp_path, monkeypatch):
    calls: list[int] = []

    def bursting(log_p, *rest):
        calls.append(1)
        return surrogate(log_p, *rest) * (torch.inf if len(calls) > 3 * TINY.reward.updates else 1.0)

    monkeypatch.setattr("workbench.train.policy.surrogate", bursting)
    with pytest.raises(WorkbenchError, match="gradient of step 3 is not finite"):
        train(replace(TINY, checkpoint_seconds=0.0), tmp_path)
    state = load_state(TINY, tmp_path)
    assert 0 < state.step <= 3
    assert all(weight.isfinite().all() for weight in state.model.parameters())


def test_mixtures_are_evaluated_as_the_stored_model_runs_them(tmp_path):
    """The thoughts of the evaluation batch are those that `coconut.forward` makes."""
    config = replace(TINY, reward=replace(TINY.reward, variety="gumbel"))
    state = load_state(config, tmp_path)
    held, model = state.checkpoint, state.model.eval()
    assert (held.recurrence.kind, held.recurrence.gumbel) == ("mixture", 0)
    batch = state.data.evaluation(state.stage)
    thoughts = _think(open_pass(model, batch, torch.float32), batch, 2)
    assert thoughts is not None
    for g in range(3):
        ids = [*batch.prefix[g].tolist(), *batch.question[g, 1].tolist()]
        rows = collate([ids], [2], [[]], pad=0, thought=4)
        plain = forward(model, rows.ids, rows.is_thought, rows.mask).hidden[0, len(ids) - 1 : len(ids) + 1]
        torch.testing.assert_close(thoughts[g, 1], plain, atol=1e-5, rtol=1e-4)


def test_problems_without_variance_may_be_left_out(tmp_path):
    """Loss and gradient of all answers and of those that differ are the same."""
    config = replace(TINY, reward=replace(TINY.reward, kl=0.0, group=8, variety="words"))
    state = load_state(config, tmp_path)
    data = state.data
    assert isinstance(data, RewardData)
    assert isinstance(state.step_module, RewardStep)
    part = data.draw(state.stage, 3, 0)
    said, scores, replies = data.answered(data.drawn(3, 0), draw_seed(config, 3, 0))
    better = advantages(data.rewards(replies))
    whole = replace(part, said=said, before=scores, reward=data.rewards(replies), advantage=better)
    assert 0 < len(part.advantage) < len(better)
    gradients = []
    for batch in (part, whole):
        loss = state.step_module(batch, 0).loss
        gradients.append(torch.autograd.grad(loss, list(state.model.parameters())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("reward: {group: 4}", "objective: supervised does not read"),
        ("objective: grpo\nreward: {group: 1}", "judged against others"),
        ("objective: grpo\ntask: arithmetic\nreward: {score: reachable}", "needs a graph"),
        ("objective: grpo\nreward: {score: exakt}", 'no reward "exakt"'),
        ("objective: grpo\nmethod: cot\nreward: {variety: dropout}", "needs a method that feeds thoughts"),
        ("objective: grpo\nmethod: pause_token\nreward: {detach: true}", "needs a method that feeds thoughts"),
        ("objective: grpo\nreward: {density: sum}", "variety words draws none"),
        ("objective: grpo\nreward: {variety: gaussian, density: sum, detach: true}", "held already"),
        ("objective: grpo\nreward: {variety: dropout, noise: 1.0}", "a share below 1"),
        ("objective: grpo\nreward: {temperature: 0}", "expected more than 0"),
        ("objective: grpo\nanswer_reads: thoughts", "answer_reads must be all"),
        ("objective: grpo\nreward: {updates: 0}", "expected 1 or more"),
    ],
)
def test_a_wrong_reward_is_an_error_before_the_first_step(text, why, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(WorkbenchError, match=why):
        load_config(tmp_path / "config.yaml")


def test_rewards_by_name(tiny_problems):
    problem = tiny_problems[2]
    names = [problem.names[node] for node in (problem.target, problem.negative, problem.edges[0][1])]
    reply = Reply(problem, names[0], True, True)
    wrong = Reply(problem, names[1], False, True)
    assert [reward(reply) for reward in REWARDS.values()] == [1.0, 1.0, 1.0, 1.0]
    assert [REWARDS[name](wrong) for name in ("exact", "format", "exact_and_format", "reachable")] == [0, 1, 0.1, 0]
    with pytest.raises(WorkbenchError, match="from 0 to 1"):
        Reward("twice", "", lambda _: 2.0)(reply)
    item = generate_items("arithmetic", 1, 0)[0]
    assert REWARDS["exact"](Reply(item, item.answer, True, True)) == 1.0


def test_the_training_page_draws_what_sampled_answers_show():
    records = [
        {"step": step, "thoughts": 2, "loss": 0.1, "accuracy": 0.5, "reward": step / 10, "pass@1": 0.2, "pass@4": 0.8,
         "alike": 0.3, "kl": 0.01 * step, "cosine": [1.0, 1 - step / 100], "value": 0.6}
        for step in (1, 2)
    ]  # fmt: skip
    made = training_curves(records)
    assert len(made) == 5
    drawn = {trace.name: list(trace.y) for one in made for trace in cast(Any, one).data if trace.y is not None}
    assert drawn["reward"] == [0.1, 0.2]
    assert drawn["pass@4"] == [0.8, 0.8]
    assert drawn["what the value head predicts"] == [0.6, 0.6]
    assert drawn["divergence"] == [0.01, 0.02]
    assert drawn["thought 2"] == [0.99, 0.98]
