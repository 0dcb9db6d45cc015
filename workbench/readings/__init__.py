"""Readings: tables computed from the recordings of a model and of its controls.

- `base`: what a reading is, and the columns that all tables share.
- `values`: values of candidates: breadth, parallelism, height, and behaviour by number of thoughts.
- `node_vectors`: a thought as a sum of one vector per node, learned or taken from the embeddings; its replacement test.
- `superposition`: which set of nodes a thought resembles, and inner products with node embeddings.
- `attention`: attention of thoughts to edges by class and on one graph, and the copy map of the question.
- `lenses`: logit lens and tuned lens over layers and thoughts.
- `probes`: linear probes with their control task.
- `attribution`: logit differences as sums over heads, MLPs and inputs; the path from edge to thought to answer.
- `knockout`: what the answer loses when a thought is made without some edges.
- `geometry`: lengths, angles and dimensionality of thoughts.
- `arithmetic`: values of the steps of a calculation in the thoughts; for items without a graph.
- `second_model`: what a second model, trained to read the thoughts, says of them; for items without a graph.
- `emergence`: any reading over the checkpoints of a training run.

`READINGS` has every reading by name, `ITEM_READINGS` those of items without a graph. Importing this package loads no
model code; looking a reading up does.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from workbench.errors import unknown

if TYPE_CHECKING:
    from workbench.readings.base import Reading

_MODULES = {
    "breadth": "values",
    "behaviour": "values",
    "parallelism": "values",
    "height": "values",
    "codes": "node_vectors",
    "superposition": "superposition",
    "inner_products": "superposition",
    "attention_by_class": "attention",
    "copy_map": "attention",
    "lens_layers": "lenses",
    "probes": "probes",
    "attribution": "attribution",
    "edge_path": "attribution",
    "edge_knockout": "knockout",
    "geometry": "geometry",
}
"""The module of each reading, which holds it under its name in capitals."""


class _Readings(Mapping[str, "Reading"]):
    """Readings by name, each loaded when it is looked up: the modules by reading."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, name: str) -> "Reading":
        return getattr(import_module(f"workbench.readings.{self._modules[name]}"), name.upper())

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


READINGS: Mapping[str, "Reading"] = _Readings(_MODULES)
"""Every reading of problems on graphs by name, in the order of menus."""
ITEM_READINGS: Mapping[str, "Reading"] = _Readings({"arithmetic": "arithmetic"})
"""Every reading of items without a graph."""


RECORDING = "recording"
COSTS: Mapping[str, float] = {
    RECORDING: 196, "breadth": 3.4, "behaviour": 0.4, "parallelism": 1.4, "height": 9.4, "codes": 6.8,
    "superposition": 29, "inner_products": 2.3, "attention_by_class": 2.9, "copy_map": 29, "lens_layers": 32,
    "probes": 31, "attribution": 75, "edge_path": 1.2, "edge_knockout": 84, "geometry": 8.4, "arithmetic": 5,
}  # fmt: skip
"""What recording and each reading cost beside one another: seconds of one core for 500 problems, the model and four
controls (docs/measurements/readings.json). The cheap ones are made first, and the time left follows from those made."""
MEASURED_ON = (500, 5)
"""Problems of that measurement, and recordings of each: the model's and those of its controls."""
FITTED = ("probes", "lens_layers")
"""Readings that are mostly fits on generated problems: they take about as long however few problems are read."""
TABLES_COST = 55
"""What the tables of a report on the 500 problems cost beside them: 1.2 to 1.7 times the model's own recording, on 64
problems of the released set."""


def find_reading(name: str) -> "Reading":
    """Return a reading by its name.

    Raises:
        WorkbenchError: There is none.
    """
    for readings in (READINGS, ITEM_READINGS):
        if name in readings:
            return readings[name]
    raise unknown("reading", name, READINGS)
