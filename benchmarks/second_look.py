"""A second look at `reference_asked`, without the workbench: is a sum over the frontier enough of a thought?

    python -m benchmarks.second_look

Uses torch, transformers and numpy alone: its own reading of questions, its own breadth-first search, its own loop (one
problem at a time, no cache), its own least squares. One vector for each name is learned from thoughts about
`balanced.json`; on `released.json` one thought alone is replaced by the sum of the vectors of its frontier's names over
the root of their number, brought to the thought's length, and the share of right answers that stay right is printed
beside the same with another problem's frontier and with a random direction.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "fixtures/runs/reference_asked/model"
THOUGHTS, REPLACED, RIDGE = 6, (1, 2, 3), 1.0
Change = Callable[[int, torch.Tensor], torch.Tensor]

QUERY = re.compile(r"Is (\w+) an? (\w+) or (?:an? )?(\w+)\?")
SENTENCE = re.compile(r"(?:Every )?(\w+) is an? (\w+)\.")


def read(path: str, count: int) -> list[tuple[str, list[set[str]], str, str]]:
    """Return prompt, the names at each hop, target and negative of the first so many questions of a file."""
    found = []
    for item in json.loads(Path(path).read_text(encoding="utf-8"))[:count]:
        edges, query = SENTENCE.findall(item["question"]), QUERY.search(item["question"])
        assert query is not None, item["question"]
        root, *options = query.groups()
        target = SENTENCE.findall(item["answer"])[0][1]
        (negative,) = [name for name in options if name != target]
        hops, seen = [{root}], {root}
        while len(hops) <= THOUGHTS:
            hops.append({b for a, b in edges if a in hops[-1]} - seen)
            seen |= hops[-1]
        listed = " | ".join(f"{a} {b}" for a, b in edges)
        found.append((f"<eos> {listed} | [Q] {options[0]} {options[1]} [R] {root}", hops, target, negative))
    return found


@torch.inference_mode()
def think(model, tokenizer, prompt: str, change: Change | None = None) -> tuple[np.ndarray, torch.Tensor]:
    """Return the thoughts as fed [K, d] and the logits of what is said after them."""
    embed = model.get_input_embeddings()
    words = tokenizer.convert_tokens_to_ids(prompt.split())
    rows, fed = embed(torch.tensor([words])), []
    for k in range(1, THOUGHTS + 1):
        thought = model(inputs_embeds=rows, output_hidden_states=True).hidden_states[-1][0, -1]
        thought = change(k, thought) if change else thought
        fed.append(thought.numpy())
        rows = torch.cat([rows, thought[None, None]], 1)
    opening = embed(torch.tensor([tokenizer.convert_tokens_to_ids(["[A]"])]))
    return np.stack(fed), model(inputs_embeds=torch.cat([rows, opening], 1)).logits[0, -1]


def main() -> None:
    """Learn, replace, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learn", type=int, default=500, help="questions to learn from")
    parser.add_argument("--count", type=int, default=200, help="questions to replace thoughts in")
    asked = parser.parse_args()
    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL).eval()
    learn = read("fixtures/problems/balanced.json", asked.learn)
    names = sorted({name for _, hops, _, _ in learn for hop in hops for name in hop})
    place = {name: i for i, name in enumerate(names)}

    def weights(nodes: set[str]) -> np.ndarray:
        row = np.zeros(len(names) + 1)
        row[-1] = 1.0  # what all thoughts have in common
        for name in nodes & place.keys():
            row[place[name]] = len(nodes) ** -0.5
        return row

    thoughts = np.stack([think(model, tokenizer, prompt)[0] for prompt, *_ in learn])
    codes = {}
    for k in REPLACED:
        known = np.stack([weights(hops[k]) for _, hops, _, _ in learn])
        codes[k] = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ thoughts[:, k - 1])

    problems = read("fixtures/problems/released.json", asked.count)
    rng, ids = np.random.default_rng(0), tokenizer.convert_tokens_to_ids
    kept: dict[str, list[bool]] = {}
    for row, (prompt, hops, target, _) in enumerate(problems):
        own, logits = think(model, tokenizer, prompt)
        if int(logits.argmax()) != ids(target):
            continue
        other = problems[(row + 1) % len(problems)][1]
        for k in REPLACED:
            if any(target in hop for hop in hops[: k + 1]):
                continue
            places = {
                "its frontier": weights(hops[k]) @ codes[k],
                "another problem's": weights(other[k]) @ codes[k],
                "noise": rng.standard_normal(own.shape[1]),
            }
            for name, vector in places.items():
                length = np.linalg.norm(own[k - 1]) / np.linalg.norm(vector)
                given = torch.from_numpy((vector * length).astype(np.float32))
                said = think(model, tokenizer, prompt, lambda at, was, k=k, given=given: given if at == k else was)[1]
                kept.setdefault(f"thought {k}, {name}", []).append(int(said.argmax()) == ids(target))
    result = {name: {"kept": float(np.mean(each)), "n": len(each)} for name, each in sorted(kept.items())}
    for name, one in result.items():
        print(f"{name:28} {one['kept']:.3f} of {one['n']}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
