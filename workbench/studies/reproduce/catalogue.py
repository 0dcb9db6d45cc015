"""Every claim, by the part of the literature that it is of."""

from workbench.studies.claims import Claim
from workbench.studies.reproduce import inside, methods, superposition, values
from workbench.studies.reproduce import necessity as needed

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "Accuracy and methods": methods.CLAIMS,
    "What is said, and the values of nodes": values.CLAIMS,
    "Superposition": superposition.CLAIMS,
    "Are thoughts needed?": needed.CLAIMS,
    "Inside a thought": inside.CLAIMS,
}
"""By heading, in the order shown."""
