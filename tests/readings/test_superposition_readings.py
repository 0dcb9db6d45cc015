"""The readings of Reasoning by Superposition: edges by class, inner products, copy map, and the theory's direction."""

import numpy as np
import polars as pl
import pytest
import torch

from tests.conftest import chain, tiny
from tests.measure.test_trace import pretrained
from workbench.errors import WorkbenchError
from workbench.figures.attention import PLACES, TOKENS, copy_means
from workbench.measure.class_means import APART, EXCLUSIVE, NESTED, class_codes, class_means
from workbench.measure.recording import Recording, record, record_controls
from workbench.model.coconut import collate
from workbench.model.formats import places
from workbench.model.lens import CoconutLens
from workbench.problems.graph import hops, optimal, structure, walk_frontier
from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.readings import attention, superposition
from workbench.readings.attention import ATTENTION_BY_CLASS, COPY_MAP
from workbench.readings.superposition import INNER_PRODUCTS, SUPERPOSITION


def diamond() -> Problem:
    """Root to lempus to brimpus to target, a short cut from the root to brimpus, and another root's negative."""
    names = ["Sally", "Tom", "lempus", "brimpus", "scrompus", "rempus"]
    edges = [(0, 2), (2, 3), (0, 3), (3, 4), (1, 5), (1, 2)]
    return make_problem("diamond", names, edges, 0, 4, 5, True)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    own = record(tiny(), [diamond(), *(chain(number, number + 1) for number in range(4))])
    return [own, *record_controls(own, ["shuffled"])]


def test_exclusive_classes_by_hand() -> None:
    depth = np.array([0, -1, 1, 1, 2, -1, -2])
    on_path = np.array([True, False, False, True, True, False, False])
    # At hop 1: the root is behind, node 3 on the path, node 2 off it, node 4 still to come, nodes 1 and 5 never.
    assert class_codes(depth, 1, on_path).tolist() == [2, 4, 1, 0, 3, 4, -1]


def test_edge_classes_by_hand(recordings) -> None:
    own = recordings[0]
    codes = [[EXCLUSIVE[code] for code in attention.edge_codes(own, k)[0][:6]] for k in (1, 2, 3)]
    # Edges: root-lempus, lempus-brimpus, root-brimpus, brimpus-target, Tom-rempus, Tom-lempus.
    # The path is root-brimpus-target.
    never = ["never reached"] * 2
    assert codes[0] == ["off the path", "reached later", "optimal", "reached later", *never]
    assert codes[1] == ["reached before", "off the path", "reached before", "optimal", *never]
    assert codes[2] == ["reached before"] * 4 + never  # brimpus is at hop 1 by BFS, but at hop 2 by a walk
    assert attention.from_walk_frontier(own, 3)[0][:6].tolist() == [False, False, False, True, False, False]


def test_the_walk_frontier_changes_no_optimal_edge() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        adjacency = np.triu(rng.random((9, 9)) < 0.3, 1)
        depth = hops(adjacency, 0)
        for target in np.flatnonzero(depth > 0):
            on_path = optimal(adjacency, 0, int(target))
            for k in range(int(depth[target])):
                onward = adjacency & on_path & (depth == k + 1)  # edges into the optimal nodes of the next hop
                by_walk = onward[walk_frontier(adjacency, 0, k)].sum()
                assert by_walk == onward[depth == k].sum()


def test_edge_attention_is_that_of_the_column_before_with_the_last_edge_counted(recordings) -> None:
    own = recordings[0]
    table, problem = attention.attention_by_class_frame(recordings), own.problems[0]
    (prompt,) = own.checkpoint.format.prompts([problem])
    lens = CoconutLens(own.checkpoint)
    ran, cache = lens.run_with_cache(lens.rows([problem], own.count))
    for thought in (1, 2, 3):
        column = len(prompt.ids) - 1 + thought - 1  # the last hidden state there is the thought
        torch.testing.assert_close(ran.hidden[0, column], torch.from_numpy(own.thoughts[0, thought - 1]))
        edge = cache["blocks.1.attn.hook_pattern"][0, :, column, 1:19].reshape(4, 6, 3).sum(2)
        codes = attention.edge_codes(own, thought)[0][:6]
        mine = table.filter(run="model", problem="diamond", thought=thought, layer=1)
        for code, name in enumerate(EXCLUSIVE):
            rows = mine.filter(pl.col("class") == name).sort("head", nulls_last=False)
            if not (codes == code).any():
                assert rows.is_empty()
                continue
            inside = edge[:, codes == code]
            expected = [inside.sum(0).mean(), *inside.mean(1)]
            np.testing.assert_allclose(rows["attention"], expected, rtol=1e-4)
            assert rows["spread"][0] == pytest.approx(float(inside.sum(0).std(correction=0)), abs=1e-5)
            assert rows["chance"][0] == pytest.approx(float(edge.sum() / 6), rel=1e-4)
            assert rows["edges"].to_list() == [int((codes == code).sum())] * 5


