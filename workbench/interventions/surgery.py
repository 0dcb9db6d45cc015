"""A surgery: interventions one after the other, in the loop or with the later thoughts frozen."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import WorkbenchError
from workbench.interventions.layers import LayerIntervention
from workbench.interventions.replacing import Remove
from workbench.interventions.scene import Intervention

MOST_INTERVENTIONS = 32


@dataclass(frozen=True)
class Surgery:
    """What is changed in one run.

    Raises:
        WorkbenchError: There are too many interventions.
    """

    interventions: tuple[Intervention, ...] = ()
    """Made one after the other."""
    frozen: bool = False
    """Whether every thought is what it was without interventions before they act on it. In the loop, the default, the
    thoughts after a changed one change with it."""

    def __post_init__(self) -> None:
        """Refuse lists without end."""
        if len(self.interventions) > MOST_INTERVENTIONS:
            raise WorkbenchError(
                f"A surgery cannot have {len(self.interventions)} interventions.",
                f"It may have {MOST_INTERVENTIONS}.",
                "Leave some out.",
            )

    @property
    def fed(self) -> list[Intervention]:
        """The interventions that change what is fed."""
        return [one for one in self.interventions if not isinstance(one, Remove | LayerIntervention)]

    @property
    def inside(self) -> list[LayerIntervention]:
        """The interventions that act inside the layers."""
        return [one for one in self.interventions if isinstance(one, LayerIntervention)]

    def without(self, count: int) -> set[int]:
        """Return the numbers of the thoughts removed, of so many."""
        removing = [one for one in self.interventions if isinstance(one, Remove)]
        return {k for k in range(1, count + 1) for one in removing if one.acts_on(k)}


def as_surgery(given: Surgery | Sequence[Intervention]) -> Surgery:
    """Return a list of interventions as a surgery in the loop; a surgery as it is."""
    return given if isinstance(given, Surgery) else Surgery(tuple(given))
