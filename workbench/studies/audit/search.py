"""Battery 3. Is it a search that the thoughts hold? Interventions on their frontier; the target's name stays.

Nodes are taken out of thoughts and put into them by the learned vectors of `readings.node_vectors`, and whole thoughts
are replaced by what they should be. A model that no longer knows still picks an option: guessing loses half of
the right answers, and an intervention that only takes away cannot be expected to lose more.

An intervention that erases the target or names it says nothing about a search. The target is never taken out and
thoughts are replaced only before the hop of the target, but in two rows that stand apart.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.nodes import NodeSet, NodeSets
from workbench.interventions.thoughts import Noise, Offset, Patch, Project, exchanged
from workbench.readings.node_vectors import (
    MEAN,
    OTHERS,
    RESIDUAL,
    SPACES,
    WITHOUT,
    NodeVectors,
    beside_a_sum,
    first_tokens,
    learn_from_generated,
)
from workbench.readings.superposition import random_members
from workbench.studies.audit.base import Rows, Subject, where

SINGLE = 3
"""Thoughts that are changed one at a time: beyond hop 3 the target of most problems has been reached."""
STRENGTHS = (0.25, 0.5, 0.75, 1.5, 2.0)
ADDED = (0.5, 1.0, 2.0)
BESIDE_A_SUM = (MEAN, WITHOUT, RESIDUAL)
BESIDE = "as many others at the same hop, of nearest value"


@dataclass
class _Plan:
    """What is to be done, and what is to be asked of the answers."""

    sources: dict[str, Tensor] = field(default_factory=dict)
    plans: dict[str, list[Intervention]] = field(default_factory=dict)


def search(subject: Subject, rows: Rows) -> None:
    """Add what becomes of right answers when nodes are taken out of thoughts, put in, or all that thoughts hold."""
    if not subject.thinks:
        rows.not_applicable("taken out", "a pause holds no nodes" if subject.thoughts else subject.why_not)
        return
    try:
        options = subject.options
        sums, count = learn_from_generated(subject.checkpoint, subject.graphs, options.fit, options.seed)
        subject.advance(count)
    except WorkbenchError as error:
        rows.not_measured("taken out", error.why)
        return
    _Search(subject, rows, sums).run()


class _Search:
    """Writes down all plans, runs them in one go, and reads the rows."""

    def __init__(self, subject: Subject, rows: Rows, sums: dict) -> None:
        self.subject, self.rows, self.sums = subject, rows, sums
        (own,) = subject.run([[]], keep_thoughts=True)
        values = own.lm_head
        assert values is not None
        assert own.as_fed is not None
        self.thoughts = own.as_fed.astype(np.float64)
        self.right = own.right
        self.sets = NodeSets(
            subject.graphs,
            lambda row, k: values[row, k - 1, : len(subject.graphs[row].names)],
            subject.checkpoint.thoughts_per_step,
        )
        self.tokens = first_tokens(subject.checkpoint, subject.graphs)
        self.single = [k for k in range(1, subject.thoughts + 1) if self.sets.hop(k) <= SINGLE]
        self.every = range(1, subject.thoughts + 1)
        self.places: list[int | None] = [None, *self.single]
        named, around = self.sets.named, self.sets.named("leading_and_target")
        self.taken: dict[str, tuple[NodeSet, NodeSet]] = {
            what: (named(name), self.sets.beside(named(name), around))
            for what, name in (("on a shortest path", "on_path"), ("on any path to the target", "leading"))
        }
        self.replacements: dict[str, NodeSet] = {
            "frontier": named("frontier"),
            "all within k hops": named("within"),
            "on a shortest path alone": named("on_path"),
            "top node alone": named("top"),
            "off the path alone": named("others"),
            OTHERS: self._others,
        }
        self.other = exchanged(len(subject.graphs), subject.options.seed)
        self.plan = _Plan()

    def run(self) -> None:
        """Do everything."""
        self._plan_taking()
        self._plan_adding()
        self._plan_replacing()
        noise = {None: "noise", **{k: f"noise {k}" for k in self.single}}
        for k, name in noise.items():
            self.plan.plans[name] = [Noise(at=_at(k), seed=self.subject.options.seed)]
        done = self.subject.run(list(self.plan.plans.values()), sources=self.plan.sources)
        outcomes = dict(zip(self.plan.plans, done, strict=True))
        self.answered = {name: one.right for name, one in outcomes.items()}
        self.turned = {name: one.wrong_option for name, one in outcomes.items()}
        self._read_taking()
        self._read_adding()
        self._read_replacing()

    # Nodes taken out

    def _plan_taking(self) -> None:
        for what, pair in self.taken.items():
            for arm, sets in zip(("out", "beside"), pair, strict=True):
                self._source(f"{what}, {arm}", self._difference(sets))
                for k in self.places:
                    self._offset(f"{what}, {arm}", k, 1.0)
        for arm in ("out", "beside"):
            for strength in STRENGTHS:
                self._offset(f"on any path to the target, {arm}", None, strength)
        self._source("target too, out", self._difference(self.sets.named("leading_and_target"), to_the_end=True))
        self._offset("target too, out", None, 1.0)
        for nodes in ("on_path", "off_path"):
            self.plan.plans[f"projected {nodes}"] = [Project(nodes=(f"all_{nodes}",))]

    def _read_taking(self) -> None:
        for what, (chosen, beside) in self.taken.items():
            for k in self.places:
                counts = self.sets.matched(chosen, beside, self.every if k is None else [k])
                for strength in (1.0, *STRENGTHS) if k is None and what.startswith("on any") else (1.0,):
                    self._lost(
                        what, f"{what}, out {k} {strength}", f"{what}, beside {k} {strength}", counts, k, strength
                    )
        shortest, beside = self.taken["on a shortest path"]
        counts = self.sets.matched(shortest, beside, self.every)
        self._lost("projected out of embeddings", "projected on_path", "projected off_path", counts, None, None)
        self._keep("taken out", "noise in place of the thoughts", "lost", 1.0 - self.answered["noise"], counts)
        self._keep(
            "taken out, the target too", "on any path, and the target", "lost",
            1.0 - self.answered["target too, out None 1.0"], counts, note="erases the answer: no evidence of a search",
        )  # fmt: skip

    def _lost(
        self, what: str, name: str, control: str, counts: np.ndarray, k: int | None, strength: float | None
    ) -> None:
        self.rows.add(
            "taken out", what, "lost", where(~self.answered[name], self.right & counts),
            thought=k, strength=strength, control=BESIDE, control_values=~self.answered[control],
        )  # fmt: skip

    # Nodes of the other side put in

    def _plan_adding(self) -> None:
        for arm, sets in (("other side", self.sets.named("other_side")), ("strangers", self.sets.named("strangers"))):
            added = self._difference(sets, sign=1.0)
            self._source(f"{arm}, added", added)
            self._source(f"{arm}, moved", added + self.plan.sources["on any path to the target, out"])
            for k in self.places:
                for strength in ADDED:
                    self._offset(f"{arm}, added", k, strength)
                self._offset(f"{arm}, moved", k, 1.0)

    def _read_adding(self) -> None:
        control = "as many nodes that lead to neither option"
        for k in self.places:
            other, strangers = (self.sets.named(name) for name in ("other_side", "strangers"))
            counts = self.sets.matched(other, strangers, self.every if k is None else [k])
            for kind, condition in (("added", "added"), ("moved", "in place of those that lead to the target")):
                for strength in ADDED if kind == "added" else (1.0,):
                    turned = self.turned[f"other side, {kind} {k} {strength}"]
                    self.rows.add(
                        "other side put in", condition, "turned", where(turned, self.right & counts),
                        thought=k, strength=strength, control=control,
                        control_values=self.turned[f"strangers, {kind} {k} {strength}"],
                    )  # fmt: skip

    # Thoughts replaced

    def _plan_replacing(self) -> None:
        for space in SPACES:
            for name, sets in self.replacements.items():
                self._source(f"{name}, {space}", self._sums(self.sums[space], sets))
            whole = self._sums(self.sums[space], self.sets.named("frontier"))
            names = [self.tokens[row] for row in self.other]
            elsewhere = _tensor(self.sums[space].sums(names, self._other, self._other_before))
            self._source(f"another problem, {space}", elsewhere.where(~whole.isnan(), whole))
            beside = ()
            if space == "codes":
                every = self._sums(self.sums[space], self.sets.named("frontier"), to_the_end=True)
                made = beside_a_sum(self.thoughts, every.double().nan_to_num().numpy(), self.other)
                for name, vectors in made.items():
                    self._source(f"{name}, {space}", _tensor(vectors).where(~whole.isnan(), whole))
                beside = tuple(made)
            for name in (*self.replacements, "another problem", *beside):
                for k in self.places:
                    self.plan.plans[f"{name}, {space} {k}"] = [Patch(f"{name}, {space}", rescale=True, at=_at(k))]
        self._source("named", self._sums(self.sums["codes"], self.sets.named("frontier"), to_the_end=True))
        self.plan.plans["named"] = [Patch("named", rescale=True)]

    def _read_replacing(self) -> None:
        own = {k: self.sets.beyond(k) for k in self.places}
        off = {k: self._top_off_path(k) for k in self.places}
        for question, open_ in (("replaced", own), ("replaced, top node off the path", off)):
            for space in SPACES:
                for name in (*self.replacements, *(BESIDE_A_SUM if space == "codes" else ())):
                    for k in self.places:
                        self.rows.add(
                            question, f"{name}, {space}", "kept",
                            where(self.answered[f"{name}, {space} {k}"], self.right & open_[k]),
                            thought=k, control=f"another problem's frontier, {space}",
                            control_values=self.answered[f"another problem, {space} {k}"],
                        )  # fmt: skip
            for k in self.places:
                whole, top = (self.answered[f"{name}, codes {k}"] for name in ("frontier", "top node alone"))
                self.rows.add(
                    question, "frontier against top node alone, codes", "kept", where(whole, self.right & open_[k]),
                    thought=k, control="top node alone, codes", control_values=top,
                )  # fmt: skip
                noise = self.answered["noise" if k is None else f"noise {k}"]
                self.rows.add(question, "noise", "kept", where(noise, self.right & open_[k]), thought=k)
        self._keep(
            "replaced, the target named", "frontier at every hop, codes", "kept", self.answered["named"],
            own[None], note="names the answer: no evidence of a search",
        )  # fmt: skip

    def _top_off_path(self, k: int | None) -> np.ndarray:
        """Say where the top node of thought k (of all before the target's hop) is on no path to the target."""
        found = []
        top, leading = self.sets.named("top"), self.sets.named("leading_and_target")
        for row, length in enumerate(self.sets.lengths):
            thoughts = [j for j in (self.every if k is None else [k]) if self.sets.hop(j) < length]
            leads = [bool((top(row, j) & leading(row, j)).any()) for j in thoughts]
            found.append(bool(leads) and not any(leads))
        return np.array(found, dtype=bool)

    # What all share

    def _source(self, name: str, vectors: Tensor) -> None:
        self.plan.sources[name] = vectors

    def _offset(self, source: str, k: int | None, strength: float) -> None:
        self.plan.plans[f"{source} {k} {strength}"] = [Offset(source, strength, at=_at(k))]

    def _keep(
        self, question: str, condition: str, measure: str, values: np.ndarray, counts: np.ndarray, note: str = ""
    ) -> None:
        self.rows.add(question, condition, measure, where(values, self.right & counts), note=note)

    def _difference(self, sets: NodeSet, sign: float = -1.0, to_the_end: bool = False) -> Tensor:
        """Return what nodes before the target's hop give to each thought by the model's codes, with a sign."""
        nodes = self._before_target(sets, to_the_end)
        return _tensor(
            self.sums["codes"].contribution(self.tokens, nodes, self.sets.named("frontier"), self.sets.per_step, sign)
        )

    def _sums(self, vectors: NodeVectors, sets: NodeSet, to_the_end: bool = False) -> Tensor:
        """Return thoughts that are sums over sets, nan from the target's hop on and where a set is empty."""

        def before(row: int, k: int) -> np.ndarray:
            at = k - self.sets.per_step
            return sets(row, at) if at > 0 else self.sets.named("frontier")(row, 0)

        made = _tensor(vectors.sums(self.tokens, sets, before))
        for row, length in enumerate(self.sets.lengths):
            for k in self.every:
                if (self.sets.hop(k) >= length and not to_the_end) or not sets(row, k).any():
                    made[row, k - 1] = float("nan")
        return made

    def _others(self, row: int, k: int) -> np.ndarray:
        """Return as many other concepts of the problem as its frontier has, drawn; neither option."""
        here = self.sets.named("frontier")(row, k)
        free = self.sets.named("concepts")(row, k) & ~here
        free[list(self.subject.graphs[row].options)] = False
        rng = np.random.default_rng([self.subject.options.seed, row, k])
        return random_members(here[None], free[None], rng)[0]

    def _other(self, row: int, k: int) -> np.ndarray:
        return self.sets.named("frontier")(int(self.other[row]), k)

    def _other_before(self, row: int, k: int) -> np.ndarray:
        return self.sets.named("frontier")(int(self.other[row]), k - self.sets.per_step)

    def _before_target(self, sets: NodeSet, to_the_end: bool) -> NodeSet:
        def mask(row: int, k: int) -> np.ndarray:
            chosen = sets(row, k)
            return chosen if to_the_end or self.sets.hop(k) < self.sets.lengths[row] else np.zeros_like(chosen)

        return mask


def _tensor(vectors: np.ndarray) -> Tensor:
    return torch.from_numpy(vectors.astype(np.float32))


def _at(k: int | None) -> tuple[int, ...]:
    return () if k is None else (k,)
