"""A training step: questions on shared prefixes, against the naive loop with the plain Hugging Face model.

    python -m benchmarks.training_step

Ours is the step of `workbench.train` without the optimizer: draw nothing, run `batch_loss` on one batch of the
reference configuration in its precision, backward. The peer asks the same questions with the same supervision, stage by
stage: for every stage k = 1..K it runs the full token row of each question once per thought, without a cache, feeding
thoughts back, and supervises the LM head of thought k; at the two stages where the answer is asked, one more pass with
the answer opening. Its questions run as one batch (all rows are equally long, so nothing is padded). bf16 attention is
slow on some processors, so each peer is timed in fp32 and under bf16 autocast, and the faster one is compared. All
sides are forward and backward, seconds per question. Two more ratios are reported: `ratio_one_loop`, of the kinder peer
that reads every thought's loss from one loop of K thoughts, and `ratio_model_pass`, of our own step on the unmodified
Hugging Face model (`ModelPass`). `workbench/train/fast.py` stays as long as the last one is 1.3 or more.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from benchmarks.timing import Side, compare, finish, say, timed
from workbench.train.batch import IGNORE, Ask
from workbench.train.config import Schedule, Stage, load_config
from workbench.train.fast import FastPass
from workbench.train.forward import ForwardPass, ModelPass
from workbench.train.graphs import ANSWER, GraphBatch, graph_train_batch, question_batch
from workbench.train.init import build_model
from workbench.train.objective import batch_loss


def rows_of(batch: GraphBatch) -> Tensor:
    """Return the token row of every question [questions, tokens]."""
    prefix = batch.prefix[:, None].expand(-1, batch.question.shape[1], -1)
    return torch.cat([prefix, batch.question], 2).flatten(0, 1)


def loop(model: PreTrainedModel, rows: Tensor, thoughts: int) -> tuple[Tensor, Tensor]:
    """Think by running the whole row again for every thought; return inputs with thoughts, and the last states."""
    inputs = model.get_input_embeddings()(rows)
    states = model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    for _ in range(thoughts - 1):
        inputs = torch.cat([inputs, states[:, -1:].to(inputs.dtype)], 1)
        states = model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    return inputs, states


def naive_loss(model: PreTrainedModel, batch: GraphBatch, thoughts: int, stages: Tensor, *, one_loop: bool) -> Tensor:
    """Return the loss of all stages, one after the other.

    Args:
        model: The plain model.
        batch: Questions with one walk each.
        thoughts: K.
        stages: Numbers of thoughts after which each question is asked for its answer [questions, answers].
        one_loop: Read the loss of thoughts 1..K from one loop, not from one loop per stage.
    """
    rows, walks, target = rows_of(batch), batch.walks.flatten(0, 1)[:, :, 0], batch.target.flatten()
    opening = model.get_input_embeddings()(torch.full((len(rows), 1), ANSWER))
    loss = torch.zeros(())
    for k in range(1, thoughts + 1):
        asked = (stages == k).any(1)
        if one_loop and k < thoughts and not asked.any():
            continue
        some = torch.ones(len(rows), dtype=torch.bool) if not one_loop or k == thoughts else asked
        inputs, states = loop(model, rows[some], k)
        if one_loop and k == thoughts:
            read, labels = states[:, -thoughts:], walks
        else:
            read, labels = states[:, -1:], walks[some, k - 1 : k]
        if not one_loop or k == thoughts:
            logits = model.lm_head(read).float()
            loss = loss + F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        if asked.any():
            here = asked[some]
            thought = states[here, -1:].to(inputs.dtype)
            told = model(inputs_embeds=torch.cat([inputs[here], thought, opening[asked]], 1), use_cache=False).logits
            loss = loss + F.cross_entropy(told[:, -1].float(), target[asked], reduction="sum")
    return loss / len(rows)


def main(
    config: Annotated[Path, typer.Option(help="Training configuration.")] = Path("configs/reference_asked.yaml"),
    rounds: Annotated[int, typer.Option(help="How often both are run.")] = 5,
    graphs: Annotated[int | None, typer.Option(help="Graphs of our batch; as configured by default.")] = None,
    peer_questions: Annotated[int, typer.Option(help="Questions of the peer's batch.")] = 8,
) -> None:
    """Measure seconds per question, forward and backward, ours and the peer's in turn."""
    torch.set_num_threads(1)
    settings = load_config(config)
    plan, thoughts = settings.curriculum, settings.curriculum.thoughts
    model = build_model(settings.model, settings.seed).train()
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32

    def draw(graphs: int, questions: int) -> GraphBatch:
        return question_batch(
            np.random.default_rng(settings.seed),
            graphs=graphs,
            questions=questions,
            edges=plan.typical_edges,
            thoughts=thoughts,
            hop_weights=plan.hop_weights,
            special=plan.special,
        )

    batch, few = draw(graphs or settings.graphs, settings.questions), draw(1, peer_questions)
    hops = few.hops.flatten()[:, None]
    drawn = (hops + torch.rand(len(hops), 1) * (thoughts - hops + 1)).long().clamp(max=thoughts)
    stages = torch.cat([drawn, torch.full_like(drawn, thoughts)], 1)

    ask = Ask(Stage(thoughts), Schedule(plan, thoughts))
    learned = graph_train_batch(batch, ask, torch.Generator().manual_seed(0))

    def ours(kind: type[ForwardPass], dtype: torch.dtype) -> float:
        run = kind(model, learned.prefix, batch.question.shape[1], None, dtype)
        batch_loss(run, learned).loss.backward()
        model.zero_grad(set_to_none=True)
        return batch.hops.numel()

    def peer(autocast: bool, one_loop: bool) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = naive_loss(model, few, thoughts, stages, one_loop=one_loop)
        loss.backward()
        model.zero_grad(set_to_none=True)
        return few.hops.numel()

    seconds = {}
    for autocast in (False, True):
        side = Side("bf16" if autocast else "fp32", lambda autocast=autocast: peer(autocast, one_loop=False))
        seconds[autocast] = timed(side)[0].cpu
        say(f"peer in {side.name}: {1000 * seconds[autocast]:.1f} ms of processor time a question")
    fast = min(seconds, key=lambda autocast: seconds[autocast])
    kinder = timed(Side("one loop", lambda: peer(fast, one_loop=True)))[0].cpu
    plain: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    written: list[float] = []
    for _ in range(rounds + 1):  # in turn, the first round untimed
        for kind in plain:
            plain[kind].append(timed(Side("model", lambda kind=kind: ours(ModelPass, kind)))[0].cpu)
        written.append(timed(Side("fast", lambda: ours(FastPass, dtype)))[0].cpu)
    model_pass = min(float(np.median(times[1:])) for times in plain.values()) / float(np.median(written[1:]))
    name = f"naive loop, stage by stage, {'bf16' if fast else 'fp32'}"
    fast_step = Side(f"shared prefixes, {settings.precision}", lambda: ours(FastPass, dtype))
    result = compare(
        "training_step", fast_step, Side(name, lambda: peer(fast, one_loop=False)), rounds=rounds, unit="question"
    )
    one_loop = kinder * 1000 / float(str(result["ours_cpu_ms"]))
    size = {"width": settings.model.width, "layers": settings.model.layers, "edges": plan.typical_edges}
    ratios = {"ratio_one_loop": round(one_loop, 2), "ratio_model_pass": round(model_pass, 2)}
    finish({**result, **ratios, **size, "thoughts": thoughts})


if __name__ == "__main__":
    typer.run(main)
