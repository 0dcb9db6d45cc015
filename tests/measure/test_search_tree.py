"""Spelling node by node and token by token, against passes without a cache; and the tree that is drawn of it."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from tests.conftest import chain, tiny
from tests.measure.test_recording import pretrained
from workbench.errors import WorkbenchError
from workbench.figures.thoughts import search_tree
from workbench.interventions.thoughts import Noise
from workbench.measure.recording import untrained
from workbench.measure.search_tree import search_tree_frame, spell
from workbench.measure.trace import run
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import walk_frontier
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem


def diamond() -> Problem:
    """Sally reaches brimpus by two children, and rempus by walks of one and of two edges."""
    names = ["Sally", "Tom", "lempus", "brimpus", "scrompus", "rempus", "hilpus"]
    edges = [(0, 2), (0, 5), (2, 3), (5, 3), (2, 5), (3, 4), (1, 6)]
    return make_problem("diamond", names, edges, 0, 4, 6, True)


@torch.no_grad()
def naive(checkpoint: Checkpoint, problem: Problem, k: int, node: int) -> list[float]:
    """Probability of each token of a name after k thoughts, each in one pass over everything before it."""
    form, model = checkpoint.format, checkpoint.model
    (prompt,) = form.prompts([problem])
    embed = model.get_input_embeddings()
    inputs = embed(torch.tensor([prompt.ids]))
    for _ in range(k):
        inputs = torch.cat([inputs, model.base_model(inputs_embeds=inputs).last_hidden_state[:, -1:]], 1)
    found, said = [], list(form.step_opening(prompt, k))
    for token in prompt.nodes[node]:
        whole = torch.cat([inputs, embed(torch.tensor([said]))], 1)
        found.append(float(model(inputs_embeds=whole).logits[0, -1].softmax(-1)[token]))
        said.append(token)
    return found


@pytest.mark.parametrize("text", [False, True])
def test_spelling_equals_passes_without_a_cache(text: bool) -> None:
    checkpoint, problem = pretrained() if text else tiny(), chain(1, 3)
    spelt = spell(checkpoint, problem)
    (trace,) = run(checkpoint, [problem], continuations=False)
    assert [s.thoughts for s in spelt] == [0, 1, 2, 3]
    assert [s.hop for s in spelt] == [1, 1, 2, 3]
    for k, spelling in enumerate(spelt):
        for node in range(len(problem.names)):
            assert spelling.probabilities[node] == pytest.approx(naive(checkpoint, problem, k, node), rel=1e-4)
        np.testing.assert_allclose(spelling.value, trace.forced_language[k], rtol=1e-4)
    lengths = {len(each) for each in spelt[0].tokens}
    assert lengths == {1} if not text else max(lengths) > 1
    for name, tokens in zip(problem.names, spelt[1].tokens, strict=True):
        assert "".join(tokens).strip() == name
    expected = ("<eot>Sally is a", "<eot>Every") if text else ("| Sally", "|")
    assert (spelt[0].prefix, spelt[1].prefix) == expected


def test_spelling_respects_interventions_and_borrowed_names() -> None:
    checkpoint = tiny()
    odd = replace(chain(0, 2), names=("Sally", "Tom", "sklumpus", "brimpus", "scrompus"))
    assert spell(checkpoint, odd)[1].tokens[2] == ("sklumpus",)
    problem, noise = chain(1, 3), [Noise(seed=1)]
    *_, (trace) = run(checkpoint, [chain(0, 2), problem], continuations=False, interventions=noise)
    changed = spell(checkpoint, problem, interventions=noise, row=1)
    np.testing.assert_allclose(changed[2].value, trace.forced_language[2], rtol=1e-4)
    assert not np.allclose(changed[2].value, spell(checkpoint, problem)[2].value, rtol=1e-2)


def test_the_tree_has_each_walk_layer_and_its_values() -> None:
    checkpoint, problem = tiny(), diamond()
    spelt = spell(checkpoint, problem)
    (other,) = run(untrained(checkpoint), [problem], continuations=False)
    table = search_tree_frame(problem, spelt, controls={"untrained": other})
    own = table.filter(run="model")
    for layer in range(4):
        members = np.flatnonzero(walk_frontier(problem.adjacency, problem.root, layer)).tolist()
        assert own.filter(layer=layer)["node"].to_list() == members
    at = {(row["layer"], row["name"]): row for row in own.iter_rows(named=True)}
    assert at[2, "brimpus"]["parents"] == [2, 5]
    assert (at[1, "rempus"]["earlier"], at[2, "rempus"]["earlier"], at[3, "brimpus"]["earlier"]) == (False, True, True)
    assert at[0, "Sally"]["value"] is None
    assert at[2, "brimpus"]["value"] == pytest.approx(spelt[2].value[3])
    assert np.prod(at[2, "brimpus"]["probabilities"]) == pytest.approx(at[2, "brimpus"]["value"])
    assert (at[1, "lempus"]["height_longest"], at[1, "lempus"]["height_shortest"]) == (3, 2)
    assert at[1, "lempus"]["chance"] == pytest.approx(1 / 5)
    control = table.filter(run="untrained", layer=2, name="brimpus")
    assert control["value"].item() == pytest.approx(float(other.forced_language[2, 3]))
    fixed = search_tree_frame(problem, spelt, thoughts=3).filter(layer=1, name="lempus")
    assert fixed["value"].item() == pytest.approx(spelt[3].value[2])
    with pytest.raises(WorkbenchError, match="no reading after 4 thoughts"):
        search_tree_frame(problem, spelt, thoughts=4)


def test_the_tree_is_drawn_in_layers_with_all_of_it_on_hover() -> None:
    checkpoint, problem = pretrained(), diamond()
    (other,) = run(untrained(checkpoint), [problem], continuations=False)
    table = search_tree_frame(problem, spell(checkpoint, problem), controls={"untrained": other})
    figure: Any = search_tree(table)
    nodes = next(t for t in figure.data if t.name == "nodes")
    own = table.filter(run="model")
    assert {(node, layer) for _, node, layer in nodes.customdata} == set(own.select("node", "layer").rows())
    assert [layer for *_, layer in nodes.customdata] == list(nodes.y)
    for layer in range(4):
        across = [x for x, y in zip(nodes.x, nodes.y, strict=True) if y == layer]
        assert len(set(across)) == len(across)
    hover = next(h for h, row in zip(nodes.hovertext, nodes.customdata, strict=True) if row[1:] == [3, 2])
    for part in ("&lt;eot&gt;Every", " × ", "chance", "untrained model", "longest", "shortest", "reaches the target"):
        assert part in hover
    symbols = dict(zip([tuple(row[1:]) for row in nodes.customdata], nodes.marker.symbol, strict=True))
    assert (symbols[5, 1], symbols[5, 2], symbols[4, 3]) == ("circle", "circle-open", "diamond")
    first, others = (next(t for t in figure.data if t.name == f"edge to {n} parent") for n in ("the first", "another"))
    total = sum(len(parents) for parents in own["parents"])
    assert list(first.x).count(None) + list(others.x).count(None) == total
    assert list(others.x).count(None) == total - len(own) + 1
    assert len(json.loads(figure.to_json())["layout"]["meta"]["alt"]) > 40
    assert isinstance(figure, go.Figure)
    assert "its own number of thoughts" in str(figure["layout"]["title"]["subtitle"]["text"])
    at_once = search_tree(search_tree_frame(problem, spell(checkpoint, problem), thoughts=2))
    assert "every layer after 2 thoughts" in str(at_once["layout"]["title"]["subtitle"]["text"])
