"""The parameters of links. Apart from `links`, which knows what is on a page and so needs PyTorch."""

PARAMETERS = (
    "run", "beside", "readout", "thoughts", "thoughts_beside", "then",
    "set", "hops", "outcome", "resistant", "problem", "question", "seed", "far",
    "family", "after", "concept", "picture", "attention", "layer", "head", "below", "tree", "tree_controls", "lens",
    "count", "controls", "reading", "under", "step", "beneath",
    "surgery", "tour", "against", "results",
)  # fmt: skip
"""Every parameter of a link; each is the key of a box on one of the pages."""
