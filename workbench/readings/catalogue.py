"""Every reading by name."""

from workbench.errors import WorkbenchError
from workbench.readings import (
    attention_by_class,
    attribution,
    behaviour,
    breadth,
    codes,
    copy_map,
    edge_knockout,
    edge_path,
    geometry,
    height,
    inner_products,
    lens_layers,
    parallelism,
    probes,
    superposition,
)
from workbench.readings.base import Reading

READINGS: dict[str, Reading] = {
    module.READING.name: module.READING
    for module in (
        breadth,
        behaviour,
        parallelism,
        height,
        codes,
        superposition,
        inner_products,
        attention_by_class,
        copy_map,
        lens_layers,
        probes,
        attribution,
        edge_path,
        edge_knockout,
        geometry,
    )
}
"""By name, in the order of menus."""


def find_reading(name: str) -> Reading:
    """Return a reading by its name.

    Raises:
        WorkbenchError: There is none.
    """
    if name not in READINGS:
        raise WorkbenchError(
            f'There is no reading "{name}".', f"The readings are {', '.join(READINGS)}.", "Choose among them."
        )
    return READINGS[name]
