"""Every method on random graphs: what it draws, what it learns, and that a run of it opens and answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.test_training import TINY, one_thread  # noqa: F401 (a fixture)
from workbench.errors import WorkbenchError
from workbench.measure.trace import answers
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.sets import generate
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.batch import IGNORE, Ask
from workbench.train.config import ALL, Curriculum, ModelConfig, Schedule, Stage, load_config
from workbench.train.fast import FastPass
from workbench.train.graphs import PAUSE, GraphData, graph_train_batch, question_batch, spell_chains
from workbench.train.init import build_model
from workbench.train.loop import train
from workbench.train.methods import METHODS, draw_stages, find_method, mixing_share
from workbench.train.objective import _think, batch_loss, open_pass

CLOCK = Curriculum(
    thoughts=6, by="clock", remove_from=2, remove_every=1, widen_from=4, widen_every=1, widen_by=6, walk_share=0.0,
    chain_graphs=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return question_batch(
        rng, graphs=3, questions=4, edges=14, thoughts=6, hop_weights={1: 1.0, 2: 1.0, 3: 1.0}, special=0.0
    )


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(width=32, heads=2, mlp_width=48), seed=0)


def asking(stage: int, method: str = "coconut_next_node", mixing: str = "packed", **more) -> Ask:
    schedule = Schedule(Curriculum(), 6, METHODS[method].curriculum, step_tokens=3)
    return Ask(Stage(stage), schedule, METHODS[method], mixing, **more)


def learned(batch, ask: Ask):
    return graph_train_batch(batch, ask, torch.Generator().manual_seed(0))


def loss_of(model, batch, ask: Ask) -> float:
    made = learned(batch, ask)
    return float(batch_loss(open_pass(model, made, torch.float32), made).loss.detach())


def at_step(config, step: int):
    """The schedule's stage at a step, by the clock."""
    data = GraphData(config)
    return data, data.schedule.after(data.schedule.first(), step, 0.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_run_of_every_method_opens_and_answers(name, tmp_path):
    mixing = "none" if name == "icot" else "packed"
    plan = replace(CLOCK, thoughts=3)
    config = replace(TINY, method=name, curriculum=plan, mixing=mixing, steps=6, decay_from=3, evaluate_every=6)
    train(config, tmp_path)
    checkpoint, method = load_checkpoint(tmp_path), METHODS[name]
    assert checkpoint.thoughts == method.slots(3)
    assert checkpoint.meta["method"] == name
    assert checkpoint.says == ("chain" if name == "cot" else "answer")
    assert (checkpoint.pause is not None) == (method.fed == "pause")
    problems = generate("released", 2, 0)
    for answer in answers(checkpoint, problems):
        assert answer.tokens >= checkpoint.thoughts
    for answer in answers(checkpoint, problems, thoughts=2 * checkpoint.thoughts, says="chain"):
        assert answer.said.startswith("|")


def test_all_methods_draw_the_same_questions():
    for step in (0, 9):
        drawn = []
        for name in METHODS:
            data, stage = at_step(replace(TINY, method=name, curriculum=CLOCK), step)
            drawn.append(data.questions(stage, step, 0))
        for other in drawn[1:]:
            assert torch.equal(drawn[0].prefix, other.prefix)
            assert torch.equal(drawn[0].question, other.question)


@pytest.mark.parametrize(("walks", "also"), [(2, ()), (1, ("cot",))])
def test_only_methods_that_learn_from_them_get_questions_without_options(walks, also):
    plan = replace(CLOCK, walk_share=1.0, walks=walks)
    for name, method in METHODS.items():
        data, stage = at_step(replace(TINY, method=name, curriculum=plan), 9)
        assert data.questions(stage, 9, 0).options == (method.heads == "none" and name not in also)


@pytest.mark.parametrize("name", ["words-chains", "words-lookup"])
def test_the_starts_of_the_reference_learn_the_words_of_one_sampled_path_and_nothing_else(name):
    config = load_config(Path(f"configs/{name}.yaml"))
    for step in (*range(0, 400, 40), 2100, 5999):
        data, stage = at_step(replace(config, graphs=2, questions=3), step)
        questions = data.questions(stage, step, 0)
        made = data.draw(stage, step, 0)
        assert (made.slots, made.heads, questions.question.shape[2]) == (0, None, 2)
        (words,) = made.words
        said = torch.full(words.ids.shape, IGNORE).flatten()
        said[words.labels.at] = words.labels.token
        nodes = torch.cat([questions.question[..., -1:], questions.walks[..., 0]], -1).flatten(0, 1)
        for row, path, hops in zip(said.view(6, -1), nodes, questions.hops.flatten(), strict=True):
            steps = [f"{VOCABULARY[path[k]]} {VOCABULARY[path[k + 1]]}" for k in range(hops)]
            assert " ".join(VOCABULARY[token] for token in row[row != IGNORE]) == " | ".join(steps)
        assert set(questions.hops.flatten().tolist()) <= set(config.curriculum.hop_weights)


def test_pauses_in_one_pass_and_one_by_one_compute_the_same(model, batch):
    """A pause depends on nothing computed: several passes are one pass, only slower."""
    made = learned(batch, asking(3, "pause_as_thought"))
    at_once = _think(FastPass(model, batch.prefix, 4), made, made.slots)
    run = FastPass(model, batch.prefix, 4)
    hidden = [run.feed(run.embed(batch.question), read_last=1)]
    for _ in range(2):
        hidden.append(run.feed(run.embed(torch.full((3, 4, 1), PAUSE)), read_last=1))
    torch.testing.assert_close(at_once, torch.cat(hidden, 2), atol=1e-5, rtol=1e-4)


def test_more_slots_than_a_batch_needs_change_no_number(model, batch):
    """As where processes share the weights, and another one has more thoughts."""
    for name in ("coconut_next_node", "coconut_two", "pause_as_thought"):
        made = learned(batch, asking(2, name, chain_graphs=2))
        losses = [batch_loss(FastPass(model, batch.prefix, 4), made, slots).loss for slots in (None, 7)]
        torch.testing.assert_close(*losses)


@pytest.mark.parametrize("name", ["no_cot", "pause_token", "coconut_without_curriculum"])
def test_methods_that_never_see_the_chain_do_not_depend_on_it(name, model, batch):
    other = replace(batch, walks=torch.where(batch.walks == IGNORE, IGNORE, 9))
    assert loss_of(model, batch, asking(6, name)) == loss_of(model, other, asking(6, name))


@pytest.mark.parametrize("name", ["coconut_next_node", "cot", "icot", "coconut_without_thought", "coconut_words"])
def test_the_other_methods_do(name, model, batch):
    ask = asking(2, name, chain_graphs=3)
    other = replace(batch, walks=torch.where(batch.walks == IGNORE, IGNORE, 9))
    assert loss_of(model, batch, ask) != loss_of(model, other, ask)


def test_frontier_supervision_asks_for_all_nodes_at_a_hop_evenly(model, batch):
    """Where every frontier has one node, the frontier and the only path are the same label."""
    single = (batch.frontier != IGNORE).sum(-1) <= 1
    kept = torch.where(single[..., None], batch.walks, IGNORE)
    alone = replace(batch, walks=kept, frontier=torch.where(kept != IGNORE, batch.frontier, IGNORE))
    asks = [asking(3, name) for name in ("coconut_next_node", "coconut_frontier")]
    assert loss_of(model, alone, asks[0]) == pytest.approx(loss_of(model, alone, asks[1]), abs=1e-5)
    assert loss_of(model, batch, asks[0]) != pytest.approx(loss_of(model, batch, asks[1]), abs=1e-3)


def test_without_mixing_only_the_newest_thought_is_asked(model, batch):
    """The label of thought 1 does not matter in stage 2."""
    other = replace(batch, walks=batch.walks.clone())
    other.walks[:, :, 0] = torch.where(batch.walks[:, :, 0] == IGNORE, IGNORE, 9)
    none, packed = asking(2, mixing="none"), asking(2)
    assert loss_of(model, batch, none) == loss_of(model, other, none)
    assert loss_of(model, batch, packed) != loss_of(model, other, packed)


def test_no_answer_is_learned_that_cannot_be_known(model):
    """With one thought open, a question three hops deep contributes no answer."""
    rng = np.random.default_rng(2)
    deep = question_batch(rng, graphs=2, questions=2, edges=14, thoughts=1, hop_weights={3: 1.0}, special=0.0)
    made = learned(deep, asking(1))
    assert made.words[0].labels.total == 0
    assert np.isfinite(loss_of(model, deep, asking(1)))


def clock(**plan) -> Schedule:
    return Schedule(Curriculum(by="clock", **plan), plan["thoughts"], step_tokens=3)


def test_the_clock_removes_steps_and_lets_in_larger_graphs():
    schedule = clock(thoughts=3, remove_from=10, remove_every=5, widen_from=4, widen_every=2)
    stages = {step: schedule.after(Stage(), step, 0.0) for step in range(901)}
    assert [stages[step].thoughts for step in (0, 9, 10, 14, 15, 20, 90)] == [0, 0, 1, 1, 2, 3, 3]
    assert [stages[step].edges for step in (0, 3, 4, 6, 900)] == [8, 8, 10, 12, 52]
    assert {schedule.after(Stage(), step, 0.0).thoughts for schedule in [replace(schedule, staged=False)]
            for step in (0, 90)} == {3}  # fmt: skip


def test_text_goes_by_the_same_clock():
    config = replace(TINY, task="prontoqa", rows=replace(TINY.rows, steps_per_stage=10))
    schedule = Schedule.of(config, last=3)
    assert [schedule.after(Stage(), step, 0.0).thoughts for step in (0, 9, 10, 29, 30, 1000)] == [0, 0, 1, 2, 3, 3]
    assert schedule.after(Stage(), 1000, 0.0).edges == schedule.first().edges
    own = replace(config.curriculum, by="clock", remove_from=2, remove_every=1)
    assert Schedule.of(replace(config, curriculum=own)).after(Stage(), 3, 0.0).thoughts == 2


def test_icot_removes_token_after_token_and_then_everything():
    schedule, calm = clock(thoughts=2, remove_from=10, remove_every=6), replace(METHODS["icot"], smoothing=0.0)
    rng = np.random.default_rng(0)

    def gone(step: int, drawn: int | None = None) -> int:
        stage = schedule.after(Stage(), step, 0.0)
        return int(schedule.removed_tokens(calm, stage, np.array(stage.thoughts if drawn is None else drawn), rng))

    assert [gone(step) for step in range(8, 24)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, *[ALL] * 4]
    assert [gone(16, drawn) for drawn in (0, 1, 2)] == [0, 3, 4]  # whole stages of questions drawn at older ones


def test_removal_is_smoothed_as_icot_does():
    schedule, rng = clock(thoughts=3, remove_from=10, remove_every=6), np.random.default_rng(0)
    stage = schedule.after(Stage(), 16, 0.0)
    gone = schedule.removed_tokens(METHODS["icot"], stage, np.full(4000, 2), rng)
    assert gone.min() == 4
    assert (gone > 4).mean() == pytest.approx(np.exp(-4), abs=0.006)


def test_a_chain_spells_what_is_left(batch):
    bar, answer, eos = (VOCABULARY.index(t) for t in ("|", "[A]", "<eos>"))
    two = replace(batch, hops=torch.full_like(batch.hops, 2))
    n = torch.cat([two.question[..., -1:], two.walks[..., 0]], -1)[0, 0].tolist()
    end = [answer, int(two.target[0, 0]), eos]
    left = {
        0: [bar, n[0], n[1], bar, n[1], n[2], *end],
        1: [bar, n[1], bar, n[1], n[2], *end],
        3: [bar, n[1], n[2], *end],
        6: [bar, *end],
    }
    for removed, expected in left.items():
        mixed = torch.full_like(two.hops, removed)
        mixed[1] = 0  # a longer row in the same batch
        said = spell_chains(two, mixed)[0, 0].tolist()
        assert said == expected + [IGNORE] * (len(said) - len(expected))


def test_an_unknown_method_is_named():
    with pytest.raises(WorkbenchError, match='no method "cocnut"'):
        find_method("cocnut")


def test_the_optimizer_forgets_at_a_new_stage_where_asked(tmp_path):
    """Every step opens a stage here, the last one too: nothing is remembered at the end."""
    plan = replace(CLOCK, remove_from=0, remove_every=1)
    kept = train(replace(TINY, curriculum=plan, steps=4, decay_from=2), tmp_path / "kept")
    reset = train(replace(TINY, curriculum=plan, steps=4, decay_from=2, reset_optimizer=True), tmp_path / "reset")
    assert [len(o.state_dict()["state"]) > 0 for o in kept.optimizers] == [True]
    assert [len(o.state_dict()["state"]) for o in reset.optimizers] == [0]


STEPS = np.tile([3, 4], 3000)


def stages(mixing: str, stage: int = 4) -> np.ndarray:
    return draw_stages(mixing, stage, STEPS, np.random.default_rng(0))


def test_mixing_draws_the_stage_of_each_question():
    assert set(stages("none")) == {4}
    share = np.bincount(stages("proportional", stage=2)) / len(STEPS)
    assert share == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)
    assert np.bincount(stages("packed", stage=3)) / len(STEPS) == pytest.approx([0.25] * 4, abs=0.03)


def test_a_share_is_drawn_over_the_whole_chain_and_no_further(batch):
    drawn = stages("0.3", stage=6)
    other = drawn != 6
    assert other.mean() == pytest.approx(0.3, abs=0.03)
    assert set(drawn[other & (STEPS == 3)]) == {0, 1, 2, 3}
    assert set(drawn[other & (STEPS == 4)]) == {0, 1, 2, 3, 4}
    assert 0 < learned(batch, asking(0, mixing="1.0")).slots <= int(batch.hops.max())  # whatever is open


@pytest.mark.parametrize("mixing", ["some", "1.5", "-0.1", "nan"])
def test_another_mixing_is_refused(mixing):
    with pytest.raises(WorkbenchError, match="no stage mixing"):
        mixing_share(mixing)