def test_table_1_pools_edges_and_reach(recordings) -> None:
    table = attention.attention_by_class_frame(recordings)
    found = attention.table_1(table)
    first = found.filter(run="model", thought=1)
    values = dict(first.select("class", "value").rows())
    for name in ("reached", "walk frontier"):
        assert values[name] == pytest.approx(values["frontier"], rel=1e-6)  # only the root's edges
    own, seen, total = recordings[0], [], 0
    for row, problem in enumerate(own.problems):
        for edge, (source, _) in enumerate(problem.edges):
            total += 1
            if source == problem.root:
                seen.append(own.attention[row, 0, 1, :, edge].sum())
    cells = dict(first.select("class", "items").rows())
    assert values["frontier"] == pytest.approx(np.mean(seen), rel=1e-5)
    assert first.filter(pl.col("class") == "frontier")["spread"].item() == pytest.approx(np.std(seen), rel=1e-4)
    assert cells["reached"] + cells["not reached"] == total  # no edge is lost
    mean = attention.table_1(table, over="mean").filter(run="model", thought=1)
    np.testing.assert_allclose(mean["value"] * 4, first["value"], rtol=1e-6)
    long = found.filter(run="model", thought=3)["n"].max()
    assert long == sum(structure(problem).length >= 3 for problem in own.problems)


def test_class_means_resample_problems_and_weigh_their_edges() -> None:
    same = {"run": "model", "thought": 1, "class": "optimal", "spread": 0.5, "chance": 0.0}
    table = pl.DataFrame([same | {"problem": p, "v": v, "w": w} for p, v, w in (("a", 1.0, 1), ("b", 3.0, 3))])
    (found,) = class_means(table, "v", "w", classes={"frontier": NESTED["frontier"]}).rows(named=True)
    assert (found["value"], found["items"], found["n"]) == (2.5, 4, 2)
    assert (found["low"], found["high"]) == (1.0, 3.0)  # half of all resamples hold one problem only
    assert found["spread"] == pytest.approx(np.sqrt(0.5**2 + np.var([1, 3, 3, 3])))  # within and between problems
    alone = class_means(table[:1], "v", "w", classes=APART)
    assert alone.select("low", "high").row(0) == (None, None)


def test_inner_products_are_logits_where_embeddings_are_tied(recordings) -> None:
    own = recordings[0]
    table = superposition.inner_products_frame(recordings)
    assert table["tied"].all()
    logits = own.checkpoint.model.lm_head(torch.from_numpy(own.thoughts)).detach().numpy()
    for row, problem in enumerate(own.problems):
        for k in (1, 2, 3):
            mine = table.filter(run="model", problem=problem.id, thought=k)
            assert mine["node"].to_list() == list(problem.names)
            tokens = own.first_tokens[row][: len(problem.names)]
            np.testing.assert_allclose(mine["input"], logits[row, k - 1, tokens], rtol=1e-4, atol=1e-4)
    diamond_2 = table.filter(run="model", problem="diamond", thought=2)
    assert diamond_2.filter("walk")["node"].to_list() == ["brimpus", "scrompus"]
    assert diamond_2.filter(pl.col("class") == "optimal")["node"].to_list() == ["scrompus"]
    assert diamond_2["hop"].to_list() == [0, None, 1, 1, 2, None]


