"""A training step and answers beside the official Coconut, on the same weights, rows and problems.

    workbench base smollm2 --out runs/smollm2
    git clone https://github.com/facebookresearch/coconut PEER
    python -m benchmarks.official step PEER/coconut.py --precision bf16
    python -m benchmarks.official step PEER/coconut.py --precision bf16 --questions 8
    python -m benchmarks.official answers PEER/coconut.py --problems 20

`step` is forward and backward of all weights, without the optimizer; with `--questions 8` a graph is asked eight times,
and ours runs its sentences once. Printed beside the ratio is by how much the two losses differ. `answers` is greedy
decoding: the peer has batch 1 and runs the whole row for each word, ours has `trace.answers` and its usual batch; the
share of equal answers is printed. The peer's file is run, not imported into the project; PEER is a copy that the user
has read. Its caches are tuples, as in the release that it asks for; `Tuples` translates them.
"""

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn
from transformers import DynamicCache

from benchmarks.timing import Side, compare, finish
from workbench.measure.trace import answers
from workbench.model.checkpoint import Checkpoint
from workbench.problems.problem import Item, Problem
from workbench.train.batch import IGNORE
from workbench.train.config import Curriculum, RowsConfig, TrainConfig
from workbench.train.init import begin
from workbench.train.objective import TrainStep
from workbench.train.text import TextData, text_row

app = typer.Typer(add_completion=False)
Peer = Annotated[Path, typer.Argument(help="coconut.py of the official repository; it is run.", exists=True)]
Start = Annotated[Path, typer.Option(help="Pre-trained model.")]
Precision = Annotated[str, typer.Option(help="bf16 or fp32, of both sides.")]
THOUGHTS = 6


class Tuples(nn.Module):
    """A model whose caches are lists of keys and values for the caller."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings."""
        return self.model.get_input_embeddings()

    def forward(self, past_key_values: Any = None, **given: Any) -> Any:
        """Run the model."""
        if past_key_values is not None:
            held = DynamicCache(config=self.model.config)
            for index, (keys, values) in enumerate(past_key_values):
                held.update(keys, values, index)
            past_key_values = held
        out = self.model(past_key_values=past_key_values, use_cache=True, **given)
        out.past_key_values = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        return out


