"""The batch report against one forward pass per problem, depth and concept, without a cache.

    python -m benchmarks.report

Ours reads the two readouts after 0..6 thoughts for 500 problems and writes their scores to Parquet, as `workbench
report` does. The peer reads the same numbers (checked first): for every problem, number of thoughts and concept it runs
the plain model once over the whole row `prompt, thoughts, step opening, concept`, one row at a time, and takes from
that pass the probability of the concept under forced language and under the LM head of the last thought. Its thoughts
too come from whole rows, and are made once per problem. It runs on a few of the problems, since all 500 would take an
hour; times are per problem, and with as many threads on both sides.

`ratio_whole_report` compares everything that a report does beyond the two readouts (continuations of all depths,
answers to swapped and rewritten twins, all tables, the page) with the same peer, which does none of that.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import polars as pl
import torch
import typer
from torch import Tensor

from benchmarks.timing import Side, compare, finish, timed
from workbench.measure.scores import READOUTS, node_scores, scores_frame
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint, load_checkpoint
from workbench.problems.files import load_problems
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.studies.report import ReportOptions, write_report


@torch.inference_mode()
def naive(checkpoint: Checkpoint, problem: Problem, thoughts: int) -> dict[tuple[int, int], tuple[float, float]]:
    """Return (LM head, forced language) probabilities by number of thoughts and node, a pass for each."""
    model, form = checkpoint.model, checkpoint.format
    (prompt,) = form.prompts([problem])
    embed = model.get_input_embeddings()
    inputs = embed(torch.tensor([prompt.ids]))
    read = {}
    for k in range(thoughts + 1):
        opening = form.step_opening(prompt, k)
        for node in structure(problem).concepts.nonzero()[0].tolist():
            spelling = prompt.nodes[node]
            row = torch.cat([inputs, embed(torch.tensor([[*opening, *spelling[:-1]]]))], 1)
            logits = model(inputs_embeds=row, use_cache=False).logits[0].float()
            said: Tensor = logits[-len(spelling) :].log_softmax(-1)
            forced = said[range(len(spelling)), list(spelling)].sum().exp()
            # Thought k is what the column before it computed: its LM head is read there.
            head = logits[inputs.shape[1] - 2].softmax(-1)[spelling[0]] if k else torch.tensor(float("nan"))
            read[k, node] = (float(head), float(forced))
        state = model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state[:, -1:]
        inputs = torch.cat([inputs, state], 1)
    return read


def main(
    run_name: Annotated[str, typer.Option("--run", help="Run or checkpoint.")] = "fixtures/runs/reference",
    problem_file: Annotated[Path, typer.Option("--problems")] = Path("fixtures/problems/released.json"),
    count: Annotated[int, typer.Option(help="Problems of our report.")] = 500,
    peer_count: Annotated[int, typer.Option(help="Problems of the peer.")] = 2,
    rounds: Annotated[int, typer.Option(help="How often both are run.")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of both sides; 0 for as many as there are cores.")] = 0,
) -> None:
    """Measure seconds per problem, ours and the peer's in turn."""
    if threads:
        torch.set_num_threads(threads)
    checkpoint = load_checkpoint(run_name)
    problems = load_problems(problem_file)[:count]
    few, thoughts = problems[:: max(1, len(problems) // peer_count)][:peer_count], checkpoint.thoughts
    with tempfile.TemporaryDirectory() as place:
        turn = iter(range(1 << 20))

        def whole() -> float:
            options = ReportOptions(run_name, problem_file, thoughts)
            write_report(checkpoint, problems, Path(place) / str(next(turn)), options)
            return len(problems)

        def readouts() -> float:
            for start in range(0, len(problems), 128):
                traces = run(checkpoint, problems[start : start + 128], thoughts, continuations=False)
                scores = [node_scores(trace, readout) for trace in traces for readout in READOUTS]
                scores_frame(scores).write_parquet(Path(place) / f"readouts-{start}.parquet")
            return len(problems)

        def peer() -> float:
            for problem in few:
                naive(checkpoint, problem, thoughts)
            return len(few)

        _agree(checkpoint, few[0], thoughts)
        whole_report = timed(Side("whole report", whole))[0].wall
        result = compare(
            "report",
            Side("two readouts to Parquet", readouts),
            Side("a pass per problem, depth and concept", peer),
            rounds=rounds,
            unit="problem",
        )
    passes = sum((thoughts + 1) * int(structure(problem).concepts.sum()) for problem in few) / len(few)
    ratio = float(str(result["peer_ms"])) / 1000 / whole_report
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    more = {"problems": len(problems), "depths": thoughts + 1, "readouts": len(READOUTS), "parameters": parameters}
    finish({**result, "ratio_whole_report": round(ratio, 2), "peer_passes_per_problem": round(passes, 1), **more})


def _agree(checkpoint: Checkpoint, problem: Problem, thoughts: int) -> None:
    """Check that both sides read the same numbers, or the comparison means nothing."""
    (trace,) = run(checkpoint, [problem], thoughts, continuations=False)
    frame = scores_frame(node_scores(trace, readout) for readout in READOUTS)
    for (k, node), (head, forced) in naive(checkpoint, problem, thoughts).items():
        for readout, expected in (("lm_head", head), ("forced_language", forced)):
            if readout == "lm_head" and k == 0:
                continue
            found = frame.filter((pl.col("readout") == readout) & (pl.col("thought") == k) & (pl.col("node") == node))[
                "raw"
            ].item()
            if abs(found - expected) > 1e-3:
                raise SystemExit(f"the two sides disagree: {readout}, {k} thoughts, node {node}: {found} {expected}")


if __name__ == "__main__":
    typer.run(main)
