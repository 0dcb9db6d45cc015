"""Values of nodes from values of tokens: the LM head says one token, not a name."""

from collections import Counter

import numpy as np
from jaxtyping import Float

from workbench.prompts import Prompt


def first_token_shares(
    values: Float[np.ndarray, "*thoughts vocab"], prompt: Prompt
) -> Float[np.ndarray, "*thoughts N"]:
    """Return for each node the value of its name's first token, divided equally among nodes that begin with it."""
    first = [spelling[0] for spelling in prompt.nodes]
    shared = Counter(first)
    return values[..., first] / np.array([shared[token] for token in first], dtype=np.float32)
