"""Labels of runs in tables and figures: the model's own run, and its controls."""

from dataclasses import dataclass

MODEL, OTHER_TARGET = "model", "other_target"
"""Label of a run without any control, and of the control that asks another question of the same model."""

RUN = "run"
"""Column of every table of a reading: the label of the run that a row was read from."""


@dataclass(frozen=True)
class Control:
    """A run that should not show what the model shows, drawn in the same axes."""

    name: str
    """Key in commands, addresses and tables; the label of its recordings."""
    title: str
    """Name on the screen."""
    what: str
    """What is done, in a sentence."""


CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control("untrained", "untrained model", "The same architecture with random weights of the same spread."),
        Control("pause", "pause as thought", "A pause token's embedding is fed in place of every thought."),
        Control("shuffled", "thoughts of other problems", "Thought k of another problem of the set is fed."),
        Control("noise", "noise of matched norm", "A random direction of the thought's own length is fed."),
        Control(
            OTHER_TARGET,
            "another target asked",
            "The question names another leaf that the root reaches in the target's place, as far away where there is "
            "one; what is read is still about the first target.",
        ),
    )
}
"""The controls by name, in the order of legends."""


def title(label: str) -> str:
    """Return the name of a run on the screen: that of a control, else the label itself."""
    return CONTROLS[label].title if label in CONTROLS else label