def test_table_5_by_hand(recordings) -> None:
    table = superposition.inner_products_frame(recordings)
    found = superposition.table_5(table, "input_cosine").filter(run="model", thought=2)
    kept = table.filter(pl.col("run") == "model", pl.col("thought") == 2, pl.col("steps") >= 2)
    frontier = kept.filter(pl.col("hop") == 2)["input_cosine"]
    row = found.filter(pl.col("class") == "frontier").row(0, named=True)
    assert row["value"] == pytest.approx(frontier.mean(), rel=1e-5)
    assert row["spread"] == pytest.approx(frontier.std(ddof=0), rel=1e-4)
    assert row["items"] == len(frontier)


def test_untied_embeddings_are_read_apart() -> None:
    table = superposition.inner_products_frame([record(tiny("llama"), [diamond()])])
    assert not table["tied"].any()
    assert not np.allclose(table["input"], table["unembedding"])
    assert len(INNER_PRODUCTS.figures(table)) == 6


def test_every_column_of_the_question_is_in_one_place() -> None:
    form, problem = tiny().format, diamond()
    (prompt,) = form.prompts([problem])
    codes = attention.place_codes(prompt)
    spans = places(form, prompt).edges
    for edge, (start, _) in enumerate(spans):
        for token in range(3):
            row = codes[edge, token]
            assert ((row < 0) == (np.arange(len(row)) > start + token)).all()
            assert (PLACES[row[start + token]], PLACES[row[0]]) == ("itself", "first token")
            if token:
                assert PLACES[row[start]] == "own source"
            if token == 2:
                assert PLACES[row[start + 1]] == "own target"
            if edge:
                assert {PLACES[code] for code in row[start - 3 : start]} == {"previous edge"}
    # lempus is the target of the first edge and the source of the second; brimpus of the second and third.
    assert {PLACES[codes[1, 0, 2]], PLACES[codes[2, 1, 5]]} == {"previous edge"}
    assert PLACES[codes[3, 0, 5]] == "same name elsewhere"
    assert PLACES[codes[3, 2, 3]] == "anything else"  # a separator is no name


def test_copy_map_sums_to_one_and_tells_a_copying_head() -> None:
    checkpoint, problems = tiny(), [diamond(), chain(0, 3)]
    table = attention.copy_map(checkpoint, problems, batch_size=1)
    together = attention.copy_map(checkpoint, problems, batch_size=2)
    np.testing.assert_allclose(table["attention"], together["attention"], atol=1e-5)  # padding changes nothing
    sums = table.group_by("problem", "layer", "head", "token").agg(pl.col("attention", "chance").sum())
    np.testing.assert_allclose(sums["attention"], 1, atol=1e-5)
    np.testing.assert_allclose(sums["chance"], 1, atol=1e-5)
    lens = CoconutLens(checkpoint)
    _, cache = lens.run_with_cache(collate([checkpoint.format.prompts(problems)[0].ids], [0], [()], pad=0, thought=3))
    pattern = cache["blocks.0.attn.hook_pattern"][0, 2]
    mine = table.filter(problem="diamond", layer=0, head=2)
    to_source = np.mean([pattern[3 * e + 3, 3 * e + 1] for e in range(6)])
    found = mine.filter(pl.col("token") == "separator", pl.col("place") == "own source")["attention"].item()
    assert found == pytest.approx(to_source, rel=1e-4)
    means = copy_means(table)
    assert set(means["token"].unique()) == set(TOKENS)


def test_copy_map_reads_equal_weights_once_and_refuses_sentences(recordings) -> None:
    assert attention.copy_map_frame(recordings)["run"].unique().to_list() == [
        "model"
    ]  # shuffled thoughts come after the question
    with pytest.raises(WorkbenchError, match="needs the edges format"):
        attention.copy_map(pretrained(), [diamond()])


@pytest.mark.parametrize("reading", [ATTENTION_BY_CLASS, INNER_PRODUCTS, COPY_MAP, SUPERPOSITION])
def test_figures_show_runs_chance_and_say_what_they_show(recordings, reading) -> None:
    table = reading.frame(recordings)
    assert table.columns[:3] == ["run", "problem", "graph"]
    for made in reading.figures(table):
        assert len(made.layout.meta["alt"]) > 40
        assert len(made.layout.title.subtitle.text) > 40
        names = {trace.name for trace in made.data}
        if any(trace.type == "heatmap" for trace in made.data):
            continue
        assert "thoughts of other problems" in str(names) or reading is COPY_MAP
        assert any("chance" in str(name) for name in names) or made.layout.shapes  # a line across
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        reading.figures(table.clear())
