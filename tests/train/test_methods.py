"""Every method of METHODS, trained for a few steps on random graphs, opens and answers in its own way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.test_training import TINY
from workbench.errors import WorkbenchError
from workbench.measure.trace import answers
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.sets import generate
from workbench.problems.vocabulary import VOCABULARY
from workbench.train.config import Curriculum, ModelConfig, Stage, by_clock, removed_tokens, save_config
from workbench.train.data import IGNORE, question_batch, spell_chains
from workbench.train.init import build_model
from workbench.train.launch import train_command
from workbench.train.loop import train
from workbench.train.methods import METHODS, find_method
from workbench.train.objective import Ask, PackedStep, packed_loss
from workbench.train.packed import Weights

CLOCK = Curriculum(
    thoughts=6, by="clock", remove_from=2, remove_every=1, widen_from=4, widen_every=1, widen_by=6, walk_share=0.0,
    chain_graphs=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return question_batch(
        rng, graphs=3, questions=4, edges=14, thoughts=6, hop_weights={1: 1.0, 2: 1.0, 3: 1.0}, special=0.0
    )


@pytest.fixture(scope="module")
def weights():
    return Weights.of(build_model(ModelConfig(width=32, heads=2, mlp_width=48), seed=0), torch.float32)


def loss_of(weights, batch, ask: Ask) -> float:
    return float(packed_loss(weights, batch, ask, torch.Generator().manual_seed(0)).loss.detach())


@pytest.mark.parametrize("name", METHODS)
def test_a_run_of_every_method_opens_and_answers(name, tmp_path):
    config = replace(TINY, method=name, curriculum=CLOCK, mixing="none" if name == "icot" else "packed")
    train(config, tmp_path)
    checkpoint, method = load_checkpoint(tmp_path), METHODS[name]
    assert checkpoint.thoughts == method.slots(6)
    assert checkpoint.meta["method"] == name
    assert checkpoint.says == ("chain" if name == "cot" else "answer")
    assert (checkpoint.pause is not None) == (method.fed == "pause")
    problems = generate("released", 2, 0)
    for answer in answers(checkpoint, problems):
        assert answer.tokens >= checkpoint.thoughts
    for answer in answers(checkpoint, problems, thoughts=2 * checkpoint.thoughts, says="chain"):
        assert answer.said.startswith("|")


def test_all_methods_draw_the_same_questions():
    model = build_model(TINY.model, 0)
    drawn = [
        PackedStep(model, replace(TINY, method=name, curriculum=CLOCK)).draw(by_clock(CLOCK, step), step, 0)
        for step in (0, 9)
        for name in METHODS
    ]
    for one in (drawn[: len(METHODS)], drawn[len(METHODS) :]):
        for other in one[1:]:
            assert torch.equal(one[0].prefix, other.prefix)
            assert torch.equal(one[0].question, other.question)


def test_only_methods_with_supervised_slots_get_questions_without_candidates():
    plan = replace(CLOCK, walk_share=1.0)
    model = build_model(TINY.model, 0)
    for name, method in METHODS.items():
        batch = PackedStep(model, replace(TINY, method=name, curriculum=plan)).draw(by_clock(plan, 9), 9, 0)
        assert batch.question.shape[2] == (5 if method.heads == "none" else 2)


def test_pauses_in_one_pass_and_one_by_one_compute_the_same(weights, batch):
    """A pause depends on nothing computed: several passes are one pass, only slower."""
    from workbench.train.objective import PAUSE, Packed, _think

    q = batch.question.shape[2]
    at_once = _think(Packed(weights, batch.prefix, 4), batch, METHODS["pause_as_thought"], 3, keep_last=True)
    run = Packed(weights, batch.prefix, 4)
    hidden = [run.feed(run.embed(batch.question), 0, read_last=1)]
    for k in range(1, 3):
        hidden.append(run.feed(run.embed(torch.full((3, 4, 1), PAUSE)), q + k - 1, read_last=1))
    torch.testing.assert_close(at_once, torch.cat(hidden, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["no_cot", "pause_token", "coconut_without_curriculum"])
def test_methods_that_never_see_the_chain_do_not_depend_on_it(name, weights, batch):
    ask = Ask(6, METHODS[name])
    other = replace(batch, walks=torch.where(batch.walks == IGNORE, IGNORE, 9))
    assert loss_of(weights, batch, ask) == loss_of(weights, other, ask)


@pytest.mark.parametrize("name", ["coconut", "cot", "icot", "coconut_without_thought", "coconut_language"])
def test_the_other_methods_do(name, weights, batch):
    ask = Ask(2, METHODS[name], tokens=1, chain_graphs=3)
    other = replace(batch, walks=torch.where(batch.walks == IGNORE, IGNORE, 9))
    assert loss_of(weights, batch, ask) != loss_of(weights, other, ask)


def test_frontier_supervision_asks_for_all_nodes_at_a_hop_evenly(weights, batch):
    """Where every frontier has one node, the frontier and the only path are the same label."""
    single = batch.frontier.sum(-1) <= 1
    kept = torch.where(single[..., None], batch.walks, IGNORE)
    alone = replace(batch, walks=kept, frontier=batch.frontier & (kept[..., :1] != IGNORE))
    asks = [Ask(3, METHODS[name]) for name in ("coconut", "coconut_frontier")]
    assert loss_of(weights, alone, asks[0]) == pytest.approx(loss_of(weights, alone, asks[1]), abs=1e-5)
    assert loss_of(weights, batch, asks[0]) != pytest.approx(loss_of(weights, batch, asks[1]), abs=1e-3)


def test_without_mixing_only_the_newest_thought_is_asked(weights, batch):
    """The label of thought 1 does not matter in stage 2."""
    other = replace(batch, walks=batch.walks.clone())
    other.walks[:, :, 0] = torch.where(batch.walks[:, :, 0] == IGNORE, IGNORE, 9)
    none, packed = Ask(2, METHODS["coconut"], "none"), Ask(2, METHODS["coconut"], "packed")
    assert loss_of(weights, batch, none) == loss_of(weights, other, none)
    assert loss_of(weights, batch, packed) != loss_of(weights, other, packed)


def test_the_clock_removes_steps_and_lets_in_larger_graphs():
    plan = Curriculum(thoughts=3, by="clock", remove_from=10, remove_every=5, widen_from=4, widen_every=2)
    assert [by_clock(plan, step).thoughts for step in (0, 9, 10, 14, 15, 20, 90)] == [0, 0, 1, 1, 2, 3, 3]
    assert [by_clock(plan, step).edges for step in (0, 3, 4, 6, 900)] == [8, 8, 10, 12, 52]


def test_icot_removes_token_after_token_and_then_everything():
    plan = Curriculum(thoughts=2, by="clock", remove_from=10, remove_every=6)
    gone = [removed_tokens(plan, Stage(since=step), 3) for step in range(8, 24)]
    assert gone == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, None, None, None, None]


def test_a_chain_loses_single_tokens_from_the_left(batch):
    one = replace(batch, hops=torch.full_like(batch.hops, 2))
    said = spell_chains(one, torch.full_like(one.hops, 1))[0, 0].tolist()
    n = torch.cat([one.question[..., -1:], one.walks[..., 0]], -1)[0, 0].tolist()
    bar, answer, eos = (VOCABULARY.index(t) for t in ("|", "[A]", "<eos>"))
    assert said == [bar, n[1], bar, n[1], n[2], answer, int(one.target[0, 0]), eos]


def test_an_unknown_method_is_named():
    with pytest.raises(WorkbenchError, match='no method "cocnut"'):
        find_method("cocnut")


def test_a_start_that_is_not_there_leaves_no_run_behind(tmp_path):
    path, out = tmp_path / "one.yaml", tmp_path / "run"
    save_config(replace(TINY, start=str(tmp_path / "nothing" / "here")), path)
    with pytest.raises(WorkbenchError, match="There is no checkpoint"):
        train_command(path, out)
    assert not out.exists()


def test_the_optimizer_forgets_at_a_new_stage_where_asked(tmp_path):
    """Every step opens a stage here, the last one too: nothing is remembered at the end."""
    plan = replace(CLOCK, remove_from=0, remove_every=1)
    kept = train(replace(TINY, curriculum=plan, steps=4, decay_from=2), tmp_path / "kept")
    reset = train(replace(TINY, curriculum=plan, steps=4, decay_from=2, reset_optimizer=True), tmp_path / "reset")
    assert [len(o.state_dict()["state"]) > 0 for o in kept.optimizers] == [True]
    assert [len(o.state_dict()["state"]) for o in reset.optimizers] == [0]
