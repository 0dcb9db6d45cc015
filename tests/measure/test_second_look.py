"""The second look shares no code with the workbench, and must read and think the same."""

from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.second_look import MODEL, THOUGHTS, read, think
from workbench.measure.trace import run
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems
from workbench.problems.graph import structure

FILE = Path("fixtures/problems/released.json")


def test_both_read_the_same_graphs_and_think_the_same_thoughts() -> None:
    problems = load_problems(FILE)[:3]
    found = read(str(FILE), 3)
    checkpoint = load_checkpoint("fixtures/runs/reference_asked")
    model = AutoModelForCausalLM.from_pretrained(MODEL).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)

    for problem, trace, (prompt, hops, target, negative) in zip(
        problems, run(checkpoint, problems, THOUGHTS), found, strict=True
    ):
        names = np.array(problem.names)
        assert [set(names[structure(problem).hops == hop]) for hop in range(THOUGHTS + 1)] == hops
        assert (target, negative) == (names[problem.target], names[problem.negative])
        thoughts, logits = think(model, tokenizer, prompt)
        np.testing.assert_allclose(thoughts, trace.thoughts, atol=2e-4)
        assert (tokenizer.convert_ids_to_tokens(int(logits.argmax())) == target) == trace.answer_right[-1]