def peer_of(file: Path, checkpoint: Checkpoint) -> Any:
    """Return the official model around the weights of a checkpoint."""
    spec = spec_from_file_location("official_coconut", file)
    if spec is None or spec.loader is None:
        raise typer.BadParameter(f"{file} is no Python file.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    marker, form = checkpoint.format.marker, checkpoint.format
    return module.Coconut(Tuples(checkpoint.model), marker.thought, marker.bot, marker.eot, form.end)


def settings(start: Path, questions: int, batch: int) -> TrainConfig:
    """Return the paper's own loss at the last stage: six thoughts, then the answer."""
    rows = RowsConfig(batch=batch, questions=questions, count=64)
    plan = Curriculum(thoughts=THOUGHTS)
    return TrainConfig(
        name="official", task="prosqa", method="coconut_words", start=str(start), mixing="none", rows=rows,
        curriculum=plan, processes=1,
    )  # fmt: skip


def rows_of(checkpoint: Checkpoint, data: TextData, problems: list[Problem | Item]) -> dict[str, Tensor]:
    """Return the rows of problems as the official collator lays them out: thoughts in the same columns."""
    form, thought = checkpoint.format, checkpoint.format.marker.thought
    rows = [text_row(prompt, form, data.method, THOUGHTS, data.schedule) for prompt in form.prompts(problems)]
    left, right = max(len(row.prompt) for row in rows), max(len(row.rest) for row in rows)
    ids, labels, mask, places = [], [], [], []
    for row in rows:
        pads, after = left - len(row.prompt), right - len(row.rest)
        ids.append([form.pad] * pads + [*row.prompt, *[thought] * row.slots, *row.rest] + [form.pad] * after)
        said = [token if learned else IGNORE for token, learned in zip(row.rest, row.supervised, strict=True)]
        labels.append([IGNORE] * (left + row.slots) + said + [IGNORE] * after)
        real = len(ids[-1]) - pads - after
        mask.append([0] * pads + [1] * real + [0] * after)
        places.append([0] * pads + list(range(real + after)))
    named = zip(("input_ids", "labels", "attention_mask", "position_ids"), (ids, labels, mask, places), strict=True)
    return {name: torch.tensor(values) for name, values in named}


@app.command()
def step(
    peer: Peer,
    start: Start = Path("runs/smollm2"),
    precision: Precision = "bf16",
    questions: Annotated[int, typer.Option(help="Asked of each graph.")] = 1,
    batch: Annotated[int, typer.Option(help="Rows of a step; at least `questions`.")] = 2,
    rounds: Annotated[int, typer.Option(help="How often both are run.")] = 5,
) -> None:
    """Compare a training step."""
    torch.set_num_threads(1)
    config = settings(start, questions, max(batch, questions))
    checkpoint = begin(config)
    model, data = checkpoint.model.train(), TextData(config, checkpoint)
    problems = [problem for group in data.groups[: config.rows.batch // questions] for problem in group]
    given = data.batch(problems, replace(data.schedule.first(), thoughts=THOUGHTS), np.random.default_rng(0), questions)
    rows, official, ours = rows_of(checkpoint, data, problems), peer_of(peer, checkpoint), TrainStep(model, precision)
    losses: dict[str, float] = {}

    def mine() -> float:
        loss = ours(given, 0).loss
        loss.backward()
        model.zero_grad(set_to_none=True)
        losses["ours"] = float(loss.detach())
        return len(problems)

    def theirs() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = official(**rows).loss
        loss.backward()
        model.zero_grad(set_to_none=True)
        losses["peer"] = float(loss.detach())
        return len(problems)

    about = {"unit": "question", "precision": precision, "questions": questions, "tokens": rows["labels"].shape[1]}
    result = compare("official_step", Side("ours", mine), Side("official", theirs), rounds=rounds, **about)
    finish({**result, "losses_differ_by": abs(losses["ours"] - losses["peer"]), "loss": losses["ours"]})


@app.command(name="answers")
def compare_answers(
    peer: Peer,
    start: Start = Path("runs/smollm2"),
    problems: Annotated[int, typer.Option(help="To answer.")] = 20,
    rounds: Annotated[int, typer.Option(help="How often both are run.")] = 1,
) -> None:
    """Compare greedy answers, in fp32."""
    torch.set_num_threads(1)
    config = settings(start, 1, 2)
    checkpoint = begin(config)
    checkpoint.model.eval()
    data = TextData(config, checkpoint)
    asked, form = list(data.problems)[:problems], checkpoint.format
    official, said = peer_of(peer, checkpoint), {"ours": [], "peer": []}

    @torch.no_grad()
    def mine() -> float:
        found = answers(checkpoint, asked, THOUGHTS, says="answer")
        said["ours"] = [answer.said for answer in found]
        return len(asked)

    @torch.no_grad()
    def theirs() -> float:
        said["peer"] = []
        for prompt in form.prompts(asked):
            before = [*prompt.ids, *[form.marker.thought] * THOUGHTS]
            ids = torch.tensor([[*before, *form.answer_opening(prompt)]])
            out = official.generate(ids, torch.ones_like(ids), max_new_tokens=form.answer_limit)
            said["peer"].append(form.decode(prompt, out[0, len(before) :].tolist()))
        return len(asked)

    result = compare(
        "official_answers", Side("ours", mine), Side("official", theirs), rounds=rounds, warm=False, unit="answer"
    )
    same = np.mean([one.strip() == other.strip() for one, other in zip(said["ours"], said["peer"], strict=True)])
    finish({**result, "same_answers": float(same)})


if __name__ == "__main__":
    app()
