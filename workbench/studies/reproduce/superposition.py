"""Claims about superposition: attention to edges, inner products, and whether a thought is the sum that theory says."""

from collections.abc import Callable, Mapping

import polars as pl

from workbench.figures.superposition import shares
from workbench.measure.class_means import within_problems
from workbench.measure.run_labels import RUN
from workbench.measure.statistics import Estimate
from workbench.readings.attention import table_1
from workbench.readings.superposition import table_5
from workbench.studies.claims import MARGIN, Check, Claim, Finding
from workbench.studies.reproduce.material import Material

SOURCE = "2505.12514"
_THOUGHTS = (1, 2, 3, 4)
Classes = Mapping[tuple[int, str], Estimate]
"""By thought and class."""
Measure = Callable[[Material], Finding]


def _estimates(table: pl.DataFrame) -> Classes:
    return {
        (row["thought"], row["class"]): Estimate(row["value"], row["low"], row["high"], row["n"])
        for row in table.iter_rows(named=True)
    }


def _ordered(found: Classes, larger: str, smaller: str, thoughts: tuple[int, ...] = _THOUGHTS) -> tuple[Check, ...]:
    """Check for each thought that one class's whole interval lies above the other's."""
    return tuple(
        Check(f"{larger}, thought {k} (above {smaller} {found[k, smaller]}):", found[k, larger], found[k, smaller].high)
        for k in thoughts
    )


def _attention(material: Material, control: str = "model") -> Classes:
    return _estimates(table_1(material.frame("attention_by_class", control=control), seed=material.seed))


def _beside(material: Material) -> str:
    noise = _attention(material, "noise")
    shown = (f"{name} {noise[2, name].value:.2f}" for name in ("frontier", "reached", "not reached", "optimal"))
    return "with noise fed, thought 2: " + ", ".join(shown) + "; sums over heads"


def _edges(larger: str, smaller: str, thoughts: tuple[int, ...] = _THOUGHTS) -> Measure:
    def measure(material: Material) -> Finding:
        return Finding(material.on, _ordered(_attention(material), larger, smaller, thoughts), _beside(material))

    return measure


def _within(material: Material) -> Finding:
    table = material.frame("attention_by_class").filter(
        pl.col("head").is_null(), pl.col("layer") == pl.col("layer").max(), pl.col("hop_read") <= pl.col("steps")
    )
    checks, pooled = [], []
    for row in within_problems(table, "attention", "edges", (RUN, "thought"), seed=material.seed).iter_rows(named=True):
        if row["thought"] in (1, 2, 3):
            estimate = Estimate(row["value"], row["low"], row["high"], row["n"])
            checks.append(
                Check(f"optimal less other frontier edges of the problem, thought {row['thought']}", estimate, 0.0)
            )
            pooled.append(f"{row['pooled']:.2f}")
    why = "Pooled over problems, one with a single frontier edge counts it as optimal with all the attention there is."
    return Finding(material.on, tuple(checks), f"pooled as published {', '.join(pooled)}", why)


def _products(run: str, pairs: tuple[tuple[str, str], ...]) -> Measure:
    def measure(material: Material) -> Finding:
        own = run or "reference"
        found = _estimates(table_5(material.frame("inner_products", own), seed=material.seed))
        checks = tuple(check for larger, smaller in pairs for check in _ordered(found, larger, smaller, (1, 2, 3)))
        noise = _estimates(table_5(material.frame("inner_products", own, "noise"), seed=material.seed))
        beside = "with noise fed, thought 2: " + ", ".join(
            f"{name} {noise[2, name].value:.2f}" for name in ("optimal", "frontier", "reached", "not reached")
        )
        return Finding(material.on_methods if run else material.on, checks, beside)

    return measure


def _copies(material: Material) -> Finding:
    table = material.frame("copy_map").filter(
        pl.col("head").is_null(), pl.col("layer") == 0, pl.col("token") == "separator",
        pl.col("place").cast(pl.String).is_in(["own source", "own target"]),
    )  # fmt: skip
    checks = []
    for place in ("own source", "own target"):
        rows = table.filter(pl.col("place").cast(pl.String) == place)
        both = rows.select("attention", "chance").to_numpy().astype(float)
        checks.append(Check(f"attention to its {place} less chance", material.difference(*both.T), 0.0))
    least = table.group_by("place", maintain_order=True).agg(pl.mean("attention"), pl.mean("chance"))
    beside = ", ".join(f"{place} {a:.3f} against {c:.3f}" for place, a, c in least.iter_rows())
    return Finding(material.on, tuple(checks), beside + "; mean over heads")


def _reached_set(material: Material) -> Finding:
    table, checks, beside = material.frame("superposition"), [], []
    for k in (2, 3):
        own = table.filter(pl.col("thought") == k, pl.col("hop") == k).with_columns(pl.col("set").cast(pl.String))
        wide = own.pivot("set", index="problem", values="cosine").select("reached", "frontier").drop_nulls()
        reached, frontier = wide.to_numpy().astype(float).T
        difference = material.difference(reached, frontier)
        checks.append(Check(f"cosine to reached less frontier, thought {k}", difference, 0.0))
        beside.append(f"thought {k}: {reached.mean():.3f} and {frontier.mean():.3f}")
    return Finding(material.on, tuple(checks), "; ".join(beside))


