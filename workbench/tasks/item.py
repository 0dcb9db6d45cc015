"""An item: a problem that is words alone, without a graph of nodes that could be read from thoughts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One question with the chain of steps that answers it; its first four fields are those of a `Problem`."""

    id: str
    """Unique within its file; keeps its meaning when the file is filtered."""
    question: str
    """The text asked."""
    answer: str
    """What answers it: "True", or a number."""
    steps: tuple[str, ...]
    """The chain, a step each; may be empty in files of others."""
    task: str
    """Where it comes from: "prontoqa" and "arithmetic" are ours or checked like ours, "gsm8k" and "math" are not."""
    values: tuple[str, ...] = ()
    """What each step newly says (arithmetic: its result), so that it can be looked for in a thought; as many as steps,
    or none."""
    options: tuple[str, ...] = ()
    """What a valid answer may be; none: any number (task "math": anything)."""