def _variance(name: str, at_least: float) -> Measure:
    def measure(material: Material) -> Finding:
        found, rows = shares(material.frame("codes")), []
        noise = shares(material.frame("codes", control="noise"))
        for k in (1, 2, 3):
            row = found.filter(pl.col("sum") == name, pl.col("thought") == k).row(0, named=True)
            estimate = Estimate(row["value"], row["low"], row["high"], len(material.problems))
            rows.append(Check(f"variance explained, thought {k}", estimate, at_least))
        other = found.filter(pl.col("sum") == "codes, other graph", pl.col("thought") == 1)["value"].item()
        fed = noise.filter(pl.col("sum") == name, pl.col("thought") == 2)["value"].item()
        beside = f"codes of another graph {other:.2f}; with noise fed, thought 2: {fed:.2f}"
        why = "The theorem sums over all that is reached; the frontier is nearer to ours (the claim before)."
        return Finding(material.on, tuple(rows), beside, why if name == "embeddings" else f"Our bound: {at_least:.0%}.")

    return measure


def _kept(name: str) -> Measure:
    def measure(material: Material) -> Finding:
        checks, beside = [], []
        for k in (1, 2, 3):
            rows = material.replaced.filter(pl.col("thought") == k)
            row = rows.filter(pl.col("in_its_place") == name).row(0, named=True)
            estimate = Estimate(row["kept"], row["low"], row["high"], row["n"])
            checks.append(Check(f"right answers kept, thought {k} replaced", estimate, 1 - 5 * MARGIN))
            noise = rows.filter(pl.col("in_its_place") == "noise")["kept"].item()
            other = rows.filter(pl.col("in_its_place") == "codes, other graph")["kept"].item()
            beside.append(f"thought {k}: noise {noise:.3f}, another problem's frontier {other:.3f}")
        why = "The paper has no causal test; nine in ten is our threshold. Targets beyond the hop of the thought only."
        return Finding(material.on, tuple(checks), "; ".join(beside), why)

    return measure


CLAIMS = (
    Claim("Layer 1 copies source and target onto each edge", SOURCE + ", section 5", "figure", _copies),
    Claim(
        "Thoughts attend to the frontier and not to what is not reached",
        SOURCE + ", table 1",
        "frontier 2.12 1.00 .67 .61, not reached .04 .03 .08 .12",
        _edges("frontier", "not reached"),
    ),
    Claim(
        "More to the frontier than to all that is reached",
        SOURCE + ", table 1",
        "frontier 1.00 .67 .61, reached .71 .38 .29 (thoughts 2..4)",
        _edges("frontier", "reached", (2, 3, 4)),
    ),
    Claim(
        "More to optimal edges than to the frontier",
        SOURCE + ", table 1",
        "optimal 2.54 1.72 1.67 2.23, frontier 2.12 1.00 .67 .61",
        _edges("optimal", "frontier"),
    ),
    Claim("The same inside one problem", "our control of " + SOURCE + ", table 1", "not published", _within),
    Claim(
        "Inner products: reached above not reached",
        SOURCE + ", table 5",
        "3.6 1.5 .8 against −.3 −.2 0 (thoughts 1..3)",
        _products("", (("reached", "not reached"),)),
    ),
    Claim(
        "Inner products: frontier above reached",
        SOURCE + ", table 5",
        "5.1 2.6 2.0 against 3.6 1.5 .8",
        _products("", (("frontier", "reached"),)),
    ),
    Claim(
        "Inner products: optimal above frontier",
        SOURCE + ", table 5",
        "6.4 4.8 6.0 against 5.1 2.6 2.0",
        _products("", (("optimal", "frontier"),)),
    ),
    Claim(
        "Frontier supervision gives the same geometry",
        SOURCE + ", section 5",
        "same order",
        _products("coconut_frontier", (("reached", "not reached"), ("frontier", "reached"))),
    ),
    Claim(
        "A thought is nearest to the sum over all that is reached",
        SOURCE + ", theorem",
        "exact in theory",
        _reached_set,
    ),
    Claim(
        "A thought is the sum of its frontier's embeddings",
        SOURCE + ", theorem",
        "exact in theory",
        _variance("embeddings", 0.9),
    ),
    Claim(
        "A thought is a sum over its frontier, in any code",
        "weaker form of the above",
        "not published",
        _variance("codes", 0.5),
    ),
    Claim(
        "The sum of embeddings does the thought's work", SOURCE + ", theorem", "exact in theory", _kept("embeddings")
    ),
    Claim("A sum in the thought's own code does its work", "weaker form of the above", "not published", _kept("codes")),
)
"""In the order shown."""
